"""Whatever container, codec and rate a face comes in, its crops are those of a plain video."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mover_ray.datasets import manifest as manifests
from mover_ray.faces.policy import FacePolicy
from mover_ray.models.view import View
from mover_ray.operations import demo_clips
from mover_ray.operations.demo_clips import Clip
from mover_ray.stages.base import Row
from mover_ray.stages.faces import FindFaces
from mover_ray.storage import storage_for
from mover_ray.video.budget import VideoBudget
from mover_ray.video.sampling import SamplingPolicy
from tests.video.media import Image, encode, remux, rotate

SIZE_PX = 64
FRAMES = 12

#: Codec, suffix, pixel format and options, all of them at a quality that hides nothing.
KINDS = {
    "h264 in TS": ("libx264", ".ts", "yuv420p", {"crf": "12"}),
    "h264 in MKV": ("libx264", ".mkv", "yuv420p", {"crf": "12"}),
    "h264 4:2:2 of 10 bits": ("libx264", ".mp4", "yuv422p10le", {"crf": "12"}),
    "hevc": ("libx265", ".mp4", "yuv420p", {"crf": "10", "x265-params": "log-level=none"}),
    "hevc of 10 bits": (
        "libx265", ".mkv", "yuv420p10le", {"crf": "10", "x265-params": "log-level=none"},
    ),
    "vp9": ("libvpx-vp9", ".webm", "yuv420p", {"crf": "10", "b": "0", "cpu-used": "8"}),
    "av1": ("libsvtav1", ".mp4", "yuv420p10le", {"crf": "15", "preset": "10"}),
    "mpeg2 in TS": ("mpeg2video", ".ts", "yuv420p", {"qmin": "1", "qmax": "3"}),
}  # fmt: skip


def make_stage(faces: FacePolicy, sampling: SamplingPolicy) -> FindFaces:
    return FindFaces([View(faces=faces, sampling=sampling)], VideoBudget())


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    clip = Clip(name="a.mp4", label=None, seconds=FRAMES / demo_clips.FPS)
    return list(demo_clips._frames(clip, seed=0))


@pytest.fixture(scope="module")
def stage() -> Iterator[FindFaces]:
    stage = make_stage(FacePolicy(size_px=SIZE_PX), SamplingPolicy(policy="uniform", frames=FRAMES))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def plain(stage: FindFaces, pictures: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Row:
    """The row of the same pictures as H.264 in MP4."""
    path = tmp_path_factory.mktemp("plain") / "a.mp4"
    return look(stage, encode(path, pictures, options={"crf": "8"}))


def look(stage: FindFaces, path: Path | str) -> Row:
    return stage(dict(manifests.build(str(path)).table.to_pylist()[0]))


def pixels(row: Row) -> np.ndarray:
    crops = [np.frombuffer(crop["pixels"], np.uint8) for crop in row["crops"]]
    return np.stack(crops).astype(np.int16)


def check_twin(row: Row, plain: Row, box_px: float = 3.0, level: float = 4.0) -> None:
    assert row["status"] == "ok", row["error"]
    boxes = [np.array([crop["box"] for crop in one["crops"]]) for one in (row, plain)]
    assert boxes[0].shape == boxes[1].shape
    assert np.abs(boxes[0] - boxes[1]).max() < box_px
    assert np.abs(pixels(row) - pixels(plain)).mean() < level


@pytest.mark.parametrize("kind", KINDS)
def test_every_codec_and_container_gives_the_same_crops(
    kind: str, stage: FindFaces, pictures: list[Image], plain: Row, tmp_path: Path
) -> None:
    codec, suffix, pixel_format, options = KINDS[kind]
    path = tmp_path / f"a{suffix}"
    encode(path, pictures, codec=codec, pixel_format=pixel_format, options=options)
    row = look(stage, path)
    check_twin(row, plain)
    assert row["flags"] == []
    assert row["duration_s"] == pytest.approx(plain["duration_s"], abs=0.05)


def test_a_variable_rate_changes_times_and_no_crop(
    stage: FindFaces, pictures: list[Image], plain: Row, tmp_path: Path
) -> None:
    times = np.cumsum([0, *([1, 7, 2] * FRAMES)])[:FRAMES].tolist()
    options = {"crf": "8"}
    row = look(stage, encode(tmp_path / "a.mkv", pictures, times=times, options=options))
    check_twin(row, plain)
    told = [crop["time_s"] for crop in row["crops"]]
    assert told == pytest.approx([tick / 25 for tick in times], abs=0.002)


def test_a_late_start_changes_nothing(
    stage: FindFaces, pictures: list[Image], plain: Row, tmp_path: Path
) -> None:
    source = encode(tmp_path / "a.mp4", pictures, options={"crf": "8"})
    row = look(stage, remux(source, tmp_path / "late.ts", start=900_000))
    check_twin(row, plain)
    assert row["crops"][0]["time_s"] == 0.0


def test_a_portrait_video_by_its_matrix_has_boxes_as_displayed(
    stage: FindFaces, pictures: list[Image], plain: Row, tmp_path: Path
) -> None:
    turned = [np.ascontiguousarray(np.rot90(picture)) for picture in pictures]
    path = rotate(encode(tmp_path / "a.mp4", turned, options={"crf": "8"}), (0, 1, -1, 0))
    row = look(stage, path)
    check_twin(row, plain)
    assert (row["width"], row["height"]) == (plain["width"], plain["height"])


def test_an_hdr_video_has_its_faces(
    stage: FindFaces, pictures: list[Image], plain: Row, tmp_path: Path
) -> None:
    """The curve is kept, so colours are paler; faces are where they were."""
    params = "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    options = {"crf": "10", "x265-params": params}
    path = tmp_path / "a.mp4"
    encode(path, pictures, codec="libx265", pixel_format="yuv420p10le", options=options)
    check_twin(look(stage, path), plain, box_px=5.0, level=40.0)


def crowd(columns: int, rows: int, tile: tuple[int, int]) -> Image:
    """A picture with a face in each of its tiles."""
    face = demo_clips._portrait()[50:230, 125:325]
    return np.tile(cv2.resize(face, tile, interpolation=cv2.INTER_AREA), (rows, columns, 1))


def look_at(policy: FacePolicy, path: Path) -> Row:
    sampling = SamplingPolicy(policy="uniform", frames=4)
    stage = make_stage(policy, sampling)
    try:
        return look(stage, path)
    finally:
        stage.close()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a hundred faces."""
    path = tmp_path_factory.mktemp("crowd") / "a.mp4"
    return encode(path, [crowd(10, 10, (180, 162))] * 4, options={"crf": "12"})


