"""Stage 2 of `score`, on GPU nodes where there are any: crops to a row of results.

Columns in: `schemas.FACES`. Columns out: `schemas.RESULT` without the stamp of
the run. The batch engine on Ray, the local engine and the service all wrap this
one class, so a video has the same score everywhere.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from mover_ray.errors import InputError
from mover_ray.models.base import Detector
from mover_ray.models.bundle import Bundle
from mover_ray.stages.base import Row
from mover_ray.stages.masks import frames_to_mask, mask_row
from mover_ray.stages.scoring_config import ScoringConfig
from mover_ray.stages.tracks import Floats, TrackInput, TrackScore, by_track, track_input
from mover_ray.status import Status


@dataclass(frozen=True, slots=True)
class _Batch:
    """A detector's output as arrays, padding removed."""

    segments: Floats
    frames: Floats
    heads: dict[str, Floats]
    masks: NDArray[np.float16] | None


class Scorer:
    """A detector that scores videos, each on its own."""

    def __init__(self, bundle: Bundle, detector: Detector, config: ScoringConfig) -> None:
        """Moves the detector to its device.

        Args:
            bundle: Calibration and provenance.
            detector: The bundle's own, with its weights.
            config: How to run it.
        """
        torch.set_num_threads(config.threads)
        cuda = config.device != "cpu" and torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        # Convolutions take three quarters of the time in this layout on a CPU.
        self._detector = detector.to(self._device).to(memory_format=torch.channels_last).eval()
        self._bundle = bundle
        self._config = config

    def __call__(self, row: Row) -> Row:
        """Gives the result of one video; what has no eligible face has no score."""
        return self.score_rows([row])[0]

    def score_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Gives the results of several videos, which share batches but no score depends on that.

        Each row's `score_ms` is its share of the time that they took together.
        """
        started = time.perf_counter()
        outs = [self._unscored(row) for row in rows]
        ready = [row for row in rows if row["status"] == Status.OK]
        inputs = [self._inputs(row) for row in ready]
        scores = iter(self._run([track for tracks in inputs for track in tracks]))
        of_video = iter([list(islice(scores, len(tracks))) for tracks in inputs])
        for row, out in zip(rows, outs, strict=True):
            if row["status"] == Status.OK:
                try:
                    out.update(self._score(row, next(of_video)))
                except InputError as error:
                    out.update(status=str(error.status), error=str(error))
        for out in outs:
            out["score_ms"] = (time.perf_counter() - started) * 1000 / len(outs)
            out["scored_at"] = datetime.now(UTC)
        return outs

    def close(self) -> None:
        """Holds nothing beside memory."""

    def _unscored(self, row: Row) -> Row:
        return {
            **row,
            "score": None,
            "logit": None,
            "trained": self._bundle.trained,
            "model_id": self._bundle.model_id,
            "model_sha256": self._bundle.model_sha256,
            "faces": [_face_row(crops, {}) for crops in by_track(row["crops"])],
            "segments": [],
            "masks": [],
        }

    def _inputs(self, row: Row) -> list[TrackInput]:
        tracks = [track_input(crops, self._detector.spec) for crops in by_track(row["crops"])]
        return [track for track in tracks if track is not None]

    def _score(self, row: Row, scores: list[TrackScore]) -> Row:
        """Gives the scored columns of one video.

        Raises:
            InputError: The detector gave a number that is not finite.
        """
        if not all(score.is_finite for score in scores):
            raise InputError(Status.MODEL_ERROR, "the model gave a number that is not finite")
        by_id = {crops[0]["track_id"]: crops for crops in by_track(row["crops"])}
        num_tracks = len(scores)
        strongest = max(scores, key=lambda score: score.logit)
        heads = strongest.heads
        faces = {track_id: _face_row(crops, {}) for track_id, crops in by_id.items()}
        for score in scores:
            face = self._face(score, by_id[_track_id(score)], num_tracks)
            faces[_track_id(score)] = face
        return {
            "score": self._calibrated(strongest.logit, num_tracks),
            "logit": strongest.logit,
            "head_scores": sorted(heads.items()),
            "disagreement": max(heads.values()) - min(heads.values()) if len(heads) > 1 else None,
            "num_tracks": num_tracks,
            "faces": list(faces.values()),
            "segments": [one for score in scores for one in self._segments(score, num_tracks)],
            "masks": [one for score in scores for one in self._masks(score, row)],
        }

    @torch.inference_mode()
    def _run(self, tracks: list[TrackInput]) -> list[TrackScore]:
        """Scores every track, in padded batches over all their segments."""
        if not tracks:
            return []
        faces = torch.cat([track.faces_NCHW[track.indices_ST] for track in tracks])
        landmarks = torch.cat([track.landmarks_NKX[track.indices_ST] for track in tracks])
        size = self._config.batch_segments
        batches = [
            self._forward(faces[start : start + size], landmarks[start : start + size])
            for start in range(0, len(faces), size)
        ]
        segments = np.concatenate([batch.segments for batch in batches])
        frames = np.concatenate([batch.frames for batch in batches])
        heads = {
            name: np.concatenate([batch.heads[name] for batch in batches])
            for name in batches[0].heads
        }
        masks = [batch.masks for batch in batches if batch.masks is not None]
        masks_SThw = np.concatenate(masks) if masks else None
        ends = np.cumsum([0, *(len(track.indices_ST) for track in tracks)])
        return [
            TrackScore(
                track=track,
                segments_S=segments[start:end],
                frames_ST=frames[start:end],
                heads={name: float(values[start:end].mean()) for name, values in heads.items()},
                masks_SThw=None if masks_SThw is None else masks_SThw[start:end],
            )
            for track, (start, end) in zip(tracks, pairwise(ends), strict=True)
        ]

    def _forward(self, faces: torch.Tensor, landmarks: torch.Tensor) -> _Batch:
        """Runs one batch, padded with copies of its first segment."""
        count = len(faces)
        order = torch.tensor([*range(count), *[0] * (self._config.batch_segments - count)])
        output = self._detector(faces[order].to(self._device), landmarks[order].to(self._device))
        masks = output.masks_SThw if self._config.masks != "none" else None
        return _Batch(
            segments=_to_numpy(output.logits_S[:count]),
            frames=_to_numpy(output.frame_logits_ST[:count]),
            heads={name: _to_numpy(values[:count]) for name, values in output.head_scores.items()},
            masks=None if masks is None else masks[:count].half().cpu().numpy(),
        )

    def _calibrated(self, value: float, num_tracks: int) -> float:
        return self._bundle.calibration.apply(value, num_tracks)

    def _face(self, score: TrackScore, crops: list[Row], num_tracks: int) -> Row:
        scores = {
            crop["frame_index"]: self._calibrated(value, num_tracks)
            for crop, value in zip(score.track.crops, score.frame_logits(), strict=True)
        }
        face = _face_row(crops, scores)
        return {**face, "score": self._calibrated(score.logit, num_tracks)}

    def _segments(self, score: TrackScore, num_tracks: int) -> Iterator[Row]:
        for indices, value in zip(score.track.indices_ST, score.segments_S, strict=True):
            times = [score.track.crops[index]["time_s"] for index in indices]
            yield {
                "track_id": _track_id(score),
                "start_s": min(times),
                "end_s": max(times),
                "score": self._calibrated(float(value), num_tracks),
            }

    def _masks(self, score: TrackScore, row: Row) -> Iterator[Row]:
        kind = self._detector.mask_kind
        if kind is None:
            return
        size_px = self._bundle.faces.size_px
        for index in frames_to_mask(score.frame_logits(), self._config.masks):
            crop = score.track.crops[index]
            yield mask_row(crop, kind, self._map(score, index), size_px, _extent(crop, row))

    @torch.inference_mode()
    def _map(self, score: TrackScore, index: int) -> NDArray[np.float32]:
        """Gives the map [h, w] of one frame of a track."""
        track = score.track
        if score.masks_SThw is not None:
            segment, position = np.argwhere(track.indices_ST == index)[0]
            return np.asarray(score.masks_SThw[segment, position], np.float32)
        one = slice(index, index + 1)  # alone: a map must not depend on its neighbours
        maps_1hw = self._detector.localize(
            track.faces_NCHW[one].to(self._device), track.landmarks_NKX[one].to(self._device)
        )
        values_hw: NDArray[np.float32] = maps_1hw[0].cpu().numpy()
        return values_hw


def _track_id(score: TrackScore) -> int:
    return int(score.track.crops[0]["track_id"])


def _extent(crop: Row, row: Row) -> tuple[int, int]:
    """Gives the frame's size; of a video whose size changes, one that holds the face."""
    _, _, right, bottom = crop["box"]
    return max(row["width"], math.ceil(right)), max(row["height"], math.ceil(bottom))


def _face_row(crops: list[Row], scores: dict[int, float]) -> Row:
    """Gives an entry of `faces`; frames that were not scored have null."""
    return {
        "track_id": crops[0]["track_id"],
        "score": None,
        "first_s": crops[0]["time_s"],
        "last_s": crops[-1]["time_s"],
        "frames": [
            {
                "frame_index": crop["frame_index"],
                "time_s": crop["time_s"],
                "box": crop["box"],
                "score": scores.get(crop["frame_index"]),
            }
            for crop in crops
        ],
    }


def _to_numpy(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.double().cpu().numpy())
