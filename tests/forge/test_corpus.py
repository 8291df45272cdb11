"""The plan of a corpus: who goes where, who is paired with whom, what files are called."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.datasets.rows import compute_ids
from mover_ray.errors import ConfigError
from mover_ray.forge import corpus
from mover_ray.forge.corpus import Layout, SplitConfig
from mover_ray.forge.registry import MANIPULATIONS

LAYOUT = Layout("/corpus", "c23")


def source(name, identity=None, *, split=None, status="ok", face_px=100.0, turn=0.0):
    height = np.linspace(0, 1, 17)
    jaw = np.stack([height + turn, np.sin(np.pi * height)], axis=1)
    return {
        "uri": f"/real/{name}.mp4", "identity": identity, "split": split, "status": status,
        "face_px": face_px, "jaw": jaw.tolist(),
    }  # fmt: skip


def number(sources, seed=0, kept=None, **settings):
    return corpus.number_originals(sources, SplitConfig(**settings), seed, kept)


sources = st.lists(
    st.builds(
        source,
        st.integers(0, 10**6).map(str),
        st.sampled_from("abcdefghijkl"),
        status=st.sampled_from(["ok", "ok", "ok", "no_face"]),
        face_px=st.floats(20, 500),
        turn=st.floats(-0.3, 0.3),
    ),
    min_size=1,
    max_size=30,
)


@given(sources, st.integers(0, 99))
def test_no_person_is_on_two_sides(rows, seed):
    sides: dict[str, str] = {}
    for one in number(rows, seed):
        assert sides.setdefault(one.identity, one.split) == one.split
    assert number(rows, seed)[-1].split == number(list(rows), seed)[-1].split


@given(sources, st.integers(0, 99))
def test_partners_are_other_people_of_the_same_side(rows, seed):
    originals = {one.number: one for one in number(rows, seed)}
    partners = corpus.choose_partners(list(originals.values()))
    for target, partner in partners.items():
        one, other = originals[target], originals[partner]
        assert one.identity != other.identity
        assert one.split == other.split
        assert one.usable
        assert other.usable
    for one in originals.values():
        company = [o for o in originals.values() if o.usable and o.split == one.split]
        alone = all(o.identity == one.identity for o in company)
        assert (one.number in partners) == (one.usable and not alone)


@settings(max_examples=50)
@given(sources, sources, st.integers(0, 99))
def test_what_was_planned_stays_when_more_becomes_usable(rows, others, seed):
    first = number([*rows, *({**row, "status": "fetch_error"} for row in others)], seed)
    partners = corpus.choose_partners(first)
    manipulations = {"faceswap": True, "self_blended": False}
    table = corpus.plan_files(first, partners, manipulations, LAYOUT, "d")
    planned = table.to_pylist()
    again = number([*rows, *others], seed, corpus.sides_in(planned))
    kept = corpus.choose_partners(again, corpus.partners_in(planned))
    assert partners.items() <= kept.items()
    more = corpus.plan_files(again, kept, manipulations, LAYOUT, "d")["uri"].to_pylist()
    lone = {f"{n.number}_{n.number}.mp4" for n in first if n.number not in partners}
    gone = set(table["uri"].to_pylist()) - set(more)
    assert {uri.rpartition("/")[2] for uri in gone} <= lone


def test_the_nearest_faces_are_paired_and_both_ways():
    faces = {"a": 50.0, "b": 200.0, "c": 52.0, "d": 210.0}
    originals = number([source(who, who, face_px=px) for who, px in faces.items()])
    assert corpus.choose_partners(originals) == {
        "000": "002",
        "002": "000",
        "001": "003",
        "003": "001",
    }


def test_heads_that_are_turned_alike_are_paired_also_in_the_mirror():
    turns = {"a": 0.2, "b": 0.0, "c": -0.2, "d": 0.01}
    originals = number([source(who, who, turn=turn) for who, turn in turns.items()])
    partners = corpus.choose_partners(originals)
    assert (partners["000"], partners["001"]) == ("002", "003")


def test_the_last_of_an_odd_number_borrows_a_partner():
    originals = number(
        [source(who, who, face_px=px) for who, px in zip("abc", (10, 11, 40), strict=True)]
    )
    partners = corpus.choose_partners(originals)
    assert partners == {"000": "001", "001": "000", "002": "001"}
    lists = corpus.split_lists(originals, partners)
    assert lists == {"train": [["000", "001"], ["002", "001"]], "val": [], "test": []}


def test_shares_are_those_of_faceforensics():
    people = [source(str(index)) for index in range(1000)]
    counts = Counter(one.split for one in number(people))
    assert counts == {"train": 720, "val": 140, "test": 140}
    assert [one.split for one in number(people)] != [one.split for one in number(people, 1)]


@pytest.mark.parametrize(("people", "held_out"), [(5, 0), (6, 2), (14, 2), (22, 3)])
def test_a_side_has_two_people_or_none(people, held_out):
    counts = Counter(corpus.draw_splits([str(i) for i in range(people)], SplitConfig(), 0).values())
    assert (counts["val"], counts["test"]) == (held_out, held_out)


def test_sides_of_the_manifest_are_kept():
    originals = number([source("x", "a", split="test"), source("y", "a"), source("z", "b")])
    assert [one.split for one in originals] == ["test", "test", "train"]


def test_a_manifest_with_one_person_on_two_sides_is_refused():
    with pytest.raises(ConfigError, match=r"one person on two sides.*`a`"):
        number([source("x", "a", split="test"), source("y", "a", split="train")])
    with pytest.raises(ConfigError, match=r"unknown split.*`dev`"):
        number([source("x", "a", split="dev")])


@pytest.mark.parametrize(
    ("pattern", "identity"),
    [
        (None, "/real/id7_0003.mp4"),
        (r"id\d+", "id7"),
        (r"/(id\d+)_", "id7"),
        ("zz", "/real/id7_0003.mp4"),
    ],
)
def test_people_are_told_apart_by_column_then_pattern_then_video(pattern, identity):
    assert number([source("id7_0003")], identity_pattern=pattern)[0].identity == identity
    assert number([source("id7_0003", "me")], identity_pattern=pattern)[0].identity == "me"


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="no regular expression"):
        SplitConfig(identity_pattern="(")


def test_files_lie_where_faceforensics_has_them():
    originals = number([source("a", "a"), source("b", "b"), source("c", "c", status="no_face")])
    partners = corpus.choose_partners(originals)
    manipulations = {"faceswap": True, "self_blended": False}
    table = corpus.plan_files(originals, partners, manipulations, LAYOUT, "mine")
    assert table["video_id"].to_pylist() == compute_ids(table).to_pylist()
    rows = {row["uri"].removeprefix("/corpus/"): row for row in table.to_pylist()}
    assert list(rows) == [
        "original_sequences/youtube/c23/videos/000.mp4",
        "manipulated_sequences/FaceSwap/c23/videos/000_001.mp4",
        "manipulated_sequences/SelfBlended/c23/videos/000_000.mp4",
        "original_sequences/youtube/c23/videos/001.mp4",
        "manipulated_sequences/FaceSwap/c23/videos/001_000.mp4",
        "manipulated_sequences/SelfBlended/c23/videos/001_001.mp4",
        "original_sequences/youtube/c23/videos/002.mp4",
    ]
    fake = rows["manipulated_sequences/FaceSwap/c23/videos/001_000.mp4"]
    assert fake["mask_uri"] == "/corpus/manipulated_sequences/FaceSwap/masks/videos/001_000.mp4"
    assert fake["pair_uri"] == "/corpus/original_sequences/youtube/c23/videos/001.mp4"
    assert (fake["label"], fake["method"], fake["source_id"]) == ("fake", "FaceSwap", "001")
    assert (fake["identity"], fake["dataset"], fake["split"]) == ("b", "mine", "train")
    real = rows["original_sequences/youtube/c23/videos/001.mp4"]
    assert (real["label"], real["method"], real["pair_uri"]) == ("real", None, None)


def test_numbers_have_the_digits_that_all_of_them_need():
    assert number([source(str(index)) for index in range(1001)])[7].number == "0007"


def test_each_manipulation_has_a_folder_of_its_own():
    folders = [corpus.folder_of(name) for name in MANIPULATIONS]
    assert len(set(folders)) == len(folders)
    assert all(folder.isalnum() and folder[0].isupper() for folder in folders)


def test_split_lists_are_json_of_faceforensics_form():
    originals = number([source(str(index), str(index)) for index in range(12)])
    lists = corpus.split_lists(originals, corpus.choose_partners(originals))
    assert json.loads(json.dumps(lists)) == lists
    named = [name for pairs in lists.values() for pair in pairs for name in pair]
    assert sorted(named) == sorted({one.number for one in originals})


def test_a_name_that_is_no_fakes_is_refused():
    assert corpus.stem_of("s3://b/x/003_1007.mp4") == ("003", "1007")
    with pytest.raises(ValueError, match="not the name of a fake"):
        corpus.stem_of("/x/003.mp4")
