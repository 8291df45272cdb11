"""Scores the videos of a source: `python -m mover_ray.jobs.score_videos SPEC.toml`.

The spec has the options of `mover-ray score` and, under `settings`, its settings:

    source = "s3://archive/2024/"
    dest = "s3://results/run7"
    model = "/models/mover-s"
    [settings.pipeline]
    videos_per_block = 16
"""

import sys

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.score import ScoreOptions, score


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(ScoreOptions, score, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
