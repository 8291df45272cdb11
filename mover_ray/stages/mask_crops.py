"""Where the crops of a fake are manipulated, cut out of the mask video that its row names.

The mask video shows, frame by frame, the fake's own frames in levels of gray: 0 is untouched.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2

from mover_ray.errors import InputError
from mover_ray.faces.alignment import crop
from mover_ray.faces.base import Floats, Image
from mover_ray.faces.observations import FaceObservation
from mover_ray.schemas import RETRIED_BY_DEFAULT
from mover_ray.stages.base import Row
from mover_ray.stages.fetch import FetchedVideo, fetched, unpinned
from mover_ray.video.footage import EVERY_FRAME
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import SampledVideo, VideoReader

#: Flag of a fake whose mask video has other frames than it; its crops have no masks.
MASK_MISMATCH: Final = "mask_mismatch"
#: Flag of a fake whose mask video is missing or broken; its crops have no masks.
MASK_UNREADABLE: Final = "mask_unreadable"

#: Track and frame of a crop.
Place = tuple[int, int]

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class MaskCrops:
    """The masks of one fake's crops, and what they cost."""

    pngs: dict[Place, bytes] = field(default_factory=dict)
    """8-bit gray PNG of the crop's size, of every crop or of none."""
    flags: list[str] = field(default_factory=list)
    """Why there are none."""
    bytes_read: int = 0
    decode_ms: float = 0.0


class MaskReader:
    """Cuts masks as the faces were cut."""

    def __init__(
        self, reader: VideoReader, sampling: SamplingPolicy, size_px: int, max_bytes: int
    ) -> None:
        """Takes what it works with.

        Args:
            reader: Decodes in its sandbox; no other video of it may be open.
            sampling: That of the fakes.
            size_px: Side of the crops.
            max_bytes: Larger mask videos are refused.
        """
        self._reader = reader
        # A mask's frames have the times of its fake's, so that the same sampling mostly finds
        # them again, at a third of the cost; keyframes alone lie elsewhere.
        self._policies = (sampling, EVERY_FRAME)
        self._size_px = size_px
        self._max_bytes = max_bytes

    def read(self, row: Row, observations: Iterable[FaceObservation]) -> MaskCrops:
        """Gives the masks of a fake's crops.

        Args:
            row: Of `schemas.FACES`, with what the fake turned out to be.
            observations: Its faces; those without a crop are passed over.

        Raises:
            InputError: The mask cannot be read now, but maybe on another day.
        """
        masks = MaskCrops()
        try:
            with fetched(unpinned(row["mask_uri"]), self._max_bytes) as file:
                masks.bytes_read = file.size_bytes
                self._cut(file, row, _by_frame(observations), masks)
        except InputError as error:
            if error.status in RETRIED_BY_DEFAULT:
                text = f"the mask of this fake: {error}"
                raise InputError(error.status, text, error.attempts) from error
            masks.flags.append(MASK_UNREADABLE)
            _logger.warning("video_id=%s: no mask: %s: %s", row["video_id"], error.status, error)
        if masks.flags:
            masks.pngs.clear()
        return masks

    def _cut(
        self,
        file: FetchedVideo,
        row: Row,
        wanted: Mapping[int, Sequence[FaceObservation]],
        masks: MaskCrops,
    ) -> None:
        crops = sum(map(len, wanted.values()))
        for policy in self._policies:
            with self._reader.open(file.descriptor, policy, b"") as video:
                if _fits(video, row):
                    self._collect(video, wanted, masks.pngs)
                masks.decode_ms += video.decode_ms
            if len(masks.pngs) == crops:
                return
        masks.flags.append(MASK_MISMATCH)
        text = f"{len(masks.pngs)} of {crops} crops in its mask"
        _logger.warning("video_id=%s: no mask: %s", row["video_id"], text)

    def _collect(
        self,
        video: SampledVideo,
        wanted: Mapping[int, Sequence[FaceObservation]],
        pngs: dict[Place, bytes],
    ) -> None:
        last = max(wanted, default=-1)
        for frame in video:
            gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            for one in wanted.get(frame.index, ()):
                pngs[one.track_id, frame.index] = self._png(gray, one.affine)
            if frame.index >= last:
                return

    def _png(self, mask: Image, affine: Floats) -> bytes:
        _, png = cv2.imencode(".png", crop(mask, affine, self._size_px))
        return png.tobytes()


def _by_frame(observations: Iterable[FaceObservation]) -> dict[int, list[FaceObservation]]:
    frames: dict[int, list[FaceObservation]] = {}
    for one in observations:
        if one.crop is not None:
            frames.setdefault(one.frame_index, []).append(one)
    return frames


def _fits(video: SampledVideo, fake: Row) -> bool:
    info = video.info
    shape = (info.num_frames, info.width, info.height)
    return shape == (fake["num_frames"], fake["width"], fake["height"])
