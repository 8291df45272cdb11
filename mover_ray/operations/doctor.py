"""Is this machine fit for the work? Each check says what it found and what to do."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from mover_ray.errors import LocationError
from mover_ray.operations.doctor_check import FAIL, OK, WARN, Check, format_bytes, guarded
from mover_ray.operations.doctor_models import check_model
from mover_ray.operations.doctor_store import check_store
from mover_ray.storage import normalise, scheme_of

_GIB = 1 << 30
# Below this, Ray's object store spills after a few blocks of decoded crops.
_LEAST_SHARED_MEMORY_BYTES = 2 * _GIB
_LEAST_DISK_BYTES = 5 * _GIB
_SANDBOXES = {
    "bwrap": "bwrap: no network, no files, few system calls",
    "seccomp": "seccomp: few system calls, so no network and no files",
    "rlimits": "rlimits alone: unsafe for hostile videos, for a hijacked decoder can do anything",
}


def examine(
    dest: str | None = None,
    *,
    models: Sequence[str] = (),
    address: str | None = None,
    require_sandbox: bool = False,
) -> list[Check]:
    """Runs every check.

    Args:
        dest: Destination of a planned run: its space, or its store, is checked too.
        models: Bundles that will be used: whether they are whole, and their licences.
        address: Ray cluster that will be used: each of its nodes is asked.
        require_sandbox: Where no sandbox works, that is a failure.
    """
    checks = _examine_machine(require_sandbox=require_sandbox)
    checks += [guarded(f"model {name}", partial(check_model, name)) for name in models]
    if dest is not None:
        checks.append(guarded("destination", lambda: check_destination(dest)))
    if address is not None:
        checks += _examine_cluster(address, dest, require_sandbox=require_sandbox)
    return checks


def _examine_machine(*, require_sandbox: bool) -> list[Check]:
    return [
        guarded("python", check_python),
        guarded("packages", check_packages),
        guarded("torch", check_torch),
        guarded("ffmpeg", check_ffmpeg),
        guarded("face detector", check_face_detector),
        guarded("landmarks", check_landmarks),
        guarded("sandbox", lambda: check_sandbox(require=require_sandbox)),
        guarded("ray", check_ray),
        guarded("shared memory", check_shared_memory),
        guarded("temporary files", lambda: check_disk("temporary files", tempfile.gettempdir())),
    ]


def _examine_cluster(address: str, dest: str | None, *, require_sandbox: bool) -> list[Check]:
    from mover_ray.operations.doctor_cluster import examine_cluster

    stored = normalise(dest) if dest is not None and scheme_of(normalise(dest)) != "file" else None
    try:
        return examine_cluster(address, stored, require_sandbox=require_sandbox)
    except LocationError as error:
        return [Check("cluster", FAIL, str(error), error.hint)]


def check_python() -> Check:
    """Is this a Python that the locked requirements are for?"""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("python", OK, version)
    return Check("python", FAIL, version, "Python 3.11, 3.12 or 3.13 is needed")


def check_packages() -> Check:
    """Are the required packages there, in versions that fit?"""
    problems = list(unmet_requirements(metadata.requires("mover-ray") or []))
    if problems:
        return Check("packages", FAIL, "; ".join(problems), "run `make setup`")
    return Check("packages", OK, f"mover-ray {metadata.version('mover-ray')}, none missing")


def unmet_requirements(lines: list[str]) -> Iterator[str]:
    """Says which requirements are not met, extras aside.

    Args:
        lines: Requirements as a package's metadata has them.
    """
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is {version}, needed is {requirement.specifier}"


def check_torch() -> Check:
    """Which device would score?"""
    import torch

    found = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = format_bytes(properties.total_memory)
        count = torch.cuda.device_count()
        return Check("torch", OK, f"{found}, {count} x {properties.name} with {memory}")
    return Check("torch", OK, f"{found}, on the CPU with {torch.get_num_threads()} threads")


def check_ffmpeg() -> Check:
    """Which FFmpeg decodes, and does it know what archives are made of?"""
    import av

    missing = sorted({"h264", "hevc", "vp9", "av1", "mpeg4"} - av.codecs_available)
    found = f"FFmpeg {av.ffmpeg_version_info} in PyAV {av.__version__}"
    if missing:
        hint = "install PyAV from its wheel: `make setup`"
        return Check("ffmpeg", WARN, f"{found}, without {', '.join(missing)}", hint)
    return Check("ffmpeg", OK, found)


def check_face_detector() -> Check:
    """Are the weights of the default face detector there and unaltered?"""
    from mover_ray.faces.policy import FacePolicy
    from mover_ray.faces.registry import build_detector

    policy = FacePolicy()
    build_detector(policy)
    return Check("face detector", OK, f"{policy.detector}, its weights are as they should be")


def check_landmarks() -> Check:
    """Is the landmark predictor there and unaltered? Its licence concerns the operator."""
    from mover_ray.faces.policy import FacePolicy
    from mover_ray.faces.registry import build_landmarker

    policy = FacePolicy()
    build_landmarker(policy)
    hint = (
        "the predictor was trained on iBUG 300-W, whose licence excludes commercial use: "
        "ask its owners, or use another landmarker"
    )
    return Check("landmarks", OK, f"{policy.landmarker}, its weights are as they should be", hint)


def check_sandbox(*, require: bool = False) -> Check:
    """How well is the decoder locked up? `require` makes too little of it a failure."""
    from mover_ray.video.sandbox import sandbox_level

    level = sandbox_level()
    found = _SANDBOXES[level]
    if level == "bwrap":
        return Check("sandbox", OK, found)
    if level == "seccomp":
        hint = "on Linux with user namespaces allowed, bubblewrap adds a second wall"
        return Check("sandbox", OK, found, hint)
    hint = "score only videos you trust; Linux on x86_64 or aarch64 offers a sandbox"
    return Check("sandbox", FAIL if require else WARN, found, hint)


def check_ray() -> Check:
    """Which Ray is installed?"""
    return Check("ray", OK, metadata.version("ray"))


def check_shared_memory() -> Check:
    """Is there room for Ray's object store?"""
    folder = Path("/dev/shm")  # noqa: S108 # Ray's own place for it
    if not folder.is_dir():
        return Check("shared memory", OK, "this system has no /dev/shm; Ray uses files")
    free = shutil.disk_usage(folder).free
    found = f"{format_bytes(free)} free in {folder}"
    if free >= _LEAST_SHARED_MEMORY_BYTES:
        return Check("shared memory", OK, found)
    hint = "Ray will be slow; in a container raise it, such as with `--shm-size=8g`"
    return Check("shared memory", WARN, found, hint)


def check_disk(name: str, folder: str) -> Check:
    """Is there room in a folder, or in the nearest one above it that exists?"""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    found = f"{format_bytes(free)} free in {path}"
    if free >= _LEAST_DISK_BYTES:
        return Check(name, OK, found)
    return Check(name, WARN, found, f"make room: {format_bytes(_LEAST_DISK_BYTES)} are advisable")


def check_destination(dest: str) -> Check:
    """Is there room on the disk, or may these credentials do in the store what a run does?"""
    uri = normalise(dest)
    if scheme_of(uri) == "file":
        return check_disk("destination", dest)
    return check_store(uri)
