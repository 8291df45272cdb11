"""The commands for analysts, as they are typed."""

import json

import pytest

from tests.made_results import small_run


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path / "run")


def test_top_show_and_sql_for_people_and_as_json(mover_ray, run):
    shown = mover_ray("results", "top", run, "-n", 2)
    assert [line.split()[0] for line in shown.out.splitlines()[3:5]] == [
        "/a/one.mp4",
        "/b/three.mp4",
    ]
    assert json.loads(mover_ray("results", "top", run, "--json").out)[0]["uri"] == "/a/one.mp4"
    assert "0.55" in mover_ray("results", "show", run, "three.mp4").out
    row = json.loads(mover_ray("results", "show", run, "three.mp4", "--json").out)
    assert row["faces"][0]["track_id"] == 0
    asked = "SELECT status, count(*) AS n FROM videos GROUP BY ALL ORDER BY n DESC LIMIT 1"
    assert json.loads(mover_ray("results", "sql", run, asked, "--json").out) == [
        {"status": "ok", "n": 4}
    ]
    assert "ok" in mover_ray("results", "sql", run, asked).out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["results", "top", "nowhere"], 5, "no results at"),
        (["results", "show", "run", "four.mp4"], 5, "no such video"),
        (["results", "sql", "run", "SELEC"], 2, "cannot be answered"),
        (["results", "export", "run", "--out", "run"], 2, "destination exists"),
        (["results", "export", "run", "--out", "x", "--min-score", 2], 2, "out of range"),
        (["report", "run", "--model", "nowhere"], 3, "no such bundle"),
        (["overlay", "none.mp4", "run", "--out", "o.mp4"], 2, "has no score"),
        (["review", "import", "nowhere.json", "run", "--out", "m.parquet"], 5, "cannot be read"),
        (["forget", "two.mp4", "run"], 2, "nobody is there to be asked"),
        (["forget", "four.mp4", "run", "--yes"], 5, "no such video"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_code(mover_ray, run, arguments, code, said):
    ended = mover_ray(*arguments)
    assert ended.code == code
    assert said in ended.error
    assert "Traceback" not in ended.err


def test_export_review_report_and_forget_write_what_they_say(mover_ray, run, tmp_path):
    assert mover_ray("results", "export", run, "--out", "x.csv").code == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 7
    assert "3 videos" in mover_ray("review", "export", run, "--out", "r", "--limit", 3).err
    ended = mover_ray("report", run, "--no-pictures", "--cards", 1)
    assert (ended.code, (tmp_path / "report.html").is_file()) == (0, True)
    found = json.loads(mover_ray("forget", "two.mp4", run, "--yes", "--json").out)
    assert (found["rows"], found["masks"]) == (1, 1)
    assert "removed: 1 rows" in mover_ray("forget", "three.mp4", run, "--yes").out
