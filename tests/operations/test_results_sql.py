"""The views say what the rows say, and every query of the documentation is answered."""

import re
from pathlib import Path

import pytest

from mover_ray.errors import ConfigError
from mover_ray.operations.results_sql import query
from mover_ray.pipelines.results import open_results
from tests.made_results import face, failed, make_results, scored, small_run

_DOCUMENT = Path(__file__).parents[2] / "docs" / "queries.md"
QUERIES = re.findall(r"```sql\n(.*?)```", _DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return open_results(small_run(tmp_path_factory.mktemp("sql") / "run"))


def test_lists_are_unnested(results):
    asked = {
        "SELECT count(*) AS n FROM videos": [{"n": 6}],
        "SELECT count(*) AS n FROM frames": [{"n": 12}],
        "SELECT count(*) AS n FROM manifest": [{"n": 6}],
        "SELECT name FROM videos WHERE uri = '/a/one.mp4'": [{"name": "one.mp4"}],
        "SELECT DISTINCT num_frames FROM faces": [{"num_frames": 3}],
        "SELECT DISTINCT end_s FROM segments": [{"end_s": 0.2}],
        "SELECT DISTINCT x0, y0, x1, y1 FROM frames": [
            {"x0": 180.0, "y0": 90.0, "x1": 320.0, "y1": 260.0}
        ],
        "SELECT DISTINCT x0, y1, kind FROM masks": [{"x0": 150.0, "y1": 270.0, "kind": "trained"}],
    }
    assert {sql: query(results, sql).rows for sql in asked} == asked


def test_ids_come_as_strings_and_times_in_utc(results):
    (row,) = query(results, "SELECT video_id, scored_at, head_scores FROM videos LIMIT 1").rows
    assert isinstance(row["video_id"], str)
    assert row["scored_at"] == "2026-01-02T03:04:05+00:00"
    assert row["head_scores"]["b"] == 0.25


@pytest.mark.parametrize("sql", QUERIES)
def test_every_documented_query_is_answered(results, sql, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = query(results, sql)
    assert found.columns or "COPY" in sql
    if "COPY" in sql:
        assert (tmp_path / "suspicious.csv").read_text().startswith("uri,score\n/a/one.mp4,")


def test_the_page_has_queries():
    assert len(QUERIES) >= 12


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM nothing", "SELEC 1", "SELECT * FROM 's3://a/b.parquet'"]
)
def test_a_wrong_query_is_the_users_to_mend(results, sql):
    with pytest.raises(ConfigError, match="cannot be answered") as refused:
        query(results, sql)
    assert "videos" in str(refused.value.hint)


def test_of_an_unfinished_run_the_latest_row_counts(tmp_path):
    make_results(tmp_path / "r", [[failed("/a.mp4", "timeout", "slow")]], finish=False)
    two = scored("/a.mp4", 0.5, faces=[face(0, [0.5]), face(1, [None])])
    make_results(tmp_path / "r", [[two]], finish=False)
    results = open_results(str(tmp_path / "r"))
    assert query(results, "SELECT status, attempts FROM results").rows == [
        {"status": "ok", "attempts": 1}
    ]
    assert query(results, "SELECT track_id, score FROM faces ORDER BY ALL").rows == [
        {"track_id": 0, "score": 0.5},
        {"track_id": 1, "score": None},
    ]


@pytest.mark.cluster
def test_stored_results_are_queried_where_they_are(s3_folder):
    results = open_results(small_run(f"{s3_folder}/run"))
    assert query(results, "SELECT max(score) AS m FROM videos").rows[0]["m"] == pytest.approx(0.9)
    assert query(results, "SELECT count(*) AS n FROM masks").rows == [{"n": 4}]
