"""A fake's crops carry the masks that its row names, frame by frame, or say why not."""

import dataclasses
from fractions import Fraction

import cv2
import numpy as np
import pyarrow as pa
import pytest

from mover_ray.datasets.manifest import build
from mover_ray.errors import InputError
from mover_ray.faces.alignment import crop
from mover_ray.faces.observations import FaceObservation
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.view import View
from mover_ray.operations.demo_clips import FPS, HEIGHT_PX, WIDTH_PX, Clip, write_clip
from mover_ray.schemas import EXTRACT, FACES
from mover_ray.stages import mask_crops
from mover_ray.stages.encode import EncodeCrops
from mover_ray.stages.faces import FindFaces
from mover_ray.stages.mask_crops import MASK_MISMATCH, MASK_UNREADABLE, MaskReader
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import encode_masks
from mover_ray.video.sampling import SamplingPolicy
from mover_ray.video.sandbox import VideoReader

SIZE_PX = 64
FRAMES = 12
CROP = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)


def gray_masks(frames=FRAMES, height=HEIGHT_PX, width=WIDTH_PX):
    """Soft waves of every level that move from frame to frame: none looks like another."""
    y, x = np.mgrid[:height, :width]
    moves = np.arange(frames)[:, None, None]
    waves = np.sin(x / 19 + moves * 0.7) * np.cos(y / 23 - moves * 0.4)
    return np.round((waves + 1) * 127.5).astype(np.uint8)


def write_masks(path, masks):
    path.write_bytes(encode_masks(masks, Fraction(FPS)))
    return str(path)


