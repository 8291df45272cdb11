from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from mover_ray.faces.alignment import anchors, template
from mover_ray.faces.base import Image
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.reduction import shrink
from mover_ray.faces.warping import transform


@dataclass
class _Frame:
    index: int
    time_s: float
    group: int
    image: Image


def _frames(images) -> list[_Frame]:
    return [_Frame(7 * n, n * 0.28, n // 2, image) for n, image in enumerate(images)]


def _placed(portrait, *places: tuple[int, int], side: int = 512) -> Image:
    """The portrait at each place, on a gray frame of 1100x640."""
    frame = np.full((640, 1100, 3), 128, np.uint8)
    small = shrink(portrait, side)
    for x, y in places:
        frame[y : y + side, x : x + side] = small
    return frame


def test_a_moving_face_is_one_track_of_aligned_crops(extractor, portrait):
    images = [_placed(portrait, (40 * n, 10 * n)) for n in range(6)]
    tracks = extractor.extract(_frames(images))
    assert tracks.eligible == {0}
    assert tracks.frames_seen == tracks.frames_with_face == 6
    assert tracks.sizes == [(1100, 640)]
    assert tracks.flags == set()
    assert [(o.frame_index, o.time_s, o.group) for o in tracks.observations] == [
        (7 * n, n * 0.28, n // 2) for n in range(6)
    ]
    for n, seen in enumerate(tracks.observations):
        assert seen.crop is not None
        assert seen.crop.shape == (224, 224, 3)
        # The face moves 40 and 10 pixels a frame: its box does, its crop does not. The first
        # frame is searched at another size than the others: a tenth of a face of 140 pixels.
        assert seen.box[:2] - tracks.observations[0].box[:2] == pytest.approx(
            [40 * n, 10 * n], abs=14
        )
        assert anchors(seen.landmarks) == pytest.approx(template(1.3, 224), abs=12)
        difference = seen.crop.astype(int) - tracks.observations[0].crop.astype(int)
        assert np.abs(difference).mean() < 12
        assert 0 < seen.quality <= 1
        assert "mouth" in seen.part_boxes


def test_affine_takes_the_frame_into_the_crop(extractor, portrait):
    seen = extractor.extract(_frames([portrait] * 3)).observations[0]
    plain = cv2.warpAffine(portrait, seen.affine, (224, 224))
    assert np.abs(plain.astype(int) - seen.crop.astype(int)).mean() < 1
    assert transform(seen.affine, np.array([203.0, 101.0])) == pytest.approx(
        seen.landmarks[36:42].mean(axis=0), abs=6
    )


def test_same_frames_give_the_same_bits(extractor, portrait):
    images = [_placed(portrait, (30 * n, 5)) for n in range(4)]
    first = extractor.extract(_frames(images))
    # Another instance, and another video between.
    extractor.extract(_frames([portrait[::-1], portrait[:200]]))
    for again in (extractor, FaceExtractor(FacePolicy())):
        second = again.extract(_frames(images))
        for one, other in zip(first.observations, second.observations, strict=True):
            assert one.crop.tobytes() == other.crop.tobytes()
            assert one.landmarks.tobytes() == other.landmarks.tobytes()
            assert one.score == other.score


def test_short_track_has_observations_but_no_crops(extractor, portrait):
    gray = np.full_like(portrait, 128)
    tracks = extractor.extract(_frames([portrait, gray, portrait]))
    assert tracks.eligible == set()
    assert (tracks.frames_seen, tracks.frames_with_face) == (3, 2)
    assert [seen.track_id for seen in tracks.observations] == [0, 0]
    assert all(seen.crop is None for seen in tracks.observations)


def test_no_frames_and_no_faces(extractor):
    assert extractor.extract([]).frames_seen == 0
    tracks = extractor.extract(_frames([np.zeros((48, 64, 3), np.uint8)] * 2))
    assert (tracks.frames_seen, tracks.frames_with_face) == (2, 0)
    assert tracks.observations == []


def test_two_faces_are_two_tracks_in_order(extractor, portrait):
    images = [_placed(portrait, (20 + 5 * n, 100), (560, 100)) for n in range(3)]
    tracks = extractor.extract(_frames(images))
    assert tracks.eligible == {0, 1}
    order = [(seen.track_id, seen.frame_index) for seen in tracks.observations]
    assert order == [(track, 7 * n) for track in (0, 1) for n in range(3)]


def test_limits_on_faces_and_crops_set_the_flag(portrait):
    images = [_placed(portrait, (20, 100), (560, 100)) for _ in range(3)]
    for policy in (FacePolicy(max_faces=1), FacePolicy(max_crops=4)):
        tracks = FaceExtractor(policy).extract(_frames(images))
        assert tracks.flags == {"too_many_faces"}
        assert len(tracks.eligible) == 1
        assert sum(seen.crop is not None for seen in tracks.observations) == 3


def test_a_face_that_leaves_the_frame_is_cropped_with_black(extractor, portrait):
    cut = np.ascontiguousarray(portrait[:, 200:])
    tracks = extractor.extract(_frames([cut] * 3))
    assert tracks.eligible == {0}
    crop = tracks.observations[0].crop
    assert not crop[:, :20].any()
    assert crop[:, 180:].mean() > 20


def test_frames_are_consumed_a_few_at_a_time(extractor):
    alive = 0
    most = 0

    class _Counted(_Frame):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[_Frame]:
        nonlocal alive, most
        for n in range(40):
            alive += 1
            most = max(most, alive)
            yield _Counted(n, n / 25, 0, np.zeros((32, 32, 3), np.uint8))

    assert extractor.extract(stream()).frames_seen == 40
    # Eight of a batch while the next eight are read, and the one in the loop's hand.
    assert most <= 17


def test_box_alignment_crops_the_box(portrait):
    policy = FacePolicy(alignment="box", margin=1.2, size_px=96)
    seen = FaceExtractor(policy).extract(_frames([portrait] * 3)).observations[0]
    assert seen.crop is not None
    assert seen.crop.shape == (96, 96, 3)
    centre = (seen.box[:2] + seen.box[2:]) / 2 - 0.5
    assert transform(seen.affine, centre) == pytest.approx([47.5, 47.5], abs=0.01)
    assert seen.affine[0, 1] == 0


def test_every_ffpp_video_has_an_eligible_face(extractor, data_dir):
    """Decision 11: with the default policy every FF++ video can be scored."""
    videos = sorted((data_dir / "ffpp").rglob("*.mp4"))
    assert len(videos) == 30
    missing = [path for path in videos if not extractor.extract(_sampled(path)).eligible]
    assert missing == []


def _sampled(path) -> Iterator[_Frame]:
    """Three frames of the first second: cheap to decode."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(islice(container.decode(video=0), 25)):
            if number % 12 == 0:
                image = frame.to_ndarray(format="rgb24").astype(np.uint8)
                yield _Frame(number, number / 25, number, image)
