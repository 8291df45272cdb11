"""Readers see each video once, the latest attempt's row, and no column too many."""

from typing import Any

import numpy as np
import pytest

from mover_ray.errors import LocationError
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.results import open_results, top
from tests.made_results import failed, id_of, make_results, scored, small_run

BAD, THREE = id_of("/b/=bad.mp4"), id_of("/b/three.mp4")
ONE, OTHER_ONE = id_of("/a/one.mp4"), id_of("/b/one.mp4")


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path / "run")


def rows_of(results, *columns):
    return [row for table in results.tables(columns) for row in table.to_pylist()]


def test_every_row_once_with_just_the_columns_asked_for(run):
    results = open_results(run)
    rows = rows_of(results, "status", "video_id")
    assert results.finished
    assert [list(row) for row in rows] == [["status", "video_id"]] * 6
    assert len({row["video_id"] for row in rows}) == 6
    assert rows_of(results, "score")[0].keys() == {"score"}


def test_of_an_unfinished_run_the_latest_attempts_row_counts(tmp_path):
    dest = tmp_path / "run"
    first = failed("/a.mp4", "timeout", "slow")
    make_results(dest, [[first, scored("/b.mp4", 0.2)]], finish=False)
    make_results(dest, [[scored("/a.mp4", 0.7)]], finish=False)
    results = open_results(str(dest))
    assert not results.finished
    statuses = [(row["uri"], row["status"]) for row in rows_of(results, "uri", "status")]
    assert sorted(statuses) == [("/a.mp4", "ok"), ("/b.mp4", "ok")]
    assert results.take([id_of("/a.mp4")], ["status"]) == [{"status": "ok"}]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_top_is_what_sorting_everything_gives(run, count):
    found = top(open_results(run), count, ("uri", "score"))
    assert found.column_names == ["uri", "score"]
    expected = ["/a/one.mp4", "/b/three.mp4", "/a/two.mp4", "/b/one.mp4"]
    assert found["uri"].to_pylist() == expected[:count]


def test_take_keeps_the_order_asked_for(run):
    rows = open_results(run).take([BAD, ONE, 99, THREE], ["uri"])
    assert rows == [{"uri": "/b/=bad.mp4"}, {"uri": "/a/one.mp4"}, {"uri": "/b/three.mp4"}]
    assert len(open_results(run).take([ONE])[0]["masks"]) == 1


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (str(THREE), [THREE]),
        ("/a/one.mp4", [ONE]),
        ("one.mp4", [ONE, OTHER_ONE]),
        ("b/one.mp4", [OTHER_ONE]),
        ("ne.mp4", []),
    ],
)
def test_a_video_is_found_by_id_uri_or_the_end_of_its_uri(run, text, ids):
    assert open_results(run).find(text) == sorted(ids)


def test_a_name_of_none_or_of_several_is_refused(run):
    with pytest.raises(LocationError, match="no such video"):
        open_results(run).row("four.mp4")
    with pytest.raises(LocationError, match="2 videos have this name") as several:
        open_results(run).row("one.mp4")
    assert f"`{ONE}`" in str(several.value.hint)


def test_where_there_are_no_results(tmp_path):
    with pytest.raises(LocationError, match="no results at"):
        open_results(str(tmp_path))
    make_results(tmp_path / "empty", [], finish=False)
    with pytest.raises(LocationError, match="no row yet"):
        open_results(str(tmp_path / "empty"))


def test_a_damaged_part_is_named(run):
    destination = Destination(run, "results")
    name = destination.counting_parts()[0]
    destination.storage.write(destination.part_uri(name), b"PAR1 but no more")
    with pytest.raises(LocationError, match=name):
        rows_of(open_results(run), "uri")


def test_scores_of_stored_results_move_no_mask_bytes(monkeypatch):
    noise = np.random.default_rng(0).bytes(2_000_000)
    row = scored("/a.mp4", 0.5)
    row["masks"] = [{**row["masks"][0], "png": noise}]
    results = open_results(make_results("memory://bucket/run", [[row]]))
    opened: list[Any] = []
    open_part = Destination.open_part

    def recorded(destination, name):
        opened.append(open_part(destination, name))
        return opened[-1]

    monkeypatch.setattr(Destination, "open_part", recorded)
    assert rows_of(results, "score") == [{"score": 0.5}]
    assert results.row("a.mp4", ["uri"]) == {"uri": "/a.mp4"}
    assert 0 < sum(file.bytes_read for file in opened) < 400_000  # the ends of the files
    assert len(results.row("a.mp4", ["masks"])["masks"][0]["png"]) == 2_000_000
    assert sum(file.bytes_read for file in opened) > 2_000_000
