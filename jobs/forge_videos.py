"""Forges a corpus of pseudo-fakes: `python -m mover_ray.jobs.forge_videos SPEC.toml`.

The spec has the options of `mover-ray forge` and, under `settings`, its settings:

    source = "s3://corpus/real/"
    dest = "s3://corpus/forged"
    methods = ["self_blended", "faceswap"]
    seed = 1
    [settings.encoder]
    crf = 40
"""

import sys

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.forge import ForgeOptions, forge


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(ForgeOptions, forge, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
