"""S3 Inventories in all three formats, as AWS documents their layout."""

import gzip
import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from mover_ray.datasets import manifest
from mover_ray.datasets.rows import expected_object
from mover_ray.errors import ConfigError, LocationError
from mover_ray.schemas import MANIFEST
from mover_ray.storage import storage_for

md5 = partial(hashlib.md5, usedforsecurity=False)

FORMATS = ("CSV", "ORC", "Parquet")
TIME = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)
FIELDS = {
    "bucket": ("Bucket", pa.string()),
    "key": ("Key", pa.string()),
    "version_id": ("VersionId", pa.string()),
    "is_latest": ("IsLatest", pa.bool_()),
    "is_delete_marker": ("IsDeleteMarker", pa.bool_()),
    "size": ("Size", pa.int64()),
    "last_modified_date": ("LastModifiedDate", pa.timestamp("ms", tz="UTC")),
    "e_tag": ("ETag", pa.string()),
    "storage_class": ("StorageClass", pa.string()),
    "encryption_status": ("EncryptionStatus", pa.string()),
}


@dataclass
class Made:
    """An inventory of one bucket, written to another one."""

    file_format: str
    scheme: str = "memory"
    bucket: str = "videos"
    lists: str = "lists"
    names: tuple[str, ...] = tuple(FIELDS)
    files: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"{self.scheme}://{self.lists}/inv/videos/daily/2026-03-05T01-00Z/manifest.json"

    def add(self, *objects: dict) -> "Made":
        """Adds a data file."""
        rows = [
            {"bucket": self.bucket, "size": 9, "last_modified_date": TIME, **row} for row in objects
        ]
        number = len(self.files)
        write = {"CSV": self._csv, "ORC": self._orc, "Parquet": self._parquet}[self.file_format]
        self.files.append((f"inv/videos/daily/data/{number}", write(rows)))
        return self

    def write(self, **changes: object) -> str:
        """Stores the files and gives the uri of `manifest.json`."""
        for key, data in self.files:
            storage_for(self.uri).write(f"{self.scheme}://{self.lists}/{key}", data)
        document = {
            "sourceBucket": self.bucket,
            "destinationBucket": f"arn:aws:s3:::{self.lists}",
            "version": "2016-11-30",
            "creationTimestamp": "1772672400000",
            "fileFormat": self.file_format,
            "fileSchema": self._schema(),
            "files": [
                {"key": key, "size": len(data), "MD5checksum": md5(data).hexdigest()}
                for key, data in self.files
            ],
            **changes,
        }
        storage_for(self.uri).write(self.uri, json.dumps(document).encode())
        return self.uri

    def _schema(self) -> str:
        if self.file_format == "CSV":
            return ", ".join(FIELDS[name][0] for name in self.names)
        if self.file_format == "ORC":
            return "struct<" + ",".join(f"{name}:string" for name in self.names) + ">"
        columns = "".join(f" optional binary {name} (UTF8);" for name in self.names)
        return f"message s3.inventory {{{columns} }}"

    def _table(self, rows: list[dict]) -> pa.Table:
        schema = pa.schema([(name, FIELDS[name][1]) for name in self.names])
        return pa.Table.from_pylist(rows, schema=schema)

    def _csv(self, rows: list[dict]) -> bytes:
        def text(name: str, value: object) -> str:
            if name == "key":
                value = quote_plus(str(value), safe="/")
            elif isinstance(value, bool):
                value = str(value).lower()
            elif isinstance(value, datetime):
                value = value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
            return '"{}"'.format("" if value is None else value)

        lines = (",".join(text(name, row.get(name)) for name in self.names) for row in rows)
        return gzip.compress("\n".join(lines).encode())

    def _orc(self, rows: list[dict]) -> bytes:
        sink = io.BytesIO()
        orc.write_table(self._table(rows), sink)
        return sink.getvalue()

    def _parquet(self, rows: list[dict]) -> bytes:
        sink = io.BytesIO()
        pq.write_table(self._table(rows), sink)
        return sink.getvalue()


