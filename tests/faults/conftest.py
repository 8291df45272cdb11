"""A small archive, a small model and the rows of an undisturbed run, made once."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive import make_archive, make_model
from tests.faults.scans import Scan, rows_of


@pytest.fixture(scope="session")
def ray_temp() -> Iterator[Path]:
    """A short path: Ray puts sockets into it."""
    folder = Path(tempfile.mkdtemp(prefix="mr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_scan(tmp_path_factory: pytest.TempPathFactory, ray_temp: Path) -> Callable[..., Scan]:
    """Makes scans of one archive into destinations of their own."""
    folder = tmp_path_factory.mktemp("scans")
    archive = make_archive(folder / "archive", faces=8)
    numbers = itertools.count()

    def make(dest: str | None = None, **changes: Any) -> Scan:
        dest = dest or str(folder / f"out{next(numbers)}")
        return Scan(archive, dest, ray_temp, **changes)

    return make


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model."""
    return make_model(tmp_path_factory.mktemp("model") / "small").path


@pytest.fixture(scope="session")
def clean_rows(new_scan: Callable[..., Scan]) -> dict[str, dict]:
    """The crops of a run that nothing disturbed, on the local engine."""
    scan = new_scan()
    scan.finish("local")
    return rows_of(scan)


@pytest.fixture(scope="session")
def clean_scores(new_scan: Callable[..., Scan], model: Path) -> dict[str, dict]:
    """The scores of a run that nothing disturbed, on the local engine."""
    scan = new_scan(model=model)
    scan.finish("local")
    return rows_of(scan)
