import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.errors import LocationError, StorageError
from mover_ray.status import Status
from mover_ray.storage import join, normalise, relative_name, split_object, uri_to_path

#: Any name that a file system of bytes takes.
FILE_NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_paths_become_absolute_and_lose_dots(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert normalise("a/../b/./c.mp4") == f"{tmp_path}/b/c.mp4"
    assert normalise(f"{tmp_path}/x/") == f"{tmp_path}/x"
    assert normalise("~") == f"{tmp_path}/~"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("FILE://localhost/a%20b", "/a b"),
        ("file:///a?b#c", "/a?b#c"),
    ],
)
def test_file_addresses_become_paths(address, path):
    assert normalise(address) == path


@given(KEYS)
def test_keys_are_kept_byte_for_byte(key):
    uri = normalise(f"s3://bucket/{key}")
    assert split_object(uri) == ("bucket", key)
    assert normalise(uri) == uri


@pytest.mark.parametrize("uri", ["s3://bucket/a//b", "s3://bucket/../x", "s3://b/%41?x#y"])
def test_keys_are_no_paths(uri):
    assert normalise(uri) == uri


def test_a_bucket_is_its_root():
    assert normalise("s3://bucket") == "s3://bucket/"
    assert normalise("S3://bucket/Key") == "s3://bucket/Key"


@given(FILE_NAMES)
def test_every_file_name_has_a_uri_that_parquet_can_hold(name):
    path = Path("/archive") / os.fsdecode(name)
    uri = normalise(str(path))
    uri.encode()
    assert uri_to_path(uri) == path
    assert normalise(uri) == uri
    assert relative_name(uri, "/archive") == os.fsdecode(name)


def test_names_that_are_not_utf8_are_percent_encoded():
    assert normalise("/a/" + os.fsdecode(b"\xff.mp4")) == "file:///a/%FF.mp4"


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("http://host/a.mp4", "s3://"),
        ("s3a://bucket/a", "s3://"),
        ("s3://", "s3://bucket/prefix"),
        ("s3:///key", "s3://bucket/prefix"),
        ("file://host/a", "file:///path"),
        ("", "path"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(location, hint):
    with pytest.raises(LocationError) as raised:
        normalise(location)
    assert f"`{location}`" in str(raised.value)
    assert hint in (raised.value.hint or "")


def test_no_file_has_a_zero_byte_in_its_name():
    with pytest.raises(StorageError) as raised:
        uri_to_path("/a\0b")
    assert raised.value.status is Status.NOT_FOUND


@given(st.lists(KEYS.filter(lambda key: not key.endswith("/")), max_size=4))
def test_join_puts_one_slash_between_names(names):
    assert join("s3://bucket/", *names) == "s3://bucket/" + "/".join(names)
    assert join("/base", *names) == "/".join(["/base", *names])


def test_relative_names_start_below_the_folder():
    assert relative_name("s3://b/run1/a/x.mp4", "s3://b/run1") == "a/x.mp4"
    assert relative_name("s3://b/run1/a/x.mp4", "s3://b/run1/") == "a/x.mp4"
    assert relative_name("s3://b/run10/x.mp4", "s3://b/run1") == "s3://b/run10/x.mp4"
