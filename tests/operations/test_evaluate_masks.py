"""The protocol `localization`: masks of results against mask videos, real ones of H.264."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from mover_ray.errors import ConfigError, InputError
from mover_ray.operations.evaluate import EvaluateOptions, evaluate, write
from mover_ray.stages.mask_truth import MaskTruth, truth_at
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import EncoderConfig, encode_video
from tests.evaluation.made import video, write_results

WIDTH, HEIGHT, FRAMES = 96, 64, 6


def square(index: int) -> np.ndarray:
    """A white square of 16 pixels that moves 8 pixels a frame."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[24:40, 8 + 8 * index : 24 + 8 * index] = 255
    return frame


def mask_video(path) -> str:
    encoder = EncoderConfig(crf=0)
    frames = (square(index) for index in range(FRAMES))
    path.write_bytes(encode_video(frames, Fraction(25), encoder))
    return str(path)


def mask(index: int, box, picture: np.ndarray) -> dict:
    _, png = cv2.imencode(".png", picture)
    height, width = picture.shape
    return {
        "track_id": 0, "frame_index": index, "time_s": index / 25, "kind": "trained",
        "box": list(map(float, box)), "height": height, "width": width, "png": png.tobytes(),
    }  # fmt: skip


def whole(picture: np.ndarray, index: int) -> dict:
    return mask(index, (0, 0, WIDTH, HEIGHT), picture)


SIZE = {"width": WIDTH, "height": HEIGHT}


def test_truth_is_sampled_where_the_mask_lies() -> None:
    frame = square(2)[..., 0]
    half = mask(2, (16, 16, 48, 48), np.zeros((16, 16), np.uint8))
    found = truth_at(frame, half)
    # Half as many pixels: the square 24..40 x 24..40 becomes 4..12 x 4..12.
    expected = np.zeros((16, 16), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(found >= 128, expected)


def test_what_lies_outside_the_frame_is_untouched() -> None:
    outside = mask(0, (-96, -64, 96, 64), np.zeros((128, 192), np.uint8))
    found = truth_at(square(0)[..., 0], outside)
    assert not found[:64].any()
    assert (found[64 + 24 : 64 + 40, 96 + 8 : 96 + 24] == 255).all()


def test_masks_of_fakes_and_reals_are_measured(tmp_path) -> None:
    uri = mask_video(tmp_path / "mask.mp4")
    right, nothing = square(3)[..., 0], np.zeros((HEIGHT, WIDTH), np.uint8)
    quarter = nothing.copy()
    quarter[:32, :48] = 200
    rows = [
        video("f", "fake", 0.9, method="X", mask_uri=uri, masks=[whole(right, 3)], **SIZE),
        video("g", "fake", 0.9, method="Y", mask_uri=uri, masks=[whole(nothing, 0)], **SIZE),
        video("h", "fake", 0.8, method="Y", masks=[whole(nothing, 0)], **SIZE),
        video("r", "real", 0.1, masks=[whole(quarter, 0), whole(nothing, 1)], **SIZE),
    ]
    options = EvaluateOptions(
        results=(write_results(tmp_path / "r", rows),), protocol="localization"
    )
    found = evaluate(options)
    lines = {line.part: line.figures for line in found.report.masks}
    assert lines["X"]["iou"] == lines["X"]["f1"] == lines["X"]["pixel_auc"] == 1.0
    assert (lines["Y"]["iou"], lines["Y"]["pixel_auc"]) == (0.0, 0.5)
    assert lines[""]["iou"] == pytest.approx(0.5)
    assert lines["X"]["false_positive_area"] == pytest.approx(0.125)
    assert (lines[""]["fake_masks"], lines[""]["real_masks"]) == (2, 2)
    assert any("1 fakes are not judged" in note for note in found.report.notes)
    written = write(found, str(tmp_path / "out"))
    assert (tmp_path / "out" / "masks.csv") in written


def test_results_without_masks_are_refused(tmp_path) -> None:
    rows = [video("f", "fake", 0.9), video("r", "real", 0.1)]
    options = EvaluateOptions(
        results=(write_results(tmp_path / "r", rows),), protocol="localization"
    )
    with pytest.raises(ConfigError, match="hold no masks"):
        evaluate(options)


@pytest.mark.parametrize(
    ("index", "size", "status"),
    [(0, (WIDTH, HEIGHT + 2), Status.UNSUPPORTED), (FRAMES, (WIDTH, HEIGHT), Status.CORRUPT)],
)
def test_a_mask_of_other_frames_is_no_truth(tmp_path, index, size, status) -> None:
    uri = mask_video(tmp_path / "mask.mp4")
    with MaskTruth(VideoBudget()) as truth, pytest.raises(InputError) as caught:
        truth.read(uri, [whole(np.zeros((HEIGHT, WIDTH), np.uint8), index)], size)
    assert caught.value.status is status
