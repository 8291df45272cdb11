"""`runs verify` believes no record: it reads every file and counts every row."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from mover_ray.errors import LocationError
from mover_ray.operations.runs import verify_run
from mover_ray.pipelines.extract import ExtractOptions, extract
from mover_ray.pipelines.progress import Quiet

VIDEOS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run over files that are no videos: rows all the same, and cheap."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "videos").mkdir()
    for number in range(VIDEOS):
        (folder / "videos" / f"{number}.mp4").write_bytes(b"no video" * number)
    settings = {"pipeline": {"videos_per_block": 1, "workers": 1}}
    options = ExtractOptions(
        source=str(folder / "videos"),
        dest=str(folder / "out"),
        engine="local",
        settings=settings,
    )
    extract(options, Quiet())
    return folder / "out"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run that a test may damage."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def parts(run):
    return sorted((run / "crops").glob("*.parquet"))


def test_a_finished_run_is_proved(run):
    found = verify_run(str(run))
    assert found.proved
    assert found.videos == VIDEOS == sum(found.counts.values())
    assert (found.altered, found.stray, found.examples) == ((), (), ())
    assert found.as_json()["proved"] is True
    json.dumps(found.as_json())


def test_an_altered_file_is_named_and_its_videos_are_missing(run):
    part = parts(run)[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    found = verify_run(str(run))
    assert not found.proved
    assert found.altered == (part.name,)
    assert found.missing == 1


def test_a_removed_file_is_named_and_its_videos_are_missing(run):
    part = parts(run)[0]
    lost = pq.read_table(part)["video_id"].to_pylist()
    part.unlink()
    found = verify_run(str(run))
    assert not found.proved
    assert found.altered == (part.name,)
    assert found.examples == tuple(map(str, lost))


def test_a_file_that_nobody_recorded_is_stray_and_not_counted(run):
    part = parts(run)[0]
    (run / "crops" / "00001-000099.parquet").write_bytes(part.read_bytes())
    found = verify_run(str(run))
    assert found.proved
    assert found.stray == ("00001-000099.parquet",)


def test_an_unfinished_run_is_not_proved(run):
    (run / "_SUCCESS.json").unlink()
    found = verify_run(str(run))
    assert not found.finished
    assert not found.proved
    assert found.missing == 0


def test_repeated_rows_are_found(run):
    """A file's record is made to fit, so that only counting can tell."""
    (run / "_SUCCESS.json").unlink()
    part = parts(run)[0]
    (run / "crops" / "00001-000099.parquet").write_bytes(part.read_bytes())
    found = verify_run(str(run))
    assert found.repeated == 1
    assert found.examples == tuple(map(str, pq.read_table(part)["video_id"].to_pylist()))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_where_there_is_no_run(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LocationError, match="no run at"):
        verify_run(str(tmp_path / name))
