import json
import resource
from pathlib import Path

import pytest
import torch

from mover_ray.errors import ArtifactError, LocationError
from mover_ray.training.checkpoint import Checkpoints, Snapshot, differing_fields, read_weights

CONFIG = {"recipe": {"epochs": 3, "seed": 0}, "model": {"size": "tiny", "sizes": (1, 2)}}


def snapshot(steps: int, score: float | None = None, size: int = 3) -> Snapshot:
    tied = torch.arange(size).float()
    return Snapshot(
        steps=steps,
        tensors={
            "model": {"a": tied, "b": tied, "count": torch.tensor(4)},
            "optimizer": {"a/m": torch.ones(2, dtype=torch.bfloat16)},
        },
        progress={"epoch": 1, "sums": {"mse": 0.1 + 0.2}},
        score=score,
    )


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def test_a_snapshot_comes_back_to_the_bit(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path / "deep" / "checkpoints", CONFIG)
    path = store.save(snapshot(7, score=0.5))
    found = Checkpoints(path.parent, CONFIG).load(path)

    assert store.newest() == path
    assert (found.steps, found.score) == (7, 0.5)
    assert found.progress == {"epoch": 1, "sums": {"mse": 0.1 + 0.2}}
    for group, tensors in snapshot(7).tensors.items():
        for name, value in tensors.items():
            assert torch.equal(found.tensors[group][name], value)
            assert found.tensors[group][name].dtype == value.dtype
    assert not [file for file in path.iterdir() if file.suffix not in (".json", ".safetensors")]


def test_averaged_weights_are_those_to_use(tmp_path: Path) -> None:
    plain = snapshot(1)
    averaged = {"a": torch.full((3,), 9.0), "steps": torch.tensor(1)}
    tensors = {**plain.tensors, "ema": averaged}
    store = Checkpoints(tmp_path, CONFIG)
    with_ema = store.save(Snapshot(steps=2, tensors=tensors))

    assert torch.equal(read_weights(store.save(plain))["a"], plain.tensors["model"]["a"])
    found = read_weights(with_ema)
    assert set(found) == {"a", "b", "count"}
    assert torch.equal(found["a"], averaged["a"])
    assert torch.equal(found["b"], plain.tensors["model"]["b"])


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, CONFIG, keep=2)
    assert store.newest() is None
    assert store.best() is None
    for steps, score in ((1, -0.5), (2, 0.0), (3, -0.1), (4, None), (5, 0.0)):
        store.save(snapshot(steps, score))

    assert steps_in(tmp_path) == [2, 4, 5]
    # Of two equally good the earlier one.
    assert store.best() == tmp_path / "000000002"


def test_another_configuration_is_refused_by_the_names_of_its_fields(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, CONFIG).save(snapshot(1))
    other = {"recipe": {"epochs": 3, "seed": 1}, "model": {"size": "base", "sizes": (1, 2)}}

    with pytest.raises(ArtifactError) as caught:
        Checkpoints(tmp_path, other).load(path)
    message = str(caught.value)
    assert "`model.size` was tiny, is base" in message
    assert "`recipe.seed` was 0, is 1" in message
    assert "epochs" not in message


def test_absent_fields_differ_too() -> None:
    assert differing_fields({"a": {"b": 1}}, {"a": {"c": 1}}) == [
        "`a.b` was 1, is (absent)",
        "`a.c` was (absent), is 1",
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    store = Checkpoints(tmp_path, CONFIG)
    path = store.save(snapshot(1))
    file = path / name
    file.write_bytes(file.read_bytes()[:-3])

    with pytest.raises(ArtifactError, match="checkpoint"):
        store.load(path)


def test_a_checkpoint_of_the_future_is_refused(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, CONFIG)
    path = store.save(snapshot(1))
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "format": 99}))

    with pytest.raises(ArtifactError, match="unknown format"):
        store.load(path)


def test_a_full_disk_leaves_the_earlier_checkpoint_good(tmp_path: Path) -> None:
    """A limit on the size of files refuses the write as a full disk does."""
    store = Checkpoints(tmp_path, CONFIG)
    first = store.save(snapshot(1, score=1.0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(LocationError, match="checkpoint of step 2 cannot be written") as caught:
            store.save(snapshot(2, size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "make room" in str(caught.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["000000001"]
    assert store.load(first).steps == 1
    assert store.load(store.save(snapshot(2, size=100_000))).steps == 2


def test_what_a_killed_process_left_is_no_checkpoint_and_goes(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, CONFIG)
    (tmp_path / ".000000009.123.tmp").mkdir()

    assert store.newest() is None
    store.clean()
    assert list(tmp_path.iterdir()) == []
