import torch

from mover_ray.models.base import FaceBatch


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