class TestCrowds:
    def test_of_a_hundred_faces_the_best_are_kept_and_it_is_said(self, crowded: Path) -> None:
        policy = FacePolicy(size_px=SIZE_PX)
        row = look_at(policy, crowded)
        assert row["status"] == "ok"
        assert "too_many_faces" in row["flags"]
        per_frame = np.bincount([crop["frame_index"] for crop in row["crops"]])
        assert per_frame.max() == policy.max_faces

    @pytest.mark.slow
    def test_a_hundred_faces_are_found_where_they_are_wanted(self, crowded: Path) -> None:
        row = look_at(FacePolicy(size_px=SIZE_PX, max_faces=100), crowded)
        assert row["flags"] == []
        assert len({crop["track_id"] for crop in row["crops"]}) >= 95

    @pytest.mark.slow
    def test_the_crops_of_a_video_are_bounded(self, crowded: Path) -> None:
        policy = FacePolicy(size_px=SIZE_PX, max_faces=100, max_crops=50)
        row = look_at(policy, crowded)
        assert "too_many_faces" in row["flags"]
        assert sum(crop["pixels"] is not None for crop in row["crops"]) <= 50


def repeated(source: Path, target: Path, times: int) -> Path:
    """Copies the packets of a video one time after the other."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        tick_s = old.streams.video[0].time_base or Fraction(1, 1000)
        packets = [packet for packet in old.demux(video=0) if packet.size]
        step = max((packet.pts or 0) + (packet.duration or 0) for packet in packets)
        content = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets
        ]
        for number in range(times):
            for data, pts, dts, is_keyframe in content:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, tick_s
                packet.pts, packet.dts = (pts or 0) + number * step, (dts or 0) + number * step
                packet.is_keyframe = is_keyframe
                new.mux(packet)
    return target


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of a face, with a keyframe every two seconds."""
    folder = tmp_path_factory.mktemp("hour")
    clip = Clip(name="a.mp4", label=None, seconds=6.0)
    small = (cv2.resize(each, (256, 192)) for each in demo_clips._frames(clip, seed=0))
    options = {"crf": "20", "g": "50", "bf": "0"}
    source = encode(folder / "short.mp4", small, tick_s=Fraction(1, 25), options=options)
    return repeated(source, folder / "hour.mp4", 600)


def look_long(path: Path | str) -> Row:
    stage = make_stage(FacePolicy(size_px=SIZE_PX), SamplingPolicy())
    try:
        return look(stage, path)
    finally:
        stage.close()


def test_an_hour_is_looked_at_all_along_within_the_budget(hour: Path) -> None:
    row = look_long(hour)
    assert row["status"] == "ok", row["error"]
    assert row["duration_s"] == pytest.approx(3600, abs=2)
    assert row["num_frames"] == 90_000
    times = np.array([crop["time_s"] for crop in row["crops"]])
    assert len(set(times)) <= SamplingPolicy().max_frames
    # 85 windows of 42 s, a group anywhere in each.
    assert row["max_gap_s"] < 90
    assert np.diff(np.unique(times), prepend=0, append=3600).max() <= row["max_gap_s"] + 0.1
    assert len(row["crops"]) <= FacePolicy().max_crops


@pytest.mark.cluster
def test_an_hour_in_a_store_costs_a_part_of_its_bytes(
    hour: Path, s3_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mover_ray.stages.fetch.WHOLE_BELOW_BYTES", 2**20)
    uri = f"{s3_folder}/hour.mp4"
    storage_for(uri).write(uri, hour.read_bytes())
    row, local = look_long(uri), look_long(hour)
    assert row["bytes_read"] < 0.2 * row["size_bytes"]
    assert row["max_gap_s"] == pytest.approx(local["max_gap_s"], abs=60)
    assert row["status"] == "ok"
