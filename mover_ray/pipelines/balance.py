"""The order of the work: blocks of like size, so that none of them holds up the end."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def balanced(work: pa.Table, block_rows: int) -> pa.Table:
    """Gives the work list in an order in which each run of `block_rows` rows weighs the same.

    Videos are dealt to the blocks from the largest to the smallest, to and fro, so that a
    block weighs more than another by one video at most. The heaviest blocks come first, and
    a last one that is not full holds the smallest videos: what starts late ends soon.

    Args:
        work: Rows of the manifest; a size that is not known counts as the median.
        block_rows: Rows of a block, at least 1.
    """
    sizes = work["size_bytes"].to_numpy().astype(np.float64)
    known = sizes[~np.isnan(sizes)]
    sizes = np.where(np.isnan(sizes), np.median(known) if known.size else 0.0, sizes)
    return work.take(pa.array(_deal(sizes, block_rows)))


def _deal(sizes: NDArray[np.float64], block_rows: int) -> NDArray[np.int64]:
    """Gives the positions of `sizes` [N] in their new order; equal sizes keep theirs."""
    order = np.argsort(-sizes, kind="stable")
    blocks = len(order) // block_rows
    rounds = order[: blocks * block_rows].reshape(block_rows, blocks)
    rounds[1::2] = rounds[1::2, ::-1]
    hands = rounds.T[np.argsort(-sizes[rounds].sum(axis=0), kind="stable")]
    return np.concatenate([hands.ravel(), order[blocks * block_rows :]])
