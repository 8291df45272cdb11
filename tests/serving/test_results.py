"""Pages of past results: complete, in order, and each tenant's own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mover_ray.serving.problems import Problem
from mover_ray.serving.result_pages import ORDERS, Selection, read_page
from tests.made_results import failed, id_of, make_results, mask_png, scored
from tests.serving.service import Service, serving

START = datetime(2026, 1, 1, tzinfo=UTC)
SCORES = (0.9, 0.5, 0.5, 0.5, 0.1, 0.7, 0.0, 1.0)


@pytest.fixture(scope="module")
def dest(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [
        scored(f"/a/{number}.mp4", score, scored_at=START + timedelta(hours=number))
        for number, score in enumerate(SCORES)
    ]
    rows += [failed(f"/b/{number}.mp4", "corrupt", "no video") for number in range(3)]
    path = tmp_path_factory.mktemp("results") / "run"
    return make_results(path, [rows[:4], rows[4:6], rows[6:]])


@pytest.fixture
def service(settings: dict[str, Any], dest: str, the_keys: dict[str, str]) -> Iterator[Service]:
    own = make_results(
        f"{Path(dest).parent}/of-alice-{id(settings)}", [[scored("/own/secret.mp4", 0.8)]]
    )
    datasets = {"run": dest, "own": own.replace("alice", "{tenant}")}
    with serving(settings | {"datasets": datasets}, key=the_keys["alice"]) as running:
        yield running


def walk(dest: str, **selection: Any) -> list[dict[str, Any]]:
    """Gives the rows of all pages."""
    rows, cursor = [], None
    while True:
        page = read_page(dest, Selection(**selection, cursor=cursor))
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows


@hypothesis_settings(max_examples=20, deadline=None)
@given(limit=st.integers(1, 12), order=st.sampled_from(ORDERS))
def test_pages_give_every_row_once_and_in_order(dest: str, limit: int, order: str) -> None:
    rows = walk(dest, limit=limit, order=order)
    assert len({row["video_id"] for row in rows}) == len(rows) == 11
    name = order.lstrip("-")
    values = [row[name] for row in rows if row[name] is not None]
    expected = sorted(values, reverse=order.startswith("-"))
    assert values == expected
    missing = [row[name] is None for row in rows]
    assert missing == sorted(missing), "rows without a value come last"


def test_filters_are_met_together(dest: str) -> None:
    rows = walk(dest, min_score=0.5, max_score=0.9, scored_after=START + timedelta(hours=2))
    assert rows[0]["uri"] == "/a/5.mp4"
    assert {row["uri"] for row in rows} == {"/a/2.mp4", "/a/3.mp4", "/a/5.mp4"}
    assert len(walk(dest, status="corrupt", limit=2)) == 3
    np.testing.assert_allclose(
        [row["score"] for row in walk(dest, max_score=0.1)], [0.1, 0.0], rtol=1e-6
    )


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "W10=", "é", "WyItc2NvcmUiLCAieCIsICIxIl0="])
def test_a_made_up_cursor_is_refused(dest: str, cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        read_page(dest, Selection(cursor=cursor))
    assert refused.value.status_code == 422


def test_a_cursor_belongs_to_its_order(dest: str) -> None:
    cursor = read_page(dest, Selection(limit=1)).next_cursor
    with pytest.raises(Problem):
        read_page(dest, Selection(limit=1, order="score", cursor=cursor))


def test_pages_over_http(service: Service) -> None:
    first = service.ask("GET", "/v1/results", params={"dataset": "run", "limit": 3}).json()
    assert [round(row["score"], 3) for row in first["results"]] == [1.0, 0.9, 0.7]
    assert all(isinstance(row["video_id"], str) for row in first["results"])
    assert first["results"][0]["masks"] == []
    params = {"dataset": "run", "limit": 500, "cursor": first["next_cursor"]}
    rest = service.ask("GET", "/v1/results", params=params).json()
    assert (len(rest["results"]), rest["next_cursor"]) == (8, None)


def test_masks_over_http(service: Service) -> None:
    video = id_of("/a/0.mp4")
    base = f"/v1/results/{video}/masks"
    (one,) = service.ask("GET", base, params={"dataset": "run"}).json()["masks"]
    assert "png" not in one
    answer = service.ask("GET", one["href"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == mask_png()
    missing = service.ask("GET", f"{base}/7/7.png", params={"dataset": "run"})
    assert missing.status_code == 404


def test_a_tenants_dataset_is_not_there_for_another(
    service: Service, the_keys: dict[str, str]
) -> None:
    ask = {"params": {"dataset": "own"}}
    assert len(service.ask("GET", "/v1/results", **ask).json()["results"]) == 1
    answer = service.ask("GET", "/v1/results", key=the_keys["bob"], **ask)
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "/own" not in answer.text


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 404),
        ({"dataset": "none"}, 404),
        ({"dataset": "../run"}, 404),
        ({"dataset": "run", "scan": "x"}, 404),
        ({"dataset": "run", "limit": 0}, 422),
        ({"dataset": "run", "limit": 501}, 422),
        ({"dataset": "run", "min_score": "nan"}, 422),
        ({"dataset": "run", "status": "fine"}, 422),
        ({"dataset": "run", "order": "uri"}, 422),
        ({"dataset": "run", "scored_after": "2026-01-01T00:00:00"}, 422),
    ],
)
def test_a_wrong_question_is_refused(service: Service, params: dict[str, Any], status: int) -> None:
    answer = service.ask("GET", "/v1/results", params=params)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize("video", ["9" * 19, "-1", "x", "1" * 30])
def test_a_video_that_is_not_there(service: Service, video: str) -> None:
    answer = service.ask("GET", f"/v1/results/{video}/masks", params={"dataset": "run"})
    assert answer.status_code in (404, 422)
