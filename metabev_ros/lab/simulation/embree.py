"""Embree's scenes, instances and packets of rays, called in the library that embreex brings.

embreex itself casts one ray at a time at one mesh. The library can do more: one scene with every
object in it, each at the time of each ray, and sixteen rays at once. Handles are those of Embree's
C interface, version 4; https://github.com/RenderKit/embree/blob/master/doc/src/api.md.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from metabev_ros.errors import MissingDependencyError

_TOGETHER = 16  # rays of a packet
# Rows of a packet, each of 16 values: Embree's RTCRayHit16, and one to spare.
_ORIGIN, _NEAR, _DIRECTION, _TIME, _FAR, _MASK = slice(0, 3), 3, slice(4, 7), 7, 8, 9
_U, _V, _TRIANGLE, _INSTANCE = 15, 16, 17, 19
_ROWS, _RAY_ROWS = 22, 12
_FLOAT3, _UINT3, _FLOAT3X4_BY_ROWS = 0x9003, 0x5003, 0x9134
_INDEX, _VERTEX = 0, 1  # kinds of buffers
_TRIANGLES, _AN_INSTANCE = 0, 121  # kinds of geometries
_ROBUST = 1 << 2  # no ray slips between two triangles
_COHERENT = 1 << 16
_NOBODY = np.uint32(0xFFFFFFFF)
_LARGEST_STEP = 0.02  # radians that something turns between two of its matrices
_MOST_STEPS = 33
MOST_MASKS = 32  # scenes that rays can tell apart


class _Library:
    """Functions of the library, and the device on which everything is built.

    Args:
        path: of the shared object.
    """

    def __init__(self, path: Path) -> None:
        # Sixteen rays take a microsecond: the lock of the interpreter is not worth giving up.
        shared = ctypes.PyDLL(str(path))
        pointer, number = ctypes.c_void_p, ctypes.c_uint

        def bound(name: str, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
            function = shared[name]
            function.restype, function.argtypes = result, arguments
            return function

        self.new_scene = bound('rtcNewScene', pointer, pointer)
        self.set_flags = bound('rtcSetSceneFlags', None, pointer, ctypes.c_int)
        self.commit_scene = bound('rtcCommitScene', None, pointer)
        self.release_scene = bound('rtcReleaseScene', None, pointer)
        self.new_geometry = bound('rtcNewGeometry', pointer, pointer, ctypes.c_int)
        self.commit_geometry = bound('rtcCommitGeometry', None, pointer)
        self.release_geometry = bound('rtcReleaseGeometry', None, pointer)
        self.attach = bound('rtcAttachGeometryByID', None, pointer, pointer, number)
        self.share_buffer = bound(
            'rtcSetSharedGeometryBuffer', None, pointer, ctypes.c_int, number, ctypes.c_int,
            pointer, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t,
        )  # fmt: skip
        self.set_scene = bound('rtcSetGeometryInstancedScene', None, pointer, pointer)
        self.set_steps = bound('rtcSetGeometryTimeStepCount', None, pointer, number)
        self.set_matrix = bound(
            'rtcSetGeometryTransform', None, pointer, number, ctypes.c_int, pointer
        )
        self.set_mask = bound('rtcSetGeometryMask', None, pointer, number)
        self.intersect = bound('rtcIntersect16', None, pointer, pointer, pointer, pointer)
        self.occluded = bound('rtcOccluded16', None, pointer, pointer, pointer, pointer)
        self.error = bound('rtcGetDeviceError', ctypes.c_int, pointer)
        self.device = bound('rtcNewDevice', pointer, ctypes.c_char_p)(b'threads=1')


def open_library() -> _Library:
    """The library, with a device of its own.

    Raises:
        MissingDependencyError: without embreex, or where its library is elsewhere.
    """
    found = library_path()
    if found is None:
        raise MissingDependencyError(
            'simulated streets',
            'the package embreex',
            'none',
            'pip install embreex; it has wheels for x86-64 only: elsewhere use --world boxes',
        )
    return _Library(found)


library = cache(open_library)  # scenes of one process must be of one device


def library_path() -> Path | None:
    """The file of Embree in the installed wheel of embreex, None without."""
    try:
        files = metadata.files('embreex') or []
    except metadata.PackageNotFoundError:
        return None
    names = [f for f in files if 'embree4' in f.name and f.suffix not in ('.py', '.pxd')]
    paths = [Path(str(name.locate())) for name in names]
    return next((path for path in paths if path.is_file()), None)


class EmbreeScene:
    """A scene that rays can be cast against; see `triangles` and `instances`."""

    def __init__(self, kept: Sequence[object]) -> None:
        self._library = library()
        self._kept = kept
        self.handle = self._library.new_scene(self._library.device)
        weakref.finalize(self, self._library.release_scene, self.handle)
        self._library.set_flags(self.handle, _ROBUST)

    @classmethod
    def triangles(cls, vertices: np.ndarray, triangles: np.ndarray) -> EmbreeScene:
        """A scene of one mesh.

        Args:
            vertices: (V, 3) float32; triangles: (T, 3) int32.
        """
        # Embree reads sixteen bytes for each vertex, also for the last.
        padded = np.zeros((len(vertices) + 1, 3), np.float32)
        padded[:-1] = vertices
        corners = np.ascontiguousarray(triangles, np.int32)
        scene = cls((padded, corners))
        if len(corners):
            call = scene._library
            geometry = call.new_geometry(call.device, _TRIANGLES)
            for kind, form, data, count in (
                (_VERTEX, _FLOAT3, padded, len(vertices)),
                (_INDEX, _UINT3, corners, len(corners)),
            ):
                call.share_buffer(geometry, kind, 0, form, data.ctypes.data, 0, 12, count)
            scene._add(geometry, 0)
        scene._commit()
        return scene

    @classmethod
    def instances(
        cls, scenes: Sequence[EmbreeScene], matrices: Sequence[np.ndarray], masked: bool = False
    ) -> EmbreeScene:
        """A scene of others, each moved.

        Args:
            matrices: of each scene (steps, 3, 4) float32 world_from_scene at equal steps of the
                rays' time from 0 to 1.
            masked: scene k is met only by rays whose mask has bit k; there are `MOST_MASKS`.
        """
        whole = cls(tuple(scenes))
        call = whole._library
        for number, (scene, steps) in enumerate(zip(scenes, matrices, strict=True)):
            geometry = call.new_geometry(call.device, _AN_INSTANCE)
            call.set_scene(geometry, scene.handle)
            data = np.ascontiguousarray(steps, np.float32)
            if len(data) > 1:
                call.set_steps(geometry, len(data))
            for step in range(len(data)):
                call.set_matrix(geometry, step, _FLOAT3X4_BY_ROWS, data[step].ctypes.data)
            whole._add(geometry, number, 1 << number if masked else int(_NOBODY))
        whole._commit()
        return whole

    def _add(self, geometry: int, number: int, mask: int = int(_NOBODY)) -> None:
        self._library.set_mask(geometry, mask)
        self._library.commit_geometry(geometry)
        self._library.attach(self.handle, geometry, number)
        self._library.release_geometry(geometry)

    def _commit(self) -> None:
        self._library.commit_scene(self.handle)
        error = self._library.error(self._library.device)
        if error:
            raise RuntimeError(f'Embree could not build a scene: error {error}')

    def nearest(
        self, origins: np.ndarray, directions: np.ndarray, times: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nearest triangle of each ray.

        Args:
            origins, directions: (N, 3) float32; times: (N,) float32 0..1.

        Returns:
            (N,) float32 distance in lengths of the direction, inf where nothing is met; (N,)
            int32 triangle and (N,) int32 scene of `instances`, -1 there; (N, 2) float32 weights
            of the triangle's second and third corner.
        """
        packets = _packets(origins, directions, times, _ROWS)
        packets.view(np.uint32)[:, _TRIANGLE:] = _NOBODY
        self._run(self._library.intersect, packets)
        whole = packets.view(np.int32)
        count = len(origins)
        weights = np.empty((len(packets) * _TOGETHER, 2), np.float32)
        weights[:, 0].reshape(-1, _TOGETHER)[:] = packets[:, _U]
        weights[:, 1].reshape(-1, _TOGETHER)[:] = packets[:, _V]
        return (
            packets[:, _FAR].reshape(-1)[:count],
            whole[:, _TRIANGLE].reshape(-1)[:count],
            whole[:, _INSTANCE].reshape(-1)[:count],
            weights[:count],
        )

    def blocks(
        self,
        origins: np.ndarray,
        directions: np.ndarray,
        times: np.ndarray | None = None,
        reach: np.ndarray | float = np.inf,
        masks: np.ndarray | None = None,
    ) -> np.ndarray:
        """(N,) bool: which rays meet anything within `reach`; the arguments of `nearest`.

        Args:
            masks: (N,) uint32 bits of the scenes that each ray may meet, all if None.
        """
        packets = _packets(origins, directions, times, _RAY_ROWS)
        if np.ndim(reach):
            _fill(packets, _FAR, np.asarray(reach))
        else:
            packets[:, _FAR] = reach
        if masks is not None:
            _fill(packets.view(np.uint32), _MASK, masks)
        self._run(self._library.occluded, packets)
        return np.isneginf(packets[:, _FAR]).reshape(-1)[: len(origins)]

    def _run(self, function: ctypes._NamedFuncPointer, packets: np.ndarray) -> None:
        valid = _aligned(_TOGETHER).view(np.int32)
        valid[:] = -1
        # RTCIntersectArguments: flags, and features, of which all may be used.
        arguments = np.zeros(16, np.uint32)
        arguments[:2] = _COHERENT, _NOBODY
        mask, options, scene = valid.ctypes.data, arguments.ctypes.data, self.handle
        first, step = packets.ctypes.data, packets.strides[0]
        for packet in range(first, first + step * len(packets), step):
            function(mask, scene, packet, options)


