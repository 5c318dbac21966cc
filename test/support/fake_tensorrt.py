"""A TensorRT for tests: an engine is ONNX bytes, a run is ONNX Runtime on the buffers' addresses.

With `cuda_stub.c` as the driver the whole backend runs on a CPU: copies, shapes, streams, events,
CUDA graphs. What is not tested that way is TensorRT itself.
"""

from __future__ import annotations

import ctypes
import enum
import json
from types import SimpleNamespace

import numpy as np
import onnxruntime

from metabev_ros.backends.tensorrt_library import API

DTYPES = {
    'tensor(float)': ('FLOAT', 'float32'),
    'tensor(int32)': ('INT32', 'int32'),
    'tensor(uint8)': ('UINT8', 'uint8'),
    'tensor(float16)': ('HALF', 'float16'),
}


# (stub library, graph handle) -> context: every loaded stub numbers its graphs from 1, and a graph
# replayed into another one's freed buffers corrupts the whole process.
RECORDED = {}


class Mode(enum.Enum):
    INPUT, OUTPUT, NONE = 1, 2, 0


def engine_bytes(onnx: bytes, profile: dict) -> bytes:
    """A fake engine: the profile as JSON, a line end, the ONNX file."""
    return json.dumps(profile).encode() + b'\n' + onnx


class FakeTensorRt(SimpleNamespace):
    """Stands for the module; `stub` is the loaded cuda_stub library.

    Attributes:
        loaded: number of plans that were deserialised.
        refuse: deserialisation gives None, as for an engine of another GPU.
    """

    def __init__(self, stub, version: str = '10.3.0') -> None:
        super().__init__(
            **{
                name: type(name, (), {member: None for member in members})
                for name, members in API.items()
            }
        )
        self.__version__, self.stub = version, stub
        self.loaded, self.refuse = 0, False
        self.TensorIOMode, module = Mode, self

        class ILogger:
            Severity = SimpleNamespace(WARNING=1, ERROR=2, INTERNAL_ERROR=3)

        self.ILogger = ILogger

        class Runtime:
            def __init__(self, logger) -> None:
                self.logger = logger

            def deserialize_cuda_engine(self, plan: bytes):
                module.loaded += 1
                if module.refuse:
                    self.logger.log(2, 'built on another\ndevice')
                    return None
                return FakeEngine(module, plan)

        self.Runtime = Runtime
        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
            lambda graph: RECORDED[stub._name, graph].compute()
        )
        self._keep_alive = callback
        stub.stub_on_launch(callback)


class FakeEngine:
    device_memory_size_v2 = 1000

    def __init__(self, module: FakeTensorRt, plan: bytes) -> None:
        profile, _, onnx = plan.partition(b'\n')
        self.module, self.profile = module, json.loads(profile)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            onnx, options, providers=['CPUExecutionProvider']
        )
        self.tensors = {
            item.name: (mode, item)
            for mode, side in (
                (Mode.INPUT, self.session.get_inputs()),
                (Mode.OUTPUT, self.session.get_outputs()),
            )
            for item in side
        }
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=DTYPES[self.tensors[name][1].type][0])

    def get_tensor_shape(self, name):
        return [n if isinstance(n, int) else -1 for n in self.tensors[name][1].shape]

    def get_tensor_profile_shape(self, name, index):
        return self.profile.get(name, []) if index == 0 else []

    def create_execution_context(self):
        return FakeContext(self)


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.addresses, self.shapes = engine, {}, {}

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)
        return True

    def execute_async_v3(self, stream):
        module = self.engine.module
        assert stream > 0, 'never the default stream'
        if module.stub.stub_capturing():
            RECORDED[module.stub._name, module.stub.stub_graphs() + 1] = self
        else:
            self.compute()
        return True

    def _view(self, name, shape):
        dtype = np.dtype(DTYPES[self.engine.tensors[name][1].type][1])
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer(
            (ctypes.c_uint8 * size).from_address(self.addresses[name]), dtype
        ).reshape(shape)

    def compute(self):
        session = self.engine.session
        arrays = {
            item.name: self._view(item.name, self.shapes.get(item.name, item.shape))
            for item in session.get_inputs()
        }
        for item, array in zip(session.get_outputs(), session.run(None, arrays), strict=True):
            self._view(item.name, array.shape)[...] = array
