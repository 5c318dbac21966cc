"""Index tables that make lift-splat (LSS) an exact Gather + MatMul.

Every (view, depth bin, feature pixel) is a point in the ego frame that falls into one BEV cell.
The points of a cell are cut into rows of `splat_row` entries: `depth_table` and `pixel_table`
name each entry's depth probability and context vector, `cell_table` names the rows of every
active cell, `grid_table` puts the active cells on the grid. Tables depend on the calibration and
on which views are present, not on the pixels.
"""

from __future__ import annotations

import concurrent.futures
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from metabev_ros.config import CameraBranchConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.structures import CameraCalibration

HEIGHT_RANGE = (-10.0, 10.0)  # metres in the ego frame, BEVFusion's zbound
ANSWERS = 4  # as cameras come and go; tables of a large network are 26 MB each

Tables = dict[str, np.ndarray]
BuildTables = Callable[[Sequence[CameraCalibration]], Tables]
Cached = TypeVar('Cached')


class LiftSplatTables:
    """Builds and caches the tables of a rig.

    Args:
        config: camera branch sizes.
        grid: BEV grid.
        cache_size: combinations of views and calibrations kept.
    """

    def __init__(self, config: CameraBranchConfig, grid: BevGrid, cache_size: int = 16) -> None:
        self._config, self._grid, self._cache_size = config, grid, cache_size
        self._cells: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._tables: OrderedDict[bytes, Tables] = OrderedDict()

    def __call__(self, calibrations: Sequence[CameraCalibration]) -> Tables:
        """Tables for these views, in this order, for images of the network's input size."""
        keys = calibration_keys(calibrations)
        key = b''.join(keys)
        if key not in self._tables:
            cells = [
                remember(self._cells, k, 64, lambda c=c: self.view_cells(c))
                for k, c in zip(keys, calibrations, strict=True)
            ]
            return remember(
                self._tables, key, self._cache_size, lambda: self._build(np.concatenate(cells))
            )
        self._tables.move_to_end(key)
        return self._tables[key]

    def view_cells(self, calibration: CameraCalibration) -> np.ndarray:
        """(D h w) int32 BEV cell of every lifted point of one view, -1 outside."""
        config = self._config
        h, w = config.feature_shape
        # A feature pixel looks through the centre of its stride x stride input patch.
        u = (np.arange(w) + 0.5) * config.stride - 0.5
        v = (np.arange(h) + 0.5) * config.stride - 0.5
        depth = config.depth_min + (np.arange(config.depth_bins) + 0.5) * config.depth_step
        rays = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)  # (h w, 2)
        rays = np.concatenate([rays, np.ones((len(rays), 1))], 1)
        ego_from_pixel = calibration.ego_from_camera[:3, :3] @ np.linalg.inv(
            calibration.intrinsics
        )
        xyz = depth[:, None, None] * (rays @ ego_from_pixel.T)  # (D, h w, 3)
        xyz += calibration.ego_from_camera[:3, 3]
        cells = self._grid.cell_index(xyz[..., :2])
        low, high = HEIGHT_RANGE
        cells[(xyz[..., 2] < low) | (xyz[..., 2] > high)] = -1
        return cells.reshape(-1)

    def _build(self, cells: np.ndarray) -> Tables:
        """Cut the points of every cell into rows."""
        h, w = self._config.feature_shape
        entries, per_view = self._config.splat_row, self._config.depth_bins * h * w
        grid_cells = self._grid.rows * self._grid.columns
        points = np.flatnonzero(cells >= 0)
        points = points[_stable_order(cells[points])].astype(np.int32)
        counts = np.bincount(cells[cells >= 0], minlength=grid_cells)
        active = np.flatnonzero(counts)
        counts = counts[active]
        rows_of = -(-counts // entries)
        row0 = np.cumsum(rows_of) - rows_of
        rows = max(int(rows_of.sum()), 1)
        # Position of every point in the flat table: its rank, and the padding before its cell.
        place = np.arange(len(points)) + np.repeat(
            row0 * entries - (np.cumsum(counts) - counts), counts
        )
        depth_table = np.full(rows * entries, len(cells), np.int32)
        pixel_table = np.zeros(rows * entries, np.int32)
        depth_table[place] = points
        pixel_table[place] = points // per_view * (h * w) + points % (h * w)
        width = int(rows_of.max(initial=1))
        slot = np.arange(width)
        cell_table = np.where(slot < rows_of[:, None], row0[:, None] + slot, rows)
        grid_table = np.full(grid_cells, len(active), np.int32)
        grid_table[active] = np.arange(len(active), dtype=np.int32)
        return {
            'depth_table': depth_table.reshape(rows, entries),
            'pixel_table': pixel_table.reshape(rows, entries),
            'cell_table': cell_table.astype(np.int32).reshape(-1, width),
            'grid_table': grid_table,
        }


class BackgroundTables:
    """Tables for a node that must not stand still while they are built.

    They are built on a thread of its own, always for exactly the calibrations that were asked for.
    A build that did not come in time goes on, and its tables are there for a later sample; one
    that has not begun by then is dropped. What was answered lately is answered at once, whatever
    the builder does meanwhile and however late a loaded machine wakes it. The builder thread owns
    the cache of `build` and the asking thread that of the answers, so neither needs a lock.

    Args:
        build: builds and caches; used by nobody else.
        wait: seconds that `come_in_time` waits.
    """

    def __init__(self, build: BuildTables, wait: float) -> None:
        self._build, self._wait = build, wait
        self._answers: OrderedDict[bytes, Tables] = OrderedDict()
        self._builder = concurrent.futures.ThreadPoolExecutor(1, 'tables')

    def come_in_time(self, calibrations: Sequence[CameraCalibration]) -> bool:
        """True if the tables are there, or come within the time that a sample can wait."""
        key = b''.join(calibration_keys(calibrations))
        if key in self._answers:
            return True
        future = self._builder.submit(self._build, calibrations)
        try:
            tables = future.result(self._wait)
        except concurrent.futures.TimeoutError:
            future.cancel()
            return False
        remember(self._answers, key, ANSWERS, lambda: tables)
        return True

    def __call__(self, calibrations: Sequence[CameraCalibration]) -> Tables:
        """Tables as those of `build`, however long they take."""
        return remember(
            self._answers,
            b''.join(calibration_keys(calibrations)),
            ANSWERS,
            lambda: self._builder.submit(self._build, calibrations).result(),
        )


def _stable_order(cells: np.ndarray) -> np.ndarray:
    """Stable argsort of (P,) cell indices 0..2**32, as radix sort.

    NumPy has it for 16 bits only, and there it is several times faster than for 32.
    """
    order = np.argsort(cells.astype(np.uint16), kind='stable')
    high = (cells >> 16).astype(np.uint16)
    return order[np.argsort(high[order], kind='stable')] if high.any() else order


def calibration_keys(calibrations: Sequence[CameraCalibration]) -> list[bytes]:
    """Cache keys: one tells two calibrations apart; joined, two rigs."""
    return [c.intrinsics.tobytes() + c.ego_from_camera.tobytes() for c in calibrations]


def remember(
    cache: OrderedDict[bytes, Cached], key: bytes, limit: int, build: Callable[[], Cached]
) -> Cached:
    """The cached value, newest last, oldest dropped."""
    if key not in cache:
        cache[key] = build()
    cache.move_to_end(key)
    while len(cache) > limit:
        cache.popitem(last=False)
    return cache[key]
