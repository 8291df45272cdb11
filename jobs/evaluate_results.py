"""Holds results against the truth: `python -m mover_ray.jobs.evaluate_results SPEC.toml`.

The spec has the options of `mover-ray evaluate`; the report is printed as JSON:

    results = ["mover=s3://results/run7"]
    protocol = "cross-dataset"
    out = "/shared/reports/run7"
"""

import sys

from mover_ray.operations.entry import run_job
from mover_ray.operations.evaluate_job import EvaluateJob, evaluate_and_write


def main() -> int:
    """Gives the exit code of the job."""
    return run_job(EvaluateJob, evaluate_and_write, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