@pytest.fixture(params=FORMATS)
def made(request) -> Made:
    return Made(request.param)


def keys(built: manifest.BuiltManifest) -> list[str]:
    return [uri.removeprefix("memory://videos/") for uri in built.table["uri"].to_pylist()]


def test_rows_carry_every_pin(made):
    uri = made.add({"key": "a/x.mp4", "e_tag": "abc-3", "version_id": "v1", "is_latest": True})
    (row,) = manifest.build(uri.write()).table.to_pylist()
    assert row == {
        **dict.fromkeys(MANIFEST.names),
        "video_id": row["video_id"],
        "uri": "memory://videos/a/x.mp4",
        "version_id": "v1",
        "etag": "abc-3",
        "size_bytes": 9,
        "mtime_ns": int(TIME.timestamp()) * 10**9,
    }


@pytest.mark.parametrize(
    "key",
    [
        "plain.mp4",
        "a b.mp4",
        "a+b.mp4",
        "%41.mp4",
        "ü/é.mp4",
        "a//b&c=d.mp4",
        '"q".MP4',
        "n\nl.mkv",
    ],
)
def test_keys_are_byte_exact(made, key):
    assert keys(manifest.build(made.add({"key": key, "e_tag": "1"}).write())) == [key]


def test_only_present_versions_of_videos_are_taken(made):
    made.add(
        {"key": "new.mp4", "e_tag": "2", "version_id": "b", "is_latest": True},
        {"key": "new.mp4", "e_tag": "1", "version_id": "a", "is_latest": False},
        {"key": "gone.mp4", "is_latest": True, "is_delete_marker": True, "size": None},
        {"key": "folder/", "e_tag": "0", "is_latest": True, "size": 0},
        {"key": ".hidden/x.mp4", "e_tag": "3", "is_latest": True},
        {"key": "x.txt", "e_tag": "4", "is_latest": True},
    )
    built = manifest.build(made.write())
    assert keys(built) == ["new.mp4"]
    assert built.passed_over_by_reason() == {
        "an older version": 1,
        "deleted: a delete marker": 1,
        "hidden": 1,
        "not a video's file name": 1,
    }


@pytest.mark.parametrize("version", [None, "", "null"])
def test_without_a_version_an_object_has_the_id_that_it_has_when_listed(made, version):
    storage_for("memory://videos").write("memory://videos/a.mp4", b"bytes")
    listed = manifest.build("memory://videos/").table.to_pylist()[0]
    facts = {"key": "a.mp4", "e_tag": listed["etag"], "size": 5}
    made.add({**facts, "version_id": version, "is_latest": True})
    row = manifest.build(made.write()).table.to_pylist()[0]
    assert (row["video_id"], row["version_id"]) == (listed["video_id"], None)


def test_globs_hold_below_the_bucket_and_files_are_read_in_order(made):
    made.add({"key": "2024/a.mp4", "e_tag": "1"}, {"key": "2023/b.mp4", "e_tag": "1"})
    made.add({"key": "2024/c.mp4", "e_tag": "1"})
    assert keys(manifest.build(made.write(), include=["2024/*"])) == ["2024/a.mp4", "2024/c.mp4"]
    assert keys(manifest.build(made.uri, limit=1)) == ["2024/a.mp4"]


def test_archived_objects_are_taken_and_counted(made):
    made.add(
        {"key": "a.mp4", "e_tag": "1", "storage_class": "GLACIER"},
        {"key": "b.mp4", "e_tag": "1", "storage_class": "DEEP_ARCHIVE"},
        {"key": "c.mp4", "e_tag": "1", "storage_class": "GLACIER_IR"},
        {"key": "d.mp4", "e_tag": "1", "storage_class": "STANDARD"},
    )
    built = manifest.build(made.write())
    assert (len(built.table), built.archived) == (4, 2)
    assert manifest.build(made.uri, exclude=["a*"]).archived == 1


