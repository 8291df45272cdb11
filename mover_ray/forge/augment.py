"""Pseudo-fakes on the fly: from one real crop a real and a fake of the same quality.

S: side of a crop
"""

from dataclasses import dataclass, field

import numpy as np

from mover_ray.config import to_mapping
from mover_ray.errors import ConfigError
from mover_ray.forge.base import Clip, Floats, ForgeError, Forgery, Frames, Manipulation
from mover_ray.forge.partner_bank import PartnerBank, still
from mover_ray.forge.quality import Quality, QualityConfig
from mover_ray.forge.registry import build_manipulation
from mover_ray.status import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class PairConfig:
    """Which pseudo-fakes are made, and what happens to both crops of a pair."""

    families: dict[str, float] = field(
        default_factory=lambda: {"self_blended": 0.8, "neuraltextures": 0.2}
    )
    """Name in `registry.MANIPULATIONS` -> how often, in relation to the others. Families
    that need a partner take part where one is given."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """Changes that real and fake share."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` where no family is left to choose from."""
        weights = self.families.values()
        if not self.families or min(weights) < 0 or sum(weights) == 0:
            raise ConfigError(f"families need weights above 0: `{self.families}`")


@dataclass(frozen=True, slots=True)
class Pair:
    """A real crop and the pseudo-fake that was made of it, both of the same quality."""

    real: Frames
    """uint8 RGB [S, S, 3]."""
    fake: Frames
    """uint8 RGB [S, S, 3]."""
    mask: Floats
    """[S, S] in [0, 1]: where the fake was forged. The real crop's mask is zeros."""
    landmarks: Floats
    """[68, 2] in pixels of either crop."""


class PairAugment:
    """Makes pairs. Has no state: threads may share it.

    What is drawn for the quality depends on the generator alone, never on the picture.
    Frames of a segment that each meet the same generator state are changed alike, and
    forged alike as long as the same family succeeds.
    """

    def __init__(self, config: PairConfig, partners: PartnerBank | None = None) -> None:
        """Builds the families.

        Args:
            config: What is done.
            partners: Other people. None: families that need one take no part.

        Raises:
            ConfigError: A family is unknown.
        """
        self._config = config
        self._partners = partners
        self._families = {name: build_manipulation(name, {}) for name in config.families}

    @property
    def settings(self) -> dict[str, object]:
        """What pairs are made by, as plain values for the record of a run."""
        return to_mapping(self._config)

    def __call__(self, crop: Frames, landmarks: Floats, rng: np.random.Generator) -> Pair:
        """Forges a crop and degrades both alike.

        Args:
            crop: uint8 RGB [S, S, 3] of a real face.
            landmarks: float32 [68, 2] in pixels of the crop.
            rng: The one source of chance.

        Raises:
            ForgeError: There is no face, or no family changes it.
        """
        quality = Quality.draw(self._config.quality, np.random.default_rng(rng.integers(2**63)))
        partner = None if self._partners is None else self._partners.draw(landmarks, rng)
        clip = still((crop, landmarks))
        forgery = self._forge(clip, None if partner is None else still(partner), rng)
        return Pair(
            real=quality.pixels(crop),
            fake=quality.pixels(forgery.frames[0]),
            mask=quality.mask(forgery.masks[0]),
            landmarks=quality.landmarks(landmarks, crop.shape[1]),
        )

    def _forge(self, clip: Clip, partner: Clip | None, rng: np.random.Generator) -> Forgery:
        """Tries the families in a drawn order until one changes the crop."""
        failure = ForgeError(Status.UNSUPPORTED, "no family works without a partner")
        for family in self._order(rng, alone=partner is None):
            try:
                return family(clip, partner, np.random.default_rng(rng.integers(2**63)))
            except ForgeError as error:
                failure = error
        raise failure

    def _order(self, rng: np.random.Generator, *, alone: bool) -> list[Manipulation]:
        """Draws families without replacement, by their weights."""
        usable = {
            name: self._config.families[name]
            for name, family in self._families.items()
            if self._config.families[name] > 0 and not (alone and family.needs_partner)
        }
        # Exponential races: the smallest time is each family's with its weight's share.
        times = {name: rng.exponential() / weight for name, weight in usable.items()}
        return [self._families[name] for name in sorted(times, key=times.__getitem__)]
