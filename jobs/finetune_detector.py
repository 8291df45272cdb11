"""Trains the second stage: `python -m mover_ray.jobs.finetune_detector SPEC.toml`.

The spec has the options of `mover-ray train finetune` and, under `settings`, its settings:

    preset = "mover-ffpp"
    corpus = ["s3://corpus/ffpp-crops"]
    start = "s3://models/mover-stage1"
    dest = "s3://models/mover-stage2"
    workers = "2:8"
    address = "auto"
    [settings.training.recipe]
    epochs = 20
"""

import sys
from functools import partial

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.train import TrainOptions, train


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(TrainOptions, partial(train, "finetune"), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
