from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.training.corpus import FAKE, REAL, Corpus
from mover_ray.training.pairing import FORGED, nearest, pair_up, pairs_of
from mover_ray.training.samples import Samples, segments
from mover_ray.training.sources import source_groups
from tests.training.made import Made, make_corpus


def all_of(corpus: Corpus) -> Samples:
    return segments(corpus, np.arange(corpus.videos.num_rows), 1)


def test_pairs_are_of_one_source_and_time(corpus: Corpus) -> None:
    samples = all_of(corpus)
    pairs = pair_up(samples, 0, 0, forge=False)
    group = source_groups(corpus)[samples.videos]

    assert (samples.labels[pairs] == [REAL, FAKE]).all()
    assert (group[pairs[:, 0]] == group[pairs[:, 1]]).all()
    assert (samples.times_s[pairs[:, 0]] == samples.times_s[pairs[:, 1]]).all()
    # Two manipulations of each of 24 real crops: each fake once, each real crop twice.
    assert set(Counter(pairs[:, 1].tolist()).values()) == {1}
    assert set(Counter(pairs[:, 0].tolist()).values()) == {2}


places = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1000)), max_size=12)
kinds = st.lists(
    st.tuples(st.sampled_from([REAL, FAKE]), st.integers(0, 3), st.floats(0, 100)),
    min_size=2,
    max_size=30,
)


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([g for g, _ in rows], np.int64), np.array([t for _, t in rows], float)


@given(places, places)
def test_nearest_is_what_a_search_of_all_finds(
    wanted: list[tuple[int, float]], offered: list[tuple[int, float]]
) -> None:
    found = nearest(columns(wanted), columns(offered))

    for (group, time), position in zip(wanted, found.tolist(), strict=True):
        gaps = [abs(other - time) for other_group, other in offered if other_group == group]
        if not gaps:
            assert position == -1
        else:
            assert offered[position][0] == group
            assert abs(offered[position][1] - time) == pytest.approx(min(gaps), abs=1e-6)


@given(kinds, st.booleans())
def test_every_segment_is_in_a_pair(rows: list[tuple[int, int, float]], forge: bool) -> None:
    labels, groups, times = (np.array(column) for column in zip(*rows, strict=True))
    if REAL not in labels or not (FAKE in labels or forge):
        with pytest.raises(ConfigError, match="has no"):
            pairs_of(labels, (groups, times), (0, 0), forge=forge)
        return
    pairs = pairs_of(labels, (groups, times), (0, 0), forge=forge)
    real, fake = pairs[:, 0], pairs[pairs[:, 1] != FORGED, 1]

    assert set(real.tolist()) == set(np.flatnonzero(labels == REAL).tolist())
    assert set(fake.tolist()) == set(np.flatnonzero(labels == FAKE).tolist())
    if forge:
        assert sorted(pairs[pairs[:, 1] == FORGED, 0].tolist()) == sorted(set(real.tolist()))
        assert len(fake) == len(set(fake.tolist()))


def test_lonely_segments_meet_others_in_each_epoch(tmp_path: Path) -> None:
    reals = [Made(name=f"r{n}", source=f"a{n}") for n in range(4)]
    fakes = [Made(name=f"f{n}", label="fake", source=f"b{n}") for n in range(4)]
    samples = all_of(make_corpus(tmp_path, reals + fakes))
    epochs = [pair_up(samples, 0, epoch, forge=False) for epoch in (0, 0, 1)]

    assert np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], epochs[2])


def test_a_corpus_of_one_kind_is_refused(tmp_path: Path) -> None:
    only_real = all_of(make_corpus(tmp_path / "real", [Made(name="a")]))
    only_fake = all_of(make_corpus(tmp_path / "fake", [Made(name="a", label="fake")]))

    with pytest.raises(ConfigError, match="has no fake videos") as caught:
        pair_up(only_real, 0, 0, forge=False)
    assert "pseudo-fakes" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="has no real videos"):
        pair_up(only_fake, 0, 0, forge=True)
    assert (pair_up(only_real, 0, 0, forge=True)[:, 1] == FORGED).all()
