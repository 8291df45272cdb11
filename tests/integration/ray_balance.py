"""Runs made-up videos of different sizes on Ray Data; prints the sizes in each part, as JSON."""

import json
import sys

import numpy as np

from mover_ray.datasets.manifest import BuiltManifest
from mover_ray.datasets.rows import table_from_columns
from mover_ray.pipelines.destination import Destination
from mover_ray.pipelines.job import PipelineConfig
from mover_ray.pipelines.parts import read_table
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.ray_config import RayConfig
from mover_ray.pipelines.run import RunOptions, run
from tests.pipelines.toy import number_of, toy_job

VIDEOS, BLOCK = 90, 8


def main(dest: str, folder: str) -> None:
    """Lists the videos from the smallest to the largest, the worst order there is."""
    sizes = np.sort(np.random.default_rng(3).lognormal(10, 2, VIDEOS).astype(int)).tolist()
    table = table_from_columns(
        {"uri": [f"/archive/{n}.mp4" for n in range(VIDEOS)], "size_bytes": sizes}
    )
    options = RunOptions(
        dest=dest,
        engine="ray",
        pipeline=PipelineConfig(videos_per_block=BLOCK, workers=2),
        ray=RayConfig(num_cpus=2, temp_dir=folder),
    )
    run(toy_job(), BuiltManifest(table), options, Quiet())
    destination = Destination(dest, "results")
    parts = [
        [sizes[number_of(row)] for row in read_table(destination, name).to_pylist()]
        for name in destination.part_names()
    ]
    sys.stdout.write(json.dumps({"parts": parts, "sizes": sizes}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
