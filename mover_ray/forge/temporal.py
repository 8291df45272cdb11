"""Temporal: real frames in a wrong order. No single frame is altered.

Blocks of neighbouring frames change places within windows of the clip. A detector that
looks at frames one by one cannot find it; one that looks at motion must.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mover_ray.config import check_range, from_mapping
from mover_ray.forge.base import Clip, ForgeError, Forgery
from mover_ray.forge.draws import LEAST_CHANGE, Span, check_span, uniform, until_changed
from mover_ray.status import Status

# The mask is the whole frame, of which the face may be a tenth while the rest stands still.
_LEAST_CHANGE = LEAST_CHANGE / 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporalConfig:
    """Ranges of strengths, one draw a clip, in frames."""

    block_frames: Span = (1.0, 4.0)
    """Frames that stay together."""
    window_frames: Span = (8.0, 32.0)
    """Blocks change places within windows of this length. At 25 frames a second, 8 are a
    third of a second: less would vanish between sampled frames."""
    disturbed: float = 1.0
    """Share of the windows that are disturbed."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_span(self, "block_frames", 1, 1000)
        check_span(self, "window_frames", 2, 10000)
        check_range(self, "disturbed", 0.1, 1)


@dataclass(frozen=True, slots=True)
class Temporal:
    """Permutes frames; takes no partner. The mask of a moved frame is 1 everywhere."""

    config: TemporalConfig
    name: str = "temporal"
    needs_partner: bool = False

    def __call__(
        self,
        clip: Clip,
        partner: Clip | None,  # noqa: ARG002 # part of the protocol
        rng: np.random.Generator,
    ) -> Forgery:
        """Forges a clip of two frames at least; see `Manipulation`."""
        if len(clip) < 2:
            raise ForgeError(Status.UNSUPPORTED, "one frame has no order: `temporal` needs two")
        return until_changed(clip, lambda: self._attempt(clip, rng), _LEAST_CHANGE)

    def _attempt(self, clip: Clip, rng: np.random.Generator) -> Forgery:
        order = self._order(len(clip), rng)
        moved = order != np.arange(len(clip))
        masks = np.zeros(clip.frames.shape[:3], dtype=np.float32)
        masks[moved] = 1
        return Forgery(clip.frames[order], masks)

    def _order(self, frames: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Draws which frame is shown at each place."""
        window = round(uniform(rng, self.config.window_frames))
        block = min(round(uniform(rng, self.config.block_frames)), max(1, min(window, frames) // 2))
        order = np.arange(frames)
        for start in range(0, frames, window):
            if rng.random() < self.config.disturbed:
                part = order[start : start + window]
                blocks = np.split(part, np.arange(block, len(part), block))
                shuffled = [blocks[index] for index in rng.permutation(len(blocks))]
                order[start : start + window] = np.concatenate(shuffled)
        return order


def build(settings: Mapping[str, Any]) -> Temporal:
    """Builds the manipulation.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return Temporal(from_mapping(TemporalConfig, settings))
