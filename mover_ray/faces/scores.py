"""One scale for the scores of all detectors."""

from dataclasses import dataclass

import numpy as np

from mover_ray.faces.base import Floats


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """A rising, piecewise linear map from a detector's own score to [0, 1]."""

    raw: tuple[float, ...]
    """The detector's own scores at the joints, rising; beyond the ends the map is flat."""
    common: tuple[float, ...]
    """The common scores there, rising from 0 to 1."""

    def to_common(self, raw: Floats) -> Floats:
        """Gives the common scores of raw ones, float32 in [0, 1]."""
        return np.interp(raw, self.raw, self.common).astype(np.float32)

    def to_raw(self, common: float) -> float:
        """Gives the least raw score that reaches the common score."""
        return float(np.interp(common, self.common, self.raw))


# At 0.8 of the common scale at most 1 % of frames without a face hold a false one,
# and plain faces of 24 px or more at the detector's input reach it; 0.5 is worth
# looking at. Measured on 720 frames of 72 videos with a face, and on 356 frames
# without one (faces painted over, animals, test pictures), longer side 480 px.
# False at 0.8, and faces found at 0.8 with longer side 320 px (dlib: 640 px):
CENTERFACE = ScoreScale((0.0, 0.5, 0.6, 1.0), (0.0, 0.5, 0.8, 1.0))  # 0.0 %, 99.9 %
YUNET = ScoreScale((0.0, 1.0), (0.0, 1.0))  # 0.6 %, 100 %
RETINAFACE = ScoreScale((0.0, 0.5, 0.9, 1.0), (0.0, 0.5, 0.8, 1.0))  # 0.8 %, 100 %; MobileNet
#: dlib's margin has no bounds; it is cut at -1, far below what means a face, and at 3.
DLIB_HOG = ScoreScale((-1.0, 0.0, 0.3, 3.0), (0.0, 0.5, 0.8, 1.0))  # 0.0 %, 98.5 %
