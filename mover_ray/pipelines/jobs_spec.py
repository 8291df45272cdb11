"""What a job is to do, spelled so that the same submission has the same name."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mover_ray.config import fingerprint
from mover_ray.errors import ConfigError, StorageError
from mover_ray.pipelines.destination import SUCCESS_NAME
from mover_ray.status import Status
from mover_ray.storage import join, normalise, storage_for

if TYPE_CHECKING:  # the options of a run bring the face models along
    from mover_ray.pipelines.options import SourceOptions

#: Module under `mover_ray.jobs` that does what each command does.
ENTRY_POINTS: Final = {
    "score": "score_videos",
    "extract": "extract_faces",
    "forge": "forge_videos",
    "pretrain": "pretrain_mae",
    "finetune": "finetune_detector",
    "prototypes": "build_prototypes",
    "evaluate": "evaluate_results",
}

_LOCATIONS: Final = ("source", "dest", "out", "manifest", "model", "start", "preset")
_LISTED_LOCATIONS: Final = ("since", "corpus", "results", "threshold_from", "trained_on")
_PRESET_SUFFIX: Final = ".toml"
_SECRET: Final = "sampling_secret"  # noqa: S105 # the setting's name


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A command and its options as plain values, as its entry point reads them."""

    command: str
    """Key of `ENTRY_POINTS`."""
    options: Mapping[str, Any]

    @property
    def dest(self) -> str | None:
        """Where the rows go, or what else the command makes."""
        dest = self.options.get("dest", self.options.get("out"))
        return None if dest is None else str(dest)

    def text(self) -> str:
        """Gives the options as JSON on one line, always spelled the same."""
        return json.dumps(self.options, sort_keys=True, separators=(",", ":"))

    def resumed(self) -> "JobSpec":
        """Gives the spec that goes on where an earlier attempt stopped."""
        kept = {name: value for name, value in self.options.items() if name != "fresh"}
        return JobSpec(self.command, kept)


def make_spec(command: str, options: Any, **further: Any) -> JobSpec:
    """Gives the spec of what a command line asks for.

    Local paths become absolute, for the cluster's nodes to find under the same
    name; the job joins the cluster that it was submitted to.

    Args:
        command: Key of `ENTRY_POINTS`.
        options: The options dataclass of that command.
        further: What the entry point knows beside it: `max_failed`.

    Raises:
        ConfigError: The options cannot travel.
    """
    plain = json.loads(json.dumps({**_chosen(options), **further}))
    _refuse_what_cannot_travel(plain)
    for name in _LOCATIONS:
        if name in plain:
            plain[name] = _absolute(name, plain[name])
    for name in _LISTED_LOCATIONS:
        if name in plain:
            plain[name] = [_absolute(name, one) for one in plain[name]]
    if hasattr(options, "address"):
        plain["address"] = "auto"
    return JobSpec(command, plain)


def local_locations(spec: JobSpec) -> list[str]:
    """Lists the paths of a spec that every node of the cluster must see."""
    return [one for one in _locations(spec.options) if one.startswith("/")]


def mark_of_source(options: "SourceOptions") -> str:
    """Gives what stands for the videos that a source lists now.

    Raises:
        LocationError: There is no such source, or it cannot be listed from here.
    """
    ids = np.sort(options.manifest().table["video_id"].to_numpy())
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()


def mark_of_runs(dests: Iterable[str]) -> str:
    """Gives what stands for finished runs as they are now: the hash of their records.

    Raises:
        StorageError: A destination cannot be read from here.
    """
    digest = hashlib.sha256()
    for dest in dests:
        uri = join(normalise(dest), SUCCESS_NAME)
        try:
            digest.update(storage_for(uri).read(uri))
        except StorageError as error:
            if error.status is not Status.NOT_FOUND:
                raise
            digest.update(b"unfinished")
    return digest.hexdigest()


def base_id(spec: JobSpec, mark: str, code: str) -> str:
    """Gives the id that all attempts of one submission share.

    Args:
        spec: What is to be done.
        mark: What stands for the input, so that next month's archive is a new job.
        code: What stands for the code, so that a new version is a new job.
    """
    facts = {"command": spec.command, "options": spec.text(), "mark": mark, "code": code}
    return f"{spec.command}-{fingerprint(facts)[:12]}"


def _chosen(options: Any) -> dict[str, Any]:
    """Gives the options that are not what they are by default."""
    default = {field.name: field.default for field in dataclasses.fields(options)}
    plain = dataclasses.asdict(options)
    return {name: value for name, value in plain.items() if value != default[name] and value != {}}


def _refuse_what_cannot_travel(plain: Mapping[str, Any]) -> None:
    if plain.get("engine") == "local":
        raise ConfigError("a job cannot use the engine: `local`", hint="leave `--engine` out")
    settings = plain.get("settings", {})
    tables = [settings, *(value for value in settings.values() if isinstance(value, dict))]
    if any(table.get(_SECRET) for table in tables):
        raise ConfigError(
            f"`{_SECRET}` cannot be sent: whoever may list jobs could read it",
            hint="set MOVER_RAY_SCORE__SAMPLING_SECRET in the environment of the cluster's nodes",
        )


def _absolute(name: str, location: str) -> str:
    """Gives a location as another machine must spell it; names stay as they are."""
    prefix, equals, path = location.rpartition("=")
    if name in _LISTED_LOCATIONS and equals:
        return f"{prefix}={_absolute(name, path)}"
    if "://" in location or (name == "start" and location.startswith("timm:")):
        return location
    if name == "preset" and not location.endswith(_PRESET_SUFFIX):
        return location
    return str(Path(location).absolute())


def _locations(options: Mapping[str, Any]) -> Iterator[str]:
    yield from (options[name] for name in _LOCATIONS if name in options)
    for name in _LISTED_LOCATIONS:
        yield from (one.rpartition("=")[2] for one in options.get(name, ()))
