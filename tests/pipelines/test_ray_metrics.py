"""What rows say about the work behind them, and how a run's end is forecast."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.pipelines.ray_metrics import Forecast, Measures
from mover_ray.schemas import EXTRACT, RESULT


def part(schema: pa.Schema, rows: list[dict]) -> pa.Table:
    """Gives the columns of a schema that the rows have, without asking for the others."""
    names = [name for name in schema.names if name in rows[0]]
    return pa.Table.from_pylist(rows, schema=pa.schema([schema.field(name) for name in names]))


def frame(index: int) -> dict:
    return {"frame_index": index, "time_s": 0.0, "box": [0.0, 0.0, 1.0, 1.0]}


def face(frames: int) -> dict:
    return {
        "track_id": 0, "first_s": 0.0, "last_s": 1.0,
        "frames": [frame(index) for index in range(frames)],
    }  # fmt: skip


def test_measures_of_results():
    rows = [
        {"status": "ok", "attempts": 1, "faces": [face(3), face(2)], "bytes_read": 10,
         "decode_ms": 500.0, "score_ms": 250.0},
        {"status": "ok", "attempts": 3, "faces": [], "bytes_read": None,
         "decode_ms": 250.0, "score_ms": None},
        {"status": "corrupt", "attempts": 2, "faces": [], "bytes_read": 5,
         "decode_ms": None, "score_ms": None},
    ]  # fmt: skip
    found = Measures.of(part(RESULT, rows))
    assert found.videos == {"ok": 2, "corrupt": 1}
    assert found.retries == 3
    assert found.frames == 5
    assert found.bytes_read == 15
    assert found.stage_s == {"decode": 0.75, "score": 0.25}


def test_measures_of_crops():
    crop = {
        "track_id": 0, "frame_index": 0, "time_s": 0.0, "box": [0.0] * 4, "affine": [0.0] * 6,
        "jpeg": b"", "landmarks": [[0.0, 0.0]] * 68, "part_boxes": {}, "quality": 1.0,
    }  # fmt: skip
    rows = [{"status": "ok", "attempts": 1, "crops": [crop, crop], "bytes_read": 1}]
    assert Measures.of(part(EXTRACT, rows)).frames == 2


def test_a_table_with_a_status_alone_counts_videos_alone():
    found = Measures.of(pa.table({"status": ["ok", "no_face"]}))
    assert found.videos == {"ok": 1, "no_face": 1}
    assert (found.retries, found.frames, found.bytes_read, found.stage_s) == (0, 0, 0, {})


def test_a_forecast_waits_for_a_twentieth_of_the_work():
    forecast = Forecast(100, started_s=0.0)
    assert forecast.advance(4, 10.0).eta_s is None
    outlook = forecast.advance(1, 10.0)
    assert outlook.left == 95
    assert outlook.eta_s == pytest.approx(190.0)
    assert outlook.lag_s == 0.0


def test_a_run_that_slows_down_lags_behind_its_first_forecast():
    forecast = Forecast(100, started_s=0.0)
    forecast.advance(50, 50.0)  # would end at 100
    outlook = forecast.advance(10, 90.0)
    assert outlook.eta_s == pytest.approx(60.0)
    assert outlook.lag_s == pytest.approx(50.0)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.floats(0.01, 100.0))
def test_a_steady_run_never_lags_and_ends_on_time(parts: list[int], seconds_each: float):
    forecast = Forecast(sum(parts), started_s=7.0)
    done = 0
    for size in parts:
        done += size
        outlook = forecast.advance(size, 7.0 + done * seconds_each)
        assert outlook.lag_s is None or outlook.lag_s == pytest.approx(0.0, abs=1e-6 * done * 100)
    assert outlook.left == 0
    assert outlook.eta_s == 0.0
