"""The CUDA driver by ctypes: a probe that cannot crash, memory, streams, events, graphs.

Why not `cuda.bindings` or libcudart: libcuda.so.1 comes with the driver on every machine that can
run an engine (desktop, Jetson), its entry points keep their names over CUDA 11 to 13, and the two
dozen used here need no package whose version must fit the driver.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import BackendError, DeviceLostError

LIBRARY = 'libcuda.so.1'
_OUT = ctypes.POINTER
_HANDLE_OUT, _ADDRESS, _ADDRESS_OUT = _OUT(c_void_p), c_uint64, _OUT(c_uint64)
# Argument types of every entry point used: without them ctypes cuts 64-bit handles to 32.
_SIGNATURES = {
    'cuInit': (c_uint,),
    'cuDriverGetVersion': (_OUT(c_int),),
    'cuDeviceGetCount': (_OUT(c_int),),
    'cuGetErrorName': (c_int, _OUT(c_char_p)),
    'cuDeviceGet': (_OUT(c_int), c_int),
    'cuDeviceGetName': (c_char_p, c_int, c_int),
    'cuDeviceGetAttribute': (_OUT(c_int), c_int, c_int),
    'cuDeviceTotalMem_v2': (_OUT(c_size_t), c_int),
    'cuDevicePrimaryCtxRetain': (_HANDLE_OUT, c_int),
    'cuDevicePrimaryCtxRelease_v2': (c_int,),
    'cuCtxSetCurrent': (c_void_p,),
    'cuMemGetInfo_v2': (_OUT(c_size_t), _OUT(c_size_t)),
    'cuMemAlloc_v2': (_ADDRESS_OUT, c_size_t),
    'cuMemFree_v2': (_ADDRESS,),
    'cuMemHostAlloc': (_HANDLE_OUT, c_size_t, c_uint),
    'cuMemFreeHost': (c_void_p,),
    'cuMemcpyHtoDAsync_v2': (_ADDRESS, c_void_p, c_size_t, c_void_p),
    'cuMemcpyDtoHAsync_v2': (c_void_p, _ADDRESS, c_size_t, c_void_p),
    'cuStreamCreate': (_HANDLE_OUT, c_uint),
    'cuStreamDestroy_v2': (c_void_p,),
    'cuStreamSynchronize': (c_void_p,),
    'cuStreamWaitEvent': (c_void_p, c_void_p, c_uint),
    'cuEventCreate': (_HANDLE_OUT, c_uint),
    'cuEventDestroy_v2': (c_void_p,),
    'cuEventRecord': (c_void_p, c_void_p),
    'cuStreamBeginCapture_v2': (c_void_p, c_int),
    'cuStreamEndCapture': (c_void_p, _HANDLE_OUT),
    'cuGraphInstantiateWithFlags': (_HANDLE_OUT, c_void_p, ctypes.c_ulonglong),
    'cuGraphLaunch': (c_void_p, c_void_p),
    'cuGraphDestroy': (c_void_p,),
    'cuGraphExecDestroy': (c_void_p,),
}
_OUT_OF_MEMORY = 2
# After one of these every further call fails: the context is gone until the process is.
_LOST = {4, 46, 214, 220, 226, *range(700, 720), 999} - {701, 704, 705, 708, 712, 713}
_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NON_BLOCKING_STREAM, _NO_TIMING_EVENT, _CAPTURE_THREAD_LOCAL = 1, 2, 1


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes:
        compute_capability: 'major.minor'.
        memory_bytes: of the whole GPU.
        driver: CUDA version of the driver, '13.0'.
    """

    name: str
    compute_capability: str
    memory_bytes: int
    driver: str


