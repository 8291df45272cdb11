import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mover_ray.datasets import manifest
from mover_ray.datasets.rows import video_id
from mover_ray.errors import ConfigError, LocationError
from mover_ray.schemas import MANIFEST
from mover_ray.storage import storage_for
from tests.s3_server import READABLE_BUCKET, READER


@pytest.fixture
def folder(tmp_path):
    for name in ("real.mp4", "fake.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def build(folder, text: str | bytes) -> list[dict[str, Any]]:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows: list[dict[str, Any]] = manifest.build(str(path)).table.to_pylist()
    return rows


def refused(folder, text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        build(folder, text)
    assert f"{folder}/list.csv" in str(raised.value) or "named twice" in str(raised.value)
    return raised.value


def test_a_list_keeps_its_order_columns_and_missing_videos(folder):
    rows = build(
        folder,
        "label,uri,dataset,pair_uri\n"
        f'fake,fake.mp4,"made, up",real.mp4\nreal,{folder}/real.mp4,,\n,sub/../gone.mp4,,\n',
    )
    assert [row["uri"] for row in rows] == [
        f"{folder}/{name}.mp4" for name in ("fake", "real", "gone")
    ]
    assert [row["label"] for row in rows] == ["fake", "real", None]
    assert [row["size_bytes"] for row in rows] == [8, 8, None]
    assert rows[0]["dataset"] == "made, up"
    assert rows[0]["pair_uri"] == f"{folder}/real.mp4"
    assert rows[1]["pair_uri"] is None
    assert rows[2]["video_id"] == video_id(f"{folder}/gone.mp4", "")


def test_a_listed_video_has_the_id_that_it_has_in_its_folder(folder):
    in_folder = manifest.build(str(folder)).table["video_id"].to_pylist()
    assert [row["video_id"] for row in build(folder, "uri\nfake.mp4\nreal.mp4\n")] == in_folder


def test_what_the_list_says_of_a_version_is_believed(folder):
    rows = build(folder, 'uri,etag,size_bytes\ns3://b/x.mp4,"""abc""",7\n')
    assert (rows[0]["etag"], rows[0]["size_bytes"]) == ("abc", 7)
    rows = build(folder, "uri,size_bytes,mtime_ns\nreal.mp4,1,2\n")
    assert rows[0]["video_id"] == video_id(f"{folder}/real.mp4", "1:2")


def test_spreadsheets_ways_are_understood(folder):
    rows = build(folder, '\ufeffuri , label\r\n"real.mp4",real\r\n\r\n"fake.mp4",fake\r\n')
    assert [row["label"] for row in rows] == ["real", "fake"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "no column `uri`", "first line"),
        ("path\na.mp4\n", "no column `uri`", "first line"),
        ("uri;label\na.mp4;real\n", "no column `uri`", "commas"),
        ("uri,lable\na.mp4,real\n", "unknown column `lable`", "did you mean `label`?"),
        ("uri,zzz\na.mp4,1\n", "unknown column `zzz`", "known are `uri`"),
        ("uri,video_id\na.mp4,1\n", "column `video_id`.*line 1", "leave it out"),
        ("uri,uri\na.mp4,b.mp4\n", "two columns of one name.*line 1", "once"),
        ("uri,label\na.mp4,real\nb.mp4,REAL\n", "unknown label `REAL`.*line 3", "`real`"),
        ("uri,label\n\na.mp4,real\nb.mp4\n", "1 fields where the header has 2.*line 4", "quote"),
        ("uri,label\na.mp4,real\n,fake\n", "no uri.*line 3", "names a video"),
        ("uri\na.mp4\nhttp://x/a.mp4\n", "unknown scheme.*line 3", "s3://"),
        ("uri,size_bytes\na.mp4,many\n", "size_bytes is no whole number `many`.*line 2", "empty"),
        ('uri,label\n"a\nb.mp4",real\nc.mp4,x\n', "unknown label `x`.*line 4", "real"),
        ('uri\n"a.mp4\n', "not CSV.*line 2", "quote"),
        (b"uri\na.mp4\n\xff.mp4\n", "not UTF-8.*line 3", "UTF-8"),
        ("uri\nreal.mp4\n./real.mp4\n", "named twice: `.*/real.mp4`", "once"),
    ],
)
def test_a_wrong_list_is_refused_with_the_place_and_a_hint(folder, text, message, hint):
    error = refused(folder, text)
    assert pytest.raises(ConfigError, match=message).matches(error)
    assert hint in (error.hint or "")


