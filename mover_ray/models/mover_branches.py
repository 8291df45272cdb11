"""The two branches of Mover's second stage.

Source: DeepfakeMAE (arXiv 2303.01740), section 3.2.

Shapes:
    S: segments   T: frames of a segment   B: faces, S * T of them   P: facial parts
    L: tokens, the class token first   D: width of the encoder   C: colours
    H, W: pixels of a face   h, w: pixels of a mapped face, a quarter of H, W
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.models.deltas import EncoderDeltas
from mover_ray.models.layers.classifier import Classifier
from mover_ray.models.layers.face_mapping import FaceMapper, mean_in_parts
from mover_ray.models.mae import Encoder, MAEConfig

#: Side of the grid on which the mapping branch's classifier sees the mapped face.
_POOLED = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedPass:
    """How far the frozen encoder got with a batch before the branches part."""

    encoder: Encoder
    """The frozen one."""
    tokens_BLD: Tensor
    """What its `start` gave."""
    num_blocks: int
    """After so many blocks."""

    def finish(self) -> Tensor:
        """Gives the frozen encoder's normalized tokens [B, L, D]."""
        return self.encoder.finish(self.tokens_BLD, self.num_blocks)


class FinetuningNetwork(nn.Module):
    """Classifies whole faces by the mean of what the first stage's encoder sees.

    Source: DeepfakeMAE, section 3.2.1.
    Differs: where the paper is silent: the mean is over the patches' tokens and the
    frames, without the class token.
    """

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = Classifier(self.encoder.width, 2)

    def forward(
        self, faces_STCHW: Tensor, _shared: SharedPass | None = None
    ) -> tuple[Tensor, Tensor]:
        """Gives the logits of normalized faces: of segments [S] and of frames [S, T]."""
        tokens_BLD = self.encoder(faces_STCHW.flatten(0, 1))
        return _classify(self.head, tokens_BLD, faces_STCHW.shape[1])


class DeltaFinetuningNetwork(nn.Module):
    """The same with the frozen encoder of the first stage, whose last blocks are changed.

    Differs: the paper finetunes a whole encoder beside the frozen one.
    """

    def __init__(self, deltas: EncoderDeltas, width: int) -> None:
        super().__init__()
        self.deltas = deltas
        self.head = Classifier(width, 2)

    def forward(self, faces_STCHW: Tensor, shared: SharedPass) -> tuple[Tensor, Tensor]:
        """Gives the logits of segments [S] and of frames [S, T].

        Args:
            faces_STCHW: Normalized faces.
            shared: What the frozen encoder made of them so far.
        """
        tokens_BLD = self.deltas(shared.encoder, shared.tokens_BLD)
        return _classify(self.head, tokens_BLD, faces_STCHW.shape[1])


class MappingNetwork(nn.Module):
    """Maps a face onto its restoration and classifies by how far it fails to.

    Source: DeepfakeMAE, section 3.2.2.
    Differs: where the paper is silent: the classifier sees the mapped face pooled to
    7 x 7 and its mean difference from the target in each part.
    """

    def __init__(self, blocks: str, norm: str, num_parts: int) -> None:
        super().__init__()
        self.mapper = FaceMapper(blocks, norm)
        self.head = Classifier(3 * _POOLED**2 + num_parts, 1)

    def forward(
        self, faces_BCHW: Tensor, target_BChw: Tensor, parts_BPhw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives the logit [B] of each face and the mapped face [B, C, h, w].

        Args:
            faces_BCHW: Normalized faces.
            target_BChw: What the autoencoder restored of them, shrunk.
            parts_BPhw: bool, True = the pixel belongs to the part.
        """
        mapped_BChw: Tensor = self.mapper(faces_BCHW)
        pooled = F.adaptive_avg_pool2d(mapped_BChw, _POOLED).flatten(1)
        difference_Bhw = (mapped_BChw - target_BChw).abs().mean(dim=1)
        features = torch.cat([pooled, mean_in_parts(difference_Bhw, parts_BPhw)], dim=1)
        logits_B: Tensor = self.head(features).squeeze(1).float()
        return logits_B, mapped_BChw


def _classify(head: nn.Module, tokens_BLD: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Gives logits of segments [S] and of frames [S, T] from all tokens, the class token first."""
    features_BD = tokens_BLD[:, 1:].mean(dim=1)
    features_STD = features_BD.reshape(-1, frames, features_BD.shape[1])
    return _logit(head, features_STD.mean(dim=1)), _logit(head, features_STD)


def _logit(head: nn.Module, features: Tensor) -> Tensor:
    """A softmax over (real, fake) is a sigmoid of their difference."""
    classes: Tensor = head(features).float()
    return classes[..., 1] - classes[..., 0]
