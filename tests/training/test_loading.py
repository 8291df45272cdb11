import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from mover_ray.errors import ArtifactError, InputError
from mover_ray.forge.augment import PairAugment, PairConfig
from mover_ray.status import Status
from mover_ray.training.corpus import FAKE, REAL, Corpus, Floats, Pixels
from mover_ray.training.loading import Pairs, Reading, View, ahead_of_time
from mover_ray.training.pairing import FORGED, pair_up
from mover_ray.training.sampler import EpochPlan, Share
from mover_ray.training.samples import Samples, segments
from tests.training.made import MOUTH, SIZE_PX, Made, make_corpus
from tests.training.toys import Forged


def noise(view: View, rng: np.random.Generator) -> View:
    """Adds what chance gives, the same for every picture."""
    added = view.pixels.astype(np.int16) + rng.integers(-50, 50, view.pixels.shape)
    return View(np.clip(added, 0, 255).astype(np.uint8), view.landmarks, view.mask)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    videos = [
        Made(name="r", source="s", crops=4),
        Made(name="f", source="s", label="fake", method="one", masks=True, crops=4),
    ]
    corpus = make_corpus(tmp_path_factory.mktemp("masks"), videos)
    return segments(corpus, np.arange(2), 2)


def pairs_of(samples: Samples, **settings: object) -> Pairs:
    reading = Reading(samples=samples, seed=3, **settings)  # type: ignore[arg-type]
    return Pairs(reading, pair_up(samples, 3, 0, forge="forge" in settings))


def test_a_batch_holds_both_of_each_pair_with_their_masks(samples: Samples) -> None:
    batch = pairs_of(samples, with_masks=True).read_now(np.array([0, 1]), 0)

    assert batch.faces.shape == (4, 2, 3, SIZE_PX, SIZE_PX)
    assert batch.faces.dtype == torch.uint8
    assert batch.landmarks.shape == (4, 2, 68, 2)
    assert batch.labels.tolist() == [REAL, FAKE, REAL, FAKE]
    assert batch.masks is not None
    assert batch.has_mask is not None
    assert batch.has_mask.tolist() == [[False] * 2, [True] * 2] * 2
    assert batch.masks[0].sum() == 0
    assert batch.masks[1][:, MOUTH[0], MOUTH[1]].min() == 1


def test_without_need_no_mask_is_read(samples: Samples) -> None:
    batch = pairs_of(samples).read_now(np.array([0]), 0)

    assert batch.masks is batch.has_mask is None


def test_both_of_a_pair_and_all_frames_are_changed_alike(samples: Samples) -> None:
    plain = pairs_of(samples).read_now(np.array([0]), 0).faces.int()
    changed = pairs_of(samples, augment=noise).read_now(np.array([0]), 0).faces.int()
    # Where nothing was cut off at black or white, the change is the noise itself.
    inside = ((plain > 50) & (plain < 205)).all(dim=0).all(dim=0)
    change = (changed - plain)[:, :, inside]

    assert inside.sum() > 100
    assert change.abs().max() > 10
    assert (change == change[:1, :1]).all()


def test_chance_is_that_of_the_epoch_and_of_the_segment(samples: Samples) -> None:
    pairs = pairs_of(samples, augment=noise)
    first, second = np.array([0]), np.array([1, 0])

    assert torch.equal(pairs.read_now(first, 0).faces, pairs.read_now(second, 0).faces[2:])
    assert not torch.equal(pairs.read_now(first, 0).faces, pairs.read_now(first, 1).faces)


def test_threads_read_what_one_after_the_other_gives(samples: Samples) -> None:
    pairs = pairs_of(samples, augment=noise)
    plan = EpochPlan(len(pairs), 2, 3, 0)
    share = Share(0, len(pairs), 1.0)
    with ThreadPoolExecutor(3) as threads:
        loaded = pairs.load(plan, share, threads)()

    assert torch.equal(loaded.faces, pairs.read_now(plan.units(share), 0).faces)
    assert len(pairs.names(plan, share)) == 2 * len(pairs)


def test_forged_pairs_carry_the_mask_that_was_made(samples: Samples) -> None:
    def forge(crop: Pixels, points: Floats, rng: np.random.Generator) -> Forged:
        mask = np.full(crop.shape[:2], rng.random(), np.float32)
        return Forged(crop, 255 - crop, mask, points)

    pairs = pairs_of(samples, forge=forge, with_masks=True)
    forged = np.flatnonzero(pairs.pairs[:, 1] == FORGED)[:1]
    batch = pairs.read_now(forged, 0)

    assert batch.masks is not None
    assert torch.equal(batch.faces[1], 255 - batch.faces[0])
    assert batch.masks[1].unique().numel() == 1
    assert 0 < batch.masks[1].max() < 1


def test_work_is_started_ahead_and_given_in_order() -> None:
    started: list[int] = []

    def start(number: int) -> Callable[[], Callable[[], int]]:
        def begin() -> Callable[[], int]:
            started.append(number)
            return lambda: number

        return begin

    given = ahead_of_time((start(number) for number in range(6)), 2)

    assert next(given) == 0
    assert started == [0, 1, 2]
    assert list(given) == [1, 2, 3, 4, 5]
    assert threading.active_count() < 20


def test_a_damaged_crop_says_so_where_it_is_used(tmp_path: Path) -> None:
    made = make_corpus(tmp_path, [Made(name="r"), Made(name="f", label="fake")])
    broken = Corpus(made.videos, made.crops, made.facts, np.zeros(10**6, np.uint8))
    pairs = pairs_of(segments(broken, np.arange(2), 1))
    with ThreadPoolExecutor(1) as threads:
        wait = pairs.read(np.array([0]), 0, threads)
        with pytest.raises(ArtifactError, match="damaged"):
            wait()


def test_a_segment_that_cannot_be_forged_gives_its_place_to_another(
    samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    bad = samples.corpus.pixels(int(samples.crops[0, 0]))

    def forge(crop: Pixels, points: Floats, rng: np.random.Generator) -> Forged:
        if np.array_equal(crop, bad):
            raise InputError(Status.NO_FACE, "nothing to forge")
        return Forged(crop, 255 - crop, np.ones(crop.shape[:2], np.float32), points)

    pairs = pairs_of(samples, forge=forge)
    batch = pairs.read_now(np.flatnonzero(pairs.pairs[:, 1] == FORGED), 0)

    assert batch.labels.tolist() == [REAL, FAKE] * 2
    assert torch.equal(batch.faces[0], batch.faces[2])
    assert "no fake of segment 0:0:0: nothing to forge" in caplog.text


def test_a_corpus_of_which_no_fake_can_be_made_says_so(samples: Samples) -> None:
    def refuse(crop: Pixels, points: Floats, rng: np.random.Generator) -> Forged:
        raise InputError(Status.NO_FACE, "nothing to forge")

    pairs = pairs_of(samples, forge=refuse)
    with pytest.raises(InputError, match="nothing to forge"):
        pairs.read_now(np.flatnonzero(pairs.pairs[:, 1] == FORGED), 0)


def test_the_pseudo_fakes_of_forge_fit(samples: Samples) -> None:
    pairs = pairs_of(samples, forge=PairAugment(PairConfig()), with_masks=True)
    forged = np.flatnonzero(pairs.pairs[:, 1] == FORGED)
    batch = pairs.read_now(forged, 0)

    assert batch.labels.tolist() == [REAL, FAKE] * len(forged)
    assert batch.masks is not None
    assert (batch.masks[1::2].flatten(1).max(dim=1).values > 0).all()
