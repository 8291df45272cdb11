"""Real and fake segments of one source and time side by side.

Shapes:
    S: segments   U: pairs
"""

import numpy as np
import numpy.typing as npt

from mover_ray.errors import ConfigError
from mover_ray.training.corpus import FAKE, REAL
from mover_ray.training.sampler import Indices, shuffled
from mover_ray.training.samples import Samples
from mover_ray.training.sources import source_groups

#: In place of a fake: one is to be made from the real segment.
FORGED = -1

#: The source of each segment, and when it starts.
Places = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def pair_up(samples: Samples, seed: int, epoch: int, *, forge: bool) -> Indices:
    """Puts real and fake segments side by side, see `pairs_of`.

    Args:
        samples: Real and fake segments.
        seed: Of the training.
        epoch: Number of the epoch.
        forge: Fakes can be made from real segments.
    """
    places = (source_groups(samples.corpus)[samples.videos], samples.times_s)
    return pairs_of(samples.labels, places, (seed, epoch), forge=forge)


def pairs_of(labels: Indices, places: Places, key: tuple[int, ...], *, forge: bool) -> Indices:
    """Pairs every segment, so that a batch of pairs holds as many real as fake.

    A fake is beside the real segment of its source that is nearest in time, and is in
    one pair alone; real segments are repeated for that. A real segment that no fake
    chose is beside the nearest fake of its source. Where a source lacks the other
    kind, chance gives a partner, another in each epoch.

    Args:
        labels: `REAL` or `FAKE` [S].
        places: Source and time of each segment.
        key: Seed and epoch, for what chance decides.
        forge: Fakes can be made from real segments: then each real one has a pair with
            `FORGED` beside those that fakes chose, and none that chance gave.

    Returns:
        [U, 2]: the real and the fake segment of each pair.

    Raises:
        ConfigError: There are no real segments, or no fakes and no way to make them.
    """
    real, fake = np.flatnonzero(labels == REAL), np.flatnonzero(labels == FAKE)
    if not len(real) or not (len(fake) or forge):
        missing = "fake" if len(real) else "real"
        hint = "add such videos, or make pseudo-fakes of the real ones"
        raise ConfigError(f"the selected corpus has no {missing} videos", hint=hint)
    place_of_real, place_of_fake = ((places[0][own], places[1][own]) for own in (real, fake))
    chosen = nearest(place_of_fake, place_of_real)
    by_fake = np.stack([_or_any(real, chosen, (*key, 0)), fake], axis=1)
    if forge:
        by_real = np.stack([real, np.full(len(real), FORGED)], axis=1)
    else:
        idle = np.setdiff1d(real, by_fake[:, 0])
        partners = nearest((places[0][idle], places[1][idle]), place_of_fake)
        by_real = np.stack([idle, _or_any(fake, partners, (*key, 1))], axis=1)
    return np.concatenate([by_fake, by_real]).astype(np.int64)


def nearest(wanted: Places, offered: Places) -> Indices:
    """Gives for each wanted place the offered one of its source that is nearest in time.

    Returns:
        Positions among the offered; -1 where the source has none.
    """
    (group, time), (groups, times) = wanted, offered
    if not len(groups) or not len(group):
        return np.full(len(group), -1)
    order = np.lexsort((times, groups))
    # One key that orders by source and then by time: sources lie further apart than times.
    span = 4 * (1 + max(np.abs(times).max(), np.abs(time).max()))
    keys, key = groups[order] * span + times[order], group * span + time
    after = np.searchsorted(keys, key).clip(max=len(keys) - 1)
    before = (after - 1).clip(min=0)
    nearer = np.where(np.abs(keys[before] - key) <= np.abs(keys[after] - key), before, after)
    found = order[nearer]
    return np.where(groups[found] == group, found, -1)


def _or_any(samples: Indices, chosen: Indices, key: tuple[int, ...]) -> Indices:
    """Gives `samples[chosen]`, and any of them where there was none to choose."""
    if not len(samples):
        return np.zeros(0, np.int64)
    by_chance = np.resize(shuffled(len(samples), *key), len(chosen))
    return samples[np.where(chosen < 0, by_chance, chosen)]
