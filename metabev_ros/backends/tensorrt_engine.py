"""One engine: deserialised, compared with the contract, with its buffers; enqueues on a stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from metabev_ros.backends.cuda_driver import Buffer, Context
from metabev_ros.backends.tensorrt_library import TensorRtLibrary
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.graph_specs import GraphSpecs, TensorSpec

_DTYPES = {'FLOAT': 'float32', 'HALF': 'float16', 'INT32': 'int32', 'UINT8': 'uint8'}
OutputTensor: TypeAlias = tuple[tuple[int, ...], str]  # shape, dtype
_Tensor: TypeAlias = tuple[str, str, tuple[int, ...]]  # 'input' or 'output', dtype, shape
_OUT_OF_MEMORY = 'use a smaller model or precision, or free GPU memory'


@dataclass(frozen=True)
class InputRange:
    """Shapes that the engine accepts for one input: its profile, or its one shape twice."""

    dtype: str
    smallest: tuple[int, ...]
    largest: tuple[int, ...]

    def check(self, where: str, array: np.ndarray) -> None:
        """Refuse what the engine was not built for.

        Raises:
            BackendError: with the range and what came.
        """
        if not isinstance(array, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BackendError(where, f'an array {self}', type(array).__name__)
        fits = array.ndim == len(self.smallest) and all(
            low <= size <= high
            for low, size, high in zip(self.smallest, array.shape, self.largest, strict=True)
        )
        if str(array.dtype) != self.dtype or not fits:
            raise BackendError(
                where,
                str(self),
                f'{array.dtype} {array.shape}',
                'the engine was built for this range: build it again with larger '
                '--cameras or --headroom'
                if array.ndim == len(self.smallest) and str(array.dtype) == self.dtype
                else '',
            )

    def __str__(self) -> str:
        sizes = (
            str(low) if low == high else f'{low}..{high}'
            for low, high in zip(self.smallest, self.largest, strict=True)
        )
        return f'{self.dtype} ({", ".join(sizes)})'

    @property
    def bytes(self) -> int:
        """Size of the largest tensor, bytes."""
        return math.prod(self.largest) * np.dtype(self.dtype).itemsize


class Engine:
    """A deserialised engine and its execution context.

    Args:
        library, gpu: TensorRT and the CUDA context that is current.
        graph: its name in the contract.
        plan: bytes whose SHA-256 the caller has checked.
        specs: the contract's inputs and outputs.
        buffers: tensor name -> buffer, shared by all engines: an encoder's output is the
            fusion's input without a copy. Missing ones are made.

    Attributes:
        inputs: name -> what it accepts. outputs: name -> (shape, dtype).
        activation_bytes: scratch memory of the execution context.

    Raises:
        ContractError: if TensorRT refuses the plan, or it has other tensors than the contract.
        BackendError: if the GPU has no room for it.
    """

    def __init__(
        self,
        library: TensorRtLibrary,
        gpu: Context,
        graph: str,
        plan: bytes,
        specs: GraphSpecs,
        buffers: dict[str, Buffer],
    ) -> None:
        self.graph, self._library, self._buffers = graph, library, buffers
        library.messages.clear()
        self._runtime = library.make('Runtime')  # must outlive the engine
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ContractError(
                f'engine of {graph}',
                f'one that {library.flavour.value} '
                f'{library.version} on {gpu.driver.gpu.name} can load',
                library.last_messages(),
                'run `metabev build-engines --force`',
            )
        self.inputs = {spec.name: self._range(spec) for spec in specs[0]}
        self.outputs: dict[str, OutputTensor] = {
            spec.name: (spec.fixed_shape, spec.dtype) for spec in specs[1]
        }
        self._check_tensors(specs)
        self.activation_bytes = int(self._engine.device_memory_size_v2)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError(
                f'engine of {graph}',
                f'{self.activation_bytes} bytes of GPU memory for its activations',
                library.last_messages(),
                _OUT_OF_MEMORY,
            )
        for name, size in self._sizes().items():
            if name not in buffers:
                buffers[name] = gpu.buffer(size)
            if not self._context.set_tensor_address(name, buffers[name].device):
                raise self._failed(f'an address for {name}')

    def check_inputs(self, arrays: dict[str, np.ndarray]) -> None:
        """Names, types and shapes before anything is enqueued.

        Raises:
            BackendError: naming the tensor.
        """
        if arrays.keys() != self.inputs.keys():
            raise BackendError(
                self.graph, f'the inputs {sorted(self.inputs)}', str(sorted(map(str, arrays)))
            )
        for name, accepted in self.inputs.items():
            accepted.check(f'{self.graph}: {name}', arrays[name])

    def set_shapes(self, arrays: dict[str, np.ndarray]) -> None:
        """Tell the context the sizes of this sample's free axes."""
        for name, accepted in self.inputs.items():
            if accepted.smallest != accepted.largest and not self._context.set_input_shape(
                name, arrays[name].shape
            ):
                raise self._failed(f'shape {arrays[name].shape} of {name}')

    def enqueue(self, stream: int) -> None:
        """Put the engine's kernels into the stream; returns at once."""
        if not self._context.execute_async_v3(stream):
            raise self._failed('a successful run')

    def can_be_captured(self, stream: int) -> bool:
        """Tell whether a CUDA graph of it can be recorded; only TensorRT-RTX can say no."""
        if any(item.smallest != item.largest for item in self.inputs.values()):
            return False
        ask = getattr(self._context, 'is_stream_capturable', None)
        return ask is None or bool(ask(stream))

    def smallest_inputs(self) -> dict[str, np.ndarray]:
        """Zeros of the smallest shapes; zero is a valid index in every table."""
        return {name: np.zeros(item.smallest, item.dtype) for name, item in self.inputs.items()}

    def _range(self, spec: TensorSpec) -> InputRange:
        if None not in spec.shape:
            return InputRange(spec.dtype, spec.fixed_shape, spec.fixed_shape)
        shapes: Any = self._engine.get_tensor_profile_shape(spec.name, 0)
        if len(shapes) != 3:
            raise ContractError(
                f'engine of {self.graph}',
                f'a profile for {spec.name}',
                'none',
                'run `metabev build-engines --force`',
            )
        smallest, _, largest = (tuple(int(size) for size in shape) for shape in shapes)
        return InputRange(spec.dtype, smallest, largest)

    def _check_tensors(self, specs: GraphSpecs) -> None:
        """All differences to the contract at once."""
        engine, modes = self._engine, self._library.trt.TensorIOMode
        expected: dict[str, _Tensor] = {
            spec.name: (mode, spec.dtype, tuple(-1 if n is None else n for n in spec.shape))
            for mode, side in zip(('input', 'output'), specs, strict=True)
            for spec in side
        }
        found: dict[str, _Tensor] = {}
        for index in range(engine.num_io_tensors):
            name: str = engine.get_tensor_name(index)
            dtype: str = engine.get_tensor_dtype(name).name
            mode = 'input' if engine.get_tensor_mode(name) == modes.INPUT else 'output'
            found[name] = (
                mode,
                _DTYPES.get(dtype, dtype),
                tuple(int(size) for size in engine.get_tensor_shape(name)),
            )
        differing = sorted(
            name
            for name in expected.keys() | found.keys()
            if expected.get(name) != found.get(name)
        )
        if differing:

            def listed(table: dict[str, _Tensor]) -> str:
                return ', '.join(f'{name} {table.get(name, "absent")}' for name in differing)

            raise ContractError(
                f'engine of {self.graph}',
                listed(expected),
                listed(found),
                'run `metabev build-engines --force`',
            )

    def _sizes(self) -> dict[str, int]:
        outputs = {
            name: math.prod(shape) * np.dtype(dtype).itemsize
            for name, (shape, dtype) in self.outputs.items()
        }
        return {name: item.bytes for name, item in self.inputs.items()} | outputs

    def _failed(self, expected: str) -> BackendError:
        return BackendError(f'engine of {self.graph}', expected, self._library.last_messages())
