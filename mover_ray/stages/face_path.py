"""The landmarks of one face in every frame of a clip."""

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.config import check_at_least
from mover_ray.errors import InputError
from mover_ray.faces.alignment import TEMPLATE, anchors, similarity
from mover_ray.faces.base import Floats
from mover_ray.faces.observations import FaceObservation, FaceTracks
from mover_ray.faces.warping import transform
from mover_ray.status import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class FacePathConfig:
    """When a face counts as seen throughout."""

    longest_gap: int = 3
    """Frames in a row without the face that are bridged by straight lines. A face that is
    away for more than 3 frames is taken for another one when it comes back."""
    least_frames: int = 8
    """Fewer frames in a row are no clip."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "longest_gap", 0)
        check_at_least(self, "least_frames", 1)


@dataclass(frozen=True, slots=True, eq=False)
class FacePath:
    """One face in neighbouring frames."""

    first: int
    """Index of the first of them."""
    landmarks: Floats
    """float32 [T, 68, 2] in pixels of the frame."""
    face_px: float
    """Median over the frames of the longer side of the landmarks' box."""

    def jaw(self) -> Floats:
        """Gives the median jaw line [17, 2] in the aligned unit face: how the head is turned."""
        maps = [similarity(anchors(points), TEMPLATE) for points in self.landmarks]
        lines = [transform(*pair) for pair in zip(maps, self.landmarks[:, :17], strict=True)]
        return np.median(lines, axis=0).astype(np.float32)


def main_face(tracks: FaceTracks, config: FacePathConfig) -> FacePath:
    """Gives the path of the face that is seen largest and longest.

    Args:
        tracks: Of every frame of a clip; frame indices are positions in it.
        config: How large a gap is bridged, and how long a path must be.

    Raises:
        InputError: No face is large, clear and long enough (`no_face`).
    """
    paths = [_longest(seen, config.longest_gap) for seen in _by_track(tracks)]
    best = max(paths, key=lambda path: len(path.landmarks) * path.face_px, default=None)
    if best is None or len(best.landmarks) < config.least_frames:
        found = 0 if best is None else len(best.landmarks)
        raise InputError(
            Status.NO_FACE,
            f"a face is followed through {found} of {tracks.frames_seen} frames; "
            f"{config.least_frames} in a row are needed",
        )
    return best


def _by_track(tracks: FaceTracks) -> list[list[FaceObservation]]:
    """Gives the observations of each eligible track, in the order of the frames."""
    seen: dict[int, list[FaceObservation]] = defaultdict(list)
    for observation in tracks.observations:
        if observation.track_id in tracks.eligible:
            seen[observation.track_id].append(observation)
    return list(seen.values())


def _longest(seen: list[FaceObservation], longest_gap: int) -> FacePath:
    """Gives the longest stretch without a large gap, small ones bridged."""
    frames = np.array([observation.frame_index for observation in seen])
    points = np.stack([_in_frame(observation) for observation in seen])
    cuts = np.flatnonzero(np.diff(frames) > longest_gap + 1) + 1
    stretches = np.split(np.arange(len(frames)), cuts)
    chosen = max(stretches, key=lambda stretch: frames[stretch[-1]] - frames[stretch[0]])
    landmarks = _bridge(frames[chosen], points[chosen])
    extents = np.ptp(landmarks, axis=1).max(axis=1)
    return FacePath(int(frames[chosen[0]]), landmarks, float(np.median(extents)))


def _in_frame(observation: FaceObservation) -> Floats:
    back = cv2.invertAffineTransform(observation.affine)
    return np.asarray(transform(back, observation.landmarks), dtype=np.float32)


def _bridge(frames: npt.NDArray[np.int64], points: Floats) -> Floats:
    """Gives points for every frame from the first to the last, by straight lines."""
    every = np.arange(frames[0], frames[-1] + 1)
    flat = points.reshape(len(points), -1)
    bridged = np.stack([np.interp(every, frames, column) for column in flat.T], axis=1)
    return bridged.reshape(len(every), *points.shape[1:]).astype(np.float32)
