"""Stage 2 of `extract`: crops as JPEG.

Columns in: `schemas.FACES`. Columns out: `schemas.EXTRACT`.
"""

import cv2
import numpy as np

from mover_ray.schemas import EXTRACT
from mover_ray.stages.base import Row

#: Near-lossless at 4:4:4: chroma subsampling would blur the colour seams that
#: detectors are trained on.
JPEG_QUALITY = 95
_PARAMETERS = [
    cv2.IMWRITE_JPEG_QUALITY,
    JPEG_QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
_CROP_FIELDS = [field.name for field in EXTRACT.field("crops").type.value_type]


class EncodeCrops:
    """Replaces the pixels of the eligible tracks' crops by JPEG; drops the others."""

    def __init__(self, size_px: int) -> None:
        """Takes crops of `size_px` pixels a side."""
        self._shape = (size_px, size_px, 3)

    def __call__(self, row: Row) -> Row:
        """Gives the row of one video as training reads it."""
        crops = [self._encode(crop) for crop in row["crops"] if crop["pixels"] is not None]
        return {**row, "crops": crops}

    def close(self) -> None:
        """Holds nothing."""

    def _encode(self, crop: Row) -> Row:
        rgb = np.frombuffer(crop["pixels"], np.uint8).reshape(self._shape)
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _PARAMETERS)
        values = {**crop, "jpeg": jpeg.tobytes()}
        return {name: values[name] for name in _CROP_FIELDS}
