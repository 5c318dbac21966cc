"""Backends: run(camera inputs, LiDAR inputs) -> raw outputs. Chosen explicitly, no fallback."""

from __future__ import annotations

import enum
from pathlib import Path

from metabev_ros.backends.protocol import Backend
from metabev_ros.backends.providers import Provider, parse_provider
from metabev_ros.contract import require_current_variant
from metabev_ros.errors import ConfigError, MissingDependencyError, assert_never
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder


class BackendKind(enum.Enum):
    """The runtimes."""

    ONNXRUNTIME = 'onnxruntime'
    TORCH = 'torch'
    TENSORRT = 'tensorrt'
    TENSORRT_RTX = 'tensorrt_rtx'


def build_backend(
    kind: str,
    folder: Path,
    threads: int,
    precision: str = 'fp32',
    provider: str = Provider.CPU.value,
) -> Backend:
    """The backend named `kind` for a model folder.

    Args:
        precision: of the graphs or engines; torch has fp32 only.
        provider: what ONNX Runtime computes with, a `providers.Provider`; the other backends
            have one device each and accept only 'cpu', the default.

    Raises:
        ConfigError: for an unknown name, precision, provider or thread count.
        ContractError: if an artefact is missing or does not fit.
        BackendError: if the runtime cannot be used here.
        MissingDependencyError: if it is not installed.
    """
    runtime = _parse_kind(kind)
    if not 1 <= threads <= 256:
        raise ConfigError('threads', '1..256', str(threads), 'correct the parameter')
    chosen = parse_provider(provider)
    if runtime is not BackendKind.ONNXRUNTIME and chosen is not Provider.CPU:
        raise ConfigError(
            'provider',
            f'cpu, as the backend is {kind}',
            repr(provider),
            'use the backend onnxruntime, or leave the provider out',
        )
    match runtime:
        case BackendKind.ONNXRUNTIME:
            return _onnxruntime_backend(folder, threads, parse_precision(precision), chosen)
        case BackendKind.TORCH:
            return _torch_backend(folder, threads, precision)
        case BackendKind.TENSORRT | BackendKind.TENSORRT_RTX:
            return _tensorrt_backend(kind, folder, parse_precision(precision))
        case _:
            assert_never(runtime)


def _parse_kind(name: str) -> BackendKind:
    """Return the kind of this name.

    Raises:
        ConfigError: if there is none.
    """
    names = [member.value for member in BackendKind]
    if name not in names:
        raise ConfigError('backend', f'one of {names}', repr(name), 'correct the parameter')
    return BackendKind(name)


def _onnxruntime_backend(
    folder: Path, threads: int, precision: GraphPrecision, provider: Provider
) -> Backend:
    from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend

    require_current_variant(folder, GraphForm.ONNXRUNTIME, precision)
    variant = variant_folder(folder, GraphForm.ONNXRUNTIME, precision)
    return OnnxRuntimeBackend(variant, threads, provider)


def _tensorrt_backend(kind: str, folder: Path, precision: GraphPrecision) -> Backend:
    from metabev_ros.backends.tensorrt_backend import TensorRtBackend
    from metabev_ros.backends.tensorrt_library import Flavour

    require_current_variant(folder, GraphForm.TENSORRT, precision)
    return TensorRtBackend.load(folder, precision, Flavour(kind))


def parse_precision(name: str) -> GraphPrecision:
    """Precision of a name such as 'fp16'.

    Raises:
        ConfigError: naming the choices.
    """
    if name not in (member.value for member in GraphPrecision):
        raise ConfigError(
            'precision',
            f'one of {[member.value for member in GraphPrecision]}',
            repr(name),
            'correct the parameter',
        )
    return GraphPrecision(name)


def _torch_backend(folder: Path, threads: int, precision: str) -> Backend:
    if precision != GraphPrecision.FP32.value:
        raise ConfigError(
            'precision', 'fp32 with the backend torch', repr(precision), 'correct the parameter'
        )
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            'backend torch', 'the package torch', 'none', 'pip install torch'
        ) from error
    from metabev_ros.backends.torch_backend import TorchBackend

    torch.set_num_threads(threads)
    return TorchBackend.load(folder)
