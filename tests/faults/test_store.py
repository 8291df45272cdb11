"""A store that misbehaves (S1 to S8): right bytes in the end, or a row that says so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.storage import storage_for
from tests.fault_proxy import Fault, FaultProxy
from tests.faults import tally
from tests.faults.conftest import put
from tests.faults.scans import Scan, check_invariants, rows_of
from tests.s3_server import READABLE_BUCKET, READER, S3Server

pytestmark = pytest.mark.cluster

NewScan = Callable[..., Scan]
Rows = dict[str, dict]

IMPATIENT = (
    "pipeline.videos_per_block=2",
    "pipeline.lease.wait_s=40",
    "s3.attempts=4",
    "s3.pause_s=0.05",
    "s3.read_timeout_s=1.0",
)
#: Objects that no run touches beside the videos.
VIDEO = ".mp4"

STORMS = {
    "S1-errors": (
        Fault("refuse", times=12, share=0.4),
        Fault("refuse", times=12, share=0.4, status=500, code="InternalError"),
        Fault("refuse", times=4, share=0.3, method="PUT"),
    ),
    "S2-broken-bodies": (
        Fault("reset", times=4, share=0.3),
        Fault("cut", value=1000, times=4, share=0.3),
        Fault("cut", value=0, times=4, share=0.3),
        Fault("hang", value=2.0, times=2, share=0.3, path=VIDEO),
        Fault("slow", value=8192, times=2, share=0.3, path=VIDEO),
    ),
    "S3-flipped-bytes": (Fault("flip", value=5000, times=8, share=0.4, path=VIDEO),),
    "S4-lost-replies": (
        Fault("lose_reply", times=6, share=0.4, method="PUT"),
        Fault("refuse", times=6, share=0.4, method="PUT", status=409,
              code="ConditionalRequestConflict", path="/crops/"),
    ),
    "S5-expired": (
        Fault("refuse", times=1, status=400, code="ExpiredToken", path="face03.mp4"),
        Fault("refuse", times=1, status=400, code="ExpiredToken", method="PUT", path="crops"),
    ),
}  # fmt: skip


def inject(faults: FaultProxy, *kinds: Fault, per_path: int | None = None) -> None:
    faults.inject(*(replace(kind) for kind in kinds), per_path=per_path)


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_that_passes_leaves_no_trace(
    stored: NewScan, clean_stored: Rows, faults: FaultProxy, storm: str
) -> None:
    scan = stored(settings=IMPATIENT)
    inject(faults, *STORMS[storm], per_path=2)
    scan.finish("local")
    assert faults.injected >= 2, "nothing was tried"
    tally.injected(faults.injected)
    faults.inject()
    check_invariants(scan, clean_stored)


def test_a_video_that_can_never_be_read_is_a_row_and_asked_for_a_few_times(
    stored: NewScan, clean_stored: Rows, faults: FaultProxy
) -> None:
    """S1 and S3, for ever: a start after the fault brings what is missing."""
    scan = stored(settings=IMPATIENT)
    for_ever = (
        Fault("refuse", times=999, path="face01.mp4"),
        Fault("cut", value=9, times=999, path="face02.mp4"),
        Fault("flip", value=9, times=999, path="face03.mp4"),
        Fault("refuse", times=999, status=403, code="AccessDenied", path="face04.mp4"),
    )
    inject(faults, *for_ever)
    counts = scan.finish("local")["counts"]
    assert counts == {"access_denied": 1, "corrupt": 1, "fetch_error": 3, "no_face": 1, "ok": 4}
    asked = [sum(name in path for path in faults.paths) for name in ("face01", "face02", "face03")]
    assert max(asked) <= 4, "a hot loop"
    tally.injected(faults.injected)
    rows = rows_of(scan)
    broken = {f"face{number:02d}.mp4" for number in (1, 2, 3, 4)}
    assert all(rows[name]["crops"] == [] and rows[name]["error"] for name in broken)
    assert {name: row for name, row in rows.items() if name not in broken} == {
        name: row for name, row in clean_stored.items() if name not in broken
    }
    faults.inject()
    assert scan.finish("local")["resumed"] == 6
    check_invariants(scan, clean_stored)


def test_a_source_that_may_not_be_listed_ends_the_command_at_once(
    stored: NewScan, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5: nothing is written."""
    scan = stored()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER[1])
    code, err = scan.fail("local")
    assert code == 5, err
    assert "access denied" in err
    assert "hint:" in err
    tally.injected()
    monkeypatch.undo()
    bucket, _, prefix = scan.dest.removeprefix("s3://").partition("/")
    assert s3.client.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] == 0


@pytest.mark.parametrize("source", [f"s3://{READABLE_BUCKET}/nothing/", "s3://no-such-bucket/x/"])
def test_a_source_without_a_video_ends_the_command_at_once(stored: NewScan, source: str) -> None:
    """S7."""
    code, err = stored(source=source).fail("local")
    assert code == 5, err
    assert "hint:" in err
    tally.injected()


def test_what_was_replaced_or_deleted_after_the_listing_says_so(
    stored: NewScan, clean_stored: Rows, s3: S3Server, uploaded: str, tmp_path: Path
) -> None:
    """S6: never the bytes of another version."""
    source = s3.make_folder()
    for name in clean_stored:
        put(s3, f"{source}/{name}", storage_for(uploaded).read(f"{uploaded}/{name}"))
    listed = tmp_path / "listed.parquet"
    manifests.write(str(listed), manifests.build(source).table)
    put(s3, f"{source}/face01.mp4", storage_for(uploaded).read(f"{uploaded}/face02.mp4"))
    storage_for(source).delete(f"{source}/face03.mp4")
    scan = stored(source=str(listed))
    scan.finish("local")
    tally.injected(2)
    rows = rows_of(scan)
    assert rows["face01.mp4"]["status"] == "changed"
    assert rows["face03.mp4"]["status"] == "not_found"
    others = set(clean_stored) - {"face01.mp4", "face03.mp4"}
    crops = {name: rows[name]["crops"] for name in others}
    assert crops == {name: clean_stored[name]["crops"] for name in others}
    tally.counted(len(clean_stored), len(set(clean_stored) - set(rows)), 0)


ODD_NAMES = (
    "ünïcode.mp4", "a b.mp4", "%41.mp4", "a+b&c=d.mp4", "new\nline.mp4", "A.mp4", "a.mp4",
    "#hash?.mp4", "x" * 200 + ".mp4",
)  # fmt: skip


def test_odd_keys_and_equal_bytes_are_videos_like_any_other(
    stored: NewScan, clean_stored: Rows, s3: S3Server, uploaded: str
) -> None:
    """S8 and V10: the key in the row is the key in the store, and each one has its row."""
    content = storage_for(uploaded).read(f"{uploaded}/face00.mp4")
    source = s3.make_folder()
    for name in ODD_NAMES:
        put(s3, f"{source}/{name}", content)
    scan = stored(source=source)
    scan.finish("local")
    rows = rows_of(scan)
    tally.injected(len(ODD_NAMES))
    tally.counted(len(ODD_NAMES), len(set(ODD_NAMES) - set(rows)), 0)
    assert {row["uri"] for row in rows.values()} == {f"{source}/{name}" for name in ODD_NAMES}
    assert len({row["sha256"] for row in rows.values()}) == 1
    wanted = [crop["jpeg"] for crop in clean_stored["face00.mp4"]["crops"]]
    assert wanted
    assert all([crop["jpeg"] for crop in row["crops"]] == wanted for row in rows.values())
