"""The small archive of the demo: short clips of one portrait, some of them altered.

The camera moves over a still picture (pan, zoom, slight rotation, brightness);
an alteration changes the face before the camera sees it, as a manipulated
video would have it. Same seed, same clips.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from mover_ray.video.encode import EncoderConfig, encode_video

FPS = 25
WIDTH_PX, HEIGHT_PX = 512, 384

Alteration = Callable[[np.ndarray, float], np.ndarray]
Point = tuple[float, float]

# Measured on the picture, in its pixels.
_FACE_CENTRE, _FACE_AXES = (225, 132), (44, 54)
_MOUTH_CENTRE, _MOUTH_AXES = (222, 148), (32, 18)
# The model of a rocket beside the astronaut: a place without a face.
_ROCKET_CENTRE = (422, 130)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One file of the archive and what is true about it."""

    name: str
    """File name."""
    label: str | None
    """`real`, `fake`, or None where there is nothing to judge."""
    method: str | None = None
    """Name of the alteration in `ALTERATIONS`."""
    seconds: float = 3.0
    """Length."""
    centre: Point = _FACE_CENTRE
    """What the camera looks at, in pixels of the picture."""
    width_px: float = 330.0
    """Width of the picture that the camera sees; the height follows."""
    crf: int = 20
    """Quality of the H.264 stream: 18 is good, 36 is bad."""
    truncated: bool = False
    """Only the first part of the file is written: no player can open it."""


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees at one moment."""

    centre: Point
    width_px: float
    turn_deg: float
    gain: float


def clips() -> list[Clip]:
    """Lists the files of the archive."""
    real = [
        Clip(name=f"real_{number}.mp4", label="real", seconds=seconds, crf=crf)
        for number, seconds, crf in [
            (1, 2, 20),
            (2, 3, 20),
            (3, 4, 23),
            (4, 3, 28),
            (5, 2, 32),
            (6, 3, 36),
        ]
    ]
    fake = [
        Clip(name=f"fake_{method}.mp4", label="fake", method=method, crf=23)
        for method in ALTERATIONS
    ]
    rocket = Clip(name="rocket.mp4", label=None, centre=_ROCKET_CENTRE, width_px=165.0)
    broken = Clip(name="broken.mp4", label=None, truncated=True)
    return [*real, *fake, rocket, broken]


def write_clip(clip: Clip, folder: Path, seed: int) -> Path:
    """Writes one clip whole, unless it is there already; gives its path.

    Args:
        clip: One of `clips()`.
        folder: Must exist.
        seed: Decides, with the clip's name, how the camera moves.
    """
    path = folder / clip.name
    if not path.exists():
        unfinished = path.with_suffix(".part")
        encoder = EncoderConfig(crf=clip.crf, preset="veryfast")
        unfinished.write_bytes(encode_video(_frames(clip, seed), Fraction(FPS), encoder))
        if clip.truncated:
            with unfinished.open("r+b") as file:
                file.truncate(unfinished.stat().st_size * 2 // 5)
        unfinished.rename(path)
    return path


def _portrait() -> np.ndarray:
    """Gives the picture: uint8 RGB [512, 512, 3]."""
    data = resources.files("mover_ray.operations").joinpath("data", "astronaut.jpg").read_bytes()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _frames(clip: Clip, seed: int) -> Iterator[np.ndarray]:
    """Gives the frames of a clip: uint8 RGB [HEIGHT_PX, WIDTH_PX, 3]."""
    portrait = _portrait()
    generator = np.random.default_rng([seed, *clip.name.encode()])
    first, last = (_random_view(clip, generator) for _ in range(2))
    count = round(clip.seconds * FPS)
    for index in range(count):
        share = 0.5 - 0.5 * math.cos(math.pi * index / (count - 1))
        time_s = index / FPS
        seen = ALTERATIONS[clip.method](portrait, time_s) if clip.method else portrait
        yield _look(seen, _between(first, last, share))


def _random_view(clip: Clip, generator: np.random.Generator) -> View:
    width_px = clip.width_px * generator.uniform(0.85, 1.1)
    shift_x, shift_y = generator.uniform(-0.06, 0.06, 2) * width_px
    height_px = width_px * HEIGHT_PX / WIDTH_PX
    # The face stands near the upper edge: the camera does not look above it.
    y = max(clip.centre[1] + shift_y, 0.55 * height_px)
    return View(
        centre=(clip.centre[0] + shift_x, y),
        width_px=width_px,
        turn_deg=generator.uniform(-5, 5),
        gain=generator.uniform(0.8, 1.15),
    )


def _between(first: View, last: View, share: float) -> View:
    def mix(a: float, b: float) -> float:
        return a + (b - a) * share

    return View(
        centre=(mix(first.centre[0], last.centre[0]), mix(first.centre[1], last.centre[1])),
        width_px=mix(first.width_px, last.width_px),
        turn_deg=mix(first.turn_deg, last.turn_deg),
        gain=mix(first.gain, last.gain),
    )


def _look(picture: np.ndarray, view: View) -> np.ndarray:
    """Gives what the camera sees of a picture."""
    matrix = cv2.getRotationMatrix2D(view.centre, view.turn_deg, WIDTH_PX / view.width_px)
    matrix[:, 2] += (WIDTH_PX / 2 - view.centre[0], HEIGHT_PX / 2 - view.centre[1])
    seen = cv2.warpAffine(
        picture,
        matrix,
        (WIDTH_PX, HEIGHT_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(cv2.convertScaleAbs(seen, alpha=view.gain))


def _blend(
    picture: np.ndarray, altered: np.ndarray, centre: Point, axes: Point, feather_px: float
) -> np.ndarray:
    """Puts an ellipse of `altered` into `picture`, its border softened."""
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(mask, (centre, (2 * axes[0], 2 * axes[1]), 0), 1.0, thickness=-1)
    weight = cv2.GaussianBlur(mask, (0, 0), feather_px)[..., None]
    return np.asarray(picture * (1 - weight) + altered * weight).astype(np.uint8)


def _blur_mouth(picture: np.ndarray, _time_s: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(picture, (0, 0), 2.5)
    return _blend(picture, blurred, _MOUTH_CENTRE, _MOUTH_AXES, 4)


def _move_mouth(picture: np.ndarray, time_s: float) -> np.ndarray:
    """Opens and closes the mouth by stretching it, twice a second."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    distance = np.hypot(
        (x - _MOUTH_CENTRE[0]) / _MOUTH_AXES[0], (y - _MOUTH_CENTRE[1]) / _MOUTH_AXES[1]
    )
    stretch = 0.35 * math.sin(4 * math.pi * time_s) * np.exp(-(distance**2))
    source_y = y - (y - _MOUTH_CENTRE[1]) * stretch.astype(np.float32)
    return np.asarray(cv2.remap(picture, x, source_y, cv2.INTER_LINEAR))


