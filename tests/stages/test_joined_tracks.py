from typing import Any

import pytest

from mover_ray.stages.joined_tracks import join_tracks, overlap

Face = dict[str, Any]


def face(track_id: int, left: float, *times_s: float, speed: float = 0.0) -> Face:
    """Gives a face of 10 x 10 pixels that moves to the right."""
    boxes = [[left + speed * time, 0.0, left + speed * time + 10, 10.0] for time in times_s]
    frames = [{"time_s": time, "box": box} for time, box in zip(times_s, boxes, strict=True)]
    return {
        "track_id": track_id,
        "first_s": times_s[0],
        "last_s": times_s[-1],
        "frames": frames,
    }


def test_tracks_of_the_same_face_are_joined_whatever_their_numbers() -> None:
    first = [face(0, 0, 0, 1, 2), face(1, 50, 0, 1, 2)]
    second = [face(0, 51, 0.5, 1.5), face(1, 2, 0.5, 1.5)]

    assert join_tracks([first, second]) == [{0: 0, 1: 1}, {0: 1, 1: 0}]


def test_a_face_that_only_one_found_is_a_new_one() -> None:
    assert join_tracks([[face(3, 0, 0, 1)], [face(0, 80, 0, 1)]]) == [{3: 3}, {0: 4}]
    assert join_tracks([[], [face(0, 80, 0, 1)], [face(5, 80, 0, 1)]]) == [{}, {0: 0}, {5: 0}]


def test_two_tracks_of_one_view_are_two_faces() -> None:
    """The longer one joins; the other may be the same person after a cut, or not."""
    one = [face(0, 0, 0, 1, 2, 3)]
    halves = [face(0, 0, 0, 1), face(1, 0, 1.5, 2, 3)]

    assert join_tracks([one, halves]) == [{0: 0}, {1: 0, 0: 1}]


def test_faces_at_one_place_after_each_other_are_not_joined() -> None:
    assert overlap(face(0, 0, 0, 1), face(0, 0, 2, 3)) == 0.0
    assert join_tracks([[face(0, 0, 0, 1)], [face(0, 0, 2, 3)]]) == [{0: 0}, {0: 1}]


def test_a_moving_face_is_met_between_the_sampled_frames() -> None:
    seen_early, seen_late = face(0, 0, 0, 2, speed=40), face(0, 0, 0.5, 1.5, speed=40)

    assert overlap(seen_early, seen_late) == pytest.approx(1.0)
    assert overlap(seen_early, face(0, 5, 0.5, 1.5, speed=40)) == pytest.approx(1 / 3)
