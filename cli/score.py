"""`mover-ray score`: a folder of videos in, one Parquet row a video out."""

from typing import Annotated, Literal

import typer

from .options import (
    Address,
    Assignments,
    ConfigFile,
    Dest,
    DryRun,
    Engine,
    Exclude,
    Fresh,
    Include,
    Json,
    Limit,
    MaxFailed,
    Profile,
    RequireSandbox,
    Retry,
    Sample,
    Since,
    Source,
    split_commas,
)


def score(
    context: typer.Context,
    source: Source,
    dest: Dest,
    model: Annotated[
        str | None, typer.Option(help="Folder of a model bundle.", metavar="BUNDLE")
    ] = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    masks: Annotated[
        Literal["all", "top", "none"] | None,
        typer.Option(
            help="Which frames' masks are kept: all, top (3 of each track; default), none."
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    sample: Sample = None,
    since: Since = None,
    retry: Retry = None,
    fresh: Fresh = False,
    max_failed: MaxFailed = None,
    engine: Engine = "auto",
    address: Address = None,
    profile: Profile = None,
    allow_untrained: Annotated[
        bool,
        typer.Option("--allow-untrained", help="Accept a model whose scores mean nothing."),
    ] = False,
    require_sandbox: RequireSandbox = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score every video of SOURCE for manipulated faces.

    Writes one Parquet row a video under DEST/results. The same command again
    goes on where it was stopped and looks only at what is new.
    """
    from mover_ray.config import gather
    from mover_ray.pipelines import score as pipeline

    from .progress import shown
    from .submission import Call, sent_as_job
    from .summary import end_run, resumable, show_dry_run

    settings = gather(config, assignments or (), profile)
    options = pipeline.ScoreOptions(
        source=source,
        dest=dest,
        model=model,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        limit=limit,
        sample=sample,
        masks=masks,
        since=tuple(since or ()),
        retry=split_commas(retry),
        fresh=fresh,
        engine=engine,
        address=address,
        allow_untrained=allow_untrained,
        require_sandbox=require_sandbox,
        settings=settings,
    )
    if dry_run:
        show_dry_run(pipeline.dry_run(options), as_json=as_json)
        return
    call = Call(context, settings, address, as_json, max_failed)
    if sent_as_job("score", options, call):
        return
    with resumable(), shown() as progress:
        summary = pipeline.score(options, progress)
    end_run(summary, as_json=as_json, max_failed=max_failed)
