"""Stage 1, on CPU nodes: fetch, sample, find faces, align, crop.

Columns in: `schemas.MANIFEST`. Columns out: `schemas.FACES`.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mover_ray.errors import InputError
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.observations import FaceObservation, FaceTracks
from mover_ray.models.view import View
from mover_ray.stages.base import Row, manifest_columns
from mover_ray.stages.fetch import ReachableVideo
from mover_ray.stages.fetch_ahead import FetchAhead
from mover_ray.stages.mask_crops import MaskCrops, MaskReader, Place
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.isolation import demand_sandbox
from mover_ray.video.sandbox import Frame, SampledVideo, VideoReader


class FindFaces:
    """Turns a video into aligned face crops in tracks."""

    def __init__(
        self,
        views: Sequence[View],
        budget: VideoBudget,
        secret: str = "",
        *,
        require_sandbox: bool = False,
        with_masks: bool = False,
    ) -> None:
        """Loads the face models; the decoder's process starts with the first video.

        Args:
            views: Which frames, which faces and how they are cropped: one view, or those of
                an ensemble, decoded in one pass; each finds what it would find alone.
            budget: Limits of one video.
            secret: Makes the jitter of sampling unpredictable to an uploader who
                knows this code and the video's id.
            require_sandbox: Do not start on a machine where no sandbox works.
            with_masks: Read the masks of fakes too: training wants them, scoring must not
                know of them. They are those of the first view's crops.

        Raises:
            ConfigError: A sandbox is required and there is none.
        """
        if require_sandbox:
            demand_sandbox()
        self._budget = budget
        self._secret = secret.encode()
        self._sampling, *self._others = (view.sampling for view in views)
        self._extractors = [FaceExtractor(view.faces) for view in views]
        self._videos = FetchAhead(budget.max_bytes)
        self._reader = VideoReader(budget)
        masks = MaskReader(self._reader, self._sampling, views[0].faces.size_px, budget.max_bytes)
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
        """Ends the decoder's process and frees what was fetched in vain."""
        self._reader.close()
        self._videos.close()

    def expect(self, row: Row) -> None:
        """Fetches the video that comes next while the present one is looked at."""
        self._videos.expect(row)

    def _fill(self, out: Row, row: Row) -> None:
        started = time.perf_counter()
        with self._videos.reachable(row) as video:
            reached_ms = _ms_since(started)
            try:
                views = self._look(out, row, video)
            finally:
                out["bytes_read"] = video.bytes_read
                out["fetch_ms"] = reached_ms + video.waited_ms
                out["sha256"] = video.sha256()
        masks = self._read_masks(out, views[0])
        flags = sorted({*masks.flags}.union(*(tracks.flags for tracks in views)))
        out["flags"] += [flag for flag in flags if flag not in out["flags"]]
        out["crops"] = [
            {**_crop_row(one, masks.pngs), "view": number}
            for number, tracks in enumerate(views)
            for one in tracks.observations
        ]
        out.update(_verdict(views))

    def _look(self, out: Row, row: Row, video: ReachableVideo) -> list[FaceTracks]:
        """Decodes a video and finds its faces, noting what that cost even if it fails.

        Returns:
            What each view found.
        """
        key = _jitter_key(self._secret, row["video_id"])
        opened = self._reader.open(video.bytes, self._sampling, key, others=self._others)
        with opened as sampled:
            out.update(_describe(sampled))
            frames = _Awaited(sampled)
            started = time.perf_counter()
            try:
                return self._extract(frames)
            finally:
                out.update(
                    attempts=sampled.attempts,
                    flags=list(sampled.flags),
                    decode_ms=sampled.decode_ms,
                    faces_ms=_ms_since(started) - frames.waited_ms,
                )

    def _extract(self, frames: Iterable[Frame]) -> list[FaceTracks]:
        """Shows each view its own frames, as they come."""
        sightings = [extractor.begin() for extractor in self._extractors]
        for frame in frames:
            for number, sighting in enumerate(sightings):
                own = frame.under(number)
                if own is not None:
                    sighting.look(own)
        return [sighting.finish() for sighting in sightings]

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


def _verdict(views: Sequence[FaceTracks]) -> Row:
    """Gives the coverage, and says why there is nothing to score where there is nothing.

    A frame counts once for each view that looked at it.
    """
    seen = sum(tracks.frames_seen for tracks in views)
    with_face = sum(tracks.frames_with_face for tracks in views)
    found: Row = {"coverage": with_face / seen}
    if any(tracks.eligible for tracks in views):
        return found
    if not with_face:
        reason = f"no face in {seen} sampled frames"
    else:
        reason = (
            f"a face in {with_face} of {seen} sampled frames, "
            "none of them large, clear and long enough to be scored"
        )
    return {**found, "status": str(Status.NO_FACE), "error": reason}


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
