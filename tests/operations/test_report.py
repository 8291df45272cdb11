"""The report of real rows and real clips: pictures where the video is, a reason where not."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from mover_ray.errors import ArtifactError, ConfigError, LocationError
from mover_ray.models.calibration import Threshold
from mover_ray.operations.demo_clips import Clip, write_clip
from mover_ray.operations.peaks import peaks_of
from mover_ray.operations.report import ReportOptions, write_report
from tests.made_results import MODEL_SHA256, face, failed, id_of, make_results, mask, scored


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    clip = write_clip(Clip(name="a.mp4", label="fake", seconds=0.5), folder, seed=0)
    size = clip.stat().st_size
    rows = [
        scored(str(clip), 0.9, size_bytes=size, video_id=id_of(str(clip), size), label="fake"),
        scored("/gone/b.mp4", 0.7),
        failed("/gone/c.mp4", "corrupt", "damaged"),
    ]
    return make_results(folder / "run", [rows])


def write(archive, tmp_path, **more):
    options = ReportOptions(results=archive, out=tmp_path / "sub" / "report.html", **more)
    messages: list[str] = []
    return write_report(options, messages.append), options.out.read_text(encoding="utf-8")


def picture(data):
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_cards_have_pictures_or_say_why_not(archive, tmp_path):
    content, text = write(archive, tmp_path)
    first, second = content.cards
    assert [one.time_s for one in first.pictures] == sorted(p.time_s for p in first.pictures)
    assert sum(one.heat is not None for one in first.pictures) == 1
    assert first.note is None
    assert second.pictures == []
    assert "not_found" in second.note
    assert "not_found" in text
    assert content.summary.videos == len(content.lines) == 3


def test_faces_are_blurred_unless_asked(archive, tmp_path):
    blurred, _ = write(archive, tmp_path)
    sharp, _ = write(archive, tmp_path, unblurred=True)

    def detail(content):
        gray = cv2.cvtColor(picture(content.cards[0].pictures[0].jpeg), cv2.COLOR_BGR2GRAY)
        middle = gray[100:190, 100:190]
        return np.median(np.abs(cv2.Laplacian(middle.astype(np.float32), cv2.CV_32F)))

    assert detail(blurred) < detail(sharp) / 2


def test_no_pictures_no_cards_and_few_rows(archive, tmp_path):
    content, _ = write(archive, tmp_path, pictures=False)
    assert [card.note for card in content.cards] == ["none were asked for"] * 2
    content, text = write(archive, tmp_path, cards=0, rows=1)
    assert (content.cards, len(content.lines)) == ([], 1)
    assert "1 most suspicious of" in text.replace("\n", " ")


def test_an_unfinished_run_is_reported_as_such(tmp_path):
    run = make_results(tmp_path / "run", [[scored("/a.mp4", 0.5)]], finish=False)
    content, text = write(run, tmp_path, pictures=False)
    assert content.success is None
    assert "Not complete" in text


@dataclass
class Bundle:
    """What the report asks of a bundle; a whole one takes torch and seconds to make."""

    model_sha256: str
    thresholds: tuple[Threshold, ...]


def test_only_the_bundle_that_scored_speaks_of_alarms(archive, tmp_path, monkeypatch):
    with pytest.raises(ArtifactError):
        write(archive, tmp_path, model=str(tmp_path / "none"))
    thresholds = (Threshold(false_positive_rate=0.05, real_videos=400, score=0.8),)
    made = {"own": Bundle(MODEL_SHA256, thresholds), "other": Bundle("cd" * 32, thresholds)}
    monkeypatch.setattr("mover_ray.operations.report.bundles.load", made.get)
    with pytest.raises(ConfigError, match="another model"):
        write(archive, tmp_path, model="other")
    content, _ = write(archive, tmp_path, model="own", cards=0)
    (sentence,) = content.alarm_sentences
    assert "5 % of real videos" in sentence
    assert "1 of 2 scored videos" in sentence


def test_a_place_that_cannot_be_written(archive, tmp_path):
    (tmp_path / "sub").touch()
    with pytest.raises(LocationError, match="cannot be written"):
        write_report(
            ReportOptions(results=archive, out=tmp_path / "sub" / "r.html", cards=0), print
        )


def test_peaks_prefer_masks_and_keep_apart():
    row = scored("/a.mp4", 0.5, duration_s=4.0)
    row["faces"] = [face(0, [0.1, 0.9, 0.8, 0.2, 0.7], every=10), face(1, [0.3, None], every=45)]
    row["masks"] = [mask(0, 10), mask(0, 20)]
    assert [peak.frame_index for peak in peaks_of(row)] == [10, 20, 40]
    assert [peak.mask is None for peak in peaks_of(row)] == [False, False, True]
    assert [peak.frame_index for peak in peaks_of(row, 1)] == [10]
    assert peaks_of({**row, "faces": [face(0, [None])]}) == []