def _tint_face(picture: np.ndarray, _time_s: float) -> np.ndarray:
    tinted = np.clip(picture * np.array([0.9, 1.02, 1.12]), 0, 255)
    return _blend(picture, tinted, _FACE_CENTRE, _FACE_AXES, 3)


def _paste_face(picture: np.ndarray, time_s: float) -> np.ndarray:
    """Pastes the face back a little larger and not quite still, as poor swaps do."""
    matrix = cv2.getRotationMatrix2D(_FACE_CENTRE, 0, 1.1)
    matrix[:, 2] += (2 * math.sin(23 * time_s), 2 * math.cos(31 * time_s))
    pasted = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_LINEAR)
    return _blend(picture, pasted, _FACE_CENTRE, _FACE_AXES, 2)


def _mirror_face(picture: np.ndarray, _time_s: float) -> np.ndarray:
    matrix = np.array([[-1, 0, 2 * _FACE_CENTRE[0]], [0, 1, 0]], np.float32)
    mirrored = cv2.warpAffine(picture, matrix, picture.shape[1::-1])
    return _blend(picture, mirrored, _FACE_CENTRE, _FACE_AXES, 4)


#: Alterations by name: a picture (uint8 RGB) and a time in, the altered picture out.
ALTERATIONS: dict[str, Alteration] = {
    "blurred_mouth": _blur_mouth,
    "moved_mouth": _move_mouth,
    "tinted_face": _tint_face,
    "pasted_face": _paste_face,
    "mirrored_face": _mirror_face,
}
