"""Public weights as the start of an encoder.

Weights come as bytes or as a state dict: whoever calls has read the path or the uri
through `storage`. `from_timm` alone fetches by itself, as timm does.

Shapes:
    N: patches   D: width   G: patches of a side
"""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.errors import ArtifactError

State = dict[str, Tensor]

#: What a backbone carries beside the encoder: heads, and DINOv2's token for masked patches.
_PASSED_OVER = ("head.", "fc_norm.", "mask_token")
#: How many names of a kind a message lists.
_LISTED = 3


def from_safetensors(content: bytes) -> State:
    """Gives the weights of a safetensors file.

    Args:
        content: The whole file.

    Raises:
        ArtifactError: It is no safetensors file.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ArtifactError(f"no safetensors file: {error}") from error


def from_timm(name: str) -> State:
    """Gives the weights that timm knows by `name`, fetched or from its cache.

    Args:
        name: A vision transformer of timm, with or without its tag.

    Raises:
        ArtifactError: timm knows no such model, or its weights cannot be had.
    """
    import timm

    if not timm.is_model(name.partition(".")[0]):
        close = timm.list_models(f"*{name.partition('.')[0][:8]}*")[:_LISTED]
        hint = "known are " + ", ".join(f"`{one}`" for one in close) if close else None
        raise ArtifactError(f"timm knows no model: `{name}`", hint=hint)
    try:
        model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        hint = "without a network, name a local safetensors file or an s3:// uri instead"
        message = f"the weights of `{name}` cannot be had: {type(error).__name__}"
        raise ArtifactError(message, hint=hint) from error
    return dict(model.state_dict())


def load_encoder(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Fills an encoder from a backbone's weights, or refuses them whole.

    Learned positions of another grid are resampled, as timm does.

    Args:
        encoder: A `mae.Encoder`.
        weights: Under timm's names, or under `encoder.` as a saved autoencoder has them.

    Raises:
        ArtifactError: Weights are missing, unknown, of another shape, or not finite.
    """
    own = encoder.state_dict()
    found = _of_encoder(weights)
    if "pos_embed" in own and "pos_embed" in found:
        found["pos_embed"] = resample_positions(found["pos_embed"], own["pos_embed"].shape[1] - 1)
    check_state(found, own)
    encoder.load_state_dict(found)


def check_state(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raises `ArtifactError` that names all that is missing, unknown, misshapen or not finite."""
    both = sorted(set(found) & set(wanted))
    complaints = {
        "missing": sorted(set(wanted) - set(found)),
        "unknown": sorted(set(found) - set(wanted)),
        "of another shape": [
            f"{name} {list(found[name].shape)} for {list(wanted[name].shape)}"
            for name in both
            if found[name].shape != wanted[name].shape
        ],
        "not finite": [name for name in both if not found[name].isfinite().all()],
    }
    listed = "; ".join(f"{kind}: {_list(names)}" for kind, names in complaints.items() if names)
    if listed:
        hint = "size, patch_px, positions and layer_scale must be those of the weights"
        raise ArtifactError(f"the weights do not fit: {listed}", hint=hint)


def resample_positions(positions_1LD: Tensor, num_patches: int) -> Tensor:
    """Gives learned positions [1, 1 + N, D] for a square grid of N patches.

    Args:
        positions_1LD: The class token's first, then those of a square grid in raster order.
        num_patches: N.
    """
    class_11D, patches_1ND = positions_1LD[:, :1].float(), positions_1LD[:, 1:].float()
    grid, wanted = round(patches_1ND.shape[1] ** 0.5), round(num_patches**0.5)
    if grid == wanted or grid**2 != patches_1ND.shape[1]:
        return positions_1LD.float()
    picture_1DGG = patches_1ND.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    resized_1DGG = F.interpolate(picture_1DGG, (wanted, wanted), mode="bicubic", antialias=True)
    return torch.cat([class_11D, resized_1DGG.flatten(2).transpose(1, 2)], dim=1)


def _of_encoder(weights: Mapping[str, Tensor]) -> State:
    prefix = "encoder."
    if any(name.startswith(prefix) for name in weights):
        weights = {
            name.removeprefix(prefix): tensor
            for name, tensor in weights.items()
            if name.startswith(prefix)
        }
    return {
        name: tensor.float()
        for name, tensor in weights.items()
        if not name.startswith(_PASSED_OVER)
    }


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    shown = ", ".join(f"`{name}`" for name in names[:_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
