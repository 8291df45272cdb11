"""The overlay has every frame of the video, what was found on it, and its sound in time."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from mover_ray.errors import ConfigError, LocationError
from mover_ray.operations.demo_clips import Clip, write_clip
from mover_ray.operations.overlay import OverlayOptions, write_overlay
from mover_ray.report.sound import CHANNELS, RATE_HZ, read_sound, with_sound
from mover_ray.video.budget import VideoBudget
from mover_ray.video.encode import EncoderConfig, encode_video
from tests.made_results import failed, id_of, make_results, scored

_SILENT_S = 0.5


def tones(seconds):
    """Silence, then 440 Hz on the left and 880 Hz on the right."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    samples = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (440, 880)], axis=1) * 8000
    samples[: int(_SILENT_S * RATE_HZ)] = 0
    return samples.astype(np.int16)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    path = write_clip(Clip(name="a.mp4", label="fake", seconds=1.5), folder, seed=0)
    samples = tones(1.5)
    pieces = (samples[start : start + 10_007] for start in range(0, len(samples), 10_007))
    path.write_bytes(with_sound(path.read_bytes(), pieces))
    return path


@pytest.fixture(scope="module")
def run(clip):
    size = clip.stat().st_size
    row = scored(str(clip), 0.9, size_bytes=size, video_id=id_of(str(clip), size), duration_s=1.5)
    rows = [row, failed("/gone/b.mp4", "corrupt", "damaged"), scored("/gone/c.mp4", 0.5)]
    return make_results(clip.parent / "run", [rows])


def sound_of(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return np.concatenate([*read_sound(descriptor, VideoBudget())])
    finally:
        os.close(descriptor)


def main_tone(samples):
    return int(np.abs(np.fft.rfft(samples.astype(float))).argmax() * RATE_HZ / len(samples))


def test_overlay_draws_and_keeps_frames_and_sound(run, clip, tmp_path):
    out = tmp_path / "sub" / "o.mp4"
    row = write_overlay(OverlayOptions(video="a.mp4", results=run, out=out))
    assert row["score"] == pytest.approx(0.9)
    with av.open(str(out)) as container:
        drawn = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(clip)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(drawn) == len(plain) == round(1.5 * 25)
    assert drawn[0].shape == (384 + 32, 512, 3)
    changed = np.abs(drawn[2][:384].astype(int) - plain[2]).mean(axis=2)
    assert changed[100:250, 160:240].mean() > 20  # heat
    assert changed[300:].mean() < 6

    sound = sound_of(out)
    assert np.abs(sound[: int(0.45 * RATE_HZ)]).max() < 300
    loud = sound[int(0.6 * RATE_HZ) : int(1.4 * RATE_HZ)]
    assert [main_tone(loud[:, channel]) for channel in range(CHANNELS)] == [440, 880]


def test_a_video_without_sound_has_none(tmp_path):
    pictures = encode_video([np.zeros((64, 64, 3), np.uint8)] * 4, Fraction(25), EncoderConfig())
    (tmp_path / "a.mp4").write_bytes(pictures)
    descriptor = os.open(tmp_path / "a.mp4", os.O_RDONLY)
    assert list(read_sound(descriptor, VideoBudget())) == []
    os.close(descriptor)
    assert with_sound(pictures, iter(())) == pictures


def test_sound_is_cut_where_the_pictures_end(tmp_path):
    pictures = encode_video([np.zeros((64, 64, 3), np.uint8)] * 25, Fraction(25), EncoderConfig())
    (tmp_path / "a.mp4").write_bytes(with_sound(pictures, iter([tones(3.0)])))
    with av.open(str(tmp_path / "a.mp4")) as container:
        sound = container.streams.audio[0]
        assert float((sound.duration or 0) * (sound.time_base or 0)) == pytest.approx(1.0, abs=0.05)


def test_what_cannot_be_drawn_is_refused(run, tmp_path):
    out = tmp_path / "o.mp4"
    with pytest.raises(ConfigError, match=r"no score \(corrupt\)"):
        write_overlay(OverlayOptions(video="b.mp4", results=run, out=out))
    with pytest.raises(ConfigError, match=r"cannot be read any more \(not_found\)"):
        write_overlay(OverlayOptions(video="c.mp4", results=run, out=out))
    with pytest.raises(LocationError, match="no such video"):
        write_overlay(OverlayOptions(video="d.mp4", results=run, out=out))
    out.touch()
    with pytest.raises(ConfigError, match="destination exists"):
        OverlayOptions(video="a.mp4", results=run, out=out)
