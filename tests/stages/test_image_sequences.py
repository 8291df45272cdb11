"""Image sequences through the stages that videos go through."""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from mover_ray.datasets.catalog import read_dataset
from mover_ray.datasets.manifest import build
from mover_ray.errors import InputError
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.view import View
from mover_ray.operations.demo_clips import Clip, write_clip
from mover_ray.stages.base import Row
from mover_ray.stages.faces import FindFaces
from mover_ray.stages.fetch import reachable
from mover_ray.status import Status
from mover_ray.storage import storage_for
from mover_ray.video.attempt import ArchivedSequence
from mover_ray.video.budget import VideoBudget
from mover_ray.video.limits import LEVEL_VARIABLE
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.picture_archives import Image, noise, png, tar
from tests.video.media import decode_all

PLENTY = 1 << 30
SAMPLING = SamplingPolicy(policy="uniform", frames=6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A corpus of one archive with a sequence of noise and one of nothing."""
    folder = tmp_path / "corpus" / "real_test"
    folder.mkdir(parents=True)
    files = {f"0/real/4/{number}.png": png(noise(number)) for number in range(12)}
    (folder / "0.tar.gz").write_bytes(tar({**files, "0/real/5/1.png": b"nothing"}))
    return folder.parent


def rows_of(root: Path | str) -> list[Row]:
    return list(read_dataset("wilddeepfake", str(root)).table().to_pylist())


def test_the_archive_of_a_sequence_is_read_whole_and_hashed(root: Path) -> None:
    archive = (root / "real_test" / "0.tar.gz").read_bytes()
    with reachable(rows_of(root)[0], PLENTY) as video:
        assert isinstance(video.bytes, ArchivedSequence)
        assert video.bytes.folder == "0/real/4"
        assert video.bytes_read == len(archive)
        assert video.sha256() == hashlib.sha256(archive).hexdigest()


def test_a_stored_archive_is_copied_of_its_version(root: Path, tmp_path: Path) -> None:
    uri = f"memory://corpora/{tmp_path.name}/real_test/0.tar.gz"
    data = (root / "real_test" / "0.tar.gz").read_bytes()
    storage_for(uri).write(uri, data)
    row = rows_of(uri.removesuffix("/real_test/0.tar.gz"))[0]
    with reachable(row, PLENTY) as video:
        assert video.sha256() == hashlib.sha256(data).hexdigest()
    storage_for(uri).write(uri, data + b"\0")
    assert status_of(row) is Status.CHANGED


def test_a_list_may_name_sequences(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("uri\ncorpus/real_test/0.tar.gz!/0/real/4\n")
    expected = rows_of(root)[0]
    row = build(str(listed)).table.to_pylist()[0]
    for name in ("video_id", "uri", "size_bytes", "mtime_ns"):
        assert row[name] == expected[name]


def status_of(row: Row) -> Status:
    with pytest.raises(InputError) as caught, reachable(row, PLENTY):
        pytest.fail("the sequence was handed out")
    return caught.value.status


def test_an_archive_that_is_gone_or_was_altered_says_so(root: Path) -> None:
    row = rows_of(root)[0]
    archive = root / "real_test" / "0.tar.gz"
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert status_of(row) is Status.CHANGED
    archive.unlink()
    assert status_of(row) is Status.NOT_FOUND


@pytest.mark.parametrize("level", ["bwrap", "seccomp", "rlimits"])
def test_the_sandbox_gives_the_pictures(
    level: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, level)
    row = rows_of(root)[0]
    with (
        VideoReader(VideoBudget()) as reader,
        reachable(row, PLENTY) as found,
        reader.open(found.bytes, SAMPLING, b"k") as video,
    ):
        frames = list(video)
    assert [frame.index for frame in frames] == [1, 3, 5, 7, 9, 11]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, noise(frame.index))
    assert (video.flags, video.attempts) == (("no_frame_rate",), 1)


@pytest.fixture(scope="module")
def find() -> Iterator[FindFaces]:
    stage = FindFaces([View(faces=FacePolicy(), sampling=SAMPLING)], VideoBudget())
    yield stage
    stage.close()


def decoded(path: Path) -> list[Image]:
    """Gives the first pictures of a video."""
    return [image for _, image in itertools.islice(decode_all(path), 8)]


def as_archive(images: list[Image], folder: Path) -> Row:
    """Gives the row of a sequence of these pictures."""
    (folder / "fake_test").mkdir()
    files = {f"3/fake/8/{number}.png": png(image) for number, image in enumerate(images)}
    (folder / "fake_test" / "3.tar.gz").write_bytes(tar(files))
    return rows_of(folder)[0]


def as_video(images: list[Image], path: Path) -> Row:
    """Gives the row of a video that holds these pictures without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, _ = images[0].shape
        stream.pix_fmt = "bgr0"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return dict(build(str(path)).table.to_pylist()[0])


def check_same_faces(find: FindFaces, images: list[Image], folder: Path) -> None:
    """Checks that pictures give the same crops from an archive as from a video."""
    sequence = find(as_archive(images, folder))
    video = find(as_video(images, folder / "a.mkv"))
    assert sequence["status"] == video["status"] == "ok"
    assert sequence["crops"]
    assert sequence["crops"] == video["crops"]
    for name in ("coverage", "width", "height", "num_frames", "max_gap_s", "attempts"):
        assert sequence[name] == pytest.approx(video[name]), name
    assert (sequence["codec"], sequence["flags"]) == ("png", [*video["flags"], "no_frame_rate"])
    assert sequence["label"] == "fake"


def test_the_same_pictures_give_the_same_faces(find: FindFaces, tmp_path: Path) -> None:
    clip = write_clip(Clip(name="a.mp4", label="real", seconds=1.0), tmp_path, seed=0)
    check_same_faces(find, decoded(clip), tmp_path)


def test_real_pictures_give_the_same_faces(find: FindFaces, data_dir: Path, tmp_path: Path) -> None:
    clip = data_dir / "ffpp/original_sequences/youtube/c40/videos/469.mp4"
    check_same_faces(find, decoded(clip), tmp_path)


def test_noise_and_nothing_are_rows_too(find: FindFaces, root: Path) -> None:
    noise_row, nothing = map(find, rows_of(root))
    assert (noise_row["status"], noise_row["num_frames"]) == ("no_face", 12)
    assert noise_row["flags"] == ["no_frame_rate"]
    assert nothing["status"] == "corrupt"
    assert nothing["sha256"] == noise_row["sha256"]
    missing = find({**rows_of(root)[0], "uri": rows_of(root)[0]["uri"] + "0"})
    assert (missing["status"], missing["crops"]) == ("unsupported", [])
