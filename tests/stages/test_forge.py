"""One file of a corpus: what becomes of the real frames, and what never becomes a fake."""

import io
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from mover_ray.datasets.manifest import build
from mover_ray.errors import InputError
from mover_ray.schemas import FORGED, FORGING, SURVEY
from mover_ray.stages.forge import ClipReader, ForgeClips, Recipe, StoreFiles
from mover_ray.stages.survey import SurveyClips, SurveyConfig, read_landmarks
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import EncoderConfig
from tests.archive import make_archive

ENCODER = EncoderConfig(preset="ultrafast")
FAKE = {
    "video_id": 1, "uri": "fake.mp4", "mask_uri": "mask.mp4", "label": "fake", "method": "Toy",
}  # fmt: skip


def darken(name, clip, partner, rng):
    """Darkens a square a little, by chance; says so in the mask."""
    frames, masks = clip.frames.copy(), np.zeros(clip.frames.shape[:3], np.float32)
    frames[:, 40:80, 40:80] //= 2 + int(rng.integers(3))
    masks[:, 40:80, 40:80] = 0.001 if name == "faint" else 1.0
    return frames, masks


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    """Rows of the survey of one face, of a rocket and of a broken file."""
    folder = tmp_path_factory.mktemp("survey")
    table = build(str(make_archive(folder / "src", faces=1))).table
    stage = SurveyClips(SurveyConfig(), VideoBudget(), str(folder / "landmarks"))
    rows = {Path(row["uri"]).stem: stage(row) for row in table.to_pylist()}
    stage.close()
    stored = pa.Table.from_pylist(list(rows.values()), schema=SURVEY).to_pylist()
    return folder, dict(zip(rows, stored, strict=True))


@pytest.fixture
def forge(surveyed):
    """Makes one file: `forge(recipe)` or `forge(recipe, forger)`."""
    reader = ClipReader(SurveyConfig(), VideoBudget(), str(surveyed[0] / "landmarks"))
    yield lambda recipe, forger=darken: ForgeClips(forger, lambda _: recipe, ENCODER, reader)(FAKE)
    reader.close()


def decoded(data, pixel_format):
    with av.open(io.BytesIO(data), "r") as container:
        return np.stack([f.to_ndarray(format=pixel_format) for f in container.decode(video=0)])


def test_the_survey_follows_the_face(surveyed):
    folder, rows = surveyed
    face = rows["face00"]
    assert (face["status"], face["clip_frames"], face["first_frame"]) == ("ok", 12, 0)
    landmarks = read_landmarks(str(folder / "landmarks"), face["video_id"])
    assert landmarks.shape == (12, 68, 2)
    assert np.ptp(landmarks, axis=1).max(axis=1).mean() == pytest.approx(face["face_px"], rel=0.1)
    assert {rows["rocket"]["status"], rows["broken"]["status"]} == {"no_face", "corrupt"}


def test_a_fake_differs_where_its_mask_says(surveyed, forge):
    target = surveyed[1]["face00"]
    real = forge(Recipe(target))
    fake = forge(Recipe(target, "dark", seed=(1,)))
    assert (real["status"], fake["status"], real["mask"]) == ("ok", "ok", None)
    mask = decoded(fake["mask"], "gray")
    assert set(np.unique(mask)) == {0, 255}
    assert fake["mask_share"] == pytest.approx((mask > 0).mean())
    difference = np.abs(decoded(fake["video"], "gray").astype(int) - decoded(real["video"], "gray"))
    assert difference[mask > 0].mean() > 30
    assert difference[mask == 0].mean() < 2


def test_the_seed_decides(surveyed, forge):
    target = surveyed[1]["face00"]
    videos = [forge(Recipe(target, "dark", seed=seed))["video"] for seed in ((1,), (1,), (5,))]
    assert videos[0] == videos[1]
    assert videos[0] != videos[2]


def test_what_is_not_nought_in_a_mask_stays_so(surveyed, forge):
    fake = forge(Recipe(surveyed[1]["face00"], "faint", seed=(1,)))
    assert set(np.unique(decoded(fake["mask"], "gray"))) == {0, 1}


@pytest.mark.parametrize("changed", ["frames", "masks"])
def test_a_copy_is_never_a_fake(surveyed, forge, changed):
    def copy(name, clip, partner, rng):
        frames, masks = darken(name, clip, partner, rng)
        return (frames, masks * 0) if changed == "frames" else (clip.frames.copy(), masks)

    row = forge(Recipe(surveyed[1]["face00"], "dark"), copy)
    assert (row["status"], row["error"]) == ("unsupported", "the manipulation changed nothing")
    assert row["video"] is row["mask"] is None


def test_a_manipulation_that_gives_up_is_a_row_without_a_file(surveyed, forge):
    def refuse(*_):
        raise InputError(Status.NO_FACE, "the face is smaller than 16 px")

    row = forge(Recipe(surveyed[1]["face00"], "dark"), refuse)
    assert (row["status"], row["video"]) == ("no_face", None)
    assert "16 px" in row["error"]


def test_sources_without_a_face_pass_their_status_on(surveyed, forge):
    rows = surveyed[1]
    assert forge(Recipe(rows["broken"]))["status"] == "corrupt"
    row = forge(Recipe(rows["face00"], "dark", rows["rocket"]))
    assert (row["status"], row["partner_uri"]) == ("no_face", rows["rocket"]["uri"])


def test_a_source_that_was_replaced_is_noticed(surveyed, forge):
    target = {**surveyed[1]["face00"], "sha256": "0" * 64}
    assert forge(Recipe(target, "dark"))["status"] == "changed"
    cut = {**surveyed[1]["face00"], "clip_frames": 9}
    assert forge(Recipe(cut, "dark"))["status"] == "changed"


def test_files_are_stored_whole_and_their_bytes_leave_the_row(surveyed, forge, tmp_path):
    row = forge(Recipe(surveyed[1]["face00"], "dark", seed=(1,)))
    row |= {"uri": str(tmp_path / "a" / "fake.mp4"), "mask_uri": str(tmp_path / "m" / "mask.mp4")}
    pa.Table.from_pylist([row], schema=FORGING)
    kept = StoreFiles()(row)
    assert (tmp_path / "a" / "fake.mp4").read_bytes() == row["video"]
    assert (tmp_path / "m" / "mask.mp4").read_bytes() == row["mask"]
    assert kept["size_bytes"] == len(row["video"])
    table = pa.Table.from_pylist([{**kept, "run_id": "r"}], schema=FORGED)
    assert "video" not in kept
    assert table["num_frames"].to_pylist() == [12]


def test_nothing_is_stored_for_a_failure(surveyed, forge, tmp_path):
    row = forge(Recipe(surveyed[1]["rocket"]))
    StoreFiles()({**row, "uri": str(tmp_path / "x.mp4")})
    assert not list(tmp_path.iterdir())
