"""Cuts out the faces of a source: `python -m mover_ray.jobs.extract_faces SPEC.toml`.

The spec has the options of `mover-ray extract` and, under `settings`, its settings:

    source = "s3://corpus/real/"
    dest = "s3://corpus/crops"
    [settings.faces]
    margin = 1.3
"""

import sys

from mover_ray.operations.entry import run_job
from mover_ray.pipelines.extract import ExtractOptions, extract


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(ExtractOptions, extract, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