def test_columns_that_are_not_configured_may_be_missing(made):
    made.names = ("bucket", "key", "size", "e_tag")
    (row,) = manifest.build(made.add({"key": "a.mp4", "e_tag": "1"}).write()).table.to_pylist()
    assert (row["size_bytes"], row["etag"], row["mtime_ns"]) == (9, "1", None)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("bucket", "key", "e_tag"), "Size"),
        (("bucket", "key"), "Size, ETag"),
        (("bucket", "key", "version_id", "size", "e_tag"), "IsLatest"),
    ],
)
def test_an_inventory_that_pins_nothing_is_refused(made, names, missing):
    made.names = names
    with pytest.raises(ConfigError, match=f"has no {missing}: ") as raised:
        manifest.build(made.add({"key": "a.mp4"}).write())
    assert "configuration" in (raised.value.hint or "")


def test_a_data_file_of_another_day_is_refused(made):
    made.add({"key": "a.mp4", "e_tag": "1"}).write()
    storage_for("memory://").write(f"memory://lists/{made.files[0][0]}", b"other bytes")
    with pytest.raises(ConfigError, match="not the one that its manifest names"):
        manifest.build(made.uri)


def test_a_data_file_of_another_format_is_refused(made):
    made.files = [("inv/videos/daily/data/0", b"no inventory at all")]
    with pytest.raises(ConfigError, match=f"not {made.file_format}: "):
        manifest.build(made.write())


def test_a_missing_data_file_is_no_empty_archive(made):
    made.add({"key": "a.mp4", "e_tag": "1"}).write()
    storage_for("memory://").delete(f"memory://lists/{made.files[0][0]}")
    with pytest.raises(LocationError, match="no such object"):
        manifest.build(made.uri)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"nothing", b'{"fileFormat": "XML"}'])
def test_another_manifest_json_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigError, match="not the manifest of an S3 Inventory"):
        manifest.build(str(tmp_path / "manifest.json"))


def test_several_buckets_make_one_manifest(made, tmp_path):
    (tmp_path / "here.mp4").write_bytes(b"1")
    storage_for("memory://b").write("memory://other/there.mp4", b"2")
    made.add({"key": "listed.mp4", "e_tag": "1"})
    built = manifest.build(made.write(), str(tmp_path), "memory://other/")
    assert [uri.rpartition("/")[2] for uri in built.table["uri"].to_pylist()] == [
        "listed.mp4",
        "here.mp4",
        "there.mp4",
    ]
    assert len(manifest.build(made.uri, str(tmp_path), limit=1).table) == 1
    with pytest.raises(LocationError, match="no video in the source: `memory://nothing/`"):
        manifest.build(made.uri, "memory://nothing/")
    with pytest.raises(ConfigError, match=r"named twice: `.*here\.mp4`"):
        manifest.build(str(tmp_path), str(tmp_path / "here.mp4"))


def test_a_downloaded_inventory_keeps_its_layout(made, tmp_path):
    made.add({"key": "a.mp4", "e_tag": "1"})
    made.write()
    document = storage_for(made.uri).read(made.uri)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0").write_bytes(made.files[0][1])
    (tmp_path / "2026-03-05T01-00Z").mkdir()
    (tmp_path / "2026-03-05T01-00Z" / "manifest.json").write_bytes(document)
    built = manifest.build(str(tmp_path / "2026-03-05T01-00Z" / "manifest.json"))
    assert built.table["uri"].to_pylist() == ["s3://videos/a.mp4"]


@pytest.mark.cluster
@pytest.mark.parametrize("file_format", FORMATS)
def test_an_inventory_on_s3_names_objects_that_can_be_read(s3, file_format):
    made = Made(file_format, scheme="s3", bucket=s3.make_bucket(), lists=s3.make_bucket())
    uri = f"s3://{made.bucket}/a b+ü.mp4"
    storage_for(uri).write(uri, b"video")
    made.add({"key": "a b+ü.mp4", "e_tag": storage_for(uri).stat(uri).etag, "size": 5})
    row = manifest.build(made.write()).table.to_pylist()[0]
    assert row["video_id"] == manifest.build(f"s3://{made.bucket}/").table["video_id"][0].as_py()
    assert storage_for(uri).read(uri, expect=expected_object(row)) == b"video"
