"""The truth about masks: what the mask video of a fake says of the places of a detector's masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from mover_ray.errors import InputError
from mover_ray.faces.base import Image
from mover_ray.stages.fetch import fetched, unpinned
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.footage import EVERY_FRAME
from mover_ray.video.sandbox import VideoReader

#: An element of a result row's `masks`.
Mask = Mapping[str, Any]


class MaskTruth:
    """Reads mask videos, each in the sandbox; one a process."""

    def __init__(self, budget: VideoBudget) -> None:
        """Keeps the limits of one mask video."""
        self._reader = VideoReader(budget)
        self._max_bytes = budget.max_bytes

    def __enter__(self) -> "MaskTruth":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the decoder's process."""
        self._reader.close()

    def read(self, uri: str, masks: Sequence[Mask], size: tuple[int, int]) -> list[Image]:
        """Gives the truth at the place of each mask of a fake.

        Args:
            uri: Of the mask video, which shows the fake's own frames in levels of gray.
            masks: At least one, of the fake's result row.
            size: Width and height of the fake in displayed pixels.

        Returns:
            uint8 [height, width] for each mask; what lies outside the frame is untouched.

        Raises:
            InputError: The mask video cannot be read, or does not show the fake's frames.
        """
        indices = tuple(sorted({int(mask["frame_index"]) for mask in masks}))
        frames: dict[int, Image] = {}
        with (
            fetched(unpinned(uri), self._max_bytes) as file,
            self._reader.open(file.descriptor, EVERY_FRAME, b"", indices) as video,
        ):
            found = (video.info.width, video.info.height)
            if found != size:
                raise InputError(Status.UNSUPPORTED, f"the mask has {found} pixels, not {size}")
            for frame in video:
                frames[frame.index] = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        missing = set(indices) - set(frames)
        if missing:
            raise InputError(Status.CORRUPT, f"the mask has no frame {min(missing)}")
        return [truth_at(frames[int(mask["frame_index"])], mask) for mask in masks]


def truth_at(frame: Image, mask: Mask) -> Image:
    """Samples a frame of a mask video, uint8 [H, W], on the pixels of a detector's mask."""
    x0, y0, x1, y1 = mask["box"]
    width, height = mask["width"], mask["height"]
    across, down = (x1 - x0) / width, (y1 - y0) / height
    # Centre of the mask's pixel -> frame; pixel centres lie at whole numbers in OpenCV.
    inverse = np.array(
        [
            [across, 0.0, x0 + across / 2 - 0.5],
            [0.0, down, y0 + down / 2 - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(frame, inverse, (width, height), flags=flags), np.uint8)
