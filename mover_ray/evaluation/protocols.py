"""The protocols of the papers by name: which videos make the lines of which table."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from mover_ray.config import suggest
from mover_ray.errors import ConfigError
from mover_ray.evaluation.published import FACEFORENSICS, family_of
from mover_ray.evaluation.ranking import Bools
from mover_ray.evaluation.videos import Videos

Axis = Literal["dataset", "method", "coverage"]

#: Manipulations of FaceForensics++ that make the 4 x 4 table.
MANIPULATIONS: Final = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")

#: Borders of the shares of sampled frames with a face.
COVERAGE_BORDERS: Final = (0.0, 0.5, 0.75, 0.95, 1.0)

_SHARE = re.compile(r"\d+(\.\d+)?%")
_DEGRADED = re.compile(r"(?P<kind>[a-z_]+)-(?P<level>[0-5])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Which question a table answers, and how its lines come about."""

    question: str
    """What the table says, in one sentence."""
    axis: Axis = "dataset"
    """What the lines of one data set are told apart by."""
    only: tuple[str, ...] = ()
    """Data sets that take part, without compression; empty for every one."""
    without: tuple[str, ...] = ()
    """Data sets that do not, because the protocol trains on them."""
    names: Callable[[str], bool] | None = None
    """Says whether results may bear that name; None where any will do."""
    naming: str = ""
    """What the names of results must be, for messages."""
    frames: bool = False
    """Also measure single frames, in a table of their own."""
    masks: bool = False
    """Also measure masks, in a table of their own."""
    quirks: tuple[str, ...] = ()
    """In what the table departs from an honest one."""


@dataclass(frozen=True, slots=True)
class Subset:
    """The videos of one line."""

    dataset: str
    part: str
    """Manipulation or range of coverage; empty for all of the data set."""
    chosen: Bools
    """[N], which videos of the run."""


def parse_degradation(name: str) -> tuple[str, int] | None:
    """Gives the kind and level in a name such as `blur-3`; None where it is no such name."""
    match = _DEGRADED.fullmatch(name)
    return (match["kind"], int(match["level"])) if match else None


PROTOCOLS: Final[dict[str, Protocol]] = {
    "summary": Protocol(
        question="How well is each manipulation of each data set told from real videos?",
        axis="method",
    ),
    "cross-dataset": Protocol(
        question="How well does a model trained on FaceForensics++ do on other data sets?",
        without=(FACEFORENSICS,),
    ),
    "cross-manipulation": Protocol(
        question="How well does a model trained on one manipulation do on the other three?",
        axis="method",
        only=(FACEFORENSICS,),
        names=MANIPULATIONS.__contains__,
        naming="the manipulation that was trained on: " + ", ".join(MANIPULATIONS),
    ),
    "intra": Protocol(
        question="How well does a model do on manipulations that it was trained on?",
        axis="method",
        only=(FACEFORENSICS,),
    ),
    "ablations": Protocol(
        question="What does each part of a model contribute on other data sets?",
        without=(FACEFORENSICS,),
    ),
    "few-data": Protocol(
        question="How well does a model do that was trained on a share of the data?",
        names=lambda name: _SHARE.fullmatch(name) is not None,
        naming="the share of the training data, such as 10%",
    ),
    "missing-faces": Protocol(
        question="How well does a model do where the face was not found in every frame?",
        axis="coverage",
    ),
    "localization": Protocol(
        question="How well do masks show what was manipulated?",
        axis="method",
        masks=True,
    ),
    "diffusion-images": Protocol(
        question="How well does a model do on pictures of generators that it never saw?",
        axis="method",
    ),
    "robustness": Protocol(
        question="How much of a model's skill is left after damage of five levels?",
        names=lambda name: parse_degradation(name) is not None,
        naming="the kind of damage and its level, such as blur-3; level 0 is undamaged",
    ),
    "deepfakebench": Protocol(
        question="What would the field's usual benchmark report?",
        frames=True,
        quirks=(
            "frames-count-alone: a video of many frames weighs more than one of few",
            "names-merge: videos of one name are one, whatever their manipulation",
            "failures-vanish: videos without a score are in no figure",
        ),
    ),
}


def find_protocol(name: str) -> Protocol:
    """Gives a protocol.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol: `{name}`", hint=suggest(name, PROTOCOLS))
    return PROTOCOLS[name]


def check_names(protocol: Protocol, names: list[str]) -> None:
    """Raises `ConfigError` unless results bear names that the protocol can place."""
    for name in names:
        if protocol.names is not None and not protocol.names(name):
            raise ConfigError(
                f"the protocol cannot place these results: `{name}`",
                hint=f"write NAME=RESULTS, where NAME is {protocol.naming}",
            )


def takes(protocol: Protocol, dataset: str) -> bool:
    """Says whether a data set takes part in a protocol."""
    family = family_of(dataset)
    return family not in protocol.without and (not protocol.only or family in protocol.only)


def subsets(protocol: Protocol, videos: Videos) -> Iterator[Subset]:
    """Gives the lines of one run: each data set whole, then its parts.

    A manipulation stands against all real videos of its data set.

    Args:
        protocol: Says which data sets take part and what their parts are.
        videos: Of the split that is evaluated.
    """
    for dataset in sorted(set(videos.dataset)):
        if not takes(protocol, dataset):
            continue
        inside = videos.dataset == dataset
        yield Subset(dataset, "", inside)
        parts = {"dataset": _nothing, "method": _by_method, "coverage": _by_coverage}
        for name, chosen in parts[protocol.axis](videos, inside):
            yield Subset(dataset, name, chosen)


def _nothing(_videos: Videos, _inside: Bools) -> Iterator[tuple[str, Bools]]:
    return iter(())


def _by_method(videos: Videos, inside: Bools) -> Iterator[tuple[str, Bools]]:
    fakes = inside & videos.fake
    for method in sorted(set(videos.method[fakes]) - {""}):
        yield method, (fakes & (videos.method == method)) | (inside & ~videos.fake)


def _by_coverage(videos: Videos, inside: Bools) -> Iterator[tuple[str, Bools]]:
    """Gives ranges of coverage; the last one holds its upper border too."""
    for low, high in pairwise(COVERAGE_BORDERS):
        below = videos.coverage <= high if high == 1 else videos.coverage < high
        chosen = inside & (videos.coverage >= low) & below
        if np.any(chosen):
            yield f"{low:.0%} to {high:.0%}", chosen