class Driver:
    """The loaded driver library; every call is checked.

    Args:
        library: shared library; the tests give one of their own.

    Attributes:
        device: number of the GPU.
        gpu: what it is.

    Raises:
        BackendError: without driver or GPU, saying which of the two is missing.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise BackendError('CUDA driver', library, 'none on this machine', _NO_GPU) from error
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name, None)
            if function is None:
                raise BackendError(
                    'CUDA driver', f'{name} (CUDA 11.4 or newer)', 'none', 'install a newer driver'
                )
            function.argtypes, function.restype = arguments, c_int
        self.call('cuInit', 0)
        count = c_int()
        self.call('cuDeviceGetCount', byref(count))
        if count.value < 1:
            raise BackendError('CUDA driver', 'a GPU', 'a driver that sees none', _NO_GPU)
        self.gpu = self._describe()

    def call(self, name: str, *arguments: object) -> None:
        """One entry point.

        Raises:
            BackendError: with the driver's name for the error.
            DeviceLostError: if no later call can succeed.
        """
        code = getattr(self._library, name)(*arguments)
        if code == 0:
            return
        text = c_char_p()
        self._library.cuGetErrorName(code, byref(text))
        got = f'{(text.value or b"an unknown error").decode()} ({code})'
        where = f'CUDA driver: {name}'
        if name == 'cuInit':
            raise BackendError(where, 'a driver with a GPU', got, _NO_GPU)
        if code in _LOST:
            raise DeviceLostError(
                where, 'success', got, 'start the process again; dmesg shows Xid errors of the GPU'
            )
        raise BackendError(
            where,
            'success',
            got,
            'use a smaller model or precision, or free GPU memory'
            if code == _OUT_OF_MEMORY
            else '',
        )

    def _describe(self) -> Gpu:
        device, memory, version = c_int(), c_size_t(), c_int()
        self.call('cuDeviceGet', byref(device), 0)
        self.device = device.value
        name = ctypes.create_string_buffer(256)
        self.call('cuDeviceGetName', name, len(name), device)
        capability: list[str] = []
        for attribute in _COMPUTE_CAPABILITY:
            value = c_int()
            self.call('cuDeviceGetAttribute', byref(value), attribute, device)
            capability.append(str(value.value))
        self.call('cuDeviceTotalMem_v2', byref(memory), device)
        self.call('cuDriverGetVersion', byref(version))
        return Gpu(
            name.value.decode(errors='replace'),
            '.'.join(capability),
            memory.value,
            f'{version.value // 1000}.{version.value % 1000 // 10}',
        )


_NO_GPU = 'use the backend onnxruntime, or install the NVIDIA driver and a GPU'


class Buffer:
    """The same tensor on both sides: device memory and page-locked host memory.

    Attributes:
        device: address on the GPU.
        host: (bytes,) uint8 view of the host side.
    """

    def __init__(self, size: int, device: int, host_address: int) -> None:
        self.size, self.device, self.host_address = size, device, host_address
        memory = memoryview((ctypes.c_uint8 * size).from_address(host_address))
        self.host = np.frombuffer(memory, np.uint8)


class Context:
    """The GPU's primary context (the one TensorRT uses) and all that was made in it.

    `close` gives everything back; objects made here must not be used afterwards.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._undo: list[tuple[str, object]] = []  # (entry point, handle), newest last
        self._context = c_void_p()
        driver.call('cuDevicePrimaryCtxRetain', byref(self._context), driver.device)
        self._undo.append(('cuDevicePrimaryCtxRelease_v2', driver.device))
        self.make_current()

    def make_current(self) -> None:
        """Needed once in every thread that uses the context; cheap."""
        self.driver.call('cuCtxSetCurrent', self._context)

    def free_memory(self) -> int:
        """Bytes of the GPU that nobody uses."""
        self.make_current()
        free, total = c_size_t(), c_size_t()
        self.driver.call('cuMemGetInfo_v2', byref(free), byref(total))
        return free.value

    def close(self) -> None:
        """Free buffers, streams, events and graphs, then the context; a second call is nothing.

        Raises:
            BackendError: the first failure, after everything else was tried.
        """
        undo, self._undo, first = self._undo[::-1], [], None
        for name, handle in [('cuCtxSetCurrent', self._context), *undo] if undo else ():
            try:
                self.driver.call(name, handle)
            except BackendError as error:
                first = first or error
        if first is not None:
            raise first

    def buffer(self, size: int) -> Buffer:
        """Zeroed host side, device side as it comes.

        Raises:
            BackendError: if the memory is not there.
        """
        size = max(size, 1)
        device = c_uint64()
        self.driver.call('cuMemAlloc_v2', byref(device), size)
        self._undo.append(('cuMemFree_v2', device))
        host = self._made('cuMemHostAlloc', 'cuMemFreeHost', size, 0)
        ctypes.memset(host, 0, size)
        return Buffer(size, device.value, host)

    def stream(self) -> int:
        """Make a stream that does not wait for the default one."""
        return self._made('cuStreamCreate', 'cuStreamDestroy_v2', _NON_BLOCKING_STREAM)

    def event(self) -> int:
        """Make an event without timing."""
        return self._made('cuEventCreate', 'cuEventDestroy_v2', _NO_TIMING_EVENT)

    def upload(self, buffer: Buffer, size: int, stream: int) -> None:
        """Enqueue a copy of the first `size` bytes to the GPU."""
        self.driver.call('cuMemcpyHtoDAsync_v2', buffer.device, buffer.host_address, size, stream)

    def download(self, buffer: Buffer, size: int, stream: int) -> None:
        """Enqueue a copy of the first `size` bytes to the host."""
        self.driver.call('cuMemcpyDtoHAsync_v2', buffer.host_address, buffer.device, size, stream)

    def record(self, event: int, stream: int) -> None:
        """Record an event in a stream."""
        self.driver.call('cuEventRecord', event, stream)

    def wait(self, event: int, stream: int) -> None:
        """Hold back later work in `stream` until `event`."""
        self.driver.call('cuStreamWaitEvent', stream, event, 0)

    def synchronise(self, stream: int) -> None:
        """Block until the stream is done; errors of its kernels surface here."""
        self.driver.call('cuStreamSynchronize', stream)

    def capture(self, stream: int, enqueue: Callable[[], None]) -> int:
        """A CUDA graph of what `enqueue()` puts into `stream`; it is recorded, not run."""
        self.driver.call('cuStreamBeginCapture_v2', stream, _CAPTURE_THREAD_LOCAL)
        graph = c_void_p()
        try:
            enqueue()
        finally:
            self.driver.call('cuStreamEndCapture', stream, byref(graph))
        try:
            return self._made('cuGraphInstantiateWithFlags', 'cuGraphExecDestroy', graph, 0)
        finally:
            self.driver.call('cuGraphDestroy', graph)

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a captured graph."""
        self.driver.call('cuGraphLaunch', graph, stream)

    def _made(self, create: str, destroy: str, *arguments: object) -> int:
        """Address of what `create` makes; `close` gives it to `destroy`."""
        handle = c_void_p()
        self.driver.call(create, byref(handle), *arguments)
        self._undo.append((destroy, handle))
        return handle.value or 0  # ctypes reads a null pointer as None
