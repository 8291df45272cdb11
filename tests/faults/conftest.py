"""A small archive, a small model and the rows of an undisturbed run, made once.

At the end stands a table of what was done and of what became of the rows.
"""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive import make_archive, make_model
from tests.faults import tally
from tests.faults.scans import Scan, rows_of
from tests.s3_server import S3Server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Ends the report with the table of all faults."""
    lines = tally.table()
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)


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


@pytest.fixture(scope="session")
def uploaded(s3_server: S3Server, new_scan: Callable[..., Scan]) -> str:
    """The same archive in a store of objects."""
    source = s3_server.make_folder()
    for path in sorted(new_scan().archive.iterdir()):
        put(s3_server, f"{source}/{path.name}", path.read_bytes())
    return source


@pytest.fixture
def stored(s3: S3Server, uploaded: str, new_scan: Callable[..., Scan]) -> Callable[..., Scan]:
    """Makes scans of that archive into prefixes of their own."""

    def make(**changes: Any) -> Scan:
        return new_scan(f"{s3.make_folder()}/out", **{"source": uploaded, **changes})

    return make


@pytest.fixture(scope="session")
def kept_rows() -> dict[str, dict[str, dict]]:
    """What a fixture of one test has found out for all."""
    return {}


@pytest.fixture
def clean_stored(
    stored: Callable[..., Scan], kept_rows: dict[str, dict[str, dict]]
) -> dict[str, dict]:
    """The crops of a run over the stored archive that nothing disturbed."""
    if "stored" not in kept_rows:
        scan = stored()
        scan.finish("local")
        kept_rows["stored"] = rows_of(scan)
    return kept_rows["stored"]


def put(server: S3Server, uri: str, data: bytes) -> None:
    """Stores an object past any proxy."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    server.client.put_object(Bucket=bucket, Key=key, Body=data)
