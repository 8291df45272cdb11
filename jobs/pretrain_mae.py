"""Trains the first stage: `python -m mover_ray.jobs.pretrain_mae SPEC.toml`.

The spec has the options of `mover-ray train pretrain` and, under `settings`, its settings:

    preset = "deepfakemae-ffpp"
    corpus = ["s3://corpus/real-crops"]
    dest = "s3://models/mover-stage1"
    workers = "2:8"
    address = "auto"
    [settings.training.recipe]
    epochs = 50
"""

import sys
from functools import partial

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.train import TrainOptions, train


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(TrainOptions, partial(train, "pretrain"), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
