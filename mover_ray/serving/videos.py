"""The video of a request as the row of a manifest that the first stage takes."""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mover_ray.datasets.rows import table_from_columns, table_from_infos
from mover_ray.datasets.rows import video_id as id_of
from mover_ray.errors import LocationError, StorageError
from mover_ray.serving.config import TENANT
from mover_ray.stages.base import Row
from mover_ray.storage import storage_for

#: What stands in an upload's row for a uri.
UPLOAD: Final = "upload"

_MAX_URI: Final = 2048
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """An object that the service fetches."""

    uri: str

    @property
    def fingerprint(self) -> str:
        """What tells it from other videos."""
        return hashlib.sha256(self.uri.encode()).hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class UploadedVideo:
    """Bytes that came with the request. The name that the client gave them is forgotten."""

    content: bytes

    @property
    def fingerprint(self) -> str:
        """What tells it from other videos."""
        return hashlib.sha256(self.content).hexdigest()


Video = StoredVideo | UploadedVideo


def allowed_uri(uri: str, prefixes: Sequence[str], tenant: str) -> bool:
    """Whether a tenant may name an object.

    Args:
        uri: As the client wrote it; keys are compared letter by letter.
        prefixes: The allow-list, with `{tenant}` where a tenant's name belongs.
        tenant: Who asks.
    """
    if len(uri) > _MAX_URI or _CONTROL.search(uri):
        return False
    # S3 keeps such keys as they are, other stores walk upwards.
    if any(part in (".", "..") for part in uri.split("/")):
        return False
    own = [prefix.replace(TENANT, tenant) for prefix in prefixes]
    return any(uri.startswith(prefix) and uri != prefix for prefix in own)


@contextlib.contextmanager
def manifest_row(video: Video) -> Iterator[Row]:
    """Gives the row of a video; what an upload takes on disk ends with the `with` block.

    A stored video has the id that a run of `score` gives it, so that the same frames of it are
    sampled.
    """
    if isinstance(video, StoredVideo):
        yield _stored_row(video.uri)
        return
    # No name at all leads to the bytes: they go whatever becomes of this process.
    with tempfile.TemporaryFile(prefix="mover-ray-") as file:
        file.write(video.content)
        file.flush()
        columns = {"uri": [f"/dev/fd/{file.fileno()}"]}
        row: Row = table_from_columns(columns).to_pylist()[0]
        yield {**row, "video_id": id_of(UPLOAD, video.fingerprint)}


def own_words(row: Row, video: Video) -> Row:
    """Gives a row of `manifest_row` as the client may see it: no descriptor stands in it."""
    if isinstance(video, StoredVideo):
        return row
    error = row["error"] and row["error"].replace(row["uri"], UPLOAD)
    return {**row, "uri": UPLOAD, "error": error}


def _stored_row(uri: str) -> Row:
    try:
        table = table_from_infos([storage_for(uri).stat(uri)])
    except (StorageError, LocationError):
        table = table_from_columns({"uri": [uri]})  # the first stage finds out why
    row: Row = table.to_pylist()[0]
    return row
