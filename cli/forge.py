"""`mover-ray forge`: a corpus of pseudo-fakes with masks from real videos."""

from typing import Annotated

import typer

from .options import (
    Address,
    Assignments,
    ConfigFile,
    Dest,
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
    Source,
    split_commas,
)


def forge(
    context: typer.Context,
    source: Source,
    dest: Dest,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Manipulations, with commas: self_blended, faceswap, deepfakes, face2face, ...",
            metavar="METHOD,...",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Another one gives another corpus (default 0).")
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(min=0, max=51, help="Quality of the files: 23 (default) is c23, 40 is c40."),
    ] = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    sample: Sample = None,
    retry: Retry = None,
    fresh: Fresh = False,
    max_failed: MaxFailed = None,
    engine: Engine = "auto",
    address: Address = None,
    profile: Profile = None,
    require_sandbox: RequireSandbox = False,
    as_json: Json = False,
) -> None:
    """Forge the faces of the real videos of SOURCE.

    Writes a corpus in the layout of FaceForensics++: real and forged videos
    through the same encoder, lossless masks, splits by person, a manifest. One
    Parquet row a file lies under DEST/files. The same command again goes on
    where it was stopped; further methods can be added.
    """
    from mover_ray.config import gather
    from mover_ray.pipelines import forge as pipeline

    from .progress import shown
    from .submission import Call, sent_as_job
    from .summary import end_run, resumable

    settings = gather(config, assignments or (), profile)
    options = pipeline.ForgeOptions(
        source=source,
        dest=dest,
        methods=split_commas(methods),
        seed=seed,
        crf=crf,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        limit=limit,
        sample=sample,
        retry=split_commas(retry),
        fresh=fresh,
        engine=engine,
        address=address,
        require_sandbox=require_sandbox,
        settings=settings,
    )
    call = Call(context, settings, address, as_json, max_failed)
    if sent_as_job("forge", options, call):
        return
    with resumable():
        corpus_run = pipeline.CorpusRun(options)
        with shown() as progress:
            corpus_run.survey(progress)
            summary = corpus_run.forge(progress)
    end_run(summary, as_json=as_json, max_failed=max_failed)
