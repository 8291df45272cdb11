"""Real videos through the whole pipeline: a row for each, the right status for each."""

import csv
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mover_ray.operations.runs import verify_run
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.stages.base import Row
from tests.archive import make_model

#: What the odd and broken files of `decoder` are; the rest decodes and shows no face.
UNSUPPORTED, CORRUPT, DECODER_FILES = 18, 16, 80


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "small").path


def score_into(dest: Path, source: Path, model: Path, **options: object) -> dict[str, Row]:
    asked = ScoreOptions(
        source=str(source),
        dest=str(dest),
        model=str(model),
        allow_untrained=True,
        engine="local",
        **options,  # type: ignore[arg-type]
    )
    score(asked, Quiet())
    assert verify_run(str(dest)).proved
    return {row["uri"]: row for row in pq.read_table(dest / "results").to_pylist()}


def test_broken_files_are_rows_beside_good_ones(
    data_dir: Path, model: Path, tmp_path: Path
) -> None:
    with (data_dir / "index.tsv").open(newline="") as file:
        index = list(csv.DictReader(file, delimiter="\t"))
    failing = [row["path"] for row in index if "fails to open/decode" in row["kind"]]
    good = [row["path"] for row in index if row["path"].startswith("ffpp/")][:3]
    listed = tmp_path / "list.csv"
    listed.write_text("uri\n" + "".join(f"{data_dir / path}\n" for path in failing + good))

    rows = score_into(tmp_path / "out", listed, model)

    assert set(rows) == {str(data_dir / path) for path in failing + good}
    for path in failing:
        row = rows[str(data_dir / path)]
        assert row["status"] in {"corrupt", "unsupported"}, path
        assert row["error"]
        assert row["score"] is None
    for path in good:
        row = rows[str(data_dir / path)]
        assert row["status"] == "ok", path
        assert 0.0 < row["score"] < 1.0
        assert row["sha256"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_real_file_has_its_row(data_dir: Path, model: Path, tmp_path: Path) -> None:
    rows = score_into(tmp_path / "out", data_dir, model, exclude=("faces/*",))

    videos = {str(path) for path in data_dir.rglob("*") if path.is_file()}
    videos = {
        path for path in videos if "/faces/" not in path and not path.endswith((".tsv", ".md"))
    }
    assert set(rows) == videos
    by_folder = {
        folder: Counter(
            row["status"] for uri, row in rows.items() if uri.startswith(f"{data_dir}/{folder}/")
        )
        for folder in ("ffpp", "talking", "generated", "decoder")
    }
    assert by_folder["ffpp"] == {"ok": 30}
    assert by_folder["talking"] == {"ok": 118}
    assert by_folder["generated"] == {"ok": 27}
    assert by_folder["decoder"].total() == DECODER_FILES
    assert by_folder["decoder"]["unsupported"] == UNSUPPORTED
    assert by_folder["decoder"]["corrupt"] == CORRUPT
