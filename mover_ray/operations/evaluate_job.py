"""`evaluate` as a job: the same options, and where the report is written."""

from dataclasses import dataclass

from mover_ray.evaluation.report import Report
from mover_ray.operations.evaluate import EvaluateOptions, evaluate, write
from mover_ray.pipelines.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateJob(EvaluateOptions):
    """What the job `evaluate_results` was asked to do."""

    out: str | None = None
    """Folder for the report's files; None only prints it."""
    address: str | None = None
    """Cluster that the job runs on; evaluation itself needs none."""


def evaluate_and_write(options: EvaluateJob, progress: Progress) -> Report:
    """Measures results, writes the report and gives it.

    Raises:
        ConfigError: The protocol cannot be followed.
        LocationError: There are no such results, or the folder cannot be written.
    """
    found = evaluate(options)
    if options.out is not None:
        for path in write(found, options.out):
            progress.message(f"written: {path}")
    return found.report
