"""`mover-ray overlay`: findings drawn over a video."""

from pathlib import Path
from typing import Annotated

import typer

from .console import print_note


def overlay(
    video: Annotated[
        str, typer.Argument(help="A scored video: id, uri or file name.", metavar="VIDEO")
    ],
    results: Annotated[str, typer.Argument(help="Results of `score`.", metavar="RESULTS")],
    out: Annotated[Path, typer.Option(help="MP4 file to write.", metavar="FILE")],
    crf: Annotated[
        int, typer.Option(min=0, max=51, help="Quality; less is better.", metavar="N")
    ] = 23,
) -> None:
    """Draw boxes, scores, marked regions and a timeline over a video.

    Faces stay recognisable. The sound is kept.
    """
    from mover_ray.operations import overlay as operation
    from mover_ray.video.encode import EncoderConfig

    encoder = EncoderConfig(crf=crf, preset="veryfast")
    options = operation.OverlayOptions(video=video, results=results, out=out, encoder=encoder)
    row = operation.write_overlay(options)
    print_note(f"written: {out}, score {row['score']:.3f}")
