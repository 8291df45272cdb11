"""What a manipulation takes and gives, and the bounds that both must keep.

T: frames   H, W: pixels of a frame   68: iBUG's landmarks, see `faces.parts`
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mover_ray.errors import InputError
from mover_ray.status import Status

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

NUM_LANDMARKS = 68
#: Landmarks of a smaller extent are refused: the mouth would be five pixels wide.
LEAST_FACE_PX = 16.0
# Landmarks of a real face that is cut by the frame's border stay well within this.
_MOST_OUTSIDE = 1.0


class ForgeError(InputError):
    """A clip cannot be forged; its row says why and no file is written."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Neighbouring frames of one face. Nobody writes into the arrays."""

    frames: Frames
    """uint8 RGB [T, H, W, 3], T >= 1."""
    landmarks: Floats
    """float32 [T, 68, 2] (x, y) in pixels of the frame, an integer being a pixel's centre."""

    def __post_init__(self) -> None:
        """Refuses what no manipulation can work on.

        Raises:
            ForgeError: `no_face` where landmarks are missing, no numbers, far outside the
                frame or too close together; `unsupported` where the arrays do not fit.
        """
        _check_frames(self.frames)
        _check_landmarks(self.landmarks, self.frames.shape)

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Forgery:
    """What became of a clip."""

    frames: Frames
    """uint8 RGB [T, H, W, 3]; equal to the clip's wherever the mask is 0."""
    masks: Floats
    """float32 [T, H, W] in [0, 1]: how much of a pixel lies in the manipulated region. A
    region that was only half mixed in (`self_blended`) still counts as 1."""

    def __post_init__(self) -> None:
        """Raises `ValueError` unless frames and masks fit and masks lie in [0, 1]."""
        if self.frames.dtype != np.uint8 or self.masks.dtype != np.float32:
            raise ValueError(f"wrong types: {self.frames.dtype}, {self.masks.dtype}")
        if self.frames.ndim != 4 or self.masks.shape != self.frames.shape[:3]:
            raise ValueError(f"shapes do not fit: {self.frames.shape}, {self.masks.shape}")
        # Written so that NaN is refused too.
        if not (self.masks.min() >= 0 and self.masks.max() <= 1):
            raise ValueError("a mask leaves [0, 1]")


class Manipulation(Protocol):
    """Makes a pseudo-fake of a real clip, on the CPU."""

    @property
    def name(self) -> str:
        """Key of `forge.registry.MANIPULATIONS`."""
        ...

    @property
    def needs_partner(self) -> bool:
        """Whether it takes something from a clip of another person."""
        ...

    def __call__(self, clip: Clip, partner: Clip | None, rng: np.random.Generator) -> Forgery:
        """Forges every frame of a clip.

        Args:
            clip: Stays as it is.
            partner: Another person's clip, of any length and frame size; passed over
                unless `needs_partner`.
            rng: The one source of chance: the same state gives the same bytes.

        Raises:
            ForgeError: There is no partner, or no draw changes the clip enough to be
                called a forgery.
        """
        ...


def require_partner(name: str, partner: Clip | None) -> Clip:
    """Gives the partner.

    Raises:
        ForgeError: There is none.
    """
    if partner is None:
        raise ForgeError(Status.UNSUPPORTED, f"no partner clip was given: `{name}` needs one")
    return partner


def _check_frames(frames: Frames) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        found = f"{frames.dtype} {list(frames.shape)}"
        raise ForgeError(Status.UNSUPPORTED, f"uint8 frames [T, H, W, 3] are expected: {found}")
    if 0 in frames.shape:
        raise ForgeError(Status.UNSUPPORTED, f"the clip has no pixels: {list(frames.shape)}")


def _check_landmarks(landmarks: Floats, shape: tuple[int, ...]) -> None:
    wanted = (shape[0], NUM_LANDMARKS, 2)
    if landmarks.size == 0:
        raise ForgeError(Status.NO_FACE, "the clip has no landmarks")
    if landmarks.dtype != np.float32 or landmarks.shape != wanted:
        found = f"{landmarks.dtype} {list(landmarks.shape)}"
        raise ForgeError(
            Status.UNSUPPORTED, f"float32 landmarks {list(wanted)} are expected: {found}"
        )
    broken = ~np.isfinite(landmarks)
    _refuse(broken.any(axis=(1, 2)), "landmarks are no numbers")
    size = np.array([shape[2], shape[1]], dtype=np.float32)
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    far = (low < -_MOST_OUTSIDE * size) | (high > (1 + _MOST_OUTSIDE) * size)
    _refuse(far.any(axis=1), "landmarks lie far outside the frame")
    centre = (low + high) / 2
    _refuse(
        np.asarray(((centre < 0) | (centre >= size)).any(axis=1)), "the face lies outside the frame"
    )
    extent = (high - low).min(axis=1)
    _refuse(extent < LEAST_FACE_PX, f"the face is smaller than {LEAST_FACE_PX:.0f} px")


def _refuse(bad_frames: npt.ArrayLike, reason: str) -> None:
    bad = np.asarray(bad_frames)
    if bad.any():
        count = int(bad.sum())
        raise ForgeError(
            Status.NO_FACE, f"{reason}: {count} of {len(bad)} frames, first {int(bad.argmax())}"
        )
