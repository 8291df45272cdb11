"""Names of objects: what a user types, and the one spelling that rows carry.

A local file is its absolute path, an object `s3://bucket/key` with the key byte for
byte as the store has it (`//`, `..`, `%41` and all). A path that is not UTF-8 cannot
stand in a Parquet string; it is written `file:///...`, percent-encoded.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from mover_ray.errors import LocationError, StorageError
from mover_ray.status import Status

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OBJECT_SCHEMES = ("s3", "memory")
_FILE = "file://"


def scheme_of(uri: str) -> str:
    """Gives the lower-case scheme of `uri`; `file` for a plain path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else "file"


def normalise(location: str) -> str:
    """Gives the uri that is meant by what a user typed.

    Args:
        location: A path (relative ones start at the working directory), a `file://`
            address or `s3://bucket/key`.

    Raises:
        LocationError: The text is empty, the scheme unknown or the bucket missing.
    """
    if not location:
        raise LocationError("no location: ``", hint="give a path or `s3://bucket/prefix`")
    scheme = scheme_of(location)
    if scheme in _OBJECT_SCHEMES:
        return _checked_object(location, scheme)
    if scheme != "file":
        raise LocationError(f"unknown scheme: `{location}`", hint=_scheme_hint(scheme))
    if _SCHEME.match(location):
        return path_to_uri(_path_of_file_address(location))
    return path_to_uri(Path(location))


def join(base: str, *names: str) -> str:
    """Puts names below `base`, one slash between them; `..` is not resolved."""
    for name in names:
        base = f"{base}{name}" if base.endswith("/") else f"{base}/{name}"
    return base


def as_folder(uri: str) -> str:
    """Gives `uri` with the slash at its end that all names below it share."""
    return uri if uri.endswith("/") else f"{uri}/"


def relative_name(uri: str, folder: str) -> str:
    """Gives the part of `uri` below `folder`; all of it if it does not lie there."""
    base = as_folder(folder)
    if uri.startswith(_FILE) and not folder.startswith(_FILE):
        return str(uri_to_path(uri)).removeprefix(base)
    return uri.removeprefix(base)


def split_object(uri: str) -> tuple[str, str]:
    """Splits `s3://bucket/key` into bucket and key; the key may be empty."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def uri_to_path(uri: str) -> Path:
    """Gives the path that a local uri names.

    Raises:
        StorageError: No file can have such a name (`not_found`).
    """
    path = _path_of_file_address(uri) if uri.startswith(_FILE) else Path(uri)
    if "\0" in str(path):
        raise StorageError(Status.NOT_FOUND, f"no file can have this name: {uri!r}")
    return path


def path_to_uri(path: Path) -> str:
    """Gives the uri of a local path, made absolute; `..` is taken out, links are kept."""
    return absolute_to_uri(os.path.normpath(path.absolute()))


def absolute_to_uri(text: str) -> str:
    """Gives the uri of a path that is absolute and normal already."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _FILE + quote_from_bytes(os.fsencode(text))
    return text


def _checked_object(location: str, scheme: str) -> str:
    bucket, key = split_object(location)
    if not bucket:
        raise LocationError(f"no bucket: `{location}`", hint=f"write `{scheme}://bucket/prefix`")
    return f"{scheme}://{bucket}/{key}"


def _path_of_file_address(location: str) -> Path:
    """Takes `file:///a%20b` apart; what follows is a path, so `?` and `#` are letters of it."""
    host, slash, rest = location[len(_FILE) :].partition("/")
    if not slash or host not in ("", "localhost"):
        raise LocationError(f"not a local file: `{location}`", hint="write `file:///path`")
    return Path(os.fsdecode(unquote_to_bytes(f"/{rest}")))


def _scheme_hint(scheme: str) -> str:
    if scheme in ("s3a", "s3n"):
        return "write `s3://bucket/prefix`"
    return "a path, `file:///path` and `s3://bucket/prefix` are understood"
