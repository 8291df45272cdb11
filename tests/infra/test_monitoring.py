"""Dashboards and alerts: they parse, name metrics that exist, and lead to a runbook."""

import inspect
import itertools
import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import Expr

from mover_ray.pipelines import ray_metrics
from mover_ray.serving.metrics import Metrics
from tests.infra.exported import OF_RAY, OF_RAY_WITH_GPUS, OF_RUNS

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "infra" / "monitoring"
BOARDS = sorted((MONITORING / "grafana").glob("*.json"))
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries(board: Path) -> list[str]:
    document = json.loads(board.read_text(encoding="utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


QUERIES = [*itertools.chain.from_iterable(map(queries, BOARDS)), *(r["expr"] for r in RULES)]


def metrics_in(query: str) -> set[str]:
    """Gives the names of the time series that a query reads."""
    found: set[str] = set()
    waiting: list[Any] = [promql_parser.parse(query)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None, query
            found.add(node.name)
            continue
        for name in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
            child = getattr(node, name, None)
            children = child if isinstance(child, list) else [child]
            waiting += [each for each in children if each is not None and not isinstance(each, str)]
    assert found, query
    return found


def served() -> set[str]:
    text = Metrics(lambda: 0).text().decode()
    declared = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    buckets = {f"{name}_bucket" for name, kind in declared.items() if kind == "histogram"}
    return set(declared) | buckets


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_parses_and_names_metrics_that_exist(query):
    assert isinstance(promql_parser.parse(query), Expr)
    assert metrics_in(query) <= OF_RUNS | OF_RAY | OF_RAY_WITH_GPUS | served()


def test_a_query_for_nothing_is_found():
    assert metrics_in('sum(rate(ray_mover_vidoes_total{status!="ok"}[5m])) / 2') == {
        "ray_mover_vidoes_total"
    }
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum(rate(x[5m])")


def test_every_metric_of_runs_is_on_a_dashboard():
    shown = {name for board in BOARDS for query in queries(board) for name in metrics_in(query)}
    assert shown >= OF_RUNS


def test_dashboards_have_their_own_ids_and_no_panel_overlaps():
    assert len({json.loads(board.read_text())["uid"] for board in BOARDS}) == len(BOARDS) == 3
    for board in BOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(board.read_text(encoding="utf-8"))["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_every_alert_says_how_bad_it_is_and_leads_to_a_runbook():
    operators = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", operators, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operators.md"
        assert anchor in anchors, rule["alert"]
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_the_names_of_runs_metrics_are_those_of_the_code():
    source = inspect.getsource(ray_metrics)
    counters = re.findall(r'counter\("(\w+)"', source)
    gauges = re.findall(r'Gauge\("(\w+)"', source)
    named = {f"ray_{name}_total" for name in counters} | {f"ray_{name}" for name in gauges}
    assert named == OF_RUNS


def test_ray_still_has_its_own_metrics():
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    ours = {name.removeprefix("ray_") for name in OF_RAY | OF_RAY_WITH_GPUS}
    of_nodes = {name for name in ours if name.startswith(("node_", "cluster_"))}
    assert of_nodes
    assert of_nodes <= set(METRICS_GAUGES)
