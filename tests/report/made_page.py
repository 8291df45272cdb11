"""Pages with made-up content of any length."""

import random
from typing import Any

from mover_ray.report.content import Card, Content, Picture, Track
from mover_ray.report.page import LINE_COLUMNS, render
from mover_ray.report.summary import summarise
from mover_ray.schemas import RESULT
from tests.made_results import IDENTITY, mask_png, scored
from tests.report.test_summary import table

HOSTILE = "</script><script>alert(1)</script>\u2028&\"'.mp4"


def lines(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)
    made = []
    for number in range(count):
        ok = number < count * 0.95
        line = dict.fromkeys(LINE_COLUMNS)
        line |= {
            "video_id": 2**62 + number,
            "uri": f"s3://archive/2024/{draw.randrange(200):03d}/clip_{draw.randrange(10**9)}.mp4",
            "score": 1 - number / count if ok else None,
            "status": "ok" if ok else "corrupt",
            "error": None if ok else "moov atom not found",
            "num_tracks": draw.randrange(1, 5) if ok else None,
            "duration_s": draw.uniform(1, 600),
            "label": draw.choice(["real", "fake", None]),
        }
        made.append(line)
    return made


def content(count: int = 120, **more: Any) -> Content:
    rows = [scored("/a/one.mp4", 0.9), scored(f"/a/{HOSTILE}", 0.8)]
    listed = lines(count)
    listed[0] |= {"uri": f"s3://archive/{HOSTILE}"}
    said: dict[str, Any] = {
        "dest": "/results/<run>",
        "summary": summarise([table(rows)]),
        "success": {
            "run_id": "feed",
            "identity": IDENTITY,
            "total": 2,
            "seconds": 4.0,
            "engine": "local",
            "finished_at": "2026-01-02T03:04:05.000Z",
            "code": {"version": "0.1.0"},
            "manifest_sha256": "ab" * 32,
            "libraries": {"av": "18.1.0", "ray": None},
        },
        "expected": 2,
        "lines": listed,
        "cards": [card(rows[0], listed[1]["video_id"]), card(rows[1], listed[0]["video_id"])],
        "unblurred": False,
        "made_at": "2026-01-02T03:05:00.000Z",
    }
    return Content(**{**said, **more})


def card(row: dict[str, Any], video_id: int) -> Card:
    png = mask_png()
    picture = Picture(track_id=0, time_s=0.08, score=0.9, jpeg=png, heat=png, mask_kind="trained")
    tracks = [
        Track(track_id=n, score=0.9 - n / 10, points=[(0.0, 0.9), (0.4, 0.7)], span_s=(0.0, 0.4))
        for n in range(3)
    ]
    row = {
        **dict.fromkeys(RESULT.names),
        **row,
        "video_id": str(video_id),
        "head_scores": {"a": 0.5},
    }
    return Card(row=row, tracks=tracks, pictures=[picture], note=None)


def page(count: int = 120, **more: Any) -> str:
    return render(content(count, **more))
