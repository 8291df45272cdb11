import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.datasets.splits import assign_splits, check_no_leak, find_leak
from mover_ray.errors import ConfigError

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def table(*rows):
    """Rows of (identity, source_id); the number of the row is its id."""
    return pa.table(
        {
            "video_id": pa.array(range(len(rows)), pa.int64()),
            "identity": pa.array([row[0] for row in rows], pa.string()),
            "source_id": pa.array([row[1] for row in rows], pa.string()),
        }
    )


names = st.none() | st.integers(0, 15).map(str)
identities = names | st.tuples(st.integers(0, 15), st.integers(0, 15)).map(
    lambda ab: "{}+{}".format(*ab)
)
manifests = st.lists(st.tuples(identities, names), min_size=3, max_size=40).map(
    lambda rows: table(*rows)
)


@given(manifests, st.integers(0, 5))
def test_no_person_and_no_original_is_in_two_splits(manifest, seed):
    try:
        splits = assign_splits(manifest, SHARES, seed)
    except ConfigError:  # fewer groups than splits
        return
    assert set(splits) == set(SHARES)
    assert splits == assign_splits(manifest, SHARES, seed)
    parts = {
        name: manifest.filter(pa.array([split == name for split in splits])) for name in SHARES
    }
    assert not find_leak(parts["train"], parts["test"])
    assert not find_leak(parts["train"], parts["val"])
    assert not find_leak(parts["val"], parts["test"])


def test_shares_are_met_where_everybody_stands_alone():
    manifest = table(*((f"person {n}", None) for n in range(100)))
    splits = assign_splits(manifest, SHARES, seed=0)
    assert [splits.count(name) for name in SHARES] == [70, 10, 20]
    assert splits != assign_splits(manifest, SHARES, seed=1)


def test_people_stay_together_over_steps():
    # a with b, b with c, and an original that c's video shares with d's.
    manifest = table(("a+b", None), ("b+c", "x"), ("d", "x"), ("e", None), ("f", None))
    splits = assign_splits(manifest, {"train": 0.5, "test": 0.5}, seed=0)
    assert len(set(splits[:3])) == 1


def test_too_few_groups_are_refused():
    with pytest.raises(ConfigError, match="1 groups"):
        assign_splits(table(("a", None), ("a", None)), {"train": 0.5, "test": 0.5}, seed=0)


def test_shares_must_sum_to_one():
    with pytest.raises(ConfigError, match="sum to 1"):
        assign_splits(table(("a", None)), {"train": 0.5, "test": 0.1}, seed=0)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([("a+b", "x")], [("b", "y")], "people: b"),
        ([("a", "x")], [("b", "x")], "originals: x"),
    ],
)
def test_a_leak_names_what_is_shared(train, test, message):
    shifted = table(*test).set_column(0, "video_id", pa.array([99] * len(test), pa.int64()))
    with pytest.raises(ConfigError, match=message):
        check_no_leak(table(*train), shifted)


def test_the_same_video_on_both_sides_is_a_leak_even_if_nothing_is_known_of_it():
    with pytest.raises(ConfigError, match="videos: 0"):
        check_no_leak(table((None, None)), table((None, None)))
