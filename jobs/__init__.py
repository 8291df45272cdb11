"""Entry points of jobs: `python -m mover_ray.jobs.score_videos SPEC.toml`."""
