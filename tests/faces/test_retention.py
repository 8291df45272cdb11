import numpy as np

from mover_ray.faces.observations import FaceObservation
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.retention import CropBudget, eligible_tracks


def _seen(track: int, frame: int, score: float = 0.9, side: float = 100) -> FaceObservation:
    return FaceObservation(
        track_id=track,
        frame_index=frame,
        time_s=frame / 25,
        group=frame,
        box=np.array([0, 0, side, side + 30], np.float32),
        score=score,
        affine=np.eye(2, 3, dtype=np.float32),
        landmarks=np.zeros((68, 2), np.float32),
        part_boxes={},
        quality=0.5,
        crop=np.zeros((4, 4, 3), np.uint8),
    )


def _with_crop(observations) -> list[tuple[int, int]]:
    return [(seen.track_id, seen.frame_index) for seen in observations if seen.crop is not None]


def test_a_track_needs_enough_big_and_certain_faces():
    tracks = {
        0: [_seen(0, frame) for frame in range(3)],
        1: [_seen(1, frame) for frame in range(2)],
        2: [_seen(2, 0), _seen(2, 1), _seen(2, 2, score=0.79)],
        3: [_seen(3, 0), _seen(3, 1), _seen(3, 2, side=39)],
        4: [_seen(4, frame, score=0.8, side=40) for frame in range(3)],
        5: [_seen(5, 0, score=0.5), *(_seen(5, frame) for frame in range(1, 4))],
    }
    observations = [seen for track in tracks.values() for seen in track]
    assert eligible_tracks(observations, FacePolicy()) == {0, 4, 5}


def test_within_the_budget_nothing_is_lost():
    observations = [_seen(0, frame) for frame in range(5)]
    budget = CropBudget(FacePolicy(max_crops=5))
    budget.enforce(observations)
    assert len(_with_crop(observations)) == 5
    assert not budget.dropped
    assert not budget.shortened


def test_the_worst_track_loses_its_crops_for_good():
    budget = CropBudget(FacePolicy(max_crops=5))
    observations = [_seen(0, f, score=0.6) for f in range(3)] + [_seen(1, f) for f in range(3)]
    budget.enforce(observations)
    assert budget.dropped == {0}
    observations += [_seen(0, 3), _seen(1, 3)]
    budget.enforce(observations)
    assert _with_crop(observations) == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_of_equals_the_later_track_goes():
    observations = [_seen(track, frame) for track in (0, 1, 2) for frame in range(2)]
    budget = CropBudget(FacePolicy(max_crops=4))
    budget.enforce(observations)
    assert budget.dropped == {2}


def test_a_single_long_track_keeps_its_first_crops():
    observations = [_seen(0, frame) for frame in range(9)]
    budget = CropBudget(FacePolicy(max_crops=4))
    budget.enforce(observations)
    assert _with_crop(observations) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert budget.shortened
    assert not budget.dropped
