"""Fixtures of the training's tests."""

from collections.abc import Iterator

import pytest
import torch

from mover_ray.training.corpus import Corpus
from tests.training.made import make_corpus, usual


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads that wait for a busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six sources, two manipulations of each, four crops a video."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), usual())
