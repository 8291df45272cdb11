"""Made-up clips: textured frames with the landmarks of a face that moves and talks."""

import cv2
import numpy as np

from mover_ray.forge.base import Clip, Floats


def arc(centre: tuple[float, float], axes: tuple[float, float], turns: np.ndarray) -> np.ndarray:
    angle = 2 * np.pi * turns
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(np.array(centre) + np.array(axes) * circle)


def pair(x: float, y: float) -> Floats:
    return np.array([x, y], dtype=np.float32)


def face_points(opening: float = 0.02) -> Floats:
    """68 points of a frontal face that fills [0, 1]; `opening` is half the mouth's."""
    return np.concatenate(
        [
            arc((0.5, 0.2), (0.5, 0.78), np.linspace(0.5, 0, 17)),
            arc((0.27, 0.08), (0.16, 0.07), np.linspace(0.5, 1, 5)),
            arc((0.73, 0.08), (0.16, 0.07), np.linspace(0.5, 1, 5)),
            np.stack([np.full(4, 0.5), np.linspace(0.17, 0.43, 4)], axis=1),
            arc((0.5, 0.47), (0.1, 0.04), np.linspace(0.5, 0, 5)),
            arc((0.28, 0.18), (0.085, 0.03), np.linspace(0.5, 1.5, 6, endpoint=False)),
            arc((0.72, 0.18), (0.085, 0.03), np.linspace(0.5, 1.5, 6, endpoint=False)),
            arc((0.5, 0.65), (0.2, 0.06 + opening), np.linspace(0.5, 1.5, 12, endpoint=False)),
            arc((0.5, 0.65), (0.16, 0.01 + opening), np.linspace(0.5, 1.5, 8, endpoint=False)),
        ]
    ).astype(np.float32)


def place_points(
    points: Floats, side: float, centre: tuple[float, float], turn: float = 0.0
) -> Floats:
    """The points as a face of `side` pixels around `centre`, turned by `turn` radians."""
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray((points - 0.5) @ rotation * side + centre, dtype=np.float32)


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture with coarse and fine structure: uint8 [height, width, 3]."""
    picture = np.full((height, width, 3), 128, dtype=np.float32)
    for sigma, strength in ((8.0, 50.0), (2.0, 25.0), (0.7, 8.0)):
        noise = cv2.GaussianBlur(rng.standard_normal((height, width, 3)), (0, 0), sigma)
        picture += strength * (noise / noise.std()).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_clip(
    seed: int = 0,
    frames: int = 4,
    size: tuple[int, int] = (112, 128),
    side: float = 60.0,
    centre: tuple[float, float] = (64.0, 58.0),
    *,
    still: bool = False,
) -> Clip:
    """A talking face on a moving texture; `size` is height and width."""
    rng = np.random.default_rng(seed)
    picture = texture(rng, *size)
    pictures, landmarks = [], []
    for index in range(frames):
        step = 0 if still else index
        shift = np.array([2.0 * step, 1.0 * step])
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        pictures.append(
            cv2.warpAffine(picture, move, size[::-1], borderMode=cv2.BORDER_REFLECT_101)
        )
        points = face_points(0.04 + 0.04 * np.sin(1.7 * step + seed))
        place = (centre[0] + shift[0], centre[1] + shift[1])
        landmarks.append(place_points(points, side, place, 0.02 * step))
    return Clip(np.stack(pictures), np.stack(landmarks))
