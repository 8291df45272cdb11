"""Notices what is new in a picture, by a hundredth of its pixels."""

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.base import Floats, Image

# Points along the longer side: 40 pixels at 1080p, the least face of interest, are three.
_POINTS = 128
# A point is new from this difference on, of 255; c40 compression makes less.
_NEW = 24.0
# Points around what is new that are looked at with it.
_ROOM = 2
# A cut changes most points, most often by much more.
_CUT = 12.0


class PictureWatch:
    """Remembers how every place of a picture looked when faces were last searched there."""

    def __init__(self) -> None:
        """Starts with nothing seen."""
        self._remembered = np.zeros((0, 0), np.float32)
        self._now = self._remembered
        self._scale = 1.0

    def look(self, image: Image) -> bool:
        """Takes the next frame.

        Returns:
            Whether it shows another picture than the one remembered: after a cut, and at first.
        """
        step = max(1, -(-max(image.shape[:2]) // _POINTS))
        # Green alone is nearly the brightness, at a third of the reading.
        points = np.ascontiguousarray(image[step // 2 :: step, step // 2 :: step, 1])
        self._now = cv2.blur(points, (3, 3)).astype(np.float32)
        self._scale = 1 / step
        if self._remembered.shape != self._now.shape:
            return True
        return float(np.median(np.abs(self._now - self._remembered))) >= _CUT

    def searched(self, regions: Floats | None = None) -> None:
        """Remembers how the present frame looks, in these regions [K, 4] or everywhere."""
        if regions is None:
            self._remembered = self._now.copy()
            return
        for left, top, right, bottom in self._places(regions):
            self._remembered[top:bottom, left:right] = self._now[top:bottom, left:right]

    def newest(self) -> Floats | None:
        """Gives the box [4], in pixels of the frame, of what differs most, None if little does."""
        difference = np.abs(self._now - self._remembered)
        fresh = cv2.dilate((difference >= _NEW).astype(np.uint8), np.ones((3, 3), np.uint8))
        _, labels = cv2.connectedComponents(fresh)
        amounts = np.bincount(labels.ravel(), weights=difference.ravel())[1:]
        if not len(amounts):
            return None
        rows, columns = np.nonzero(labels == 1 + int(amounts.argmax()))
        low = np.array([columns.min(), rows.min()]) - _ROOM
        high = np.array([columns.max(), rows.max()]) + 1 + _ROOM
        return (np.concatenate([low, high]) / self._scale).astype(np.float32)

    def _places(self, regions: Floats) -> npt.NDArray[np.intp]:
        places = (regions * self._scale).round()
        return np.asarray(np.clip(places, 0, None), dtype=np.intp)
