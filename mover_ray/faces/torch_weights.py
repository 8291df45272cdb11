"""Puts a weights file into a torch module, never by way of executable pickle."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mover_ray.errors import ArtifactError


def load_into(module: nn.Module, path: Path) -> None:
    """Loads every tensor of the file; names and shapes must match exactly.

    Args:
        module: Changed in place.
        path: A `.safetensors` file, or a legacy `.pth` of tensors alone.

    Raises:
        ArtifactError: The file holds something else than this module's tensors.
    """
    try:
        tensors = _read(path)
        module.load_state_dict(tensors, strict=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"weights do not fit {type(module).__name__}: `{path}`: {_first_lines(error)}",
            hint="`detector_weights` must belong to the policy's `detector`",
        ) from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def _first_lines(error: Exception) -> str:
    """Shortens torch's list of every missing tensor to what one line can hold."""
    return " ".join(str(error).split())[:200]
