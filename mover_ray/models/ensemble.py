"""Ensembles: bundles of bundles, whose calibrated logits are averaged.

An ensemble is a folder of `bundle.json` and, under `members/`, a whole bundle for each
detector. Each member keeps its own view of a video and its own calibration; the ensemble
has a calibration of what comes out.
"""

import dataclasses
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any

from mover_ray import __version__
from mover_ray.config import Settings, from_mapping, to_mapping
from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.models import bundle as bundles
from mover_ray.models import bundle_folder
from mover_ray.models.bundle import Bundle
from mover_ray.models.bundle_card import FORMAT_VERSION, Training, check_model_id
from mover_ray.models.bundle_folder import CARD_NAME
from mover_ray.models.calibration import Calibration, Threshold
from mover_ray.models.view import View
from mover_ray.provenance import dump_json

#: Stands for the kind of detector in tables and on the command line.
ENSEMBLE = "ensemble"

_MEMBERS = "members"
#: A probability beyond this many logits is as certain as this.
_MOST_CERTAIN = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleCard:
    """An ensemble without its members' weights."""

    model_id: str
    """Name that every row carries."""
    trained: bool
    """Whether every member is trained."""
    licence: str
    """What binds the use of the members' weights."""
    member_sha256: dict[str, str]
    """`model_sha256` of each member by its name, which is that of its folder."""
    calibration: Calibration
    """From the mean of the members' calibrated logits to a probability."""
    thresholds: tuple[Threshold, ...] = ()
    """Scores at stated false-positive rates; empty where none was measured."""
    training: Training
    """How the ensemble came about."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for fewer than two members or a name that cannot go into rows."""
        if len(self.member_sha256) < 2:
            hint = "name two bundles or more"
            raise ConfigError(f"an ensemble of {len(self.member_sha256)} members", hint=hint)
        for name in (self.model_id, *self.member_sha256):
            check_model_id(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble(EnsembleCard):
    """An ensemble as it lies on disk; see `Bundle`, whose place it takes."""

    path: Path
    """Folder of the ensemble, absolute."""
    members: tuple[Bundle, ...]
    """In the order of `member_sha256`, by name."""
    model_sha256: str
    """SHA-256 of `bundle.json` in its one spelling, which holds those of the members."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members."""
        return tuple(self.member_sha256)

    @property
    def views(self) -> tuple[View, ...]:
        """What the members are shown, each view once, by first appearance."""
        return tuple(dict.fromkeys(view for member in self.members for view in member.views))

    @property
    def places(self) -> tuple[int, ...]:
        """Where each member's view stands in `views`."""
        views = self.views
        return tuple(views.index(member.views[0]) for member in self.members)


def is_ensemble(document: Any) -> bool:
    """Whether a `bundle.json` describes an ensemble."""
    return isinstance(document, dict) and "member_sha256" in document


def create(path: str | Path, members: Sequence[Bundle], model_id: str | None = None) -> Ensemble:
    """Makes an ensemble of bundles, which are copied into it.

    Its calibration is the identity: the members' own are what is averaged.

    Args:
        path: The folder to make; it must not exist.
        members: Two or more.
        model_id: Name in every row; None makes one of the members'.

    Raises:
        ConfigError: There are fewer than two members, or one is there twice.
        LocationError: `path` exists or cannot be written.
    """
    hashes = {member.model_sha256 for member in members}
    if len(hashes) < len(members):
        raise ConfigError("an ensemble holds each bundle once")
    named = sorted(
        zip(_names([one.model_id for one in members]), members, strict=True), key=itemgetter(0)
    )
    card = EnsembleCard(
        model_id=model_id or _joint_id([name for name, _ in named]),
        trained=all(member.trained for member in members),
        licence="; ".join(dict.fromkeys(member.licence for member in members)),
        member_sha256={name: member.model_sha256 for name, member in named},
        calibration=Calibration(),
        training=Training(code_version=__version__),
    )
    return save(path, card, [member for _, member in named])


def save(path: str | Path, card: EnsembleCard, members: Sequence[Bundle]) -> Ensemble:
    """Writes an ensemble; it appears at `path` whole or not at all.

    Args:
        path: The folder to make; it must not exist.
        card: What it is to say of itself.
        members: Copied, in the order of the card.

    Raises:
        LocationError: `path` exists or cannot be written.
    """
    folder = Path(path)
    document: Settings = {"format_version": FORMAT_VERSION, **to_mapping(card)}
    with bundle_folder.written_whole(folder) as draft:
        for name, member in zip(card.member_sha256, members, strict=True):
            shutil.copytree(member.path, draft / _MEMBERS / name)
        (draft / CARD_NAME).write_text(dump_json(document), encoding="utf-8")
    return load(folder)


def load(path: str | Path) -> Ensemble:
    """Reads what an ensemble and its members say of themselves; see `bundle.load`.

    Raises:
        ArtifactError: There is no ensemble at `path`, or it or a member is altered.
    """
    folder = bundle_folder.find(path)
    document, model_sha256 = bundle_folder.read_card(folder)
    card = _card(document)
    members = []
    for name, sha256 in card.member_sha256.items():
        member = bundles.load(folder / _MEMBERS / name)
        if member.model_sha256 != sha256:
            raise ArtifactError(f"the member is not the one that the ensemble names: `{name}`")
        members.append(member)
    if card.trained and not all(member.trained for member in members):
        raise ArtifactError(f"an ensemble with an untrained member says it is trained: `{path}`")
    said = {item.name: getattr(card, item.name) for item in fields(EnsembleCard)}
    return Ensemble(
        **said, path=folder.absolute(), members=tuple(members), model_sha256=model_sha256
    )


def recarded(ensemble: Ensemble, **changes: Any) -> EnsembleCard:
    """Gives an ensemble's card with other values in some fields."""
    said = {item.name: getattr(ensemble, item.name) for item in fields(EnsembleCard)}
    return dataclasses.replace(EnsembleCard(**said), **changes)


def calibrated_logit(member: Bundle, logit: float, num_tracks: int) -> float:
    """Gives the logit of a member's probability, which certain scores keep finite.

    Args:
        member: Its calibration counts.
        logit: Largest logit of the video's eligible tracks.
        num_tracks: Number of those tracks, at least 1.

    Raises:
        InputError: `logit` is not finite (status `model_error`).
    """
    probability = member.calibration.apply(logit, num_tracks)
    if member.calibration.curve_logits:
        return logit_of(probability)
    return member.calibration.logit(logit, num_tracks)


def logit_of(probability: float) -> float:
    """Gives a logit between -30 and 30."""
    if not 0.0 < probability < 1.0:
        return math.copysign(_MOST_CERTAIN, probability - 0.5)
    logit = math.log(probability) - math.log1p(-probability)
    return min(max(logit, -_MOST_CERTAIN), _MOST_CERTAIN)


def _card(document: Any) -> EnsembleCard:
    if not is_ensemble(document):
        raise ArtifactError(f"{CARD_NAME} describes no ensemble")
    settings = dict(document)
    version = settings.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ArtifactError(f"unknown format_version in {CARD_NAME}: `{version}`")
    try:
        return from_mapping(EnsembleCard, settings)
    # TypeError: a nested table lacks a key that has no default.
    except (ConfigError, TypeError) as error:
        raise ArtifactError(f"{CARD_NAME} is not acceptable: {error}") from error


def _names(model_ids: Sequence[str]) -> list[str]:
    """Gives each member its model's name; all are numbered where two have the same one."""
    if len(set(model_ids)) == len(model_ids):
        return list(model_ids)
    return [f"{name[:60]}-{number}" for number, name in enumerate(model_ids)]


def _joint_id(names: Sequence[str]) -> str:
    return "-".join((ENSEMBLE, *names))[:64]
