"""Faces of one track on their way to a score: tensors in, probabilities out.

Shapes: S: segments   T: frames of a segment   N: frames of a track   H, W: pixels
"""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray

from mover_ray.models.base import InputSpec
from mover_ray.stages.base import Row

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackInput:
    """What a detector needs of one eligible track."""

    crops: list[Row]
    """Rows of the crops that are scored, in time order; each has pixels [N]."""
    faces_NCHW: torch.Tensor
    """uint8 RGB."""
    landmarks_NKX: torch.Tensor
    """float32, pixels of the crop."""
    indices_ST: NDArray[np.int64]
    """Positions of the segments' frames in the track."""


@dataclass(frozen=True, slots=True)
class TrackScore:
    """What a detector said of one track."""

    track: TrackInput
    segments_S: Floats
    """Logits."""
    frames_ST: Floats
    """Logits."""
    heads: dict[str, float]
    """Mean probability by branch."""
    masks_SThw: NDArray[np.float16] | None = None
    """Masks in [0, 1], from detectors that make them while they score."""

    @property
    def is_finite(self) -> bool:
        """Whether every logit is a number."""
        return bool(np.isfinite(self.segments_S).all() and np.isfinite(self.frames_ST).all())

    @property
    def logit(self) -> float:
        """Logit of the mean probability over the segments."""
        return logit_of_mean(self.segments_S)

    def frame_logits(self) -> list[float]:
        """Gives N logits: of each frame's mean probability over the segments that hold it."""
        positions_ST = self.track.indices_ST
        return [
            logit_of_mean(self.frames_ST[positions_ST == position])
            for position in range(len(self.track.crops))
        ]


def by_track(crops: list[Row]) -> list[list[Row]]:
    """Gives the crops of each track in time order, tracks by their ids."""
    ordered = sorted(crops, key=itemgetter("track_id", "frame_index"))
    return [list(group) for _, group in groupby(ordered, key=itemgetter("track_id"))]


def track_input(crops: list[Row], spec: InputSpec) -> TrackInput | None:
    """Gives the tensors of one track; None where it is not eligible and has no pixels."""
    crops = [crop for crop in crops if crop["pixels"] is not None]
    if not crops:
        return None
    indices_ST = spec.cut(np.array([crop["time_s"] for crop in crops]))
    scored_N, positions_ST = np.unique(indices_ST, return_inverse=True)
    crops = [crops[index] for index in scored_N]
    pixels = np.frombuffer(b"".join(crop["pixels"] for crop in crops), np.uint8)
    faces_NHWC = pixels.reshape(len(crops), spec.size_px, spec.size_px, 3)
    landmarks_NKX = np.array([crop["landmarks"] for crop in crops], np.float32)
    return TrackInput(
        crops=crops,
        faces_NCHW=torch.from_numpy(np.ascontiguousarray(faces_NHWC.transpose(0, 3, 1, 2))),
        landmarks_NKX=torch.from_numpy(landmarks_NKX),
        indices_ST=positions_ST.reshape(indices_ST.shape),
    )


def logit_of_mean(logits: Floats) -> float:
    """Gives the logit of the mean of the probabilities; certain ones stay finite."""
    fake = np.logaddexp.reduce(-np.logaddexp(0.0, -logits), axis=None)
    real = np.logaddexp.reduce(-np.logaddexp(0.0, logits), axis=None)
    return float(fake - real)
