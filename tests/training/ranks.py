"""One of several processes that train a toy together under gloo."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, distributed
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from mover_ray.training.corpus import Corpus, open_corpus
from mover_ray.training.loading import Pairs, Reading
from mover_ray.training.meta import MetaBatch, MetaConfig, MetaStep
from mover_ray.training.pairing import pair_up
from mover_ray.training.samples import segments
from mover_ray.training.world import Distributed, World, average_buffers
from tests.training.toys import Toy, run_toy, toy

ORDERS = {"first": False, "second": True}


def task(corpus: Corpus, rank: int) -> MetaBatch:
    """Gives a rank's own meta-learning task."""
    samples = segments(corpus, np.arange(corpus.videos.num_rows), 1)
    pairs = Pairs(Reading(samples=samples, seed=0), pair_up(samples, 0, 0, forge=False))
    train, reference, test = (
        pairs.read_now(np.arange(first, first + 3), 0)
        for first in (12 * rank, 12 * rank + 4, 12 * rank + 8)
    )
    return MetaBatch(train, reference, test)


def config(*, second_order: bool) -> MetaConfig:
    return MetaConfig(enabled=True, steps=2, lr=0.5, second_order=second_order)


def meta_gradient(batch: MetaBatch, world: World, *, second_order: bool) -> dict[str, Tensor]:
    """Gives the outer gradient and the statistics of a toy after one meta-learning step."""
    model = toy(batch_norm=True)
    step = MetaStep(model, config(second_order=second_order))
    module = world.wrap(step)
    terms = module(batch)
    torch.stack(list(terms.values())).sum().backward()
    average_buffers(model, world)
    statistics = {name: value for name, value in model.named_buffers() if "running" in name}
    return {**_gradients(model), **statistics}


def naive_gradient(batch: MetaBatch) -> dict[str, Tensor]:
    """Does the same outside of DDP's forward pass, on the module within."""
    model = toy(batch_norm=True)
    wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    adapted = MetaStep(wrapped.module, config(second_order=False)).adapt(batch)
    weights = {name.removeprefix("detector."): value for name, value in adapted.items()}
    arguments = (batch.train.faces, batch.train.landmarks)
    functional_call(wrapped.module, weights, arguments).logits_S.sum().backward()
    return _gradients(model)


def _gradients(model: Toy) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in model.named_parameters()
    }


def main(rank: str, size: str, corpus: str, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, rank=int(rank), world_size=int(size))
    world, opened = Distributed(torch.device("cpu")), open_corpus(Path(corpus))
    batch = task(opened, world.rank)
    found = {f"naive/{name}": value for name, value in naive_gradient(batch).items()}
    for order, second_order in ORDERS.items():
        gradient = meta_gradient(batch, world, second_order=second_order)
        found |= {f"{order}/{name}": value for name, value in gradient.items()}
    save_file(found, Path(folder) / f"{rank}.safetensors")
    # Only the first rank's node has checkpoints.
    run_toy(opened, Path(folder) / ("loop" if world.rank == 0 else f"loop-{rank}"), world=world)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
