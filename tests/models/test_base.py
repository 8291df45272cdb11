import numpy as np
import torch

from mover_ray.models.base import FaceBatch, InputSpec


def make(*leading: int) -> FaceBatch:
    return FaceBatch(
        faces=torch.arange(leading[0] * leading[-1] * 48 if len(leading) > 1 else leading[0] * 48)
        .reshape(*leading, 3, 4, 4)
        .to(torch.uint8),
        landmarks=torch.randn(*leading, 68, 2),
        labels=torch.arange(leading[0]),
        has_mask=torch.ones(*leading, dtype=torch.bool),
    )


def test_segments_become_single_faces_with_the_label_of_their_segment() -> None:
    batch = make(2, 3)
    singles = batch.singles()

    assert singles.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(singles.faces[4], batch.faces[1, 1])
    assert torch.equal(singles.landmarks[4], batch.landmarks[1, 1])
    assert singles.has_mask is not None
    assert singles.has_mask.shape == (6,)
    assert singles.masks is None
    assert singles.singles() is singles


def test_single_faces_become_segments_of_one_frame() -> None:
    batch = make(3)
    segments = batch.segments()

    assert segments.faces.shape == (3, 1, 3, 4, 4)
    assert segments.labels.tolist() == [0, 1, 2]
    assert segments.segments() is segments
    assert torch.equal(segments.singles().faces, batch.faces)


def test_moving_takes_everything_along() -> None:
    moved = make(2, 2).to("meta")

    for values in (moved.faces, moved.landmarks, moved.labels, moved.has_mask):
        assert values is not None
        assert values.device.type == "meta"
    assert moved.target is None


def test_clips_have_the_length_that_is_asked_for() -> None:
    batch = make(2, 3)

    longer, shorter = batch.clips(5), batch.clips(2)
    assert torch.equal(longer.faces, batch.faces[:, [0, 0, 1, 1, 2]])
    assert torch.equal(longer.landmarks, batch.landmarks[:, [0, 0, 1, 1, 2]])
    assert torch.equal(shorter.faces, batch.faces[:, :2])
    assert longer.labels.tolist() == shorter.labels.tolist() == [0, 1]
    assert batch.clips(3) is batch
    assert make(3).clips(2).faces.shape == (3, 2, 3, 4, 4)


def test_a_spec_cuts_tracks_as_its_detector_looks() -> None:
    times_s = np.array([0.0, 0.1, 0.2, 9.0, 9.1, 9.2])

    motion = InputSpec(size_px=64, segment_frames=4, clips=True)
    assert motion.cut(times_s).tolist() == [[0, 0, 1, 2], [3, 3, 4, 5]]
    single = InputSpec(size_px=64, segment_frames=4)
    assert single.cut(times_s).tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]