def test_a_list_without_rows_holds_no_video(folder):
    with pytest.raises(LocationError, match="no video in the source"):
        build(folder, "uri,label\n")


def test_a_parquet_list_is_a_list(folder):
    path = folder / "list.parquet"
    columns = {"uri": ["real.mp4", "gone.mp4"], "label": ["real", None], "size_bytes": [None, 5]}
    pq.write_table(pa.table(columns), path)
    table = manifest.build(str(path)).table
    assert table.schema == MANIFEST
    assert table["size_bytes"].to_pylist() == [8, 5]

    pq.write_table(pa.table({"uri": ["real.mp4"], "label": ["maybe"]}), path)
    with pytest.raises(ConfigError, match=r"unknown label `maybe`.*row 1"):
        manifest.build(str(path))
    pq.write_table(pa.table({"uri": ["real.mp4"], "dataset": [3.5]}), path)
    with pytest.raises(ConfigError, match="wrong type"):
        manifest.build(str(path))


def test_a_manifest_of_few_columns_is_a_manifest(folder):
    path = folder / "few.parquet"
    table = manifest.build(str(folder)).table
    few = table.select(["mtime_ns", "size_bytes", "uri", "video_id"])
    pq.write_table(few, path)
    assert manifest.build(str(path)).table.equals(table)
    pq.write_table(few.drop_columns(["mtime_ns"]), path)
    with pytest.raises(ConfigError, match="video_id does not fit"):
        manifest.build(str(path))


def test_pipes_of_a_list_become_rows_without_a_size(folder):
    os.mkfifo(folder / "pipe.mp4")
    assert build(folder, "uri\npipe.mp4\nreal.mp4\n")[0]["size_bytes"] is None


class TestOnS3:
    def test_a_list_beside_its_videos(self, s3_folder):
        store = storage_for(s3_folder)
        store.write(f"{s3_folder}/a//b.mp4", b"12345")
        store.write(f"{s3_folder}/list.csv", b"uri\na//b.mp4\ngone.mp4\n")
        rows = manifest.build(f"{s3_folder}/list.csv").table.to_pylist()
        assert [row["uri"] for row in rows] == [f"{s3_folder}/a//b.mp4", f"{s3_folder}/gone.mp4"]
        assert [row["size_bytes"] for row in rows] == [5, None]
        assert rows[0]["etag"] == store.stat(rows[0]["uri"]).etag

    def test_a_named_version_is_looked_up_and_not_the_present_one(self, s3, folder):
        uri = f"s3://{s3.make_bucket(versions=True)}/a.mp4"
        store = storage_for(uri)
        store.write(uri, b"old")
        version = store.stat(uri).version
        store.write(uri, b"the new one")
        (row,) = build(folder, f"uri,version_id\n{uri},{version}\n")
        assert (row["size_bytes"], row["version_id"]) == (3, version)
        assert row["video_id"] == video_id(uri, version)

    def test_one_forbidden_video_stays_and_all_forbidden_is_an_error(
        self, s3, folder, s3_folder, monkeypatch
    ):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER[1])
        rows = build(folder, f"uri\ns3://{READABLE_BUCKET}/ready\n{s3_folder}/a.mp4\n")
        assert [row["size_bytes"] for row in rows] == [0, None]
        with pytest.raises(LocationError, match="access denied"):
            build(folder, f"uri\n{s3_folder}/a.mp4\n")
