import json
from pathlib import Path

import numpy as np
import pytest

from mover_ray.errors import ArtifactError, ConfigError, LocationError
from mover_ray.training.corpus import CROPS_NAME, FAKE, REAL, UNLABELED, Corpus, open_corpus
from mover_ray.training.corpus_cache import build
from tests.models.samples import landmarks
from tests.training.made import MOUTH, SIZE_PX, Made, make_corpus, picture, usual, write_extract

SMALL = [
    Made(name="real", tracks=2, crops=3),
    Made(name="fake", label="fake", method="one", masks=True),
    Made(name="empty", crops=0),
    Made(name="unknown", label=None),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("small"), SMALL)


def video_of(corpus: Corpus, name: str) -> int:
    return corpus.column("uri").index(f"/archive/{name}.mp4")


def crops_of(corpus: Corpus, name: str) -> list[int]:
    return np.flatnonzero(corpus.crops["video"] == video_of(corpus, name)).tolist()


def test_a_crop_comes_back_as_it_was_but_for_jpeg(small: Corpus) -> None:
    for made in (SMALL[0], SMALL[1]):
        for number, crop in enumerate(crops_of(small, made.name)):
            wanted = picture(made, number % made.crops, SIZE_PX).astype(int)
            found = small.pixels(crop).astype(int)
            # Red and blue mistaken for each other differ by 50 and more.
            assert np.abs(found - wanted).mean() < 6
            np.testing.assert_allclose(
                small.crops["landmarks"][crop], landmarks(SIZE_PX, 1)[0], atol=1e-4
            )


def test_a_video_keeps_what_the_manifest_said(small: Corpus) -> None:
    labels = dict(zip(small.column("uri"), small.labels.tolist(), strict=True))

    assert labels == {
        "/archive/real.mp4": REAL,
        "/archive/fake.mp4": FAKE,
        "/archive/unknown.mp4": UNLABELED,
    }
    assert small.column("method")[video_of(small, "fake")] == "one"


def test_crops_are_ordered_by_track_and_time(small: Corpus) -> None:
    records = small.crops[crops_of(small, "real")]

    assert records["track_id"].tolist() == [0, 0, 0, 1, 1, 1]
    assert records["time_s"].tolist() == pytest.approx([0.0, 0.4, 0.8] * 2)
    assert small.name(crops_of(small, "real")[4]) == "0:1:10"


def test_masks_are_there_where_extract_had_them(small: Corpus) -> None:
    fake, real = crops_of(small, "fake")[0], crops_of(small, "real")[0]
    mask = small.mask(fake)

    assert small.mask(real) is None
    assert mask is not None
    assert mask.dtype == np.float32
    assert mask[MOUTH].min() == 1.0
    assert mask.sum() == mask[MOUTH].size


def test_a_corpus_is_built_once_and_again_when_its_source_changed(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    first = write_extract(tmp_path / "first", usual(2))
    second = write_extract(tmp_path / "second", usual(3))
    build([str(first)], folder)
    made = (folder / CROPS_NAME).stat()

    assert build([str(first)], folder).videos.num_rows == 6
    assert (folder / CROPS_NAME).stat().st_ino == made.st_ino
    assert build([str(first), str(second)], folder).videos.num_rows == 15
    assert not list(tmp_path.glob(".*"))


def test_an_unfinished_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match="no finished extract") as caught:
        build([str(tmp_path)], tmp_path / "corpus")

    assert "mover-ray extract" in str(caught.value.hint)


def test_an_altered_source_is_refused(tmp_path: Path) -> None:
    source = write_extract(tmp_path / "source", usual(2))
    file = source / "crops" / "00001-000001.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"!")

    with pytest.raises(ArtifactError, match="was altered"):
        build([str(source)], tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_crops_of_two_policies_do_not_mix(tmp_path: Path) -> None:
    sources = [
        str(write_extract(tmp_path / f"{size}", usual(1), size_px=size)) for size in (32, 64)
    ]

    with pytest.raises(ConfigError, match="cropped in another way"):
        build(sources, tmp_path / "corpus")


def test_a_damaged_cache_is_refused(tmp_path: Path) -> None:
    make_corpus(tmp_path, usual(1))
    folder = tmp_path / "corpus"
    content = (folder / CROPS_NAME).read_bytes()
    (folder / CROPS_NAME).write_bytes(bytes(len(content)))
    zeroed = open_corpus(folder)
    with pytest.raises(ArtifactError, match="damaged"):
        zeroed.pixels(0)

    (folder / CROPS_NAME).write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="damaged"):
        open_corpus(folder)
    with pytest.raises(ArtifactError, match="no corpus"):
        open_corpus(tmp_path)


def test_an_extract_without_any_face_gives_an_empty_corpus(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [Made(name="one", crops=0), Made(name="two", crops=0)])

    assert len(corpus.crops) == corpus.videos.num_rows == 0
    assert json.loads((tmp_path / "corpus" / "corpus.json").read_text())["videos"] == 0


def test_photographs_may_be_chosen_by_another_rule_than_videos(tmp_path):
    videos = write_extract(tmp_path / "videos", usual(sources=2), eligible_frames=3)
    others = [Made(name="photograph", crops=1)]
    photographs = write_extract(tmp_path / "photographs", others, eligible_frames=1)
    corpus = build([str(videos), str(photographs)], tmp_path / "corpus")
    assert corpus.videos.num_rows == 7
    assert corpus.facts["faces"]["eligible_frames"] == 3
