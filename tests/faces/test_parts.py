import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mover_ray.errors import ConfigError
from mover_ray.faces.parts import PARTITIONS, part_boxes, part_polygons, patch_masks

# Where each of the 68 points goes when the picture is mirrored.
_MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip

_PLACES = st.fixed_dictionaries(
    {
        "side": st.floats(30, 400),
        "centre": st.tuples(st.floats(-80, 300), st.floats(-80, 300)),
        "turn": st.floats(-3.1, 3.1),
    }
)
_GRIDS = st.sampled_from([(224, 16), (224, 14), (96, 32), (112, 8)])


@settings(deadline=None)
@given(place=_PLACES, grid=_GRIDS, partition=st.sampled_from(sorted(PARTITIONS)))
def test_no_patch_has_two_parts_and_bands_and_raster_leave_none_out(
    mean_face, place, grid, partition
):
    masks = patch_masks(mean_face(**place), grid[0], grid[1], partition)
    assert tuple(masks) == PARTITIONS[partition]
    owners = np.sum(list(masks.values()), axis=0)
    assert owners.shape == ((grid[0] // grid[1]) ** 2,)
    assert all(mask.dtype == bool for mask in masks.values())
    assert owners.max(initial=0) <= 1
    if partition != "roi":
        assert owners.min() == 1


@settings(deadline=None)
@given(place=_PLACES, grid=_GRIDS)
def test_bands_are_whole_rows_in_order_and_never_empty(mean_face, place, grid):
    masks = patch_masks(mean_face(**place), grid[0], grid[1], "bands")
    rows = grid[0] // grid[1]
    by_row = [mask.reshape(rows, rows) for mask in masks.values()]
    assert all((mask.all(axis=1) == mask.any(axis=1)).all() for mask in by_row)
    first_rows = [np.flatnonzero(mask.any(axis=1))[0] for mask in by_row]
    assert first_rows == sorted(first_rows)


def test_raster_is_algorithm_1_to_the_letter(mean_face):
    """Landmarks 17 and 16, counted from 1, end the first and the second part."""
    face = mean_face()
    face[16], face[15] = (200.0, 70.0), (190.0, 100.0)
    masks = patch_masks(face, 224, 16, "raster")
    # Patch of (200, 70): row 4, column 12; of (190, 100): row 6, column 11.
    assert np.flatnonzero(masks["eyes"]).tolist() == list(range(4 * 14 + 12 + 1))
    assert np.flatnonzero(masks["nose_cheek"]).tolist() == list(range(69, 6 * 14 + 11 + 1))
    assert np.flatnonzero(masks["lips"]).tolist() == list(range(96, 196))


def test_raster_of_a_face_upside_down_has_no_middle(mean_face):
    masks = patch_masks(mean_face(turn=np.pi), 224, 16, "raster")
    assert not masks["nose_cheek"].any()
    assert masks["eyes"].any()


@settings(deadline=None)
@given(
    turn=st.floats(-0.5, 0.5), side=st.floats(120, 190), partition=st.sampled_from(["roi", "bands"])
)
def test_mirrored_face_has_mirrored_parts(mean_face, turn, side, partition):
    face = mean_face(side=side, turn=turn)
    mirrored = (face * (-1, 1) + (223, 0))[_MIRROR]
    masks = patch_masks(face, 224, 16, partition)
    for name, mask in patch_masks(mirrored, 224, 16, partition).items():
        flipped = mask.reshape(14, 14)[:, ::-1].ravel()
        # Rasterised borders may give a patch at the threshold to the other side.
        assert (flipped != masks[name]).sum() <= (0 if partition == "bands" else 4)


def test_roi_parts_lie_where_they_do_in_a_face(mean_face):
    face = mean_face(side=172)
    masks = {name: mask.reshape(14, 14) for name, mask in patch_masks(face, 224, 16, "roi").items()}
    assert all(mask.any() for mask in masks.values())
    for name, points in (
        ("brows", face[[19, 24]]),
        ("eyes", [face[36:42].mean(axis=0), face[42:48].mean(axis=0)]),
        ("nose", face[[30]]),
        ("mouth", [face[48:60].mean(axis=0)]),
        ("chin", [(face[8] + face[57]) / 2]),
        ("cheeks", [(face[3] + face[31]) / 2, (face[13] + face[35]) / 2]),
        ("nose_root", face[[27]]),
    ):
        for x, y in points:
            assert masks[name][int((y + 0.5) // 16), int((x + 0.5) // 16)], name
    heights = [
        np.nonzero(masks[name])[0].mean() for name in ("brows", "eyes", "nose", "mouth", "chin")
    ]
    assert heights == sorted(heights)
    assert not any(mask[0].any() for mask in masks.values())


def test_part_boxes_hold_their_polygons(mean_face):
    face = mean_face(side=150)
    boxes = part_boxes(face, 224)
    assert {name.split("_left")[0].split("_right")[0] for name in boxes} == set(PARTITIONS["roi"])
    polygons = part_polygons(face)
    mouth = polygons["mouth"][0]
    assert boxes["mouth"] == pytest.approx([*(mouth.min(axis=0) + 0.5), *(mouth.max(axis=0) + 0.5)])
    assert boxes["eyes_left"][2] < boxes["eyes_right"][0]
    assert boxes["eyes_left"].dtype == np.float32


@settings(deadline=None)
@given(place=_PLACES)
def test_part_boxes_stay_inside_the_crop(mean_face, place):
    for box in part_boxes(mean_face(**place), 224).values():
        assert (box >= 0).all()
        assert (box <= 224).all()
        assert (box[:2] < box[2:]).all()


def test_parts_outside_the_crop_are_absent(mean_face):
    face = mean_face(side=160, centre=(-5, 112))
    boxes = part_boxes(face, 224)
    assert "cheeks_left" not in boxes
    assert "cheeks_right" in boxes
    assert part_boxes(mean_face(centre=(-500, 0)), 224) == {}
    assert not any(
        m.any() for m in patch_masks(mean_face(centre=(-500, 0)), 224, 16, "roi").values()
    )


def test_wrong_requests_are_refused(mean_face):
    with pytest.raises(ConfigError, match="unknown partition: `halves`"):
        patch_masks(mean_face(), 224, 16, "halves")
    with pytest.raises(ConfigError, match="do not fill"):
        patch_masks(mean_face(), 224, 15, "roi")
    with pytest.raises(ConfigError, match="three rows"):
        patch_masks(mean_face(), 224, 112, "bands")
