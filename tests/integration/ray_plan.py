"""Runs `extract` on Ray Data without its sink; prints what was executed, as JSON."""

import json
import sys

from mover_ray.datasets import manifest
from mover_ray.pipelines import extract
from mover_ray.pipelines.job import PipelineConfig
from mover_ray.pipelines.ray_config import RayConfig, prepare_environment


def main(archive: str, folder: str) -> None:
    """Extracts two frames of every video of the archive."""
    config = RayConfig(num_cpus=2, temp_dir=folder)
    prepare_environment(config)
    from mover_ray.pipelines import ray_engine
    from mover_ray.pipelines.resources import plan_pools

    options = extract.ExtractOptions(
        source=archive, dest=folder, settings={"sampling": {"frames": 2}}
    )
    work = options.manifest().table
    manifest.write(f"{folder}/work.parquet", work)
    with ray_engine.connected(config):
        pools = plan_pools(PipelineConfig())
        rows = PipelineConfig().block_rows(work.num_rows, pools.prepare_max)
        dataset = ray_engine.build_dataset(
            extract.plan(extract.resolve(options)), f"{folder}/work.parquet", rows, pools, 4
        ).materialize()
        found = {
            "stats": dataset.stats(),
            "blocks": dataset.num_blocks(),
            "rows": dataset.count(),
            "pools": [pools.prepare_max, pools.finish_max],
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
