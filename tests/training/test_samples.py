from pathlib import Path

import numpy as np
import pytest

from mover_ray.errors import ConfigError
from mover_ray.training.corpus import Corpus
from mover_ray.training.samples import (
    Samples,
    Selection,
    check_crop_size,
    require_real,
    segments,
    select,
)
from mover_ray.training.sources import held_out, source_groups
from tests.training.made import SIZE_PX, Made, make_corpus


def all_of(corpus: Corpus, frames: int = 1) -> Samples:
    return segments(corpus, np.arange(corpus.videos.num_rows), frames)


def uris(corpus: Corpus, videos: np.ndarray) -> set[str]:
    return {Path(str(corpus.column("uri")[video])).stem for video in videos.tolist()}


def test_selection_keeps_to_split_label_and_method(corpus: Corpus) -> None:
    train = select(corpus, Selection(methods=("one",)), validation=False)
    held = select(corpus, Selection(labels=("real",)), validation=True)

    assert uris(corpus, train) == {f"{kind}" for n in range(4) for kind in (f"r{n}", f"f{n}one")}
    assert uris(corpus, held) == {"r4", "r5"}
    with pytest.raises(ConfigError, match="no video is selected"):
        select(corpus, Selection(datasets=("other",)), validation=False)


def test_people_without_a_split_are_on_one_side_with_their_fakes(tmp_path: Path) -> None:
    videos = [
        Made(name=f"{label}{n}", label=label, identity=f"p{n // 2}", source=f"s{n}", split=None)
        for n in range(30)
        for label in ("real", "fake")
    ]
    corpus = make_corpus(tmp_path, videos)
    is_held = held_out(corpus, 0.3)
    by_person: dict[int, set[bool]] = {}
    for uri, held in zip(corpus.column("uri"), is_held.tolist(), strict=True):
        by_person.setdefault(int(Path(str(uri)).stem[4:]) // 2, set()).add(held)

    assert all(len(sides) == 1 for sides in by_person.values())
    assert 0 < is_held.mean() < 0.7
    train, held = (select(corpus, Selection(holdout=0.3), validation=v) for v in (False, True))
    assert sorted([*train, *held]) == list(range(60))


def test_fakes_find_their_real_video_by_each_of_its_names(tmp_path: Path) -> None:
    corpus = make_corpus(
        tmp_path,
        [
            Made(name="a", source="sa"),
            Made(name="b"),
            Made(name="c"),
            Made(name="fa", label="fake", source="sa"),
            Made(name="fb", label="fake", pair="/archive/b.mp4", source="other"),
            Made(name="fc", label="fake", source="2"),
            Made(name="fd", label="fake", source="unknown"),
        ],
    )
    names = [Path(str(uri)).stem for uri in corpus.column("uri")]
    group = dict(zip(names, source_groups(corpus).tolist(), strict=True))

    assert group["a"] == group["fa"]
    assert group["b"] == group["fb"]
    assert group["c"] == group["fc"]
    assert len({group[name] for name in ("a", "b", "c", "fd")}) == 4


def test_segments_hold_neighbouring_frames_of_one_track(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [Made(name="a", crops=7, tracks=2), Made(name="b", crops=2)])
    made = all_of(corpus, 3)
    records = corpus.crops[made.crops]

    assert made.crops.shape == (7, 3)
    assert (records["video"] == records["video"][:, :1]).all()
    assert (records["track_id"] == records["track_id"][:, :1]).all()
    assert set(made.crops.ravel().tolist()) == set(range(16))


def test_pretraining_refuses_whatever_is_not_real(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="12 selected videos are not real"):
        require_real(all_of(corpus))
    with pytest.raises(ConfigError, match="1 selected videos are not real"):
        require_real(all_of(make_corpus(tmp_path, [Made(name="a", label=None)])))


def test_a_model_of_another_size_is_refused(corpus: Corpus) -> None:
    check_crop_size(corpus, SIZE_PX)
    with pytest.raises(ConfigError, match="crops of `64` px, not `224`"):
        check_crop_size(corpus, 224)
