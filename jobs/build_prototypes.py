"""Makes FCG's prototypes: `python -m mover_ray.jobs.build_prototypes SPEC.toml`.

The spec has the options of `mover-ray train prototypes` and, under `settings`, its settings:

    preset = "fcg-clip-l14"
    corpus = ["s3://corpus/ffpp-crops"]
    dest = "s3://models/fcg-prototypes"
"""

import sys

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.train import TrainOptions
from mover_ray.pipelines.train_prototypes import build_prototypes


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(TrainOptions, build_prototypes, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
