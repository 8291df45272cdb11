"""Pictures of faces for a page: cut out, made unrecognisable, with the mask as heat."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
Box: TypeAlias = Sequence[float]

_SIDE_PX: Final = 288
_AROUND: Final = 2.0
_JPEG_QUALITY: Final = 82
_HEAT_PX: Final = 96
#: Squares across a face that is not to be recognised.
_SQUARES: Final = 8
_BLUR_MARGIN: Final = 0.2
#: Below this level, of 255, a mask shows nothing.
_FLOOR: Final = 24
_MOST_OPAQUE: Final = 0.75


def around(box: Box, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Gives the square about a face, as far as the frame goes: whole pixels xyxy.

    Args:
        box: Of the face, xyxy in pixels.
        frame_size: Width and height of the frame.
    """
    half = max(box[2] - box[0], box[3] - box[1]) * _AROUND / 2
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return _clip(
        (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half), frame_size
    )


def pixelate(image: Image, boxes: Sequence[Box]) -> Image:
    """Gives a copy of a frame in which no face in `boxes` can be recognised.

    Args:
        image: uint8 RGB [H, W, 3].
        boxes: Xyxy in pixels; each is taken a fifth larger.
    """
    out = image.copy()
    for box in boxes:
        margin_x, margin_y = ((box[i + 2] - box[i]) * _BLUR_MARGIN / 2 for i in range(2))
        grown = (box[0] - margin_x, box[1] - margin_y, box[2] + margin_x, box[3] + margin_y)
        x0, y0, x1, y1 = _clip(grown, (image.shape[1], image.shape[0]))
        face = out[y0:y1, x0:x1]
        small = cv2.resize(face, (_SQUARES, _SQUARES), interpolation=cv2.INTER_AREA)
        out[y0:y1, x0:x1] = cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return out


def cut(image: Image, region: tuple[int, int, int, int]) -> bytes:
    """Gives a region of a frame as JPEG, at most `_SIDE_PX` a side."""
    x0, y0, x1, y1 = region
    piece = image[y0:y1, x0:x1]
    scale = min(1.0, _SIDE_PX / max(piece.shape[:2]))
    size = (max(1, round(piece.shape[1] * scale)), max(1, round(piece.shape[0] * scale)))
    small = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
    return _encode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def heat(mask: dict[str, Any], region: tuple[int, int, int, int]) -> bytes:
    """Gives a mask as a transparent PNG that covers just a region of the frame.

    Args:
        mask: An entry of the `masks` column.
        region: Whole pixels xyxy.
    """
    extent = (region[2] - region[0], region[3] - region[1])
    scale = _HEAT_PX / max(extent)
    size = (max(1, round(extent[0] * scale)), max(1, round(extent[1] * scale)))
    levels = place(mask, region, size)
    return _encode(".png", np.dstack([colours(levels)[..., ::-1], opacity(levels)]), [])


def place(mask: dict[str, Any], region: Sequence[float], size: tuple[int, int]) -> Image:
    """Gives a mask's levels over a region of the frame, 0 where the mask does not reach.

    Args:
        mask: An entry of the `masks` column.
        region: Xyxy in pixels of the frame.
        size: Width and height of the result.

    Returns:
        uint8 [height, width].

    Raises:
        ValueError: The mask is no PNG.
    """
    levels = cv2.imdecode(np.frombuffer(mask["png"], np.uint8), cv2.IMREAD_GRAYSCALE)
    if levels is None:
        raise ValueError("a mask is no PNG")
    x0, y0, x1, y1 = mask["box"]
    cell = np.array([(x1 - x0) / levels.shape[1], (y1 - y0) / levels.shape[0]])
    pixel = np.array([(region[2] - region[0]) / size[0], (region[3] - region[1]) / size[1]])
    scale = cell / pixel
    # Centres of cells on centres of pixels.
    shift = (np.array([x0, y0]) - np.array(region[:2])) / pixel + scale / 2 - 0.5
    affine = np.column_stack([np.diag(scale), shift])
    return np.asarray(cv2.warpAffine(levels, affine, size, flags=cv2.INTER_LINEAR), np.uint8)


def colours(levels: Image) -> Image:
    """Gives the colour of each level of a mask, uint8 RGB [..., 3]: dark to bright."""
    shown = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(shown[..., ::-1])


def opacity(levels: Image) -> Image:
    """Gives how much of a picture each level covers, uint8: nothing below the floor."""
    above = np.clip((levels.astype(np.float32) - _FLOOR) / (255 - _FLOOR), 0, 1)
    return (255 * _MOST_OPAQUE * np.sqrt(above)).round().astype(np.uint8)


def _clip(box: Box, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Gives whole pixels inside the frame, at least one each way."""
    width, height = frame_size
    x0, y0 = int(np.clip(box[0], 0, width - 1)), int(np.clip(box[1], 0, height - 1))
    x1, y1 = (
        int(np.clip(np.ceil(box[2]), x0 + 1, width)),
        int(np.clip(np.ceil(box[3]), y0 + 1, height)),
    )
    return x0, y0, x1, y1


def _encode(ending: str, image: Image, parameters: list[int]) -> bytes:
    encoded, data = cv2.imencode(ending, image, parameters)
    if not encoded:
        raise RuntimeError(f"a picture of {image.shape} cannot be encoded as {ending}")
    return bytes(data)
