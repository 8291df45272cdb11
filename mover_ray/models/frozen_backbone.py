"""Public vision transformers that are read and never changed.

A bundle names its backbone by artifact and hash and holds none of its weights. timm is
imported when the first backbone is built: it takes 9 s of CPU.

Shapes:
    B: images   C: colours   H, W: pixels   L: tokens   N: patches, raster order   D: width
    A: heads   E: width of a head   X: query, key, value
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from mover_ray.config import check_at_least
from mover_ray.errors import ArtifactError, ConfigError
from mover_ray.models.layers.pixels import Colour, normalize
from mover_ray.models.pretrained import (
    State,
    encoder_weights,
    fitted,
    from_location,
    state_sha256,
)

#: Backbones that some detector of this process holds, by what they compute: members of an
#: ensemble share the memory.
_LOADED: WeakValueDictionary[tuple[str, int, str], nn.Module] = WeakValueDictionary()


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneConfig:
    """Which backbone."""

    architecture: str = "vit_small_patch14_dinov2"
    """timm's name of a vision transformer, without the tag of its weights."""
    image_px: int = 224
    """Side of the crops; positions that were learned for another size are resampled."""
    weights: str | None = None
    """`timm:NAME`, or the path or `s3://` address of a safetensors file under timm's names.
    None: random ones, always the same, which serve tests alone."""
    sha256: str | None = None
    """Of the weights' names, shapes and values. None: not known yet; a bundle says it."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "image_px", 14)
        if not self.architecture.startswith("vit_") or "." in self.architecture:
            hint = "such as `vit_base_patch16_clip_quickgelu_224`; `weights` says which weights"
            raise ConfigError(f"no vision transformer: `{self.architecture}`", hint=hint)


@dataclass(frozen=True, slots=True)
class LayerFeatures:
    """What one block of a backbone made of its images, class token dropped."""

    index: int
    """Number of the block, from 0."""
    attributes_XBNAE: Tensor
    """Query, key and value."""
    residual_BND: Tensor
    """The tokens after the block."""

    @property
    def keys_BND(self) -> Tensor:  # noqa: N802 # a tensor's name says its shape
        """The keys, heads side by side."""
        return self.attributes_XBNAE[1].flatten(2)


#: Called with the features of every block in turn.
Take = Callable[[LayerFeatures], None]


class FrozenBackbone:
    """A backbone beside a detector: it is no part of the detector's state."""

    def __init__(self, config: BackboneConfig, vit: Any) -> None:
        """Takes a timm transformer that nobody changes.

        Args:
            config: With the hash of the weights, if they are not random.
            vit: In evaluation mode, without gradients.
        """
        self.config = config
        self.vit = vit
        self.width: int = vit.embed_dim
        self.depth = len(vit.blocks)
        self.heads: int = vit.blocks[0].attn.num_heads
        self.grid: int = vit.patch_embed.grid_size[0]
        self._mean: Colour = vit.pretrained_cfg["mean"]
        self._std: Colour = vit.pretrained_cfg["std"]

    @property
    def identity(self) -> str:
        """What it computes: equal for backbones that see the same in the same crops."""
        config = self.config
        return f"{config.architecture} {config.image_px} {config.sha256 or 'random'}"

    @property
    def patch_px(self) -> int:
        """Side of a patch."""
        return self.config.image_px // self.grid

    def normalize(self, faces_BCHW: Tensor) -> Tensor:
        """Takes RGB of 0 to 255 to what the backbone was trained on."""
        return normalize(faces_BCHW, self._mean, self._std)

    def read(self, faces_BCHW: Tensor, take: Take) -> None:
        """Runs the backbone, without gradients, and hands out what its blocks make.

        Layer by layer, because all of them would fill a GPU: 80 frames in a ViT-L have 8 GB.

        Args:
            faces_BCHW: RGB, 0 to 255.
            take: Called for every block in order, with gradients where the caller has them.
        """
        enabled = torch.is_grad_enabled()

        def hand_out(layer: LayerFeatures) -> None:
            with torch.set_grad_enabled(enabled):
                take(layer)

        with torch.no_grad(), self._tapped(hand_out):
            self.vit.forward_features(self.normalize(faces_BCHW))

    @contextlib.contextmanager
    def _tapped(self, take: Take) -> Iterator[None]:
        """Watches every block of the plain forward pass."""
        with contextlib.ExitStack() as taps:
            for index, block in enumerate(self.vit.blocks):
                tap = _Tap(index, block, self.vit.num_prefix_tokens, take)
                taps.enter_context(block.attn.qkv.register_forward_hook(tap.keep))
                taps.enter_context(block.register_forward_hook(tap.hand_out))
            yield


