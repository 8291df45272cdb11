"""The weights of a bundle: one safetensors file, checked before it is believed."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mover_ray.errors import ArtifactError
from mover_ray.models.bundle_card import WeightsFile
from mover_ray.provenance import sha256_file

#: The header of the largest detector, some 1,000 tensors, takes 0.1 MiB; the file
#: itself says how long its header is, and nothing longer is read.
_MAX_HEADER_BYTES = 2**20

_DTYPES = {"float32": torch.float32, "float16": torch.float16}
#: What safetensors calls the types that weights may be stored in.
_FLOATING = frozenset({"F32", "F16", "BF16"})


def write_weights(path: Path, module: nn.Module, storage: str) -> WeightsFile:
    """Writes the state of `module` and says what was written.

    Args:
        path: The file, which must not exist.
        module: Parameters and persistent buffers are stored.
        storage: A key of `bundle_card.STORAGE`.

    Raises:
        ArtifactError: A value is not finite in the type of storage.
    """
    tensors = {}
    for name, tensor in module.state_dict().items():
        dtype = _DTYPES[storage] if tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous()
        _check_finite(name, tensors[name])
    save_file(tensors, path)
    return WeightsFile(sha256=sha256_file(path), size_bytes=path.stat().st_size, storage=storage)


def read_weights(path: Path, expected: WeightsFile, module: nn.Module) -> None:
    """Fills `module` from the file at `path`, or refuses the file.

    The header comes first: once it fits, reading takes no more memory than the module
    itself.

    Raises:
        ArtifactError: The file is missing, altered or no safetensors, its tensors are
            not those of `module`, or a value is not finite.
    """
    expected.check(path)
    _check_header_length(path)
    state = module.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            _check_header(file, state)
            for name, tensor in state.items():
                stored: Tensor = file.get_tensor(name)
                _check_finite(name, stored)
                tensor.copy_(stored)
    except SafetensorError as error:
        raise ArtifactError(f"no safetensors file: `{path}`: {error}") from error


def _check_header_length(path: Path) -> None:
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise ArtifactError(f"no safetensors file, or its header is too long: `{path}`")


def _check_header(file: Any, state: dict[str, Tensor]) -> None:
    """Compares names, shapes and types before a tensor is read."""
    hint = "the weights belong to another detector or another config"
    differing = sorted(set(file.keys()) ^ set(state))
    if differing:
        verb = "lack" if differing[0] in state else "have the unknown"
        raise ArtifactError(f"the weights {verb} `{differing[0]}`", hint=hint)
    for name, tensor in state.items():
        entry = file.get_slice(name)
        shape, wanted = list(entry.get_shape()), list(tensor.shape)
        if shape != wanted:
            raise ArtifactError(f"`{name}` has the shape {shape}, not {wanted}", hint=hint)
        kinds = _FLOATING if tensor.is_floating_point() else frozenset({"I64"})
        if entry.get_dtype() not in kinds:
            raise ArtifactError(f"`{name}` has the type {entry.get_dtype()}", hint=hint)


def _check_finite(name: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise ArtifactError(f"the weights hold a value that is not finite, in `{name}`")
