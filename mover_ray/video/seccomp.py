"""A filter of system calls that a process puts on itself and can never take off (Linux).

The kernel runs the filter, a program of its classic packet filter language (BPF), before each
call. It needs no rights and nothing installed, so that it works in containers that allow no user
namespaces.
"""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from mover_ray.video.linux import PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, prctl
from mover_ray.video.system_calls import (
    ALLOWED,
    FATAL,
    FIRST_NEW,
    MAPPINGS,
    SIGNALS,
    Machine,
    this_machine,
)

_MODE_FILTER: Final = 2

_INSTRUCTION: Final = struct.Struct("HBBI")
_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

# Where the kernel's description of a call has its number, its calling convention and its
# arguments; of each the lower half is looked at, which comes first on these machines.
_NUMBER: Final = 0
_ARCH: Final = 4
_ARGUMENTS: Final = 16
_ARGUMENT_BYTES: Final = 8

_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_REFUSE: Final = 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_system_calls() -> None:
    """Takes from this process, for good, every system call that decoding does not need.

    What decoding does not need fails with `EPERM`; what nobody but an intruder asks for kills the
    process by `SIGSYS`.

    Raises:
        OSError: The kernel has no such filters, or knows this machine by another name.
    """
    machine = this_machine()
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter of system calls for {os.uname().machine}")
    code = b"".join(build_filter(machine, os.getpid()))
    program = _Program(len(code) // _INSTRUCTION.size, code)
    # Without this, only the superuser may filter: a filtered program could gain rights.
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))


def build_filter(machine: Machine, process: int) -> list[bytes]:
    """Gives the instructions of the filter.

    Args:
        machine: Whose numbers the calls have.
        process: Id of the process that will run under the filter.
    """
    return [
        _instruct(_LOAD, _ARCH),
        _instruct(_JUMP_IF_EQUAL, machine.audit_arch, 1, 0),
        _instruct(_RETURN, _KILL),
        _instruct(_LOAD, _NUMBER),
        _instruct(_JUMP_IF_AT_LEAST, FIRST_NEW, 0, 1),
        _instruct(_RETURN, _REFUSE | errno.ENOSYS),
        *_decide(machine.numbers(ALLOWED), _ALLOW),
        *_decide(machine.numbers(FATAL), _KILL),
        *_decide_by(machine.numbers(SIGNALS), 0, (_JUMP_IF_EQUAL, process, 0, 1)),
        *_decide_by(machine.numbers(MAPPINGS), 2, (_JUMP_IF_ANY_BIT, mmap.PROT_EXEC, 1, 0)),
        _instruct(_RETURN, _REFUSE | errno.EPERM),
    ]


def _instruct(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Gives one instruction; the last two are how many ones a jump leaves out."""
    return _INSTRUCTION.pack(code, if_true, if_false, operand)


def _decide(numbers: Iterable[int], verdict: int) -> Iterator[bytes]:
    for number in numbers:
        yield _instruct(_JUMP_IF_EQUAL, number, 0, 1)
        yield _instruct(_RETURN, verdict)


def _decide_by(
    numbers: Iterable[int], argument: int, allowed: tuple[int, int, int, int]
) -> Iterator[bytes]:
    """Allows calls where a test of one argument goes on with the next instruction."""
    for number in numbers:
        yield _instruct(_JUMP_IF_EQUAL, number, 0, 4)
        yield _instruct(_LOAD, _ARGUMENTS + _ARGUMENT_BYTES * argument)
        yield _instruct(*allowed)
        yield _instruct(_RETURN, _ALLOW)
        yield _instruct(_RETURN, _REFUSE | errno.EPERM)
