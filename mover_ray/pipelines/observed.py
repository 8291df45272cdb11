"""The work on one video made visible: log records carry ids, and a span tells the time."""

import contextlib
from collections.abc import Iterator

from mover_ray.log import log_fields
from mover_ray.pipelines.job import StageSpec
from mover_ray.pipelines.tracing import VideoSpan, video_span
from mover_ray.stages.base import Row


@contextlib.contextmanager
def observed(spec: StageSpec, row: Row) -> Iterator[VideoSpan]:
    """Observes what is done in a `with` block to the video of a row.

    Args:
        spec: The stage that does it; its stamp may name the run.
        row: The row that the stage is given.
    """
    run_id, video_id = spec.stamp.get("run_id"), row["video_id"]
    with (
        log_fields(run_id=run_id, video_id=video_id, stage=spec.name),
        video_span(spec.name, run_id, video_id) as span,
    ):
        yield span
