import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.models.base import FaceBatch
from mover_ray.training.corpus import Corpus
from mover_ray.training.loading import Pairs, Reading
from mover_ray.training.meta import MetaBatch, MetaConfig, MetaStep, join
from mover_ray.training.meta_split import split_pairs
from mover_ray.training.pairing import FORGED, pair_up
from mover_ray.training.samples import Samples, segments
from mover_ray.training.sources import source_groups
from tests.training.toys import toy

CONFIG = MetaConfig(enabled=True, steps=3, lr=0.5)


@pytest.fixture(scope="module")
def samples(corpus: Corpus) -> Samples:
    return segments(corpus, np.arange(corpus.videos.num_rows), 1)


@pytest.fixture(scope="module")
def batch(samples: Samples) -> MetaBatch:
    pairs = Pairs(Reading(samples=samples, seed=0), pair_up(samples, 0, 0, forge=False))
    return MetaBatch(*(pairs.read_now(np.arange(n, n + 4), 0) for n in (0, 16, 32)))


def weights_of(step: MetaStep) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in step.calls.named_parameters()}


def flipped(batch: FaceBatch) -> FaceBatch:
    return dataclasses.replace(batch, labels=1 - batch.labels)


def descended(batch: FaceBatch, steps: int) -> dict[str, Tensor]:
    """Does the inner steps with an ordinary optimizer."""
    model = toy()
    sgd = torch.optim.SGD(model.parameters(), lr=CONFIG.lr)
    for _ in range(steps):
        sgd.zero_grad()
        model.losses(batch)["cls"].backward()
        sgd.step()
    return {f"detector.{name}": value.detach() for name, value in model.named_parameters()}


def test_the_last_of_equally_good_steps_is_taken(batch: MetaBatch) -> None:
    easy = MetaBatch(batch.train, batch.train, batch.test)
    found = MetaStep(toy(), CONFIG).adapt(easy)

    torch.testing.assert_close(dict(found), descended(batch.train, 3))


def test_steps_that_harm_the_reference_are_not_taken(batch: MetaBatch) -> None:
    step = MetaStep(toy(), CONFIG)
    # Whatever is learned of these labels makes the opposite labels worse.
    with torch.no_grad():
        step.calls.get_parameter("detector.head.weight").zero_()
        step.calls.get_parameter("detector.head.bias").fill_(1.0)
    before = weights_of(step)
    all_fake = dataclasses.replace(batch.train, labels=torch.zeros_like(batch.train.labels))
    opposite = dataclasses.replace(batch.reference, labels=torch.ones_like(batch.train.labels))
    found = step.adapt(MetaBatch(all_fake, opposite, batch.test))

    torch.testing.assert_close(dict(found), before)


def test_a_first_order_gradient_is_that_of_the_adapted_weights(batch: MetaBatch) -> None:
    easy = MetaBatch(batch.train, batch.train, batch.test)
    step = MetaStep(toy(), CONFIG)
    torch.stack(list(step(easy).values())).sum().backward()

    plain = toy()
    adapted = descended(batch.train, 3)
    plain.load_state_dict({n.removeprefix("detector."): v for n, v in adapted.items()})
    both = join(batch.test, batch.train)
    (plain.losses(batch.train)["cls"] + plain.losses(both)["cls"]).backward()
    for name, value in plain.named_parameters():
        own = step.calls.get_parameter(f"detector.{name}").grad
        torch.testing.assert_close(own, value.grad, atol=1e-6, rtol=1e-4)


def test_a_second_order_gradient_is_that_of_the_outer_loss(batch: MetaBatch) -> None:
    """Against finite differences, in double precision."""
    config = dataclasses.replace(CONFIG, second_order=True, steps=1)
    step = MetaStep(toy(), config)
    easy = MetaBatch(batch.train, batch.train, batch.test)
    torch.stack(list(step(easy).values())).sum().backward()
    bias = step.calls.get_parameter("detector.inner.bias")
    assert bias.grad is not None

    def outer(shift: float) -> float:
        moved = MetaStep(toy(), config)
        with torch.no_grad():
            moved.calls.get_parameter("detector.inner.bias")[0] += shift
        return float(torch.stack(list(moved(easy).values())).sum().detach())

    slope = (outer(1e-2) - outer(-1e-2)) / 2e-2
    assert bias.grad[0].item() == pytest.approx(slope, rel=0.05, abs=1e-4)


