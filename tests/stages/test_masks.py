"""Which frames keep a mask, and where it lies in the frame."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.stages.masks import TOP_FRAMES, frames_to_mask, mask_row

FRAME = (640, 480)
SIZE_PX = 64

scores = st.lists(st.floats(-5, 5), max_size=12)


@given(scores)
def test_top_frames_are_the_most_suspicious_in_order(values: list[float]) -> None:
    kept = frames_to_mask(values, "top")

    assert kept == sorted(kept)
    assert len(kept) == min(TOP_FRAMES, len(values))
    left_out = [value for place, value in enumerate(values) if place not in kept]
    assert all(values[place] >= other for place in kept for other in left_out)


@given(scores)
def test_all_and_none(values: list[float]) -> None:
    assert frames_to_mask(values, "all") == list(range(len(values)))
    assert frames_to_mask(values, "none") == []


@pytest.mark.parametrize(("side", "tolerance"), [(64, 2), (16, 6)])
def test_a_spot_of_the_crop_lies_there_in_the_frame(side: int, tolerance: float) -> None:
    """To less than a value of the map, which is 2 or 8 px of the frame.

    The affine halves the frame and moves it by 40: crop (x, y) is frame 2 (x + 40).
    """
    values = np.zeros((side, side), np.float32)
    values[side // 4 : side // 2, side // 2 : 3 * side // 4] = 1.0
    crop = {
        "track_id": 3, "frame_index": 9, "time_s": 0.3,
        "affine": [0.5, 0.0, -40.0, 0.0, 0.5, -40.0],
    }  # fmt: skip

    row = mask_row(crop, "trained", values, SIZE_PX, FRAME)
    image = cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.shape == (row["height"], row["width"])
    rows, columns = np.nonzero(image > 127)
    left, top, right, bottom = row["box"]
    across, down = (right - left) / row["width"], (bottom - top) / row["height"]
    ends = [
        left + columns.min() * across, top + rows.min() * down,
        left + (columns.max() + 1) * across, top + (rows.max() + 1) * down,
    ]  # fmt: skip
    assert ends == pytest.approx([144, 112, 176, 144], abs=tolerance)
    assert (row["track_id"], row["frame_index"], row["kind"]) == (3, 9, "trained")


def test_values_beyond_the_range_are_cut() -> None:
    crop = {"track_id": 0, "frame_index": 0, "time_s": 0.0, "affine": [1, 0, 0, 0, 1, 0]}
    values = np.full((SIZE_PX, SIZE_PX), 7.0, np.float32)

    row = mask_row(crop, "residual", values, SIZE_PX, FRAME)
    image = cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.max() == 255
