from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.datasets.rows import (
    compute_ids,
    expected_object,
    table_from_columns,
    table_from_infos,
    video_id,
)
from mover_ray.schemas import MANIFEST
from mover_ray.storage import ObjectInfo

INFO = ObjectInfo("s3://b/a.mp4", 12, "0123456789abcdef", "v7", 1_700_000_000_000_000_000)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


#: Computed with Python's hashlib when the layout was fixed: they may never change,
#: because destinations know their videos by them.
@pytest.mark.parametrize(
    ("uri", "version", "golden"),
    [
        ("/archive/a.mp4", "1048576:1700000000000000000", 5_639_848_714_474_540_638),
        ("s3://archive/2024/a.mp4", "9bb58f26192e4ba00f01e2e7b136bbd8", 2_437_784_962_786_051_048),
        ("s3://archive/ü//%41", "", 5_613_136_886_228_072_446),
    ],
)
def test_ids_stay_what_they_are(uri, version, golden):
    assert video_id(uri, version) == golden


@given(TEXT, TEXT.filter(lambda text: "\0" not in text))
def test_ids_are_63_bits_and_tell_uri_from_version(uri, version):
    assert 0 <= video_id(uri, version) < 2**63
    assert video_id(uri + "x", version) != video_id(uri, "x" + version)


@pytest.mark.parametrize(
    ("info", "version"),
    [
        (INFO, "v7"),
        (replace(INFO, version_id=None), "0123456789abcdef"),
        (replace(INFO, version_id=None, etag=None), "12:1700000000000000000"),
        (replace(INFO, version_id=None, etag=None, mtime_ns=None), "12:"),
    ],
)
def test_the_version_is_the_strongest_that_is_known(info, version):
    assert info.version == version
    table = table_from_columns(
        {
            "uri": [info.uri],
            "version_id": [info.version_id],
            "etag": [info.etag],
            "size_bytes": [info.size_bytes],
            "mtime_ns": [info.mtime_ns],
        }
    )
    assert table["video_id"].to_pylist() == [video_id(info.uri, version)]
    assert expected_object(table.to_pylist()[0]) == info


def test_a_listed_object_has_the_id_of_one_named_alone():
    listed = replace(INFO, version_id=None)
    assert table_from_infos([INFO]).equals(table_from_infos([listed]))


def test_tables_have_the_manifests_schema():
    for table in (table_from_infos([]), table_from_infos([INFO, INFO])):
        assert table.schema == MANIFEST
        assert compute_ids(table).equals(table["video_id"].combine_chunks())


def test_of_an_object_that_was_not_found_nothing_is_expected():
    table = table_from_columns({"uri": ["/missing.mp4"]})
    assert table["video_id"].to_pylist() == [video_id("/missing.mp4", "")]
    assert expected_object(table.to_pylist()[0]) is None
