"""What a part file costs its readers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mover_ray.pipelines.destination import Destination, attempt_of, part_name
from mover_ray.pipelines.parts import describe_all, read_table, write_part
from mover_ray.pipelines.ranged import RangedFile
from mover_ray.schemas import RESULT

MASK_BYTES = 100_000


def result_rows(count: int) -> pa.Table:
    """Gives result rows whose masks are nearly all of their bytes."""
    noise = np.random.default_rng(0)
    box = [1.0, 2.0, 3.0, 4.0]
    frame = {"frame_index": 0, "time_s": 0.0, "box": box, "score": 0.5}
    face = {"track_id": 0, "score": 0.5, "first_s": 0.0, "last_s": 1.0, "frames": [frame]}
    rows = [
        {
            "video_id": number, "uri": f"/{number}.mp4", "status": "ok", "attempts": 1,
            "flags": [], "score": 0.5, "trained": False, "faces": [face], "segments": [],
            "masks": [
                {
                    "track_id": 0, "frame_index": 0, "time_s": 0.0, "kind": "residual",
                    "box": box, "height": 1, "width": 1, "png": noise.bytes(MASK_BYTES),
                }
            ],
            "model_id": "m", "model_sha256": "0", "config_fingerprint": "0", "run_id": "r",
            "scored_at": 0,
        }
        for number in range(count)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=RESULT)


@pytest.mark.parametrize("columns", [["score"], ["score", "faces", "segments"]])
def test_reading_scores_and_faces_reads_no_mask_bytes(tmp_path: Path, columns: list[str]) -> None:
    destination = Destination(f"memory://bucket/{tmp_path.name}", "results")
    part = write_part(destination, 1, 0, result_rows(20)).part
    assert part.size_bytes > 20 * MASK_BYTES

    file = destination.open_part(part.name)
    assert isinstance(file, RangedFile)
    table = pq.read_table(file, columns=columns)

    assert table["score"].to_pylist() == [0.5] * 20
    # The footer alone is some kilobytes; one mask would be 100,000 bytes.
    assert file.bytes_read < MASK_BYTES


def test_the_record_of_a_part_is_that_of_its_bytes(tmp_path: Path) -> None:
    destination = Destination(str(tmp_path), "results")
    written = write_part(destination, 3, 4, result_rows(2))
    assert describe_all(destination, [written.part.name]) == [written.part]
    assert written.counts == {"ok": 2}
    assert read_table(destination, written.part.name).schema.equals(RESULT)


def test_names_carry_the_attempt() -> None:
    assert part_name(12, 34) == "00012-000034.parquet"
    assert attempt_of(part_name(12, 34, "k")) == 12
    with pytest.raises(ValueError, match="not the name of a part"):
        attempt_of("part-0.parquet")
