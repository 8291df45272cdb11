"""600 stored videos over two nodes, one of which dies in the middle (F2, at length)."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mover_ray.storage import storage_for
from tests.faults import tally
from tests.faults.conftest import put
from tests.faults.nodes import cluster
from tests.faults.scans import Scan, all_rows
from tests.s3_server import S3Server

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's processes in /proc"),
]

VIDEOS = 600
SETTINGS = ("pipeline.videos_per_block=10", "pipeline.lease.wait_s=40", "pipeline.workers=1")


def test_a_large_run_survives_the_loss_of_a_node_and_says_what_it_cost(
    new_scan: Callable[..., Scan], s3: S3Server, ray_temp: Path, record_property: Callable
) -> None:
    source = s3.make_folder()
    clips = [path.read_bytes() for path in sorted(new_scan().archive.glob("face*"))]
    for number in range(VIDEOS):
        put(s3, f"{source}/{number:03d}.mp4", clips[number % len(clips)])
    with cluster(ray_temp) as nodes:
        dest = f"{s3.make_folder()}/out"
        scan = new_scan(dest, source=source, settings=SETTINGS, address=nodes.address)
        with scan.start("ray") as process:
            scan.wait_for_parts(process, VIDEOS // 20)
            nodes.kill_node()
            before = len(scan.parts())
            _, err = process.communicate(timeout=2400)
    assert process.returncode == 0, err
    tally.injected()
    rows = all_rows(scan)
    uris = {row["uri"] for row in rows}
    tally.counted(VIDEOS, VIDEOS - len(uris), len(rows) - len(uris))
    assert len(rows) == len(uris) == VIDEOS
    assert {row["status"] for row in rows} == {"ok"}
    record_property("videos_per_s", _rates(scan, before))


def _rates(scan: Scan, before: int) -> tuple[float, float]:
    """Gives committed videos a second before and after the loss, by the store's clock."""
    folder = f"{scan.dest}/{scan.folder}"
    infos = storage_for(folder).list(folder)
    times = sorted((info.mtime_ns or 0) / 1e9 for info in infos)
    first, second = times[:before], times[before - 1 :]
    rates = tuple(
        round(10 * (len(part) - 1) / max(1.0, part[-1] - part[0]), 2) for part in (first, second)
    )
    sys.stderr.write(f"\nvideos a second before and after the loss: {rates}\n")
    return rates[0], rates[1]
