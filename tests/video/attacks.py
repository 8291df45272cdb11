"""What a hijacked decoder would try. Each raises `OSError` or `RuntimeError` where it fails."""

import ctypes
import fcntl
import mmap
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_X86_64 = os.uname().machine == "x86_64"
_PTRACE_ATTACH = 16
_RLIMIT_NOFILE = 7
_IO_URING_SETUP = 425
_BPF = 321 if _X86_64 else 280
_KEYCTL = 250 if _X86_64 else 219
_UNSHARE = 272 if _X86_64 else 97
_PROCESS_VM_READV = 310 if _X86_64 else 270
_CONNECT = 42 if _X86_64 else 203
_CLONE_NEWUSER = 0x10000000


def call(number: int, *arguments: int | bytes) -> None:
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    check(_LIBRARY.syscall(ctypes.c_long(number), *values))


def check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def map_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


#: What no decoder ever asks for; whoever does is killed at once.
FATAL: dict[str, Callable[[], object]] = {
    "network socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "local socket": socket.socketpair,
    "connect": lambda: call(_CONNECT, 2, bytes(16), 16),
    "execute": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),  # noqa: S606
    "trace parent": lambda: check(_LIBRARY.ptrace(_PTRACE_ATTACH, os.getppid(), 0, 0)),
    "read memory of parent": lambda: call(_PROCESS_VM_READV, os.getppid(), 0, 0, 0, 0, 0),
    "io_uring": lambda: call(_IO_URING_SETUP, 1, bytes(120)),
    "bpf": lambda: call(_BPF, 0, bytes(128), 128),
    "keyring": lambda: call(_KEYCTL, 0, -3, 1),
    "new namespace": lambda: call(_UNSHARE, _CLONE_NEWUSER),
}

#: What a library may well try by itself, and must do without.
REFUSED: dict[str, Callable[[], object]] = {
    "process": fork,
    "thread": lambda: threading.Thread(target=int).start(),
    "read file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "read memory file": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "list folder": lambda: os.listdir("/"),  # noqa: PTH208 - asks the kernel and nothing else
    "look at file": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
    "write file": lambda: os.open("/tmp/mover-ray-attack", os.O_WRONLY | os.O_CREAT),
    "remove file": lambda: os.unlink("/tmp/mover-ray-attack"),  # noqa: PTH108
    "new memory file": lambda: os.memfd_create("attack"),
    "copy descriptor": lambda: fcntl.fcntl(2, fcntl.F_DUPFD, 3),
    "kill parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "stop parent": lambda: os.kill(os.getppid(), signal.SIGSTOP),
    "signal everybody": lambda: os.kill(-1, signal.SIGCONT),
    "executable memory": map_code,
    "lift limit": lambda: check(_LIBRARY.setrlimit(_RLIMIT_NOFILE, bytes([64, *[0] * 7] * 2))),
}

ATTACKS = FATAL | REFUSED
