"""Second pass of `forge`: one file of the corpus, and the mask of a fake.

Columns in: `schemas.MANIFEST` of the planned file. Columns out: `schemas.FORGED`.
Between the two stages the row carries the files' bytes, `video` and `mask`.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mover_ray.errors import InputError
from mover_ray.stages.base import Row, manifest_columns
from mover_ray.stages.fetch import fetched
from mover_ray.stages.survey import SurveyConfig, read_landmarks
from mover_ray.status import Status
from mover_ray.storage import storage_for
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import EncoderConfig, encode_masks, encode_video, frame_rate
from mover_ray.video.footage import read_footage
from mover_ray.video.sandbox import VideoReader

Frames: TypeAlias = NDArray[np.uint8]
Masks: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FaceClip:
    """Neighbouring frames of one face."""

    frames: Frames
    """uint8 RGB [T, H, W, 3]."""
    landmarks: NDArray[np.float32]
    """float32 [T, 68, 2] in pixels of the frame."""
    fps: float
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one file of the corpus is made."""

    target: Row
    """Row of `schemas.SURVEY`: the video whose frames are changed, or only re-encoded."""
    manipulation: str | None = None
    """Name of the manipulation; None for the real file."""
    partner: Row | None = None
    """Row of `schemas.SURVEY`: where the other face comes from."""
    seed: tuple[int, ...] = ()
    """Of the one generator that the manipulation draws from."""


#: Name, clip, partner and generator in; frames and masks, float32 [T, H, W], out.
Forger: TypeAlias = Callable[
    [str, FaceClip, FaceClip | None, np.random.Generator], tuple[Frames, Masks]
]


class ForgeClips:
    """Makes the bytes of one file; the real one goes through the same encoder."""

    def __init__(
        self,
        forger: Forger,
        recipe: Callable[[Row], Recipe],
        encoder: EncoderConfig,
        clips: "ClipReader",
    ) -> None:
        """Takes what the stage is made of.

        Args:
            forger: Applies a manipulation; raises `InputError` where it cannot.
            recipe: Gives the recipe of a planned file.
            encoder: For real and fake alike.
            clips: Reads the sources.
        """
        self._forger = forger
        self._recipe = recipe
        self._encoder = encoder
        self._clips = clips

    def __call__(self, row: Row) -> Row:
        """Gives the row of one planned file with the bytes to be stored."""
        recipe = self._recipe(row)
        out = _empty(row, recipe)
        try:
            self._fill(out, recipe)
        except InputError as error:
            out.update(status=str(error.status), error=str(error), attempts=error.attempts)
        return out

    def close(self) -> None:
        """Ends the decoder's process."""
        self._clips.close()

    def _fill(self, out: Row, recipe: Recipe) -> None:
        clip = self._clips.read(recipe.target)
        partner = None if recipe.partner is None else self._clips.read(recipe.partner)
        out["decode_ms"] = clip.decode_ms + (partner.decode_ms if partner else 0.0)
        frames, masks = clip.frames, None
        started = time.perf_counter()
        if recipe.manipulation is not None:
            generator = np.random.default_rng(recipe.seed)
            frames, masks = self._forger(recipe.manipulation, clip, partner, generator)
            _require_forged(clip.frames, frames, masks)
        forged = time.perf_counter()
        rate = frame_rate(clip.fps)
        video = encode_video(frames, rate, self._encoder)
        out["video"] = video
        if masks is not None:
            out["mask"] = encode_masks(map(_to_levels, masks), rate)
            out["mask_share"] = float(masks.mean())
        out.update(
            size_bytes=len(video),
            sha256=hashlib.sha256(video).hexdigest(),
            fps=float(rate),
            num_frames=len(frames),
            height=frames.shape[1],
            width=frames.shape[2],
            forge_ms=(forged - started) * 1000,
            encode_ms=(time.perf_counter() - forged) * 1000,
        )


class ClipReader:
    """Reads the clips that the survey found."""

    def __init__(self, config: SurveyConfig, budget: VideoBudget, landmarks: str) -> None:
        """Takes the survey's settings and the folder or prefix of its landmarks."""
        self._limits = config.footage
        self._budget = budget
        self._landmarks = landmarks
        self._reader = VideoReader(budget)

    def read(self, source: Row) -> FaceClip:
        """Reads a clip.

        Args:
            source: Row of `schemas.SURVEY`.

        Raises:
            InputError: The survey could not use the video, or it cannot be read any more.
        """
        if source["status"] != Status.OK:
            raise InputError(Status(source["status"]), source["error"], source["attempts"])
        span = range(source["first_frame"], source["first_frame"] + source["clip_frames"])
        with fetched(source, self._budget.max_bytes) as video:
            if video.sha256 != source["sha256"]:
                raise InputError(Status.CHANGED, "other bytes than when its face was followed")
            footage = read_footage(self._reader, video.descriptor, self._limits, span)
        landmarks = read_landmarks(self._landmarks, source["video_id"])
        if len(footage.frames) != len(landmarks):
            found = f"{len(footage.frames)} frames, {len(landmarks)} of them with landmarks"
            raise InputError(Status.CHANGED, found)
        return FaceClip(footage.frames, landmarks, footage.fps, footage.decode_ms)

    def close(self) -> None:
        """Ends the decoder's process."""
        self._reader.close()


class StoreFiles:
    """Puts the files where the corpus has them, each one whole, and drops the bytes."""

    def __call__(self, row: Row) -> Row:
        """Gives the row as it is kept."""
        # The mask first: a fake that is there has its mask.
        for name, uri in (("mask", row["mask_uri"]), ("video", row["uri"])):
            if row[name] is not None:
                storage_for(uri).write(uri, row[name])
        return {name: value for name, value in row.items() if name not in ("video", "mask")}

    def close(self) -> None:
        """Holds nothing."""


def _empty(row: Row, recipe: Recipe) -> Row:
    return {
        **manifest_columns(row),
        "status": str(Status.OK),
        "error": None,
        "attempts": 1,
        "flags": [],
        "manipulation": recipe.manipulation,
        "target_uri": recipe.target["uri"],
        "partner_uri": None if recipe.partner is None else recipe.partner["uri"],
        "first_frame": recipe.target["first_frame"],
        "video": None,
        "mask": None,
    }


def _require_forged(frames: Frames, forged: Frames, masks: Masks) -> None:
    """Raises `InputError` for what must never be labelled fake."""
    if forged.shape != frames.shape or masks.shape != frames.shape[:3]:
        raise RuntimeError(f"a manipulation gave {forged.shape} and {masks.shape}")
    if not masks.any() or np.array_equal(frames, forged):
        raise InputError(Status.UNSUPPORTED, "the manipulation changed nothing")


def _to_levels(mask: NDArray[np.float32]) -> Frames:
    """Gives a mask in [0, 1] as gray levels; whatever is not 0 stays so."""
    levels: Frames = np.ceil(np.clip(mask, 0.0, 1.0) * 255).astype(np.uint8)
    return levels
