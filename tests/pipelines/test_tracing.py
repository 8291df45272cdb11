"""Traces of videos: one trace over all stages, nothing of the picture, off by default."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mover_ray.errors import ConfigError
from mover_ray.log import JsonFormatter
from mover_ray.pipelines import tracing
from mover_ray.pipelines.job import PipelineConfig, StageSpec
from mover_ray.pipelines.local_engine import run_local
from mover_ray.pipelines.observed import observed
from mover_ray.pipelines.stop import StopRequest
from tests.pipelines.toy import manifest, toy_job


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setenv(tracing.TRACES_VARIABLE, "memory")
    monkeypatch.setattr(tracing, "_tracer", lambda _: provider.get_tracer("test"))
    yield kept
    provider.shutdown()


def spec(run_id: str) -> StageSpec:
    return StageSpec(
        name="decode", build=toy_job().finish.build, schema=toy_job().finish.schema,
        stamp={"run_id": run_id},
    )  # fmt: skip


def test_a_video_has_one_trace_in_a_run_and_another_in_the_next(spans):
    for run_id, video_id in (("one", 7), ("one", 7), ("one", 8), ("two", 7)):
        with observed(spec(run_id), {"video_id": video_id}) as span:
            span.finished({"status": "ok", "decode_ms": 1.5, "uri": "s3://secret", "score": 0.9})
    first, again, other, later = spans.get_finished_spans()
    assert first.context.trace_id == again.context.trace_id
    assert len({each.context.trace_id for each in (first, other, later)}) == 3
    assert first.name == "decode"
    assert dict(first.attributes) == {
        "mover.run_id": "one", "mover.video_id": "7", "mover.status": "ok", "mover.decode_ms": 1.5,
    }  # fmt: skip


def test_both_stages_of_the_local_engine_are_seen(spans):
    job = toy_job().for_run("run")
    run_local(job, manifest(3).table, PipelineConfig(workers=2), lambda *_: None, StopRequest())
    found = spans.get_finished_spans()
    assert sorted(span.name for span in found) == ["finish"] * 3 + ["prepare"] * 3
    assert len({span.context.trace_id for span in found}) == 3


def test_spans_become_lines_of_files(tmp_path: Path):
    exporter = tracing._file_exporter(tmp_path / "spans")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in ("decode", "score"):
        provider.get_tracer("test").start_span(name).end()
    (file,) = (tmp_path / "spans").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["decode", "score"]
    provider.shutdown()


def test_without_tracing_nothing_is_loaded(monkeypatch):
    monkeypatch.delenv(tracing.TRACES_VARIABLE, raising=False)
    monkeypatch.setattr(tracing, "_tracer", lambda _: pytest.fail("a tracer was made"))
    with observed(spec("run"), {"video_id": 1}) as span:
        span.finished({"status": "ok"})


def test_a_missing_exporter_is_a_users_error(monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(ConfigError, match="not installed"):
        tracing._exporter("otlp")


def test_records_carry_the_ids_of_their_video():
    record = logging.LogRecord("mover_ray.x", logging.INFO, "", 0, "slow", None, None)
    with observed(spec("run"), {"video_id": 2**62}):
        line = json.loads(JsonFormatter().format(record))
    assert (line["run_id"], line["video_id"], line["stage"]) == ("run", str(2**62), "decode")
