"""Videos of one batch are scored by model and masks, and none gets another's row."""

import asyncio
from collections.abc import Sequence
from typing import Any

from mover_ray.serving.served_models import ModelRef
from mover_ray.serving.workers import ScoreRequest, ScoreWorker
from mover_ray.stages.base import Row


class Counting:
    """A scorer that says how often it was called, and with how many videos."""

    def __init__(self, name: str, calls: list[tuple[str, int]]) -> None:
        self._name = name
        self._calls = calls

    def __call__(self, row: Row) -> Row:
        return self.score_rows([row])[0]

    def score_rows(self, rows: Sequence[Row]) -> list[Row]:
        self._calls.append((self._name, len(rows)))
        return [{**row, "score": row["video_id"] / 100} for row in rows]

    def close(self) -> None:
        """Holds nothing."""


class CountingStages:
    """Builds it for every model and choice of masks."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def find_faces(self, model: ModelRef) -> Any:
        raise NotImplementedError

    def scorer(self, model: ModelRef, masks: str) -> tuple[Counting, Row]:
        return Counting(f"{model.name}-{masks}", self.calls), {"config_fingerprint": masks}


def model(name: str = "a") -> ModelRef:
    return ModelRef(name=name, path=f"/{name}", model_id=name, model_sha256=name, trained=True)


def request(number: int, faces: int = 4, of: str = "a", masks: str = "none") -> ScoreRequest:
    row = {"video_id": number, "crops": [{"pixels": b""}] * faces}
    return ScoreRequest(row, model(of), masks, f"run-{number}")


def test_videos_for_one_model_share_a_call_and_each_gets_its_own_row() -> None:
    stages = CountingStages()
    rows = score(stages, [request(number) for number in range(32)])
    assert [row["score"] for row in rows] == [number / 100 for number in range(32)]
    assert [row["run_id"] for row in rows] == [f"run-{number}" for number in range(32)]
    assert stages.calls == [("a-none", 32)]


def test_models_and_masks_do_not_mix() -> None:
    stages = CountingStages()
    rows = score(stages, [request(0), request(1, of="b"), request(2, masks="top"), request(3)])
    assert [row["config_fingerprint"] for row in rows] == ["none", "none", "top", "none"]
    assert sorted(stages.calls) == [("a-none", 2), ("a-top", 1), ("b-none", 1)]


def test_a_video_costs_what_it_has_of_faces_to_score() -> None:
    one = request(0, faces=3)
    one.row["crops"].append({"pixels": None})
    assert one.faces == 3


def score(stages: CountingStages, requests: list[ScoreRequest]) -> list[Row]:
    """Scores requests in one batch."""

    async def ask() -> list[Row]:
        worker = ScoreWorker(stages)
        try:
            return await worker.score(requests)
        finally:
            await worker.close()

    return asyncio.run(ask())
