"""What an upload leaves on disk: nothing, under no name, whoever named it."""

import os
import tempfile
from pathlib import Path

import pytest

from mover_ray.serving.videos import UPLOAD, StoredVideo, UploadedVideo, manifest_row, own_words
from tests.serving.service import Service, ToyEngine


def test_an_upload_has_no_name_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(_descriptors())
    with manifest_row(UploadedVideo(b"bytes")) as row:
        assert Path(row["uri"]).read_bytes() == b"bytes"
        assert list(tmp_path.iterdir()) == []
    left = set(_descriptors()) - before
    assert not any("mover-ray" in str(Path(f"/dev/fd/{one}").readlink()) for one in left)


def test_the_same_bytes_have_the_same_id() -> None:
    ids = []
    for content in (b"one", b"one", b"two"):
        with manifest_row(UploadedVideo(content)) as row:
            ids.append(row["video_id"])
    assert ids[0] == ids[1] != ids[2]


def test_the_client_never_sees_the_descriptor() -> None:
    video = UploadedVideo(b"bytes")
    with manifest_row(video) as row:
        shown = own_words({**row, "error": f"cannot be opened: `{row['uri']}`"}, video)
    assert shown["uri"] == UPLOAD
    assert shown["error"] == "cannot be opened: `upload`"


def test_a_stored_video_that_is_not_there_is_a_row() -> None:
    with manifest_row(StoredVideo("memory://bucket/none.mp4")) as row:
        assert (row["uri"], row["size_bytes"]) == ("memory://bucket/none.mp4", None)


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "a\x00b", "C:\\x", "x" * 300, ""])
def test_the_name_of_an_upload_means_nothing(
    service: Service, engine: ToyEngine, name: str
) -> None:
    answer = service.ask("POST", "/v1/score", files={"file": (name or "a", b"bytes")})
    assert answer.status_code in (200, 400)
    assert all(task.video == UploadedVideo(b"bytes") for task in engine.tasks)


def _descriptors() -> list[str]:
    return [name for name in os.listdir("/dev/fd") if Path(f"/dev/fd/{name}").exists()]  # noqa: PTH208
