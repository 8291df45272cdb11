"""What every detector takes and gives.

Shapes:
    S: segments   T: frames of a segment   N: single faces
    C: colours (RGB)   H, W: pixels of the crop   h, w: pixels of a mask
    K: landmarks (68)   X: x and y
"""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

NUM_LANDMARKS = 68

MaskKind = Literal["trained", "residual", "attention"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """What a detector must be fed."""

    size_px: int
    """Side of the square crop."""
    segment_frames: int
    """Frames of one segment (T)."""

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
    def localize(self, faces_NCHW: Tensor, landmarks_NKX: Tensor) -> Tensor:
        """Gives float32 maps [N, h, w] in [0, 1]: where each face seems manipulated.

        Costs more than scoring; meant for the frames whose masks are kept.

        Raises:
            RuntimeError: `mask_kind` is None.
        """