class _Tap:
    """Watches one block."""

    def __init__(self, index: int, block: Any, skipped: int, take: Take) -> None:
        self._index, self._attention, self._skipped, self._take = index, block.attn, skipped, take
        self._qkv_BLV = torch.empty(0)

    def keep(self, _layer: nn.Module, _inputs: Any, qkv_BLV: Tensor) -> None:
        self._qkv_BLV = qkv_BLV[:, self._skipped :]

    def hand_out(self, _layer: nn.Module, _inputs: Any, tokens_BLD: Tensor) -> None:
        attention = self._attention
        by_head = self._qkv_BLV.reshape(
            *tokens_BLD.shape[:1], -1, 3, attention.num_heads, attention.head_dim
        )
        query, key, value = by_head.permute(2, 0, 1, 3, 4).unbind(0)
        attributes = torch.stack([attention.q_norm(query), attention.k_norm(key), value])
        self._qkv_BLV = torch.empty(0)
        self._take(LayerFeatures(self._index, attributes, tokens_BLD[:, self._skipped :]))


def load_backbone(config: BackboneConfig) -> FrozenBackbone:
    """Gives a backbone with its weights; those of one hash are in memory once.

    Raises:
        ConfigError: timm knows no such transformer, or patches do not fill the crop.
        ArtifactError: The weights cannot be had, do not fit, or have another hash.
    """
    if config.weights is None:
        return FrozenBackbone(config, _random(config))
    known = _LOADED.get((config.architecture, config.image_px, config.sha256 or ""))
    if known is not None:
        return FrozenBackbone(config, known)
    weights = _read(config)
    config = replace(config, sha256=_checked_sha256(config, weights))
    with torch.device("meta"):
        vit = _build(config)
    vit.load_state_dict(fitted(weights, vit.state_dict()), assign=True)
    vit.eval().requires_grad_(requires_grad=False)
    _LOADED[config.architecture, config.image_px, config.sha256 or ""] = vit
    return FrozenBackbone(config, vit)


def local_copies() -> Path:
    """Gives the folder where `SHA256.safetensors` stands in for a backbone's own location."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mover-ray" / "backbones"


def _read(config: BackboneConfig) -> State:
    copy = local_copies() / f"{config.sha256}.safetensors"
    location = str(copy) if copy.is_file() else str(config.weights)
    try:
        return encoder_weights(from_location(location))
    except ArtifactError as error:
        hint = error.hint
        if config.sha256 is not None:
            hint = f"a copy of the weights as `{copy}` serves as well"
        message = f"the backbone `{config.architecture}` cannot be had: {error}"
        raise ArtifactError(message, hint=hint) from error


def _checked_sha256(config: BackboneConfig, weights: State) -> str:
    found = state_sha256(weights)
    if config.sha256 not in (None, found):
        message = f"the backbone is not the one that the detector was trained on: {config.weights}"
        raise ArtifactError(f"{message}: `{found}`", hint=f"its hash must be `{config.sha256}`")
    return found


def _random(config: BackboneConfig) -> Any:
    """Draws weights that are the same every time, whatever the global generator's state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _build(config).eval().requires_grad_(requires_grad=False)


def _build(config: BackboneConfig) -> Any:
    import timm
    from timm.models.vision_transformer import VisionTransformer

    name = config.architecture
    if not timm.is_model(name):
        raise ConfigError(f"timm knows no model: `{name}`")
    create = functools.partial(timm.create_model, name, img_size=config.image_px, num_classes=0)
    vit: Any = create(pretrained=False)
    if not isinstance(vit, VisionTransformer):
        raise ConfigError(f"no plain vision transformer: `{name}`")
    patch_px = vit.patch_embed.patch_size[0]
    if config.image_px % patch_px:
        raise ConfigError(f"patches of {patch_px} px do not fill crops of `{config.image_px}` px")
    return vit
