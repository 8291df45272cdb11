"""`mover-ray plan`: how many machines an archive takes, and what they cost."""

from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_note
from .options import Json, Profile

if TYPE_CHECKING:
    from mover_ray.operations.plan import Plan


def plan(
    videos: Annotated[str, typer.Option(help="Such as 2500, 10K or 10M.", metavar="N")],
    hours: Annotated[float, typer.Option(help="Time that it may take.", metavar="H")],
    like: Annotated[
        str | None,
        typer.Option(help="A run of `score` whose videos cost as much.", metavar="DEST"),
    ] = None,
    cpu_scoring: Annotated[
        bool, typer.Option("--cpu-scoring", help="That run scored on CPUs, and so will this.")
    ] = False,
    node_cpus: Annotated[int, typer.Option(help="CPUs of a CPU node.", metavar="N")] = 16,
    node_gpus: Annotated[int, typer.Option(help="GPUs of a GPU node.", metavar="N")] = 1,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Size a cluster for an archive.

    Prices come from the section [prices] of mover-ray.toml: cpu_hour, gpu_hour.
    Best given a run over a sample: `mover-ray score ... --sample 1%` and then
    `mover-ray plan --videos 10M --hours 48 --like DEST`.
    """
    from mover_ray.config import gather, read_section
    from mover_ray.errors import ConfigError
    from mover_ray.operations import plan as operation
    from mover_ray.pipelines.costs import PricesConfig

    prices = read_section(PricesConfig, gather(profile=profile), "prices")
    if like is None and cpu_scoring:
        raise ConfigError("--cpu-scoring says something of a run", hint="name it with --like")
    cost = operation.measure(like, on_gpu=not cpu_scoring) if like else operation.VideoCost()
    found = operation.make_plan(
        operation.parse_count(videos),
        hours,
        cost,
        operation.Fleet(node_cpus=node_cpus, node_gpus=node_gpus),
        prices,
    )
    if as_json:
        print_json(found.as_json())
        return
    _show(found)
    if like is None:
        print_note("a video's cost is a guess; a run over a sample says better: --like")


def _show(found: "Plan") -> None:
    lines = [
        ("videos", f"{found.videos:,} in {found.hours:g} h: {found.videos_per_s:,.3g} a second"),
        ("a video", f"{found.video.cpu_s:.3g} CPU s, {found.video.gpu_s:.3g} GPU s"),
        ("CPU nodes", f"{found.cpu_nodes:,}, CPUs of each: {found.fleet.node_cpus}"),
        ("GPU nodes", f"{found.gpu_nodes:,}, GPUs of each: {found.fleet.node_gpus}"),
        ("read", f"{found.gbit_per_s:.3g} Gbit/s from the store"),
        ("hours", f"{found.cpu_hours:,.0f} of CPUs, {found.gpu_hours:,.0f} of GPUs"),
        ("cost", "unknown: set prices.cpu_hour and prices.gpu_hour"),
    ]
    if found.cost is not None:
        lines[-1] = ("cost", f"{found.cost:,.2f} {found.currency}")
    for name, value in lines:
        typer.echo(f"{name:<9}  {value}")
