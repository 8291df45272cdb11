"""`mover-ray extract`: aligned face crops, landmarks and parts as Parquet."""

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


def extract(
    context: typer.Context,
    source: Source,
    dest: Dest,
    config: ConfigFile = None,
    assignments: Assignments = None,
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
    require_sandbox: RequireSandbox = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Cut aligned faces out of every video of SOURCE.

    What training reads: one Parquet row a video under DEST/crops, with JPEG
    crops, 68 landmarks and boxes of the facial parts. The same command again
    goes on where it was stopped.
    """
    from mover_ray.config import gather
    from mover_ray.pipelines import extract as pipeline

    from .progress import shown
    from .submission import Call, sent_as_job
    from .summary import end_run, resumable, show_dry_run

    settings = gather(config, assignments or (), profile)
    options = pipeline.ExtractOptions(
        source=source,
        dest=dest,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        limit=limit,
        sample=sample,
        since=tuple(since or ()),
        retry=split_commas(retry),
        fresh=fresh,
        engine=engine,
        address=address,
        require_sandbox=require_sandbox,
        settings=settings,
    )
    if dry_run:
        show_dry_run(pipeline.dry_run(options), as_json=as_json)
        return
    call = Call(context, settings, address, as_json, max_failed)
    if sent_as_job("extract", options, call):
        return
    with resumable(), shown() as progress:
        summary = pipeline.extract(options, progress)
    end_run(summary, as_json=as_json, max_failed=max_failed)
