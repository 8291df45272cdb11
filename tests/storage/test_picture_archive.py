"""Archives of strangers: what is taken, what is passed over, what ends the reading."""

import contextlib
import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.storage.picture_archive import DamagedArchiveError, PictureArchive
from tests.picture_archives import tar

PLENTY = 1 << 30


def contents(data: bytes, limit: int = PLENTY) -> dict[str, bytes]:
    archive = PictureArchive(io.BytesIO(data), limit)
    return {f"{found.folder}/{found.name}": archive.read() for found in archive}


def names(data: bytes, limit: int = PLENTY) -> list[str]:
    return [f"{one.folder}/{one.name}" for one in PictureArchive(io.BytesIO(data), limit)]


def refusal(data: bytes, limit: int = PLENTY) -> InputError:
    with pytest.raises(InputError) as caught:
        names(data, limit)
    return caught.value


def sealed(header: bytearray) -> bytes:
    """Gives a header with the checksum that fits it."""
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def plain_header(name: str, size: int = 0) -> bytearray:
    info = tarfile.TarInfo(name)
    info.size = size
    return bytearray(info.tobuf(tarfile.USTAR_FORMAT))


LONG = "/".join(["folder" * 10] * 5)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abä \u4e2d0123", min_size=1, max_size=150).map(lambda name: f"a/{name}.png"),
        st.binary(max_size=1500),
        max_size=5,
    ),
    st.booleans(),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_what_was_packed_is_read(files: dict[str, bytes], gzipped: bool, flavour: int) -> None:
    data = tar(files, gzipped=gzipped, flavour=flavour)
    assert contents(data) == files
    assert names(data) == list(files)


@pytest.mark.parametrize("flavour", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_each_format(flavour: int) -> None:
    limit = 200 if flavour == tarfile.USTAR_FORMAT else len(LONG)
    name = f"{LONG[-limit:].lstrip('/')}/1.png"
    assert contents(tar({name: b"x" * 513}, flavour=flavour)) == {name: b"x" * 513}


def test_folders_are_spelled_one_way() -> None:
    assert names(tar({"./a//b/./1.png": b"", "2.JPG": b""})) == ["a/b/1.png", "/2.JPG"]


def test_several_gzip_members_are_one_archive() -> None:
    data = tar({"a/1.png": b"one"}, gzipped=False)
    assert contents(gzip.compress(data[:700]) + gzip.compress(data[700:])) == {"a/1.png": b"one"}


@pytest.mark.parametrize(
    "name",
    ["/etc/1.png", "a/../1.png", "../1.png", "a/.1.png", "a/._1.png", "a/1.txt", "a/1.png/", ".."],
)
def test_names_that_lead_elsewhere_and_other_files_are_passed_over(name: str) -> None:
    assert names(tar({name: b"no", "a/1.png": b"yes"})) == ["a/1.png"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"5"],
)
def test_links_and_devices_are_passed_over(kind: bytes) -> None:
    info = tarfile.TarInfo("a/2.png")
    info.type, info.linkname, info.size = kind, "/etc/passwd", 4096
    assert contents(tar({"a/1.png": b"yes"}, others=[info])) == {"a/1.png": b"yes"}


def test_names_that_are_not_text_are_passed_over() -> None:
    header = plain_header("a/1.png")
    header[0:1] = b"\xff"
    assert names(sealed(header) + tar({"a/2.png": b""}, gzipped=False)) == ["a/2.png"]


def test_a_bomb_ends_by_the_budget() -> None:
    data = tar({"a/1.png": b"", "a/2.png": bytes(1 << 22)})
    assert len(data) < 10_000
    assert refusal(data, 1 << 20).status is Status.TOO_LARGE
    assert len(names(data, 1 << 23)) == 2


def test_announced_sizes_take_no_memory() -> None:
    for size in (8**11 - 1, 2**80):
        header = plain_header("a/1.png")
        header[124:136] = (
            f"{size:011o}\0".encode() if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
        )
        error = refusal(gzip.compress(sealed(header)))
        assert error.status is Status.TOO_LARGE


@pytest.mark.parametrize("kind", [b"x", b"L"])
def test_an_endless_extended_header_is_damage(kind: bytes) -> None:
    header = plain_header("a/1.png", 8**10)
    header[156:157] = kind
    assert isinstance(refusal(sealed(header)), DamagedArchiveError)


@pytest.mark.parametrize(
    "records",
    [b"0 a=b\n", b"99 a=b\n", b"a=b\n", b"-6 a=b\n", b"6 size=-1\n", b"11 size=-1\n", b"1 "],
)
def test_damaged_records_end_the_reading(records: bytes) -> None:
    header = plain_header("x", len(records))
    header[156:157] = b"x"
    data = sealed(header) + records.ljust(512, b"\0") + tar({"a/1.png": b""}, gzipped=False)
    assert isinstance(refusal(data), DamagedArchiveError)


@pytest.mark.parametrize(
    "field", [b"-0000000001\0", b"\xff" * 12, b"0x1\0\0\0\0\0\0\0\0\0", b"9" * 12]
)
def test_a_size_that_is_none_is_damage(field: bytes) -> None:
    header = plain_header("a/1.png")
    header[124:136] = field
    assert isinstance(refusal(sealed(header)), DamagedArchiveError)


def test_sparse_files_are_unsupported() -> None:
    header = plain_header("a/1.png")
    header[156:157] = b"S"
    assert refusal(sealed(header)).status is Status.UNSUPPORTED


@pytest.mark.parametrize(
    "data", [b"", b"no archive " * 99, gzip.compress(b"no archive " * 99, mtime=0)]
)
def test_what_is_no_archive_is_damaged(data: bytes) -> None:
    assert refusal(data).status is Status.CORRUPT


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_cut_archive_gives_what_came_before(gzipped: bool) -> None:
    whole = {f"a/{number}.png": bytes([number] * 3000) for number in range(9)}
    data = tar(whole, gzipped=gzipped)
    archive = PictureArchive(io.BytesIO(data[: len(data) // 2]), PLENTY)
    found: dict[str, bytes] = {}

    def read_on() -> None:
        found.update((f"a/{picture.name}", archive.read()) for picture in archive)

    with pytest.raises(DamagedArchiveError):
        read_on()
    assert found == {name: whole[name] for name in found}
    assert 0 < len(found) < 9


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 255), st.booleans())
def test_a_changed_byte_is_read_or_refused(place: int, value: int, gzipped: bool) -> None:
    files = {"a/1.png": b"one" * 99, "a/" + "long" * 30 + ".png": b"two"}
    data = bytearray(tar(files, gzipped=gzipped))
    data[place % len(data)] = value
    with contextlib.suppress(InputError):
        contents(bytes(data), 1 << 24)
