"""Landlock: a process renounces every path, port and abstract socket (Linux 5.13 and newer)."""

import os
import struct
from typing import Final

from mover_ray.video.linux import PR_SET_NO_NEW_PRIVS, prctl, system_call

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1

# The first version of the interface that knows so many rights over files, oldest first.
_FILE_RIGHTS: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
_NETWORK_FROM: Final = 4
_BIND_AND_CONNECT: Final = 0b11
_SCOPES_FROM: Final = 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11


def landlock_version() -> int:
    """Gives the version of the kernel's interface; 0 where there is none or it is shut off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def renounce_paths() -> None:
    """Takes from this process, for good, all that Landlock can take; nothing where it is missing.

    Descriptors that are open already go on working.

    Raises:
        OSError: The kernel has Landlock and yet refuses.
    """
    version = landlock_version()
    if not version:
        return
    rights = ruleset_attributes(version)
    ruleset = system_call(_CREATE_RULESET, rights, len(rights), 0)
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def ruleset_attributes(version: int) -> bytes:
    """Gives the kernel's description of a ruleset that governs all it can and allows nothing.

    Args:
        version: Of the interface; the kernel refuses rights that it does not know.
    """
    file_rights = max(count for since, count in _FILE_RIGHTS if since <= version)
    fields = [(1 << file_rights) - 1]
    if version >= _NETWORK_FROM:
        fields.append(_BIND_AND_CONNECT)
    if version >= _SCOPES_FROM:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    return struct.pack(f"{len(fields)}Q", *fields)
