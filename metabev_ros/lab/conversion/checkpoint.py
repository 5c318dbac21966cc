"""Checkpoints of others, read as data: a file that needs code to load is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from metabev_ros.errors import ContractError

# Where training frameworks keep the network's tensors.
WRAPPERS = ('state_dict', 'model', 'model_state_dict')


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a .pth, .pt, .bin or .safetensors file.

    Nothing in the file is executed (`weights_only`). A wrapper such as `state_dict` and the
    prefix `module.` of data-parallel training are taken off.

    Raises:
        ContractError: if it cannot be read, holds code, or holds no tensors.
    """
    loaded = _load(path)
    for name in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
            break
    if (
        not isinstance(loaded, dict)
        or not loaded
        or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
        )
    ):
        raise ContractError(
            str(path),
            f'tensors by name, bare or under one of {list(WRAPPERS)}',
            _describe(loaded),
            'save the state_dict of the network',
        )
    if all(key.startswith('module.') for key in loaded):
        loaded = {key.removeprefix('module.'): value for key, value in loaded.items()}
    return dict(loaded)


def _load(path: Path) -> object:
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        return torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, ModuleNotFoundError) as error:
        reason = str(error).strip().splitlines()
        raise ContractError(
            str(path),
            'a checkpoint of tensors only',
            f'one that is damaged or needs code to load ({_unsafe_part(reason)})',
            'load it in the project that made it, if you trust it, and save its state_dict as '
            'safetensors',
        ) from error
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise ContractError(
            str(path),
            'a readable checkpoint',
            str(error).split('\n')[0],
            'give a .pth, .pt or .safetensors file',
        ) from error


def _unsafe_part(lines: list[str]) -> str:
    """The line of torch's message that names what was refused."""
    return next(
        (line.strip() for line in lines if 'GLOBAL' in line or 'Unsupported' in line),
        lines[0] if lines else 'no reason given',
    )[:200]


def _describe(loaded: object) -> str:
    if not isinstance(loaded, dict):
        return type(loaded).__name__
    others = [
        f'{key}: {type(value).__name__}'
        for key, value in loaded.items()
        if not isinstance(value, Tensor)
    ]
    return f'a mapping with {others[:5]}' if others else 'an empty mapping'
