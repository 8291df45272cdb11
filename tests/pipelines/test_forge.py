"""A whole corpus: its layout, its proof, its second start, and what its containers tell."""

import hashlib
import io
import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mover_ray.datasets import manifest as manifests
from mover_ray.errors import ConfigError, HeldError, LocationError
from mover_ray.operations.demo_clips import Clip, write_clip
from mover_ray.pipelines.forge import ForgeOptions, forge
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.proof import IncompleteError
from tests.archive import make_archive

FACES = 6
METHODS = ("self_blended",)
SETTINGS = {
    "encoder": {"preset": "veryfast"},
    "survey": {"footage": {"max_frames": 12}},
    "pipeline": {"videos_per_block": 2, "workers": 1},
}
REALS = "original_sequences/youtube/c23/videos"
FAKES = "manipulated_sequences/SelfBlended/c23/videos"
MASKS = "manipulated_sequences/SelfBlended/masks/videos"


def options(source, dest, **changes):
    values = {"methods": METHODS, "seed": 3, "engine": "local", "settings": SETTINGS, **changes}
    return ForgeOptions(source=str(source), dest=str(dest), **values)


def run(source, dest, progress=None, **changes):
    return forge(options(source, dest, **changes), progress or Quiet())


def hashes(folder):
    videos = sorted(Path(folder).glob("*_sequences/**/*.mp4"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in videos}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Six faces, a rocket and a broken file."""
    return make_archive(tmp_path_factory.mktemp("source") / "videos", FACES)


@pytest.fixture(scope="module")
def corpus(source, tmp_path_factory):
    dest = tmp_path_factory.mktemp("corpus") / "c23"
    return dest, run(source, dest)


def test_files_lie_where_faceforensics_has_them(corpus):
    dest, summary = corpus
    assert summary.counts == {"ok": 2 * FACES, "corrupt": 1, "no_face": 1}
    reals = {path.stem for path in (dest / REALS).iterdir()}
    fakes = {path.stem for path in (dest / FAKES).iterdir()}
    assert len(reals) == FACES
    assert fakes == {f"{name}_{name}" for name in reals}
    assert {path.stem for path in (dest / MASKS).iterdir()} == fakes
    lists = {path.stem: json.loads(path.read_text()) for path in (dest / "splits").iterdir()}
    assert {name: len(pairs) for name, pairs in lists.items()} == {"train": 1, "val": 1, "test": 1}
    assert {name for pairs in lists.values() for pair in pairs for name in pair} == reals


def test_the_manifest_names_every_file_and_no_other(corpus):
    dest, _ = corpus
    table = manifests.read(str(dest / "manifest.parquet"))
    rows = table.to_pylist()
    assert {row["uri"] for row in rows} == {
        str(path) for folder in (REALS, FAKES) for path in (dest / folder).iterdir()
    }
    for row in rows:
        assert row["size_bytes"] == Path(row["uri"]).stat().st_size
        if row["label"] == "fake":
            assert Path(row["mask_uri"]).is_file()
            assert Path(row["pair_uri"]).is_file()
    sides = {row["identity"]: row["split"] for row in rows}
    assert all(sides[row["identity"]] == row["split"] for row in rows)


def test_numbers_are_those_of_the_manifest_and_written_down(corpus, source):
    rows = pq.read_table(corpus[0] / "sources.parquet").to_pylist()
    names = [(row["number"], Path(row["uri"]).name) for row in rows]
    assert names == [(f"{i:03d}", path.name) for i, path in enumerate(sorted(source.iterdir()))]


def test_failures_are_rows_without_files(corpus):
    rows = pq.read_table(corpus[0] / "files").to_pylist()
    failed = [row for row in rows if row["status"] != "ok"]
    assert {Path(row["target_uri"]).name for row in failed} == {"rocket.mp4", "broken.mp4"}
    assert not any(Path(row["uri"]).exists() for row in failed)
    assert all(row["sha256"] is None and row["error"] for row in failed)
    made = [row for row in rows if row["status"] == "ok"]
    assert all(row["sha256"] == hashes_of(row["uri"]) for row in made)


def hashes_of(uri):
    return hashlib.sha256(Path(uri).read_bytes()).hexdigest()


def test_the_same_command_again_changes_nothing(corpus, source):
    dest, _ = corpus
    before = {path: path.stat().st_mtime_ns for path in dest.glob("*_sequences/**/*.mp4")}
    again = run(source, dest)
    assert (again.engine, again.resumed, again.counts["ok"]) == ("none", again.total, 2 * FACES)
    assert {path: path.stat().st_mtime_ns for path in before} == before


class Interrupting(Quiet):
    """Stops the run as Ctrl-C does after so many parts."""

    def __init__(self, after):
        self._after = after

    def advance(self, counts):
        self._after -= 1
        if self._after <= 0:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_twice_ends_in_the_same_files_and_takes_more_methods(
    source, tmp_path
):
    few = {"limit": 3}
    whole, dest = tmp_path / "whole", tmp_path / "stopped"
    first = run(source, whole, **few)
    for parts in (1, 2):  # in the survey, and then in the forging
        with pytest.raises(KeyboardInterrupt):
            run(source, dest, Interrupting(parts), **few)
        assert not (dest / "manifest.parquet").exists()
        assert hashes(dest).items() <= hashes(whole).items()
    run(source, dest, **few)
    assert hashes(dest) == hashes(whole)
    both = run(source, dest, methods=("self_blended", "neuraltextures"), **few)
    assert both.resumed == first.total
    assert hashes(whole).items() <= hashes(dest).items()
    assert any("NeuralTextures" in name for name in hashes(dest).keys() - hashes(whole).keys())
    assert not list(dest.rglob(".tmp-*"))


def test_a_file_that_nobody_planned_is_set_aside_and_a_lost_one_is_missed(source, tmp_path):
    dest = tmp_path / "kept"
    run(source, dest, limit=2)
    stray = dest / FAKES / "000_777.mp4"
    stray.write_bytes(b"of another seed")
    run(source, dest, limit=2)
    assert not stray.exists()
    assert (dest / "_orphans" / FAKES / "000_777.mp4").read_bytes() == b"of another seed"
    next((dest / REALS).iterdir()).unlink()
    with pytest.raises(IncompleteError, match="file of the corpus is missing"):
        run(source, dest, limit=2)


def test_another_seed_or_quality_or_source_is_another_corpus(corpus, source):
    dest, _ = corpus
    with pytest.raises(HeldError, match="another seed"):
        run(source, dest, seed=4)
    with pytest.raises(HeldError, match="another configuration"):
        run(source, dest, crf=40)
    with pytest.raises(HeldError, match="another source"):
        run(source, dest, limit=5)


def test_a_folder_with_somebody_elses_corpus_is_refused(source, tmp_path):
    (tmp_path / REALS).mkdir(parents=True)
    (tmp_path / REALS / "000.mp4").touch()
    for fresh in (False, True):
        with pytest.raises(LocationError, match="holds another corpus"):
            run(source, tmp_path, fresh=fresh)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("faceswop",)}, "unknown manipulation: `faceswop`"),
        ({"methods": ()}, "no manipulation is named"),
        ({"seed": -1}, "seed is too small"),
        ({"crf": 60}, "crf is out of range"),
        ({"settings": {"manipulations": {"faceswap": {"zz": 1}}}}, "unknown setting.*`zz`"),
        ({"settings": {"sede": 1}}, "unknown setting: `sede`"),
    ],
)
def test_wrong_settings_stop_before_anything_is_written(source, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(source, tmp_path / "no", **changes)
    assert not (tmp_path / "no").exists()


def test_a_destination_inside_the_source_is_refused(source):
    with pytest.raises(ConfigError, match="lies inside the source"):
        run(source, source / "forged")


def test_what_is_labelled_fake_is_passed_over(tmp_path):
    write_clip(Clip(name="a.mp4", label="fake", seconds=0.5), tmp_path, seed=0)
    listed = tmp_path / "list.csv"
    listed.write_text("uri,label\na.mp4,fake\n", encoding="utf-8")
    with pytest.raises(LocationError, match="every video of the source is labelled fake"):
        run(listed, tmp_path / "out")


def header(path):
    """Everything that a file says of itself, sizes and pixels left out."""
    data = Path(path).read_bytes()
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        keys = [packet.is_keyframe for packet in container.demux(stream) if packet.size]
        return {
            "streams": [one.type for one in container.streams],
            "metadata": {**container.metadata, **stream.metadata},
            "codec": (context.name, context.profile, context.extradata, context.pix_fmt),
            "colour": (context.color_range, context.colorspace, context.color_primaries),
            "times": (stream.frames, stream.duration, stream.time_base, stream.average_rate),
            "gop": keys,
            "encoder": data[data.find(b"x264 - core") :].partition(b"\0")[0],
            "boxes": data[:40],
        }


def container_features(path):
    """Sizes, in bits a pixel, of a file and of the kinds of its packets."""
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        sizes = np.array([p.size for p in container.demux(stream) if p.size], float)
        pixels = stream.width * stream.height
        bits = 8 * sizes / pixels
        rest = bits[1:]
        return [
            8 * Path(path).stat().st_size / pixels / len(sizes), len(sizes), bits[0],
            rest.mean(), rest.std(), np.median(rest), rest.max() / bits[0], stream.width,
        ]  # fmt: skip


def pairs(dest):
    table = manifests.read(str(dest / "manifest.parquet")).to_pylist()
    return [(row["pair_uri"], row["uri"]) for row in table if row["label"] == "fake"]


def accuracy(features, labels, groups):
    """Share of files that a classifier trained on the other sources' files gets right."""
    features = features / (features.std(axis=0) + 1e-3)
    right = 0
    for held_out in range(4):
        test = groups % 4 == held_out
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
        model.fit(features[~test], labels[~test])
        right += int((model.predict(features[test]) == labels[test]).sum())
    return right / len(labels)


def test_headers_of_real_and_fake_are_the_same(corpus):
    for real, fake in pairs(corpus[0]):
        assert header(real) == header(fake)
        assert header(real)["encoder"].startswith(b"x264 - core")


def test_containers_do_not_tell_real_from_fake(data_dir, tmp_path):
    """A classifier on container features is no better than on labels swapped within pairs."""
    talking = sorted((data_dir / "talking").glob("*.mp4"), key=lambda path: path.stat().st_size)
    listed = tmp_path / "sources.csv"
    make_archive(tmp_path / "made", 2)
    found = [*(tmp_path / "made").glob("face*.mp4"), *talking[:7]]
    listed.write_text("\n".join(["uri", *map(str, found)]), encoding="utf-8")
    run(listed, tmp_path / "corpus")
    both = pairs(tmp_path / "corpus")
    assert len(both) >= 8
    features = np.array([container_features(path) for pair in both for path in pair])
    labels = np.array([0, 1] * len(both))
    groups = np.repeat(np.arange(len(both)), 2)
    rng = np.random.default_rng(0)
    permuted = [
        accuracy(features, labels ^ np.repeat(rng.integers(0, 2, len(both)), 2), groups)
        for _ in range(100)
    ]
    high = np.quantile(permuted, 0.975)
    assert accuracy(features, labels, groups) <= high < 0.95
    # The test can fail: one more packet in every fake would give it away.
    features[labels == 1, 1] += 1
    assert accuracy(features, labels, groups) > high


def test_a_corpus_is_written_to_a_store(source, s3_folder):
    summary = run(source, f"{s3_folder}/corpus", limit=2)
    assert summary.counts["ok"] == 2
    table = manifests.read(f"{s3_folder}/corpus/manifest.parquet")
    assert all(uri.startswith(s3_folder) for uri in table["uri"].to_pylist())
    assert not any(etag is None for etag in table["etag"].to_pylist())