def seen(track, frame, pixels=CROP):
    """A face somewhere in a frame."""
    affine = np.array([[0.4, 0.1, -40 - 5 * track], [-0.1, 0.4, 3]], np.float32)
    return FaceObservation(
        track_id=track, frame_index=frame, time_s=frame / FPS, group=frame,
        box=np.zeros(4, np.float32), score=0.9, affine=affine,
        landmarks=np.zeros((68, 2), np.float32), part_boxes={}, quality=0.5, crop=pixels,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """The manifest row of a clip of one face, and its masks."""
    folder = tmp_path_factory.mktemp("fake")
    path = write_clip(Clip(name="a.mp4", label="fake", seconds=FRAMES / FPS), folder, seed=0)
    uri = write_masks(folder / "a-masks.mp4", gray_masks())
    row = build(str(path)).table.to_pylist()[0]
    return {**row, "label": "fake", "mask_uri": uri}


def stage(policy=None, *, with_masks=True):
    """Gives the face stage; the caller closes it."""
    faces = FacePolicy(size_px=SIZE_PX)
    sampling = policy or SamplingPolicy(policy="uniform", frames=4)
    view = View(faces=faces, sampling=sampling)
    return FindFaces([view], VideoBudget(), with_masks=with_masks)


@pytest.fixture(scope="module")
def find():
    """Finds faces and masks."""
    whole = stage()
    yield whole
    whole.close()


def extracted(row):
    """Gives what training reads of a row."""
    stored = pa.Table.from_pylist([row], schema=FACES).to_pylist()[0]
    out = EncodeCrops(SIZE_PX)(stored)
    return pa.Table.from_pylist([out], schema=EXTRACT).to_pylist()[0]


def opened(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def expected(one, masks):
    affine = np.array(one["affine"], np.float32).reshape(2, 3)
    return crop(masks[one["frame_index"]], affine, SIZE_PX)


@pytest.mark.parametrize(
    "policy",
    [
        SamplingPolicy(policy="uniform", frames=4),
        SamplingPolicy(policy="clips", clips=1, clip_frames=5, clip_s=0.2),
        SamplingPolicy(policy="keyframes", frames=3, max_frames=4),
    ],
    ids=lambda policy: policy.policy,
)
def test_a_fakes_mask_is_cut_as_its_face_was(fake, policy):
    find = stage(policy)
    row = extracted(find(fake))
    find.close()
    assert (row["status"], row["flags"]) == ("ok", [])
    assert len({one["frame_index"] for one in row["crops"]}) >= 3
    masks = gray_masks()
    for one in row["crops"]:
        mask = opened(one["mask"])
        assert (mask.dtype, mask.shape) == (np.uint8, (SIZE_PX, SIZE_PX))
        assert np.ptp(mask) > 150
        assert np.abs(mask.astype(int) - expected(one, masks)).max() <= 1
        neighbour = expected({**one, "frame_index": (one["frame_index"] + 1) % FRAMES}, masks)
        assert np.abs(mask.astype(int) - neighbour).mean() > 10


def test_frames_that_the_masks_own_sampling_leaves_out_are_found(fake):
    row = {**fake, "num_frames": FRAMES, "width": WIDTH_PX, "height": HEIGHT_PX}
    wanted = [seen(0, 1), seen(0, 5), seen(1, 5), seen(1, FRAMES - 1)]
    sampling = SamplingPolicy(policy="uniform", frames=2)
    with VideoReader(VideoBudget()) as reader:
        found = MaskReader(reader, sampling, SIZE_PX, 2**20).read(row, [*wanted, seen(2, 3, None)])
    assert found.pngs.keys() == {(one.track_id, one.frame_index) for one in wanted}
    for one in wanted:
        mask = opened(found.pngs[one.track_id, one.frame_index])
        truth = crop(gray_masks()[one.frame_index], one.affine, SIZE_PX)
        assert np.abs(mask.astype(int) - truth).max() <= 1


def test_a_mask_is_counted_among_what_was_read(fake, find):
    with_mask, without = find(fake), find({**fake, "mask_uri": None})
    mask_bytes = len(encode_masks(gray_masks(), Fraction(FPS)))
    assert with_mask["bytes_read"] == without["bytes_read"] + mask_bytes
    assert with_mask["sha256"] == without["sha256"]


@pytest.mark.parametrize("row", [{"label": "real"}, {"label": None}, {"mask_uri": None}])
def test_only_a_fake_with_a_mask_has_one(fake, find, row):
    out = extracted(find({**fake, **row}))
    assert (out["status"], out["flags"]) == ("ok", [])
    assert out["crops"]
    assert all(one["mask"] is None for one in out["crops"])


def test_scoring_reads_no_mask(fake, monkeypatch):
    monkeypatch.setattr(mask_crops, "fetched", None)  # reading one would fail
    find = stage(with_masks=False)
    row = find(fake)
    find.close()
    assert row["status"] == "ok"
    assert all(one["mask"] is None for one in row["crops"])


@pytest.mark.parametrize(
    "size",
    [{"frames": FRAMES - 1}, {"frames": FRAMES + 1}, {"height": HEIGHT_PX - 2}, {"width": 64}],
    ids=str,
)
def test_a_mask_of_other_frames_is_no_mask(fake, find, tmp_path, size):
    uri = write_masks(tmp_path / "other.mp4", gray_masks(**size))
    row = find({**fake, "mask_uri": uri})
    assert (row["status"], row["flags"]) == ("ok", [MASK_MISMATCH])
    assert row["crops"]
    assert all(one["mask"] is None for one in row["crops"])


def test_a_mask_that_ends_early_is_no_mask(fake, find, tmp_path):
    path = tmp_path / "short.mp4"
    whole = encode_masks(gray_masks(), Fraction(FPS))
    start = whole.index(b"mdat") + 4
    keep = (len(whole) - start) * 2 // 5
    path.write_bytes(whole[: start + keep] + bytes(len(whole) - start - keep))
    row = find({**fake, "mask_uri": str(path)})
    assert row["status"] == "ok"
    assert set(row["flags"]) & {MASK_MISMATCH, MASK_UNREADABLE}
    assert all(one["mask"] is None for one in row["crops"])


@pytest.mark.parametrize("content", [None, b"", b"no video at all"], ids=str)
def test_a_fake_without_a_readable_mask_keeps_its_crops(fake, find, tmp_path, caplog, content):
    path = tmp_path / "mask.mp4"
    if content is not None:
        path.write_bytes(content)
    row = find({**fake, "mask_uri": str(path)})
    assert (row["status"], row["flags"]) == ("ok", [MASK_UNREADABLE])
    assert row["crops"]
    assert f"video_id={fake['video_id']}" in caplog.text


def test_a_mask_that_may_be_readable_tomorrow_leaves_the_row_for_tomorrow(fake, find, monkeypatch):
    def fail(*_):
        raise InputError(Status.FETCH_ERROR, "connection reset", 3)

    monkeypatch.setattr(mask_crops, "fetched", fail)
    row = find(fake)
    assert (row["status"], row["attempts"], row["crops"]) == ("fetch_error", 3, [])
    assert row["error"] == "the mask of this fake: connection reset"


def test_faces_that_nobody_scores_have_no_mask(fake):
    policy = dataclasses.replace(FacePolicy(size_px=SIZE_PX), eligible_face_px=500)
    view = View(faces=policy, sampling=SamplingPolicy(frames=4))
    find = FindFaces([view], VideoBudget(), with_masks=True)
    row = find({**fake, "mask_uri": "/nowhere"})
    find.close()
    assert (row["status"], row["flags"]) == ("no_face", [])
