import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mover_ray.errors import ConfigError
from mover_ray.training.corpus import Corpus
from mover_ray.training.world import Alone
from tests.training.made import make_corpus, usual
from tests.training.ranks import ORDERS, meta_gradient, task
from tests.training.test_loop import lines_of
from tests.training.toys import ROOT, run_toy

SIZE = 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Corpus]:
    """Where two processes have trained together, and what they trained on."""
    folder = tmp_path_factory.mktemp("ranks")
    corpus = make_corpus(folder, usual())
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.ranks"]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(SIZE), str(folder / "corpus"), str(folder)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]
    messages = [rank.communicate(timeout=200)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * SIZE, "\n".join(messages)
    return folder, corpus


def found_by(folder: Path, rank: int, prefix: str) -> dict[str, Tensor]:
    tensors = load_file(folder / f"{rank}.safetensors")
    return {n.partition("/")[2]: v for n, v in tensors.items() if n.startswith(f"{prefix}/")}


@pytest.mark.parametrize("order", ORDERS)
def test_meta_gradients_of_two_ranks_are_the_mean_of_their_own(
    shared: tuple[Path, Corpus], order: str
) -> None:
    folder, corpus = shared
    own = [
        meta_gradient(task(corpus, rank), Alone(), second_order=ORDERS[order])
        for rank in range(SIZE)
    ]

    for rank in range(SIZE):
        for name, value in found_by(folder, rank, order).items():
            mean = torch.stack([gradient[name] for gradient in own]).mean(dim=0)
            torch.testing.assert_close(value, mean, atol=1e-6, rtol=1e-4)
    assert not torch.allclose(own[0]["inner.weight"], own[1]["inner.weight"], atol=1e-4)


def test_the_orders_differ(shared: tuple[Path, Corpus]) -> None:
    first, second = (found_by(shared[0], 0, order)["inner.weight"] for order in ORDERS)

    assert not torch.allclose(first, second, atol=1e-5)


def test_calling_the_module_within_ddp_would_leave_the_ranks_apart(
    shared: tuple[Path, Corpus],
) -> None:
    one, other = (found_by(shared[0], rank, "naive")["inner.weight"] for rank in range(SIZE))

    assert not torch.allclose(one, other, atol=1e-4)


def test_two_workers_learn_what_one_does(shared: tuple[Path, Corpus], tmp_path: Path) -> None:
    folder, corpus = shared
    alone = run_toy(corpus, tmp_path)
    together = folder / "loop" / "checkpoints" / alone.name

    for kind, name in (("step", "cls"), ("epoch", "val_log_loss")):
        curves = [
            torch.tensor([line[name] for line in lines_of(place, kind)])
            for place in (tmp_path, folder / "loop")
        ]
        torch.testing.assert_close(*curves, atol=1e-5, rtol=1e-4)
    for group in ("model", "ema"):
        own, others = (load_file(path / f"{group}.safetensors") for path in (alone, together))
        torch.testing.assert_close(own, others, atol=1e-5, rtol=1e-4)


def test_more_workers_than_units_of_a_batch_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`4` for 5"):
        run_toy(corpus, tmp_path, world=Alone(size=5))
