import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.models.segments import clip_indices, cut_track, segment_indices

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


@st.composite
def clips_of_a_track(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Gives the times of frames and the number of each one's clip; clips lie far apart."""
    frames = draw(st.lists(st.integers(3, 12), min_size=1, max_size=4))
    times = [np.arange(count) * 0.3 + 60.0 * clip for clip, count in enumerate(frames)]
    return np.concatenate(times), np.repeat(np.arange(len(frames)), frames)


@given(clips_of_a_track(), lengths)
@settings(deadline=None)  # a busy machine may take its time
def test_a_segment_stays_in_one_clip_and_in_order(
    made: tuple[np.ndarray, np.ndarray], segment_frames: int
) -> None:
    times_s, clip = made
    indices = clip_indices(times_s, segment_frames)

    assert indices.shape[1] == segment_frames
    assert (clip[indices] == clip[indices[:, :1]]).all()
    assert (np.diff(indices, axis=1) >= 0).all()


@given(clips_of_a_track(), lengths)
@settings(deadline=None)  # a busy machine may take its time
def test_clips_of_half_the_length_are_seen_whole(
    made: tuple[np.ndarray, np.ndarray], segment_frames: int
) -> None:
    times_s, clip = made
    seen = set(clip_indices(times_s, segment_frames).ravel().tolist())
    frames = np.bincount(clip)

    for number, count in enumerate(frames):
        whole = set(np.flatnonzero(clip == number).tolist())
        if 2 * count >= segment_frames or count == frames.max():
            assert whole <= seen
        else:
            assert not whole & seen


def test_a_missed_face_does_not_end_a_clip() -> None:
    times_s = np.array([0.0, 0.3, 0.9, 1.2, 1.5])

    assert clip_indices(times_s, 5).tolist() == [[0, 1, 2, 3, 4]]


def test_a_short_clip_is_shown_longer_and_never_backwards() -> None:
    assert clip_indices(np.array([0.0, 0.3, 0.6]), 5).tolist() == [[0, 0, 1, 1, 2]]
    assert clip_indices(np.array([7.0]), 3).tolist() == [[0, 0, 0]]


def test_sparse_frames_of_a_whole_video_are_one_clip() -> None:
    times_s = np.linspace(0, 70, 8)

    assert clip_indices(times_s, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert cut_track(times_s, 4, clips=True).tolist() == clip_indices(times_s, 4).tolist()
    assert cut_track(times_s, 3, clips=False).tolist() == segment_indices(8, 3).tolist()
