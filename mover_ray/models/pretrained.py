"""Public weights: as the start of an encoder, or of a backbone that stays as it is.

Shapes:
    N: patches   D: width   G: patches of a side
"""

import hashlib
import re
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from mover_ray.errors import ArtifactError, StorageError
from mover_ray.status import Status
from mover_ray.storage import normalise, storage_for

State = dict[str, Tensor]

#: What a location begins with that names weights of timm.
TIMM = "timm:"

#: What a backbone carries beside the encoder: heads, and DINOv2's token for masked patches.
_PASSED_OVER = ("head.", "fc_norm.", "mask_token")
_BLOCK = re.compile(r"blocks\.(\d+)\.")
#: How many names of a kind a message lists.
_LISTED = 3


def from_location(location: str) -> State:
    """Gives public weights.

    Args:
        location: `timm:NAME`, or the path or `s3://` address of a safetensors file.

    Raises:
        ArtifactError: There are none, or they cannot be had.
        StorageError: The bucket does not answer.
    """
    if location.startswith(TIMM):
        return from_timm(location.removeprefix(TIMM))
    uri = normalise(location)
    try:
        content = storage_for(uri).read(uri)
    except StorageError as error:
        if error.status is not Status.NOT_FOUND:
            raise
        raise ArtifactError(f"no weights: `{location}`") from error
    return from_safetensors(content)


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

    Learned positions of another grid are resampled, as timm does. Blocks behind the last
    one of the encoder are passed over.

    Args:
        encoder: A `mae.Encoder`.
        weights: Under timm's names, or under `encoder.` as a saved autoencoder has them.

    Raises:
        ArtifactError: Weights are missing, unknown, of another shape, or not finite.
    """
    wanted = encoder.state_dict()
    last = max(block for name in wanted if (block := _block_of(name)) is not None)
    found = {
        name: tensor
        for name, tensor in encoder_weights(weights).items()
        if (_block_of(name) or 0) <= last
    }
    encoder.load_state_dict(fitted(found, wanted))


def _block_of(name: str) -> int | None:
    match = _BLOCK.match(name)
    return int(match[1]) if match else None


def encoder_weights(weights: Mapping[str, Tensor]) -> State:
    """Gives the weights of the encoder alone, in float32, under timm's names.

    Args:
        weights: Under timm's names, or under `encoder.` as a saved autoencoder has them.
    """
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


def fitted(weights: State, wanted: Mapping[str, Tensor]) -> State:
    """Gives an encoder's weights with learned positions for its grid, as timm resamples them.

    Args:
        weights: Of the encoder alone.
        wanted: The state that they are to fill; its shapes count alone.

    Raises:
        ArtifactError: Weights are missing, unknown, of another shape, or not finite.
    """
    found = dict(weights)
    if "pos_embed" in wanted and "pos_embed" in found:
        num_patches = wanted["pos_embed"].shape[1] - 1
        found["pos_embed"] = resample_positions(found["pos_embed"], num_patches)
    check_state(found, wanted)
    return found


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Gives the SHA-256 of names, shapes and values: the same for every file that holds them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    shown = ", ".join(f"`{name}`" for name in names[:_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
