"""Execution providers of ONNX Runtime: asked for by name, checked twice, never replaced quietly.

ONNX Runtime itself falls back: a provider that is missing, or whose libraries do not load, is left
out with a warning, and nodes that a provider does not take go to the CPU. Here a missing provider
stops the start, and so does a session in which arithmetic runs elsewhere than asked. Index and
shape arithmetic may stay on the CPU: the CUDA provider puts it there on purpose.
"""

from __future__ import annotations

import enum
from typing import Any

from metabev_ros.errors import BackendError, ConfigError, MissingDependencyError, assert_never


class Provider(enum.Enum):
    """Execution providers of ONNX Runtime."""

    CPU = 'cpu'
    CUDA = 'cuda'
    TENSORRT = 'tensorrt'
    OPENVINO = 'openvino'

    @property
    def runtime_name(self) -> str:
        """Its name in ONNX Runtime."""
        return _RUNTIME_NAMES[self]

    @property
    def device(self) -> str:
        """Memory that its tensors lie in: 'cpu' or 'cuda'."""
        match self:
            case Provider.CPU | Provider.OPENVINO:
                return 'cpu'
            case Provider.CUDA | Provider.TENSORRT:
                return 'cuda'
            case _:
                assert_never(self)

    @property
    def remedy(self) -> str:
        """Advice for a machine on which it cannot be used."""
        return _REMEDIES[self]


_RUNTIME_NAMES = {
    Provider.CPU: 'CPUExecutionProvider',
    Provider.CUDA: 'CUDAExecutionProvider',
    Provider.TENSORRT: 'TensorrtExecutionProvider',
    Provider.OPENVINO: 'OpenVINOExecutionProvider',
}
_REMEDIES = {
    Provider.CPU: 'export the model again, or install onnxruntime again',
    Provider.CUDA: 'in place of onnxruntime install onnxruntime-gpu, with CUDA and cuDNN of the '
    'versions it names, or use provider cpu',
    Provider.TENSORRT: 'in place of onnxruntime install onnxruntime-gpu, and TensorRT of the '
    'version it names, or use provider cpu',
    Provider.OPENVINO: 'in place of onnxruntime install onnxruntime-openvino, or use provider cpu',
}
# Operators that hold the arithmetic of our graphs.
_ARITHMETIC = frozenset(
    (
        'Conv',
        'ConvTranspose',
        'Gemm',
        'MatMul',
        'GridSample',
        'Resize',
        'Softmax',
        'Relu',
        'LayerNormalization',
        'InstanceNormalization',
        'MaxPool',
        'QLinearConv',
        'QLinearMatMul',
        'FusedConv',
        'FusedMatMul',
        'Gelu',
        'Erf',
    )
)


def parse_provider(text: str) -> Provider:
    """The provider of this name.

    Raises:
        ConfigError: if there is none.
    """
    names = [provider.value for provider in Provider]
    if text not in names:
        raise ConfigError('provider', f'one of {names}', repr(text), 'correct the parameter')
    return Provider(text)


def require_provider(provider: Provider, available: list[str]) -> None:
    """Check that the installed ONNX Runtime was built with it.

    Args:
        available: `onnxruntime.get_available_providers()`.

    Raises:
        MissingDependencyError: if it was not.
    """
    if provider.runtime_name not in available:
        raise MissingDependencyError(
            f'provider {provider.value}',
            f'{provider.runtime_name} in the installed onnxruntime',
            ', '.join(available),
            provider.remedy,
        )


def check_session(session: Any, provider: Provider, graph: str) -> None:
    """Check that the arithmetic of a session is where it was asked for.

    Args:
        session: made with `session.record_ep_graph_assignment_info` = 1.
        graph: its name, for the message.

    Raises:
        BackendError: if the provider did not load, or left arithmetic to another one.
        MissingDependencyError: if this ONNX Runtime cannot tell (before 1.24) and the provider
            is not the CPU, which takes every node.
    """
    where, names = f'provider {provider.value}: {graph}', session.get_providers()
    if names[0] != provider.runtime_name:
        raise BackendError(
            where,
            provider.runtime_name,
            f'a session on {", ".join(names)}: its libraries did not load',
            provider.remedy,
        )
    if provider is Provider.CPU:
        return
    if not hasattr(session, 'get_provider_graph_assignment_info'):
        raise MissingDependencyError(
            where,
            'an ONNX Runtime that tells where nodes run',
            'one that does not',
            'install a newer one, or use the provider cpu or the backend tensorrt',
        )
    elsewhere = sorted(
        {
            f'{node.op_type} on {part.ep_name}'
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name != provider.runtime_name
            for node in part.get_nodes()
            if node.op_type in _ARITHMETIC
        }
    )
    if elsewhere:
        raise BackendError(
            where,
            f'all arithmetic on {provider.runtime_name}',
            ', '.join(elsewhere)[:200],
            'use provider cpu, or a newer onnxruntime',
        )
