import io
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.window_file import WindowFile
from tests.video.media import CountingFile

KIB = 1024


def opened(size: int) -> tuple[WindowFile, CountingFile, list[Sequence[tuple[int, int]]]]:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    file = CountingFile(content)
    told: list[Sequence[tuple[int, int]]] = []
    return WindowFile(file.binary, told.append), file, told


moves = st.tuples(st.integers(0, 700_000), st.integers(0, 50_000))
stretches = st.lists(st.integers(0, 600_000), max_size=8, unique=True).map(sorted)


@given(st.lists(moves, max_size=20), stretches)
def test_what_is_read_is_the_file(reads: list[tuple[int, int]], edges: list[int]) -> None:
    window, file, _ = opened(600_000)
    extents = list(zip(edges[::2], edges[1::2], strict=False))
    for number, (start, count) in enumerate(reads):
        if number == len(reads) // 2:
            window.expect(extents)
        window.seek(start)
        data = window.read(count)
        assert data == file.content[start : start + len(data)]
        assert data or count == 0 or start >= 600_000
        assert window.tell() == start + len(data)


@given(st.lists(moves, min_size=1, max_size=20), stretches.filter(lambda edges: len(edges) > 1))
def test_reads_within_the_extents_stay_within_them(
    reads: list[tuple[int, int]], edges: list[int]
) -> None:
    window, file, _ = opened(600_000)
    extents = list(zip(edges[::2], edges[1::2], strict=False))
    window.expect(extents)
    for (start, count), extent in zip(reads, itertools.cycle(extents)):
        window.seek(extent[0] + start % (extent[1] - extent[0]))
        window.read(max(1, count))
    assert all(any(a <= low and high <= b for a, b in extents) for low, high in file.reads)


def test_an_extent_is_one_read() -> None:
    window, file, told = opened(900_000)
    window.expect([(100_000, 500_000), (600_000, 700_000)])
    for start in (100_000, 350_000, 499_000, 600_000):
        window.seek(start)
        window.read(1000)
    assert file.reads == [(100_000, 500_000), (600_000, 700_000)]
    assert told == [[(100_000, 500_000), (600_000, 700_000)]]


def test_pieces_grow_while_one_follows_the_other() -> None:
    window, file, _ = opened(3000 * KIB)
    while window.read(64 * KIB):
        pass
    assert [(high - low) // KIB for low, high in file.reads] == [128, 256, 512, 1024, 1080]


def test_header_and_first_packets_are_read_once() -> None:
    window, file, _ = opened(2000 * KIB)
    for start in (0, 1950 * KIB, 16, 1999 * KIB, 2000 * KIB, 100 * KIB):
        window.seek(start)
        window.read(4)
    assert file.reads == [(0, 128 * KIB), (1950 * KIB, 2000 * KIB)]


def test_the_whole_is_announced() -> None:
    window, _, told = opened(1000)
    window.expect_all()
    assert told == [[(0, 1000)]]


def test_seeking_is_that_of_a_file() -> None:
    window, _, _ = opened(1000)
    assert (window.seek(-10, io.SEEK_END), window.seek(5, io.SEEK_CUR)) == (990, 995)
    assert (len(window.read(100)), window.read(100)) == (5, b"")
    with pytest.raises(ValueError, match="negative position: -1"):
        window.seek(-1)
