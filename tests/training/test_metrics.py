import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mover_ray.errors import LocationError
from mover_ray.training.metrics import MetricsLog, area_under_roc

scored = st.lists(
    st.tuples(st.integers(0, 5).map(float), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({fake for _, fake in rows}) == 2)


@given(scored)
def test_area_is_that_of_the_yardstick(rows: list[tuple[float, bool]]) -> None:
    scores, is_fake = (np.array(column) for column in zip(*rows, strict=True))

    assert area_under_roc(scores, is_fake) == pytest.approx(roc_auc_score(is_fake, scores))


class Curves:
    def __init__(self) -> None:
        self.points: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.points.append((tag, scalar_value, global_step))


def test_metrics_reach_the_file_and_the_curves(tmp_path: Path) -> None:
    curves = Curves()
    log = MetricsLog(tmp_path / "deep" / "metrics.jsonl", curves)
    log.write("step", 3, {"mse": 0.5, "lr": math.inf})

    line = json.loads((tmp_path / "deep" / "metrics.jsonl").read_text())
    assert line == {"kind": "step", "steps": 3, "mse": 0.5, "lr": None}
    assert curves.points == [("step/mse", 0.5, 3), ("step/lr", math.inf, 3)]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocationError, match="metrics cannot be written"):
        MetricsLog(tmp_path / "file" / "metrics.jsonl").write("step", 1, {})


def test_rewinding_drops_later_lines_and_half_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.rewind(0)
    for steps in (1, 2, 3):
        log.write("step", steps, {"mse": 1.0})
    with path.open("a") as file:
        file.write('{"kind": "st')
    log.rewind(2)

    assert [json.loads(line)["steps"] for line in path.read_text().splitlines()] == [1, 2]
