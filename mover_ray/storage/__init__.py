"""Local files and S3 objects behind one small protocol, addressed by uri."""

import functools
import os

from mover_ray.errors import LocationError
from mover_ray.storage.base import Fetched, ObjectInfo, OnSkip, Storage, version_text
from mover_ray.storage.local import LocalStorage
from mover_ray.storage.memory import MemoryStorage
from mover_ray.storage.s3_options import S3Options
from mover_ray.storage.uris import (
    join,
    normalise,
    path_to_uri,
    relative_name,
    scheme_of,
    split_object,
    uri_to_path,
)

__all__ = [
    "Fetched",
    "LocalStorage",
    "MemoryStorage",
    "ObjectInfo",
    "OnSkip",
    "S3Options",
    "Storage",
    "forget_clients",
    "join",
    "normalise",
    "path_to_uri",
    "relative_name",
    "scheme_of",
    "split_object",
    "storage_for",
    "uri_to_path",
    "use_s3_options",
    "version_text",
]


def storage_for(uri: str) -> Storage:
    """Gives this process's store for a uri; every call gives the same one.

    Raises:
        LocationError: The scheme is unknown, or S3 is not set up.
    """
    return _storage_of_scheme(scheme_of(uri))


def forget_clients() -> None:
    """Makes `storage_for` begin anew, with the endpoint and credentials of now."""
    _storage_of_scheme.cache_clear()


def use_s3_options(options: S3Options) -> None:
    """Has this process's S3 client work with these settings from now on."""
    if _s3_options != [options]:
        _s3_options[:] = [options]
        forget_clients()


#: Those of this process; none while it goes by the defaults.
_s3_options: list[S3Options] = []


@functools.cache
def _storage_of_scheme(scheme: str) -> Storage:
    if scheme == "file":
        return LocalStorage()
    if scheme == "memory":
        return MemoryStorage()
    if scheme == "s3":
        # boto3 takes half a second to import; local runs do without it.
        from mover_ray.storage.s3 import S3Storage

        return S3Storage(*_s3_options)
    raise LocationError(f"unknown scheme: `{scheme}://`", hint="give a path or `s3://…`")


# A forked child must not speak on its parent's connections.
os.register_at_fork(after_in_child=forget_clients)
