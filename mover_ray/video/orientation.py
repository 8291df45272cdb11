"""From a stored frame to the displayed one: the display matrix of a video track."""

import struct
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_MATRIX = struct.Struct("=9i")
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a rectangle onto itself."""

    transposed: bool = False
    """Rows and columns change places, before the mirroring."""
    mirror_x: bool = False
    """Left and right change places."""
    mirror_y: bool = False
    """Top and bottom change places."""

    @classmethod
    def from_matrix(cls, data: bytes) -> "Orientation":
        """Reads FFmpeg's display matrix, which takes (x, y) to (a x + c y, b x + d y).

        Args:
            data: Nine 32-bit integers, row by row: a, b, u, c, d, v, x, y, w. A turn by another
                angle than a multiple of 90 degrees counts as the nearest one.
        """
        a, b, _, c, d, *_ = _MATRIX.unpack(data[: _MATRIX.size])
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transposed=True, mirror_x=c < 0, mirror_y=b < 0)
        return cls(mirror_x=a < 0, mirror_y=d < 0)

    @property
    def rotation(self) -> int:
        """Degrees clockwise, 0, 90, 180 or 270; of a mirrored picture, before its mirroring."""
        if self.transposed:
            return 270 if self.mirror_y else 90
        return 180 if self.mirror_y else 0

    def apply(self, image: npt.NDArray[T]) -> npt.NDArray[T]:
        """Gives the displayed picture as a view of the stored one.

        Args:
            image: [H, W, C].

        Returns:
            [H, W, C] or, transposed, [W, H, C]; not contiguous.
        """
        if self.transposed:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
