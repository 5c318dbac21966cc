"""Truth of a simulation beside its boxes: track, points and visibility of each, and the map."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from metabev_ros import wire
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.sources.labels import MOST_BOXES
from metabev_ros.sensing.untrusted import header_stamp_ns
from metabev_ros.structures import MAP_CLASSES

BEV_MAP = wire.OUTPUT_TYPES[wire.BEV_MAP]
MAP_LIMIT = 4 * 2**20  # bytes of a map
_SHAPE = (len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape)
_SURE = 127  # a cell above it belongs to the layer


@dataclass(frozen=True, eq=False)
class TruthObjects:
    """Knowledge of a simulation about the boxes of one stamp, in their order.

    Attributes:
        stamp_ns: of the boxes.
        track_ids, num_lidar_pts: (M,) int64.
        visibility: (M,) float32.
    """

    stamp_ns: int
    track_ids: np.ndarray
    num_lidar_pts: np.ndarray
    visibility: np.ndarray

    @classmethod
    def read(cls, cdr: bytes) -> TruthObjects:
        """Of the points of `metabev simulate`.

        Raises:
            SensorDataError: for bytes that are none.
        """
        kind = 'sensor_msgs/msg/PointCloud2'
        message = wire.deserialize(cdr, kind)
        offsets = {field.name: int(field.offset) for field in message.fields}
        width, step = int(message.width), int(message.point_step)
        columns = {'track_id': '<i4', 'num_lidar_pts': '<i4', 'visibility': '<f4'}
        is_whole = width <= MOST_BOXES and width * step == len(message.data)
        if not is_whole or any(not 0 <= offsets.get(n, -1) <= step - 4 for n in columns):
            raise SensorDataError(
                'data', kind, f'points with {list(columns)}', clean_text(offsets)
            )
        names = list(columns)
        layout = np.dtype(
            {
                'names': names,
                'formats': [columns[name] for name in names],
                'offsets': [offsets[name] for name in names],
                'itemsize': step,
            }
        )
        points = np.frombuffer(bytes(message.data), layout)
        return cls(
            header_stamp_ns(message.header),
            points['track_id'].astype(np.int64),
            points['num_lidar_pts'].astype(np.int64),
            points['visibility'].astype(np.float32),
        )


class MapStore:
    """Maps of a drive by their stamps, packed.

    Args:
        ego_frame: that a map must be in.
    """

    def __init__(self, ego_frame: str) -> None:
        self._frame = ego_frame.lstrip('/')
        self._maps: dict[int, tuple[bytes, tuple[bool, ...]]] = {}

    def __len__(self) -> int:
        return len(self._maps)

    def take(self, cdr: bytes) -> None:
        """Take a metabev_ros/BevMap on `geometry.NUSCENES_MAP_GRID`.

        Raises:
            SensorDataError: for bytes that are none, another frame or another grid.
        """
        if len(cdr) > MAP_LIMIT:
            raise SensorDataError('size', BEV_MAP, f'at most {MAP_LIMIT} bytes', str(len(cdr)))
        message, grid = wire.deserialize(cdr, BEV_MAP), NUSCENES_MAP_GRID
        stamp_ns = header_stamp_ns(message.header)
        frame = str(message.header.frame_id).lstrip('/')
        if frame != self._frame:
            raise SensorDataError('frame', BEV_MAP, self._frame, clean_text(frame))
        names = [str(name) for name in message.class_names]
        have = (message.height, message.width, message.origin.x, message.origin.y)
        want = (grid.rows, grid.columns, grid.x_min, grid.y_min)
        is_same = have == want and abs(message.resolution - grid.cell) < 1e-6
        if not is_same or len(message.data) != len(names) * grid.rows * grid.columns:
            expected = f'{grid.columns} x {grid.rows} cells of {grid.cell} m around the vehicle'
            raise SensorDataError('grid', BEV_MAP, expected, f'{have[1]} x {have[0]} cells')
        cells = np.asarray(message.data, np.uint8).reshape(-1, *grid.shape) > _SURE
        layers = np.zeros(_SHAPE, bool)
        for index, name in enumerate(MAP_CLASSES):
            if name in names:
                layers[index] = cells[names.index(name)]
        packed = zlib.compress(np.packbits(layers).tobytes(), 1)
        self._maps[stamp_ns] = packed, tuple(name in names for name in MAP_CLASSES)

    def at(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The layers at a stamp, and which cells of them are known; None: all.

        Returns:
            (K, Y, X) bool each, as in `GroundTruth`.
        """
        packed, known = self._maps.get(stamp_ns, (b'', (False,) * len(MAP_CLASSES)))
        mask = np.repeat(known, _SHAPE[1] * _SHAPE[2]).reshape(_SHAPE)
        if not packed:
            return np.zeros(_SHAPE, bool), mask
        bits = np.frombuffer(zlib.decompress(packed), np.uint8)
        layers = np.unpackbits(bits, count=mask.size).astype(bool).reshape(_SHAPE)
        return layers, None if all(known) else mask
