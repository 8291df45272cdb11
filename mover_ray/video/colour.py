"""From a decoded frame to RGB. Runs in the child only."""

from typing import Final

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

# AVColorSpace numbers that swscale converts: RGB, BT.709, unspecified, FCC, BT.470BG,
# SMPTE 170M, SMPTE 240M, BT.2020 with non-constant luminance. It refuses the others.
_CONVERTIBLE: Final = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_UNSPECIFIED: Final = 2
# BT.2020 with constant luminance is read with the matrix of its common twin.
_NEAREST: Final = {10: 9}


class RgbConverter:
    """Converts frames by their own matrix and range.

    A frame without a stated matrix is read as BT.601, one without a range as limited, as FFmpeg
    itself, OpenCV and torchcodec do. HDR transfer curves are kept, not tone-mapped.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        #: Whether a frame's matrix was one that cannot be converted.
        self.guessed = False

    def convert(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Gives the stored picture as RGB.

        Returns:
            uint8 [H, W, 3], a view of memory that lives as long as the array.
        """
        if not frame.format.is_rgb and frame.colorspace not in _CONVERTIBLE:
            frame.colorspace = _NEAREST.get(frame.colorspace, _UNSPECIFIED)
            self.guessed = True
        # One thread: the process has the CPU time of one, and the default starts more.
        plane = self._reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
        rows: npt.NDArray[np.uint8] = np.ndarray(
            (plane.height, plane.line_size), dtype=np.uint8, buffer=memoryview(plane)
        )
        return rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
