"""OpenTelemetry traces of videos through the stages: an option, off by default.

`MOVER_RAY_TRACES=otlp` sends spans to where `OTEL_EXPORTER_OTLP_ENDPOINT` says;
any other value is a folder in which each process writes its spans as lines of
JSON. `OTEL_TRACES_SAMPLER=traceidratio` with `OTEL_TRACES_SAMPLER_ARG=0.01` keeps
one video in a hundred: the same one in every stage, on whatever node it runs.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mover_ray.errors import ConfigError
from mover_ray.stages.base import Row

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

TRACES_VARIABLE = "MOVER_RAY_TRACES"

#: What a span tells of its row: times and outcome, nothing that was seen in the video.
_ATTRIBUTES = ("status", "attempts", "bytes_read", "fetch_ms", "decode_ms", "faces_ms", "score_ms")


class VideoSpan:
    """The span of one video in one stage; without tracing, nothing."""

    def __init__(self, span: "Span | None") -> None:
        """Wraps a span that has begun."""
        self._span = span

    def finished(self, row: Row) -> None:
        """Notes what became of the video."""
        if self._span is None:
            return
        for name in _ATTRIBUTES:
            if row.get(name) is not None:
                self._span.set_attribute(f"mover.{name}", row[name])


@contextlib.contextmanager
def video_span(stage: str, run_id: str | None, video_id: int) -> Iterator[VideoSpan]:
    """Records the time that a video spends in a stage.

    All spans of a video in a run have one trace id, which both ends compute:
    nothing has to travel with the row.

    Raises:
        ConfigError: Tracing is asked for and cannot be had.
    """
    target = os.environ.get(TRACES_VARIABLE)
    if not target:
        yield VideoSpan(None)
        return
    from opentelemetry import trace

    digest = hashlib.blake2b(f"{run_id}/{video_id}".encode(), digest_size=24).digest()
    parent = trace.SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:]),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    attributes = {"mover.video_id": str(video_id), "mover.run_id": run_id or ""}
    with _tracer(target).start_as_current_span(stage, context, attributes=attributes) as span:
        yield VideoSpan(span)


@functools.cache
def _tracer(target: str) -> "Tracer":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "mover-ray"}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(target)))
    return provider.get_tracer("mover_ray")


def _exporter(target: str) -> "SpanExporter":
    if target == "otlp":
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise ConfigError(
                "traces cannot be sent: the exporter is not installed",
                hint="install `mover-ray[traces]` on every node",
            ) from error
        return OTLPSpanExporter()
    return _file_exporter(Path(target))


def _file_exporter(folder: Path) -> "SpanExporter":
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    class FileExporter(ConsoleSpanExporter):
        def shutdown(self) -> None:
            self.out.close()

    folder.mkdir(parents=True, exist_ok=True)
    # Line by line, so that a process that is killed leaves whole spans.
    file = (folder / f"spans-{os.uname().nodename}-{os.getpid()}.jsonl").open("a", buffering=1)
    return FileExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
