"""Backends: run(camera inputs, LiDAR inputs) -> raw outputs. Chosen explicitly, no fallback.

`run` is encode_camera, encode_lidar and fuse in one; evaluation calls the three itself, because
under many settings one of the sensors did not change.
"""
from __future__ import annotations

import enum
from pathlib import Path

from metabev_ros.errors import ConfigError, MissingDependencyError


class BackendKind(enum.Enum):
    """The runtimes."""

    ONNXRUNTIME = 'onnxruntime'
    TORCH = 'torch'


def build_backend(kind: str, folder: Path, threads: int):
    """The backend named `kind` for a model folder.

    Raises:
        ConfigError: for an unknown name or a bad thread count.
        MissingDependencyError: if its runtime is not installed.
    """
    if kind not in (member.value for member in BackendKind):
        raise ConfigError('backend', f'one of {[member.value for member in BackendKind]}',
                          repr(kind), 'correct the parameter')
    if not 1 <= threads <= 256:
        raise ConfigError('threads', '1..256', str(threads), 'correct the parameter')
    if kind == BackendKind.TORCH.value:
        return _torch_backend(folder, threads)
    from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
    return OnnxRuntimeBackend(folder, threads)


def _torch_backend(folder: Path, threads: int):
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError('backend torch', 'the package torch', 'none',
                                     'pip install torch') from error
    from metabev_ros.backends.torch_backend import TorchBackend
    torch.set_num_threads(threads)
    return TorchBackend.load(folder)
