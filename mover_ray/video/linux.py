"""Calls of the Linux kernel that Python has no function for."""

import ctypes
import os
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38


def prctl(option: int, value: int, address: int = 0) -> None:
    """Changes how the kernel treats this process.

    Raises:
        OSError: The kernel refuses, or does not know the option.
    """
    arguments = [ctypes.c_ulong(number) for number in (value, address, 0, 0)]
    _check(_library().prctl(option, *arguments))


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """Makes a system call by its number.

    Args:
        number: On this machine.
        arguments: Numbers, and bytes or None for addresses.

    Raises:
        OSError: It failed.
    """
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _check(_library().syscall(ctypes.c_long(number), *values))


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