def matrices_of(
    world_from_box: np.ndarray, velocity: np.ndarray, rate: float, first: float, last: float
) -> np.ndarray:
    """(steps, 3, 4) float32 matrices of something that moves, from `first` to `last` seconds.

    Args:
        world_from_box: (4, 4) at 0 s; velocity: (3,) m/s; rate: rad/s about its own middle.
    """
    if first >= last or not (rate or velocity.any()):
        return world_from_box[None, :3].astype(np.float32)
    turns = abs(rate) * (last - first)
    steps = int(np.clip(np.ceil(turns / _LARGEST_STEP), 1, _MOST_STEPS - 1)) + 1
    lags = np.linspace(first, last, steps)
    found = np.tile(world_from_box[:3], (steps, 1, 1))
    found[:, :, 3] += lags[:, None] * velocity
    if rate:
        c, s = np.cos(rate * lags)[:, None], np.sin(rate * lags)[:, None]
        x, y = world_from_box[0, :3], world_from_box[1, :3]
        found[:, 0, :3], found[:, 1, :3] = c * x - s * y, s * x + c * y
    return found.astype(np.float32)


def _packets(
    origins: np.ndarray, directions: np.ndarray, times: np.ndarray | None, rows: int
) -> np.ndarray:
    """(packets, rows, 16) float32, on addresses of 64 bytes; the last is filled up."""
    size = -(-len(origins) // _TOGETHER) * rows * _TOGETHER
    packets = _aligned(size).reshape(-1, rows, _TOGETHER)
    for axis in range(3):
        _fill(packets, axis, origins[:, axis])
        _fill(packets, _DIRECTION.start + axis, directions[:, axis])
    packets[:, _NEAR] = 0
    packets[:, _FAR] = np.inf
    if times is None:
        packets[:, _TIME] = 0
    else:
        _fill(packets, _TIME, times)
    packets.view(np.uint32)[:, _MASK:_RAY_ROWS] = _NOBODY
    return packets


def _aligned(size: int) -> np.ndarray:
    """(size,) float32 at an address that is a multiple of 64, as Embree asks."""
    room = np.empty(size + 16, np.float32)
    start = (-room.ctypes.data % 64) // 4
    return room[start : start + size]


def _fill(packets: np.ndarray, row: int, values: np.ndarray) -> None:
    whole = len(values) // _TOGETHER
    packets[:whole, row] = values[: whole * _TOGETHER].reshape(whole, _TOGETHER)
    rest = len(values) - whole * _TOGETHER
    if rest:
        packets[whole, row, :rest] = values[whole * _TOGETHER :]
        packets[whole, row, rest:] = values[-1]
