"""From landmarks to the aligned square crop, and from a mask of it back to the frame."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from mover_ray.faces.base import Floats, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.warping import Affine, scale_of, transform, warp

#: Where the five anchors of the mean face lie in the square around its 68 points: centres
#: of the eyes, tip of the nose, corners of the mouth. Ours: median over 987 real faces
#: after a Procrustes fit, made symmetric and turned upright.
TEMPLATE = np.array(
    [[0.280, 0.178], [0.720, 0.178], [0.500, 0.428], [0.297, 0.631], [0.703, 0.631]],
    dtype=np.float64,
)

_LEAST_EXTENT = 0.25


def anchors(landmarks: Floats) -> Floats:
    """Gives the points that are aligned.

    Args:
        landmarks: [68, 2].

    Returns:
        float32 [5, 2] in the order of `TEMPLATE`.
    """
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]]).astype(np.float32)


def usable(landmarks: Floats, box: Floats) -> bool:
    """Tells whether the points can be those of the face in the box.

    They are not if one of them is no number, if their centre lies outside the box, or if
    they span less than a quarter of it in either direction.
    """
    if not np.isfinite(landmarks).all():
        return False
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    centre = (low + high) / 2
    inside = (centre >= box[:2]).all() and (centre <= box[2:]).all()
    return bool(inside and (high - low >= _LEAST_EXTENT * (box[2:] - box[:2])).all())


def align(landmarks: Floats, box: Floats, policy: FacePolicy) -> Floats:
    """Gives the map of the frame into the crop that the policy asks for.

    Args:
        landmarks: [68, 2] in pixels of the frame.
        box: [4] xyxy in pixels of the frame.
        policy: Says how: `alignment`, `margin`, `size_px`.

    Returns:
        float32 [2, 3].

    Raises:
        ValueError: The landmarks coincide or the box is empty.
    """
    if policy.alignment == "box":
        return _box_map(box, policy.margin, policy.size_px)
    target = template(policy.margin, policy.size_px)
    return similarity(anchors(landmarks), target).astype(np.float32)


def template(margin: float, size_px: int) -> npt.NDArray[np.float64]:
    """Gives the anchors' places [5, 2] in a crop whose side is `margin` faces."""
    return (0.5 + (TEMPLATE - 0.5) / margin) * size_px - 0.5


def similarity(
    source: npt.NDArray[np.floating], target: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Fits rotation, scale and shift, never a reflection, by least squares.

    In the plane the problem of Umeyama (1991) is linear: with points as complex numbers
    the map is z -> a z + b.

    Args:
        source: [P, 2].
        target: [P, 2].

    Returns:
        float64 [2, 3] that takes the source as near as can be to the target.

    Raises:
        ValueError: All points of the source coincide, or of the target.
    """
    points, wanted = (side.astype(np.float64) @ (1, 1j) for side in (source, target))
    centred = points - points.mean()
    spread = float(np.vdot(centred, centred).real)
    a = np.vdot(centred, wanted - wanted.mean()) / spread if spread else 0.0
    if a == 0:
        raise ValueError("points coincide: no similarity fits them")
    b = wanted.mean() - a * points.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop(image: Image, affine: Affine, size_px: int) -> Image:
    """Cuts the aligned face out of its frame, averaged down where it is bigger than the crop.

    Args:
        image: uint8 RGB [H, W, 3].
        affine: [2, 3], from `align`.
        size_px: Side of the crop.

    Returns:
        uint8 RGB [size_px, size_px, 3]; black where the frame ends.
    """
    return warp(image, affine, size_px)


def mask_to_frame(
    mask: npt.NDArray[np.uint8] | npt.NDArray[np.floating],
    affine: Affine,
    size_px: int,
    frame_size: tuple[int, int],
) -> tuple[Floats, Image]:
    """Warps a mask of the crop onto an upright rectangle of the frame.

    Whoever resizes the returned mask to the returned box, by any plain means, has it in
    its place.

    Args:
        mask: [h, w] over the whole crop, uint8 0 to 255 or floating 0 to 1.
        affine: [2, 3] that made the crop.
        size_px: Side of that crop.
        frame_size: Width and height of the frame in displayed pixels.

    Returns:
        The box, float32 [4] xyxy, whole pixels, inside the frame; and the mask in it,
        uint8 [H', W'], whose cells are as big as the mask's own were.

    Raises:
        ValueError: The crop lies outside the frame.
    """
    box = _frame_box(affine, size_px, frame_size)
    extent = box[2:] - box[:2]
    cell_px = size_px / max(mask.shape) / scale_of(affine)
    columns, rows = (max(1, math.ceil(side / cell_px)) for side in extent)
    to_frame = _resizing(extent / (columns, rows), box[:2])
    to_mask = _resizing(np.array(mask.shape[::-1]) / size_px, np.zeros(2))
    whole = _stack(to_mask) @ _stack(affine) @ _stack(to_frame)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed = cv2.warpAffine(_as_uint8(mask), whole[:2], (columns, rows), flags=flags)
    return box, np.asarray(placed, dtype=np.uint8)


def _frame_box(affine: Affine, size_px: int, frame_size: tuple[int, int]) -> Floats:
    """Gives the least whole pixels of the frame that hold the crop."""
    low, high = -0.5, size_px - 0.5
    corners = np.array([[low, low], [high, low], [low, high], [high, high]])
    edges = transform(cv2.invertAffineTransform(np.asarray(affine, np.float64)), corners) + 0.5
    # Float32 corners of an upright crop must not spill into the next pixel.
    edges = edges.round(2)
    ends = np.concatenate([np.floor(edges.min(axis=0)), np.ceil(edges.max(axis=0))])
    box: Floats = np.clip(ends, 0, (*frame_size, *frame_size)).astype(np.float32)
    if (box[:2] >= box[2:]).any():
        raise ValueError(f"crop lies outside the frame: box {ends.tolist()}, frame {frame_size}")
    return box


def _resizing(factors: npt.NDArray[np.floating], shift: npt.NDArray[np.floating]) -> Affine:
    """Gives the map of pixel centres under a resize by `factors` and a shift of edges."""
    return np.column_stack([np.diag(factors), factors * 0.5 - 0.5 + shift])


def _box_map(box: Floats, margin: float, size_px: int) -> Floats:
    side = margin * float((box[2:] - box[:2]).max())
    if side <= 0:
        raise ValueError(f"box is empty: {box.tolist()}")
    scale = size_px / side
    origin = (box[:2] + box[2:]) / 2 - side / 2
    return np.asarray(_resizing(np.full(2, scale), -origin * scale), dtype=np.float32)


def _stack(affine: Affine) -> npt.NDArray[np.float64]:
    return np.vstack([affine, (0.0, 0.0, 1.0)]).astype(np.float64)


def _as_uint8(mask: npt.NDArray[np.uint8] | npt.NDArray[np.floating]) -> Image:
    if mask.dtype == np.uint8:
        return np.asarray(mask, dtype=np.uint8)
    return (np.clip(mask, 0.0, 1.0) * 255).round().astype(np.uint8)
