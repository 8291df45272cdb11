"""Which of Linux's system calls a decoding child may make, by their numbers.

The allowed ones were read off children that decoded files of every container and codec, plus
what other versions of the C library call for the same ends. A list of what is allowed stays safe
when a new kernel brings new calls; a list of what is forbidden does not.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Names to numbers on x86_64 and aarch64; None where a machine has no such call.
CallTable = Mapping[str, tuple[int, int | None]]

#: Memory, time, and reading and writing what is open already. Whatever takes a path is missing,
#: `newfstatat` too, which is how C libraries spell `fstat`: it would tell which files exist.
ALLOWED: Final[CallTable] = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fstat": (5, 80),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "read": (0, 63),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sendto": (44, 206),
    "sigaltstack": (131, 132),
    "time": (201, None),
    "write": (1, 64),
    "writev": (20, 66),
}

#: Allowed where the first argument is the caller's own process: `abort` sends itself a signal.
SIGNALS: Final[CallTable] = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "tkill": (200, 130),
}

#: Allowed where the third argument, the protection, does not make the memory executable.
MAPPINGS: Final[CallTable] = {
    "mmap": (9, 222),
    "mprotect": (10, 226),
}

#: What no decoder ever asks for; whoever does has been taken over, and is killed.
FATAL: Final[CallTable] = {
    "accept": (43, 202),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "finit_module": (313, 273),
    "fork": (57, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "listen": (50, 201),
    "mount": (165, 40),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "setns": (308, 268),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, None),
}

#: Calls from here on were new when this list was made: they are answered as on an old kernel, so
#: that a new C library does with older calls.
FIRST_NEW: Final = 463

_AUDIT_ARCHS: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@dataclass(frozen=True, slots=True)
class Machine:
    """One kind of processor, as the kernel tells it apart."""

    audit_arch: int
    """The kernel's number for its calling convention."""
    column: int
    """Where the tables have its numbers."""

    def numbers(self, table: CallTable) -> tuple[int, ...]:
        """Gives the numbers of a table's calls on this machine."""
        found = (row[self.column] for row in table.values())
        return tuple(number for number in found if number is not None)


def this_machine() -> Machine | None:
    """Gives the processor that this process runs on, or None if its numbers are not known."""
    name = os.uname().machine
    if name not in _AUDIT_ARCHS:
        return None
    return Machine(_AUDIT_ARCHS[name], list(_AUDIT_ARCHS).index(name))