def test_statistics_learn_once_a_step_from_the_meta_train_batch_alone(batch: MetaBatch) -> None:
    model, plain = toy(batch_norm=True), toy(batch_norm=True)
    step = MetaStep(model, CONFIG).train()
    step(batch)
    plain.train()(batch.train.faces, batch.train.landmarks)

    for name, value in plain.named_buffers():
        torch.testing.assert_close(dict(model.named_buffers())[name], value)
    assert model.norm.training


def test_the_loss_of_a_face_does_not_depend_on_the_order_of_the_batch(batch: MetaBatch) -> None:
    step = MetaStep(toy(batch_norm=True), CONFIG).train()
    terms = step(batch)
    backwards = FaceBatch(
        faces=batch.test.faces.flip(0),
        landmarks=batch.test.landmarks.flip(0),
        labels=batch.test.labels.flip(0),
    )
    again = MetaStep(toy(batch_norm=True), CONFIG).train()
    others = again(MetaBatch(batch.train, batch.reference, backwards))

    for name, value in terms.items():
        torch.testing.assert_close(value, others[name])


def methods_of(samples: Samples, pairs: np.ndarray) -> set[str | None]:
    names = samples.corpus.column("method")
    return {names[video] for video in samples.videos[pairs[:, 1]].tolist()}


def sources_of(samples: Samples, pairs: np.ndarray) -> set[int]:
    return set(source_groups(samples.corpus)[samples.videos[pairs[:, 0]]].tolist())


@pytest.mark.parametrize("epoch", range(3))
def test_meta_test_has_other_manipulations_and_the_reference_other_sources(
    samples: Samples, epoch: int
) -> None:
    pairs = pair_up(samples, 0, epoch, forge=False)
    train, reference, test = split_pairs(samples, pairs, CONFIG, 0, epoch)

    assert not methods_of(samples, test) & methods_of(samples, np.concatenate([train, reference]))
    assert not sources_of(samples, train) & sources_of(samples, reference)
    assert len(train) + len(reference) + len(test) == len(pairs)
    assert min(len(train), len(reference), len(test)) > 0


def test_the_split_by_videos_keeps_sources_apart(samples: Samples) -> None:
    pairs = pair_up(samples, 0, 0, forge=False)
    config = dataclasses.replace(CONFIG, split="videos", test_share=0.3)
    parts = [sources_of(samples, part) for part in split_pairs(samples, pairs, config, 0, 0)]

    # Of six sources 0.3 are for meta-test, of the other four 0.2 for the reference.
    assert [len(part) for part in parts] == [3, 1, 2]
    assert len(set.union(*parts)) == 6


def test_every_manipulation_is_held_out_in_some_epoch(samples: Samples) -> None:
    pairs = pair_up(samples, 0, 0, forge=False)
    held = [methods_of(samples, split_pairs(samples, pairs, CONFIG, 0, e)[2]) for e in range(12)]

    assert set.union(*held) == {"one", "two"}


def test_forged_fakes_are_a_manipulation_of_their_own(samples: Samples) -> None:
    pairs = pair_up(samples, 0, 0, forge=True)
    parts = [split_pairs(samples, pairs, CONFIG, 0, epoch)[2] for epoch in range(12)]

    forged = [set((part[:, 1] == FORGED).tolist()) for part in parts]
    assert {True} in forged
    assert {True, False} not in forged


def test_one_source_is_too_few(samples: Samples) -> None:
    pairs = pair_up(samples, 0, 0, forge=False)
    own = source_groups(samples.corpus)[samples.videos[pairs[:, 0]]]

    with pytest.raises(ConfigError, match="at least two sources"):
        split_pairs(samples, pairs[own == own[0]], CONFIG, 0, 0)
