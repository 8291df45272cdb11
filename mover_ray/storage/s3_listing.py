"""Listings of S3: page by page, and where much lies below, several folders at once.

S3 gives 1,000 keys a request, each page only after the one before. So a large prefix is
split at the folders below it, which are listed side by side; what comes out is in the
order of the keys all the same. Nothing relies on the order in which the store answers:
directory buckets have none.
"""

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mover_ray.storage.base import ObjectInfo

#: Requests under way at once. Reading a page takes 20 ms of CPU and waiting for it 100 ms:
#: more than a few would only wait for the interpreter.
_REQUESTS = 8

#: Objects that are held until those before them are there; 1,000 take 0.4 MB.
_OBJECTS_AHEAD = 128_000

#: A prefix is split if its first page comes from so few folders: then each of them holds
#: some 200 objects or more, and asking for it alone is worth a request.
_FEW_FOLDERS = 5

_Page = list[ObjectInfo]


@dataclass(eq=False, slots=True)
class _Stretch:
    """Keys that are still to be asked for."""

    prefix: str
    token: str | None = None
    """Where to go on; null for the first page."""
    reply: "Future[list[_Page | _Stretch]] | None" = None
    """Set while the request is under way."""


def list_objects(client: Any, bucket: str, prefix: str) -> Generator[ObjectInfo, None, None]:
    """Gives every object whose key begins with `prefix`, sorted by key.

    Args:
        client: boto3's, for S3; threads may share it.
        bucket: The bucket.
        prefix: Empty, or with a slash at its end.
    """
    lister = _Lister(client, bucket)
    parts = lister.ask(_Stretch(prefix))
    if all(isinstance(part, list) for part in parts):
        yield from itertools.chain.from_iterable(_pages(parts))
        return
    threads = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="s3-list")
    try:
        yield from _in_order(lister, parts, threads)
    finally:
        threads.shutdown(cancel_futures=True)


def bare_etag(etag: str) -> str:
    """Takes the quotation marks off."""
    return etag.strip('"')


def whole_seconds_ns(moment: datetime) -> int:
    """Leaves out fractions: listings carry them and headers do not."""
    return int(moment.timestamp()) * 1_000_000_000


def _in_order(
    lister: "_Lister", parts: list["_Page | _Stretch"], threads: ThreadPoolExecutor
) -> Iterator[ObjectInfo]:
    """Gives the pages as soon as all before them are there; replies take a stretch's place."""
    while parts:
        ready = list(itertools.takewhile(lambda part: isinstance(part, list), parts))
        yield from itertools.chain.from_iterable(_pages(ready))
        parts = parts[len(ready) :]
        for stretch in _next_to_ask(parts):
            stretch.reply = threads.submit(lister.ask, stretch)
        under_way = [part.reply for part in parts if isinstance(part, _Stretch) and part.reply]
        if under_way:
            wait(under_way, return_when=FIRST_COMPLETED)
            parts = list(itertools.chain.from_iterable(map(_answered, parts)))


def _next_to_ask(parts: list["_Page | _Stretch"]) -> list[_Stretch]:
    """Gives the first stretches to ask for; later ones wait while many objects are held."""
    stretches = [part for part in parts if isinstance(part, _Stretch)]
    waiting = [stretch for stretch in stretches if stretch.reply is None]
    if sum(map(len, _pages(parts))) < _OBJECTS_AHEAD:
        return waiting[: _REQUESTS - (len(stretches) - len(waiting))]
    # All others wait for the first one.
    return [stretch for stretch in waiting[:1] if stretch is parts[0]]


def _answered(part: "_Page | _Stretch") -> list["_Page | _Stretch"]:
    if isinstance(part, _Stretch) and part.reply is not None and part.reply.done():
        return part.reply.result()
    return [part]


def _pages(parts: Iterable["_Page | _Stretch"]) -> Iterator[_Page]:
    return (part for part in parts if isinstance(part, list))


class _Lister:
    """Asks for pages of one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def ask(self, stretch: _Stretch) -> list[_Page | _Stretch]:
        """Gives the next page and what is left, or the folders that the stretch consists of."""
        further = {} if stretch.token is None else {"ContinuationToken": stretch.token}
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=stretch.prefix, **further)
        infos = self._infos(page)
        if not page["IsTruncated"]:
            return [infos]
        if stretch.token is None and _is_from_few_folders(page, stretch.prefix):
            split = self._split(stretch.prefix)
            if split is not None:
                return split
        return [infos, _Stretch(stretch.prefix, page["NextContinuationToken"])]

    def _split(self, prefix: str) -> list[_Page | _Stretch] | None:
        """Gives what lies directly below `prefix`; null if that is more than a page."""
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
        if page["IsTruncated"]:
            return None
        below: list[tuple[str, _Page | _Stretch]] = [
            (entry["Prefix"], _Stretch(entry["Prefix"])) for entry in page.get("CommonPrefixes", ())
        ]
        below += [(info.uri.removeprefix(self._root), [info]) for info in self._infos(page)]
        below.sort(key=lambda named: named[0])
        return [part for _, part in below]

    @property
    def _root(self) -> str:
        return f"s3://{self._bucket}/"

    def _infos(self, page: Mapping[str, Any]) -> _Page:
        """Gives the objects of a page; empty `folder/` markers are none."""
        return [
            ObjectInfo(
                self._root + entry["Key"],
                entry["Size"],
                bare_etag(entry["ETag"]),
                None,
                whole_seconds_ns(entry["LastModified"]),
                None if entry.get("StorageClass") == "STANDARD" else entry.get("StorageClass"),
            )
            for entry in page.get("Contents", ())
            if entry["Size"] or not entry["Key"].endswith("/")
        ]


def _is_from_few_folders(page: Mapping[str, Any], prefix: str) -> bool:
    names = (entry["Key"][len(prefix) :].partition("/") for entry in page.get("Contents", ()))
    return len({name + slash for name, slash, _ in names}) <= _FEW_FOLDERS
