import json
import time
from pathlib import Path

import pytest

from mover_ray.pipelines.train_mirror import Mirror
from mover_ray.storage import storage_for

URI = "memory://bucket/run"


def write_checkpoint(folder: Path, steps: int) -> Path:
    path = folder / "checkpoints" / f"{steps:09d}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights %d" % steps)
    (path / "state.json").write_text(json.dumps({"steps": steps}))
    return path


def names_in(uri: str = URI) -> set[str]:
    return {info.uri.removeprefix(f"{uri}/") for info in storage_for(uri).list(uri)}


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return tmp_path / "one"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other"


def test_another_node_gets_what_was_sent(one, other):
    write_checkpoint(one, 5)
    (one / "metrics.jsonl").write_text("{}\n")
    (one / "pictures").mkdir()
    (one / "pictures" / "epoch.png").write_bytes(b"png")
    Mirror(one, URI).push()
    Mirror(other, URI).pull()
    assert (other / "checkpoints/000000005/model.safetensors").read_bytes() == b"weights 5"
    assert (other / "metrics.jsonl").read_text() == "{}\n"
    assert not (other / "pictures").exists()


def test_a_half_sent_checkpoint_does_not_count(one, other):
    write_checkpoint(one, 5)
    write_checkpoint(one, 9)
    Mirror(one, URI).push()
    storage_for(URI).delete(f"{URI}/checkpoints/000000009/state.json")
    write_checkpoint(other, 9)
    Mirror(other, URI).pull()
    assert [path.name for path in (other / "checkpoints").iterdir()] == ["000000005"]


def test_what_is_unfinished_here_is_not_sent(one):
    write_checkpoint(one, 5).rename(one / "checkpoints" / ".000000005.1.tmp")
    (one / ".bundle.1.tmp").mkdir()
    (one / ".bundle.1.tmp" / "bundle.json").write_text("{}")
    Mirror(one, URI).push()
    assert names_in() == set()


def test_a_pruned_checkpoint_goes_there_too_also_after_a_resumption(one, other):
    write_checkpoint(one, 5)
    Mirror(one, URI).push()
    mirror = Mirror(other, URI)
    mirror.pull()
    write_checkpoint(other, 9)
    for path in (other / "checkpoints/000000005").iterdir():
        path.unlink()
    (other / "checkpoints/000000005").rmdir()
    mirror.push()
    assert {name.split("/")[1] for name in names_in()} == {"000000009"}


def test_a_new_node_removes_nothing(one, other):
    write_checkpoint(one, 5)
    Mirror(one, URI).push()
    before = names_in()
    Mirror(other, URI).push()
    assert names_in() == before


def test_nothing_is_sent_twice(one):
    write_checkpoint(one, 5)
    mirror = Mirror(one, URI)
    mirror.push()
    versions = {info.uri: info.version_id for info in storage_for(URI).list(URI)}
    mirror.push()
    assert {info.uri: info.version_id for info in storage_for(URI).list(URI)} == versions


def test_checkpoints_leave_while_training_goes_on(one):
    with Mirror(one, URI).kept_up(every_s=0.01):
        write_checkpoint(one, 5)
        until = time.monotonic() + 60
        while "checkpoints/000000005/state.json" not in names_in():
            assert time.monotonic() < until
            time.sleep(0.01)
        (one / "late").write_text("sent at the end")
    assert "late" in names_in()
