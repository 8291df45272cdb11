"""From a detector's map of an aligned crop to the mask column of a row."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mover_ray.faces.alignment import mask_to_frame
from mover_ray.stages.base import Row

#: `--masks top` keeps so many frames of each track, the most suspicious ones.
TOP_FRAMES = 3


def mask_row(
    crop: Row,
    kind: str,
    values: NDArray[np.float32],
    size_px: int,
    frame_size: tuple[int, int],
) -> Row:
    """Lays a map back onto the displayed frame.

    Args:
        crop: The crop that the map belongs to, with `affine`, track and time.
        kind: `trained`, `residual` or `attention`.
        values: Map of the crop, [h, w] in [0, 1].
        size_px: Side of the crop.
        frame_size: Width and height of the displayed frame in pixels.

    Returns:
        An entry of the `masks` column.
    """
    gray = np.round(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    affine = np.asarray(crop["affine"], np.float32).reshape(2, 3)
    box, laid = mask_to_frame(gray, affine, size_px, frame_size)
    encoded, png = cv2.imencode(".png", laid)
    if not encoded:
        raise RuntimeError(f"a mask of {laid.shape} cannot be encoded as PNG")
    return {
        "track_id": crop["track_id"],
        "frame_index": crop["frame_index"],
        "time_s": crop["time_s"],
        "kind": kind,
        "box": box.tolist(),
        "height": laid.shape[0],
        "width": laid.shape[1],
        "png": png.tobytes(),
    }


def frames_to_mask(scores: Sequence[float], choice: str) -> list[int]:
    """Gives the positions of the frames of one track whose masks are kept, in order.

    Args:
        scores: One a frame of the track; more is more suspicious.
        choice: `all`, `top` or `none`.
    """
    if choice == "none":
        return []
    keep = len(scores) if choice == "all" else TOP_FRAMES
    by_score = sorted(range(len(scores)), key=lambda position: -scores[position])
    return sorted(by_score[:keep])
