"""Backends: run(camera inputs, LiDAR inputs) -> raw outputs. Chosen explicitly, no fallback."""
from __future__ import annotations

import enum
from pathlib import Path

from metabev_ros.errors import ConfigError


class BackendKind(enum.Enum):
    """The runtimes."""

    ONNXRUNTIME = 'onnxruntime'


def build_backend(kind: str, folder: Path, threads: int):
    """The backend named `kind` for a model folder.

    Raises:
        ConfigError: for an unknown name or a bad thread count.
    """
    if kind not in (member.value for member in BackendKind):
        raise ConfigError('backend', f'one of {[member.value for member in BackendKind]}',
                          repr(kind), 'correct the parameter')
    if not 1 <= threads <= 256:
        raise ConfigError('threads', '1..256', str(threads), 'correct the parameter')
    from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
    return OnnxRuntimeBackend(folder, threads)
