"""Stage 1, on CPU nodes: fetch, sample, find faces, align, crop.

Columns in: `schemas.MANIFEST`. Columns out: `schemas.FACES`.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping

from mover_ray.errors import InputError
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.observations import FaceObservation, FaceTracks
from mover_ray.faces.policy import FacePolicy
from mover_ray.stages.base import Row, manifest_columns
from mover_ray.stages.fetch import ReachableVideo, reachable
from mover_ray.stages.mask_crops import MaskCrops, MaskReader, Place
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import demand_sandbox
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import Frame, SampledVideo, VideoReader


class FindFaces:
    """Turns a video into aligned face crops in tracks."""

    def __init__(
        self,
        faces: FacePolicy,
        sampling: SamplingPolicy,
        budget: VideoBudget,
        secret: str = "",
        *,
        require_sandbox: bool = False,
        with_masks: bool = False,
    ) -> None:
        """Loads the face models; the decoder's process starts with the first video.

        Args:
            faces: Which faces and how they are cropped.
            sampling: Which frames.
            budget: Limits of one video.
            secret: Makes the jitter of sampling unpredictable to an uploader who
                knows this code and the video's id.
            require_sandbox: Do not start on a machine where no sandbox works.
            with_masks: Read the masks of fakes too: training wants them, scoring must not
                know of them.

        Raises:
            ConfigError: A sandbox is required and there is none.
        """
        if require_sandbox:
            demand_sandbox()
        self._sampling = sampling
        self._budget = budget
        self._secret = secret.encode()
        self._extractor = FaceExtractor(faces)
        self._reader = VideoReader(budget)
        masks = MaskReader(self._reader, sampling, faces.size_px, budget.max_bytes)
        self._masks = masks if with_masks else None

    def __call__(self, row: Row) -> Row:
        """Gives the row of one video, whatever the video holds."""
        out = _empty(row)
        try:
            self._fill(out, row)
        except InputError as error:
            out.update(status=str(error.status), error=str(error), crops=[])
            out["attempts"] = max(out["attempts"], error.attempts)
        return out

    def close(self) -> None:
        """Ends the decoder's process."""
        self._reader.close()

    def _fill(self, out: Row, row: Row) -> None:
        started = time.perf_counter()
        with reachable(row, self._budget.max_bytes) as video:
            reached_ms = _ms_since(started)
            try:
                tracks = self._look(out, row, video)
            finally:
                out["bytes_read"] = video.bytes_read
                out["fetch_ms"] = reached_ms + video.waited_ms
                out["sha256"] = video.sha256()
        masks = self._read_masks(out, tracks)
        flags = sorted({*tracks.flags, *masks.flags})
        out["flags"] += [flag for flag in flags if flag not in out["flags"]]
        out["coverage"] = tracks.frames_with_face / tracks.frames_seen
        out["crops"] = [_crop_row(one, masks.pngs) for one in tracks.observations]
        out.update(_verdict(tracks))

    def _look(self, out: Row, row: Row, video: ReachableVideo) -> FaceTracks:
        """Decodes a video and finds its faces, noting what that cost even if it fails."""
        key = _jitter_key(self._secret, row["video_id"])
        with self._reader.open(video.bytes, self._sampling, key) as sampled:
            out.update(_describe(sampled))
            frames = _Awaited(sampled)
            started = time.perf_counter()
            try:
                return self._extractor.extract(frames)
            finally:
                out.update(
                    attempts=sampled.attempts,
                    flags=list(sampled.flags),
                    decode_ms=sampled.decode_ms,
                    faces_ms=_ms_since(started) - frames.waited_ms,
                )

    def _read_masks(self, out: Row, tracks: FaceTracks) -> MaskCrops:
        """Reads where a fake's crops are manipulated, if that is wanted and known."""
        is_masked = out["label"] == "fake" and out["mask_uri"]
        if self._masks is None or not is_masked or not tracks.eligible:
            return MaskCrops()
        masks = self._masks.read(out, tracks.observations)
        out["bytes_read"] += masks.bytes_read
        out["decode_ms"] += masks.decode_ms
        return masks


class _Awaited:
    """Frames of a video, and how long their consumer waited for them."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self.waited_ms = 0.0

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        started = time.perf_counter()
        try:
            return next(self._frames)
        finally:
            self.waited_ms += _ms_since(started)


def _empty(row: Row) -> Row:
    return {
        **manifest_columns(row),
        "status": str(Status.OK),
        "error": None,
        "attempts": 1,
        "flags": [],
        "crops": [],
    }


def _describe(sampled: SampledVideo) -> Row:
    info = sampled.info
    return {
        "duration_s": info.duration_s,
        "fps": info.fps,
        "width": info.width,
        "height": info.height,
        "codec": info.codec,
        "num_frames": info.num_frames,
        "max_gap_s": sampled.max_gap_s,
    }


def _verdict(tracks: FaceTracks) -> Row:
    """Says why there is nothing to score, where there is nothing to score."""
    if tracks.eligible:
        return {"status": str(Status.OK)}
    if not tracks.frames_with_face:
        reason = f"no face in {tracks.frames_seen} sampled frames"
    else:
        reason = (
            f"a face in {tracks.frames_with_face} of {tracks.frames_seen} sampled frames, "
            "none of them large, clear and long enough to be scored"
        )
    return {"status": str(Status.NO_FACE), "error": reason}


def _crop_row(observation: FaceObservation, masks: Mapping[Place, bytes]) -> Row:
    crop = observation.crop
    return {
        "track_id": observation.track_id,
        "frame_index": observation.frame_index,
        "time_s": observation.time_s,
        "group": observation.group,
        "box": observation.box.tolist(),
        "affine": observation.affine.ravel().tolist(),
        "pixels": None if crop is None else crop.tobytes(),
        "mask": masks.get((observation.track_id, observation.frame_index)),
        "landmarks": observation.landmarks.tolist(),
        "part_boxes": [(name, box.tolist()) for name, box in observation.part_boxes.items()],
        "detector_score": observation.score,
        "quality": observation.quality,
    }


def _jitter_key(secret: bytes, video_id: int) -> bytes:
    return hashlib.blake2b(video_id.to_bytes(8, "big"), key=secret[:64], digest_size=16).digest()


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
