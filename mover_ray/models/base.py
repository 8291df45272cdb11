"""What every detector takes and gives.

Shapes:
    S: segments   T: frames of a segment   N: single faces
    C: colours (RGB)   H, W: pixels of the crop   h, w: pixels of a map, never more
    K: landmarks (68)   X: x and y
"""

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mover_ray.models.segments import cut_track, stretched

NUM_LANDMARKS = 68

MaskKind = Literal["trained", "residual", "attention"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """What a detector must be fed."""

    size_px: int
    """Side of the square crop."""
    segment_frames: int
    """Frames of one segment (T)."""
    clips: bool = False
    """Whether a segment is a clip: neighbours in time, in order, that show how a face moves.
    Else it may join frames from anywhere in a track."""

    def cut(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Cuts a track into segments [S, T]: positions in the track, see `segments.cut_track`.

        Args:
            times_s: When each frame of the track is shown, ascending; at least one.
        """
        return cut_track(times_s, self.segment_frames, clips=self.clips)

    def check(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> None:
        """Raises `ValueError` unless both tensors have the shape and type of a batch."""
        frames = tuple(faces_STCHW.shape[:2])
        if frames[1:] != (self.segment_frames,):
            raise ValueError(f"segments of {self.segment_frames} frames are expected: {frames}")
        self.check_faces(faces_STCHW.flatten(0, 1), landmarks_STKX.flatten(0, 1))

    def check_faces(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> None:
        """Raises `ValueError` unless both tensors hold the same N faces in this size."""
        wanted = (len(faces_NCHW), 3, self.size_px, self.size_px)
        if tuple(faces_NCHW.shape) != wanted or faces_NCHW.dtype != torch.uint8:
            found = f"{faces_NCHW.dtype} {tuple(faces_NCHW.shape)}"
            raise ValueError(f"uint8 faces {wanted} are expected: {found}")
        if tuple(landmarks_NKX.shape) != (len(faces_NCHW), NUM_LANDMARKS, 2):
            raise ValueError(f"68 landmarks a face are expected: {tuple(landmarks_NKX.shape)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorOutput:
    """What a detector says of a batch of segments. All float32."""

    logits_S: Tensor
    """Logit that the segment is manipulated."""
    frame_logits_ST: Tensor
    """The same for each frame alone."""
    head_scores: dict[str, Tensor]
    """Probability of manipulation [S] by the name of the branch."""
    masks_SThw: Tensor | None = None
    """What `localize` gives of each frame, where scoring makes it anyway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceBatch:
    """Faces to learn from, as segments [S, T, ...] or one by one [N, ...]."""

    faces: Tensor
    """RGB [..., C, H, W]: uint8, or floating point in the same range 0 to 255."""
    landmarks: Tensor
    """float32 [..., K, X], pixels of the crop."""
    labels: Tensor
    """[S] or [N], any type: 1 = manipulated, 0 = real."""
    masks: Tensor | None = None
    """Where each face is manipulated [..., H, W], floating point in [0, 1]. Faces that
    `has_mask` leaves out may hold anything finite."""
    has_mask: Tensor | None = None
    """bool [S, T] or [N]: the mask is the truth. None: every mask is. Of no weight for
    real faces, whose truth is a mask of zeros."""
    target: Tensor | None = None
    """What the autoencoder restored, normalized and shrunk [..., C, h, w]; it is computed
    where None."""
    hidden: Tensor | None = None
    """bool, [...] and all patches: which the autoencoder must restore; pretraining alone."""

    def segments(self) -> "FaceBatch":
        """Gives the batch as segments; a single face becomes a segment of one frame."""
        if self.faces.ndim == 5:
            return self
        return self._map(lambda values: values.unsqueeze(1), self.labels)

    def clips(self, segment_frames: int) -> "FaceBatch":
        """Gives segments of T frames: the first T of longer ones; shorter ones stretched.

        Args:
            segment_frames: T.
        """
        if self.faces.ndim == 4:
            return self.segments().clips(segment_frames)
        if self.faces.shape[1] == segment_frames:
            return self
        frames_T = torch.from_numpy(stretched(self.faces.shape[1], segment_frames)[0])
        return self._map(lambda values: values[:, frames_T.to(values.device)], self.labels)

    def singles(self) -> "FaceBatch":
        """Gives the batch face by face; each has the label of its segment."""
        if self.faces.ndim == 4:
            return self
        labels_N = self.labels.repeat_interleave(self.faces.shape[1])
        return self._map(lambda values: values.flatten(0, 1), labels_N)

    def to(self, device: torch.device | str) -> "FaceBatch":
        """Gives the batch on `device`; pinned memory is copied while work goes on."""
        move = functools.partial(Tensor.to, device=device, non_blocking=True)
        return self._map(move, move(self.labels))

    def _map(self, change: Callable[[Tensor], Tensor], labels: Tensor) -> "FaceBatch":
        """Changes every tensor that has one entry a face."""
        names = {field.name for field in fields(self)} - {"labels"}
        given = {name: getattr(self, name) for name in names}
        changed = {name: change(value) for name, value in given.items() if value is not None}
        return FaceBatch(labels=labels, **changed)


@runtime_checkable
class Startable(Protocol):
    """A detector that can begin with public weights."""

    def load_start(self, weights: dict[str, Tensor]) -> None:
        """Fills what the weights are for.

        Raises:
            ArtifactError: They do not fit.
        """
        ...


class Detector(nn.Module, abc.ABC):
    """A module that tells manipulated from real faces.

    An abstract class and not a Protocol, because whoever holds a detector also
    needs what `nn.Module` offers: parameters, device, mode, state.
    """

    head_names: ClassVar[tuple[str, ...]]
    """Every name that `DetectorOutput.head_scores` may carry."""

    config: Any
    """The frozen config dataclass that the detector was built from."""
    spec: InputSpec
    mask_kind: MaskKind | None
    """What `localize` shows; None if there are no masks."""

    @abc.abstractmethod
    def forward(self, faces_STCHW: Tensor, landmarks_STKX: Tensor) -> DetectorOutput:
        """Scores segments.

        Args:
            faces_STCHW: uint8 RGB crops of side `spec.size_px`, T = `spec.segment_frames`.
            landmarks_STKX: float32, pixels of the crop.
        """

    @abc.abstractmethod
    def losses(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Gives the terms of the loss by name, each with its weight: their sum is the loss.

        Args:
            batch: Segments of any length, or single faces.
        """

    @abc.abstractmethod
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives float32 maps [N, h, w] in [0, 1]: where each face seems manipulated.

        Costs more than scoring; meant for the frames whose masks are kept.

        Raises:
            RuntimeError: `mask_kind` is None.
        """
