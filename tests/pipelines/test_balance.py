"""Blocks weigh the same, and nothing large is left for the end."""

import heapq

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.pipelines.balance import balanced
from mover_ray.pipelines.job import PipelineConfig
from mover_ray.schemas import MANIFEST

SIZES = st.lists(st.integers(0, 10**12), max_size=200)


def work_list(sizes) -> pa.Table:
    rows = [
        {"video_id": number, "uri": str(number), "size_bytes": size}
        for number, size in enumerate(sizes)
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def block_sums(table: pa.Table, block_rows: int) -> list[int]:
    sizes = table["size_bytes"].to_pylist()
    return [sum(sizes[start : start + block_rows]) for start in range(0, len(sizes), block_rows)]


def makespan(blocks: list[int], workers: int) -> int:
    """Time until the last of so many workers is done, each taking the next block when free."""
    ends = [0] * workers
    for block in blocks:
        heapq.heapreplace(ends, ends[0] + block)
    return max(ends)


@given(st.lists(st.none() | st.integers(0, 10**12), max_size=200), st.integers(1, 20))
def test_every_row_stays(sizes, block_rows):
    work = work_list(sizes)
    result = balanced(work, block_rows)
    assert result.schema == work.schema
    assert sorted(result.to_pylist(), key=lambda row: row["video_id"]) == work.to_pylist()


@given(SIZES, st.integers(1, 20))
def test_full_blocks_differ_by_one_video_at_most_and_get_lighter(sizes, block_rows):
    sums = block_sums(balanced(work_list(sizes), block_rows), block_rows)
    full = sums[: len(sizes) // block_rows]
    assert full == sorted(full, reverse=True)
    if full:
        assert full[0] - full[-1] <= max(sizes)


@given(SIZES, st.integers(1, 20))
def test_a_block_that_is_not_full_comes_last_and_holds_the_smallest(sizes, block_rows):
    ordered = balanced(work_list(sizes), block_rows)["size_bytes"].to_pylist()
    left = len(sizes) % block_rows
    assert sorted(ordered[len(sizes) - left :]) == sorted(sizes)[:left]


def test_an_unknown_size_counts_as_the_median():
    ordered = balanced(work_list([1, None, 100, 2, 3]), 1)["size_bytes"].to_pylist()
    assert ordered == [100, 3, None, 2, 1]


def test_equal_sizes_keep_their_order():
    assert balanced(work_list([7] * 5), 5)["video_id"].to_pylist() == [0, 1, 2, 3, 4]


def test_no_straggler_holds_up_the_end():
    """Sizes as in an archive: most small, a few a thousand times as large, those at the end."""
    sizes = np.sort(np.random.default_rng(7).lognormal(16, 1.7, 4096).astype(int)).tolist()
    workers = 32
    ideal = sum(sizes) / workers
    as_listed = makespan(block_sums(work_list(sizes), 16), workers)
    in_order = makespan(block_sums(balanced(work_list(sizes), 16), 16), workers)
    assert in_order < 1.1 * ideal
    assert as_listed > 1.5 * ideal


def test_long_lists_get_larger_blocks_so_that_files_stay_few():
    config = PipelineConfig()
    assert [config.block_rows(videos, 8) for videos in (10, 600, 10**5, 10**6, 10**8)] == [
        *(1, 16, 16, 61, 128)
    ]
    assert PipelineConfig(videos_per_block=5).block_rows(10**6, 8) == 5
