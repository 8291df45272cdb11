"""Frames in, tracks of aligned faces out."""

from collections.abc import Iterable

import cv2
import numpy as np

from mover_ray.faces.alignment import align, crop, usable
from mover_ray.faces.base import Detections, FaceDetector, Floats, Landmarker
from mover_ray.faces.observations import FaceObservation, FaceTracks, FrameLike
from mover_ray.faces.parts import part_boxes
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.quality import quality
from mover_ray.faces.registry import build_detector, build_landmarker
from mover_ray.faces.retention import CropBudget, eligible_tracks
from mover_ray.faces.search import FaceSearch
from mover_ray.faces.tracking import Tracker
from mover_ray.faces.warping import transform

#: Flag of a video some of whose faces or crops were left out because of the policy's limits.
TOO_MANY_FACES = "too_many_faces"

# Frames held at once: 50 MB at 1080p, and enough to keep a GPU's detector busy.
_BATCH_FRAMES = 8


class FaceExtractor:
    """Finds, follows and aligns the faces of a video according to a policy.

    The same frames give bit-equal crops on one machine: on a CPU every step takes one
    image and one thread. Building one sets OpenCV to a single thread for the whole
    process; work is spread over processes, where threads would only compete.
    """

    def __init__(self, policy: FacePolicy, device: str = "cpu") -> None:
        """Loads the policy's detector and landmarker.

        Args:
            policy: What is looked for and how it is cropped.
            device: Torch device of detectors that can use one.

        Raises:
            ConfigError: The policy names something unknown.
            ArtifactError: Weights are missing or altered.
        """
        cv2.setNumThreads(1)
        self._policy = policy
        self._detector = build_detector(policy, device)
        self._landmarker = build_landmarker(policy)

    def extract(self, frames: Iterable[FrameLike]) -> FaceTracks:
        """Looks at the frames of one video, in their order.

        Args:
            frames: Consumed as a stream; at most eight frames are held.

        Returns:
            Every face found, with the crops of eligible tracks.
        """
        sighting = self.begin()
        for frame in frames:
            sighting.look(frame)
        return sighting.finish()

    def begin(self) -> "Sighting":
        """Starts a video whose frames come one by one; any number may be under way."""
        return Sighting(self._policy, self._detector, self._landmarker)


class Sighting:
    """The faces of one video, while its frames come."""

    def __init__(self, policy: FacePolicy, detector: FaceDetector, landmarker: Landmarker) -> None:
        """Starts without a frame; use `FaceExtractor.begin`."""
        self._policy = policy
        self._landmarker = landmarker
        self._search = FaceSearch(detector, policy)
        self._tracker = Tracker(policy.track_iou)
        self._budget = CropBudget(policy)
        self._tracks = FaceTracks()
        self._waiting: list[FrameLike] = []

    def look(self, frame: FrameLike) -> None:
        """Takes the next frame; eight are searched at once."""
        self._waiting.append(frame)
        if len(self._waiting) == _BATCH_FRAMES:
            self._search_waiting()

    def finish(self) -> FaceTracks:
        """Gives every face found, with the crops of eligible tracks."""
        if self._waiting:
            self._search_waiting()
        self._keep_eligible()
        return self._tracks

    def _search_waiting(self) -> None:
        frames, self._waiting = self._waiting, []
        found_in = self._search.find([frame.image for frame in frames])
        for frame, found in zip(frames, found_in, strict=True):
            self._add(frame, found)
        self._budget.enforce(self._tracks.observations)

    def _add(self, frame: FrameLike, found: Detections) -> None:
        """Adds one frame and its faces."""
        tracks = self._tracks
        size = (frame.image.shape[1], frame.image.shape[0])
        if size not in tracks.sizes:
            tracks.sizes.append(size)
        if len(found) > self._policy.max_faces:
            tracks.flags.add(TOO_MANY_FACES)
            found = found.select(np.arange(self._policy.max_faces))
        landmarks = self._landmarker.landmarks(frame.image, found.boxes)
        good = np.array([usable(*pair) for pair in zip(landmarks, found.boxes, strict=True)], bool)
        found, landmarks = found.select(good), landmarks[good]
        tracks.frames_seen += 1
        tracks.frames_with_face += len(found) > 0
        for index, track_id in enumerate(self._tracker.update(found.boxes)):
            box, score = found.boxes[index], float(found.scores[index])
            tracks.observations.append(self._observe(frame, track_id, box, score, landmarks[index]))

    def _observe(
        self, frame: FrameLike, track_id: int, box: Floats, score: float, landmarks: Floats
    ) -> FaceObservation:
        affine = align(landmarks, box, self._policy)
        picture = crop(frame.image, affine, self._policy.size_px)
        in_crop = transform(affine, landmarks)
        return FaceObservation(
            track_id=track_id,
            frame_index=frame.index,
            time_s=frame.time_s,
            group=frame.group,
            box=box,
            score=score,
            affine=affine,
            landmarks=in_crop,
            part_boxes=part_boxes(in_crop, self._policy.size_px),
            quality=quality(picture, affine),
            crop=picture,
        )

    def _keep_eligible(self) -> None:
        """Sorts the observations and drops the crops that nobody will score."""
        tracks, budget = self._tracks, self._budget
        eligible = eligible_tracks(tracks.observations, self._policy)
        tracks.eligible = eligible - budget.dropped
        if eligible & budget.dropped or budget.shortened:
            tracks.flags.add(TOO_MANY_FACES)
        for seen in tracks.observations:
            if seen.track_id not in tracks.eligible:
                seen.crop = None
        tracks.observations.sort(key=lambda seen: (seen.track_id, seen.frame_index))
