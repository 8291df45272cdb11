"""The account of rows against a manifest."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.pipelines.destination import part_name
from mover_ray.pipelines.parts import PartIndex
from mover_ray.pipelines.proof import take_account

Parts = list[tuple[int, list[int]]]


def index(attempt: int, task: int, ids: list[int]) -> PartIndex:
    statuses = np.array([f"a{attempt}"] * len(ids), dtype=object)
    return PartIndex(part_name(attempt, task), np.array(ids, dtype=np.int64), statuses)


@given(
    st.sets(st.integers(0, 20), min_size=1),
    st.lists(st.tuples(st.integers(1, 3), st.sets(st.integers(0, 24), max_size=6)), max_size=6),
)
def test_it_agrees_with_counting_by_hand(manifest: set[int], parts: list) -> None:
    indexes = [index(attempt, task, sorted(ids)) for task, (attempt, ids) in enumerate(parts)]
    rows = [(i, attempt, task) for task, (attempt, ids) in enumerate(parts) for i in ids]
    latest = {i: max(a for j, a, _ in rows if j == i) for i, _, _ in rows}
    per_attempt = Counter((i, attempt) for i, attempt, _ in rows)

    account = take_account(np.array(sorted(manifest), dtype=np.int64), indexes)

    assert set(account.missing) == manifest - set(latest)
    assert set(account.unknown) == set(latest) - manifest
    assert set(account.repeated) == {i for (i, _), n in per_attempt.items() if n > 1}
    if not account.repeated.size:
        assert account.counts == Counter(f"a{attempt}" for attempt in latest.values())
        replaced = {(name, int(i)) for name, ids in account.superseded.items() for i in ids}
        assert replaced == {(part_name(a, task), i) for i, a, task in rows if a < latest[i]}


def test_complete_is_each_video_once() -> None:
    ids = np.array([1, 2, 3])
    assert take_account(ids, [index(1, 0, [1, 2]), index(2, 0, [3])]).complete
    assert take_account(ids, [index(1, 0, [1, 2]), index(2, 0, [2, 3])]).complete
    assert not take_account(ids, [index(1, 0, [1, 2]), index(1, 1, [2, 3])]).complete
    assert not take_account(ids, [index(1, 0, [1, 2])]).complete
    assert not take_account(ids, [index(1, 0, [1, 2, 3, 4])]).complete
    assert not take_account(ids, []).complete
