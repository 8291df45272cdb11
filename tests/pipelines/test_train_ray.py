"""Two workers under Ray Train learn what one does alone, also when one of them dies."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.train import train
from tests.pipelines.training_toys import options, write_corpus, write_presets

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets into it, whose paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="mr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets, a corpus, and what one process learns of it."""
    folder = tmp_path_factory.mktemp("ray")
    write_presets(folder)
    write_corpus(folder / "crops")
    train("pretrain", options(folder, "pretrain"), Quiet())
    return folder


def train_on_ray(folder: Path, temp_dir: Path, what: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    script = ["-W", "ignore", "-m", "tests.pipelines.train_on_ray"]
    done = subprocess.run(
        [sys.executable, *script, str(folder), str(temp_dir), what],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_learned_alike(folder: Path, what: str) -> None:
    ours, alone = (
        load_file(folder / name / "autoencoder.safetensors") for name in (what, "pretrain")
    )
    torch.testing.assert_close(ours, alone, atol=1e-4, rtol=1e-3)


def test_two_workers_learn_what_one_does(folder, short_folder):
    found = train_on_ray(folder, short_folder, "plain")
    assert_learned_alike(folder, "plain")
    assert [message.split(",")[0] for message in found["messages"]] == ["epoch 0", "epoch 1"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_killed_worker_is_replaced_and_the_end_is_the_same(folder, short_folder):
    found = train_on_ray(folder, short_folder, "kill")
    assert found["killed"] == 1
    assert_learned_alike(folder, "kill")


def test_a_users_error_ends_the_training_without_another_try(folder, short_folder):
    ended = train_on_ray(folder, short_folder, "refused")["ended"]
    assert (ended["kind"], ended["error"].partition(":")[0]) == (
        "LocationError",
        "no finished extract",
    )
    assert "mover-ray extract" in ended["hint"]
