"""A program: runs a toy job on Ray in which one video ends every worker that touches it."""

import json
import os
import signal
import sys
from functools import partial

from mover_ray.pipelines.job import Job, PipelineConfig, StageSpec
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.run import RunOptions, run
from mover_ray.schemas import FACES
from mover_ray.stages.base import Row
from tests.pipelines.toy import SCHEMA, Pass, Prepare, manifest, number_of

POISON = 7


class Poisoned(Prepare):
    """Ends its own process over one video, as a native library might."""

    def __call__(self, row: Row) -> Row:
        if number_of(row) == POISON:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__call__(row)


def main(dest: str, temp: str, *retry: str) -> None:
    """Runs the job; a `retry` means that the video has been mended."""
    stage = Prepare if retry else Poisoned
    job = Job(
        folder="results",
        prepare=StageSpec(name="prepare", build=partial(stage, {}), schema=FACES),
        finish=StageSpec(name="finish", build=Pass, schema=SCHEMA),
        identity={"command": "toy", "model": "one"},
        settings={},
    )
    options = RunOptions(
        dest=dest,
        engine="ray",
        retry=retry,
        pipeline=PipelineConfig(videos_per_block=4, workers=2, quarantine_after=2),
        ray=RayConfig(num_cpus=2, temp_dir=temp),
    )
    summary = run(job, manifest(16), options, Quiet())
    sys.stdout.write(json.dumps({"counts": summary.counts, "resumed": summary.resumed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
