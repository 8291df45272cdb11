import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.models.segments import segment_indices

counts = st.integers(1, 300)
lengths = st.integers(1, 20)


@given(counts, lengths)
def test_every_frame_is_seen_and_none_beyond(num_frames: int, segment_frames: int) -> None:
    indices = segment_indices(num_frames, segment_frames)

    assert set(indices.ravel()) == set(range(num_frames))


@given(counts, lengths)
def test_segments_are_as_few_as_possible(num_frames: int, segment_frames: int) -> None:
    indices = segment_indices(num_frames, segment_frames)

    assert indices.shape == (-(-num_frames // segment_frames), segment_frames)


@given(counts, lengths)
def test_frames_of_a_segment_are_neighbours_unless_the_track_is_short(
    num_frames: int, segment_frames: int
) -> None:
    steps = np.diff(segment_indices(num_frames, segment_frames), axis=1)

    assert num_frames < segment_frames or (steps == 1).all()


def test_a_short_track_repeats_its_frames_in_turn() -> None:
    assert segment_indices(3, 5).tolist() == [[0, 1, 2, 0, 1]]


def test_segments_are_spread_evenly() -> None:
    assert segment_indices(12, 5)[:, 0].tolist() == [0, 3, 7]


@pytest.mark.parametrize(("num_frames", "segment_frames"), [(0, 5), (5, 0)])
def test_nothing_to_segment(num_frames: int, segment_frames: int) -> None:
    with pytest.raises(ValueError, match="nothing to segment"):
        segment_indices(num_frames, segment_frames)
