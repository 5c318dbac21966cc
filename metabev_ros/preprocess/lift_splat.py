"""Index tables that make lift-splat (LSS) an exact Gather + MatMul.

Every (view, depth bin, feature pixel) is a point in the ego frame that falls into one BEV cell.
The points of a cell are cut into rows of `splat_row` entries: `depth_table` and `pixel_table`
name each entry's depth probability and context vector, `cell_table` names the rows of every
active cell, `grid_table` puts the active cells on the grid. Tables depend on the calibration and
on which views are present, not on the pixels.

A vehicle that moves gives every image a calibration of its own, so that tables are made for every
sample. What makes them cheap: where a camera stands upright the points of one depth bin and one
feature column lie above each other and share a cell. Such runs are counted and sorted instead of
points. They are as many as points only where a camera lies on its side.
"""

from __future__ import annotations

import concurrent.futures
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from metabev_ros.config import CameraBranchConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.structures import CameraCalibration

HEIGHT_RANGE = (-10.0, 10.0)  # metres in the ego frame, BEVFusion's zbound
ANSWERS = 4  # as cameras come and go; tables of a large network are 22 MB each
VIEWS = 48  # views whose runs are kept; a small part of the tables

Tables = dict[str, np.ndarray]
BuildTables = Callable[[Sequence[CameraCalibration]], Tables]
Cached = TypeVar('Cached')


class Runs(NamedTuple):
    """Points of one view that follow each other down a feature column and share a cell.

    Attributes:
        cell: (R,) int32 BEV cell of the run, only such as lie on the grid.
        point: (R,) int32 place of its first point among (D h w).
        pixel: (R,) int32 place of its first point among (h w).
        length: (R,) int32 number of points, 1..h; each is one feature row below the last.
    """

    cell: np.ndarray
    point: np.ndarray
    pixel: np.ndarray
    length: np.ndarray


class LiftSplatTables:
    """Builds and caches the tables of a rig.

    Args:
        config: camera branch sizes.
        grid: BEV grid.
        cache_size: combinations of views and calibrations kept.
    """

    def __init__(
        self, config: CameraBranchConfig, grid: BevGrid, cache_size: int = ANSWERS
    ) -> None:
        self._config, self._grid, self._cache_size = config, grid, cache_size
        self._runs: OrderedDict[bytes, Runs] = OrderedDict()
        self._tables: OrderedDict[bytes, Tables] = OrderedDict()
        h, w = config.feature_shape
        # A feature pixel looks through the centre of its stride x stride input patch.
        u = (np.arange(w) + 0.5) * config.stride - 0.5
        v = (np.arange(h) + 0.5) * config.stride - 0.5
        pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
        self._rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)  # (h w, 3)
        depth = config.depth_min + (np.arange(config.depth_bins) + 0.5) * config.depth_step
        self._depth = depth[:, None]

    def __call__(self, calibrations: Sequence[CameraCalibration]) -> Tables:
        """Tables for these views, in this order, for images of the network's input size."""
        keys = calibration_keys(calibrations)
        return remember(
            self._tables,
            b''.join(keys),
            self._cache_size,
            lambda: self._build(
                [
                    remember(self._runs, key, VIEWS, lambda c=c: self._view_runs(c))
                    for key, c in zip(keys, calibrations, strict=True)
                ]
            ),
        )

    def view_cells(self, calibration: CameraCalibration) -> np.ndarray:
        """(D h w) int32 BEV cell of every lifted point of one view, -1 outside."""
        h, w = self._config.feature_shape
        return self._column_cells(calibration).reshape(-1, w, h).swapaxes(1, 2).reshape(-1)

    def _column_cells(self, calibration: CameraCalibration) -> np.ndarray:
        """`view_cells` as (D, w h): the points of a feature column follow each other."""
        h, w = self._config.feature_shape
        grid, (low, high) = self._grid, HEIGHT_RANGE
        ego_from_pixel = calibration.ego_from_camera[:3, :3] @ np.linalg.inv(
            calibration.intrinsics
        )
        rays = (self._rays @ ego_from_pixel.T).reshape(h, w, 3).T.reshape(3, -1)
        origin = calibration.ego_from_camera[:3, 3]
        height = self._depth * rays[2]
        height += origin[2]
        is_inside = (height >= low) & (height <= high)
        cells, row = height, np.empty_like(height)  # memory is reused: its first touch is dear
        # `BevGrid.cell_index`, rounding alike, in place.
        for place, axis, least, count in (
            (row, 1, grid.y_min, grid.rows),
            (cells, 0, grid.x_min, grid.columns),
        ):
            np.multiply(self._depth, rays[axis], out=place)
            place += origin[axis]
            place -= least
            place /= grid.cell
            np.floor(place, out=place)
            is_inside &= place >= 0
            is_inside &= place < count
        row *= grid.columns
        cells += row
        cells[~is_inside] = -1
        return cells.astype(np.int32)

    def _view_runs(self, calibration: CameraCalibration) -> Runs:
        h, w = self._config.feature_shape
        cells = self._column_cells(calibration).reshape(-1)
        is_first = np.empty(len(cells), bool)
        np.not_equal(cells[1:], cells[:-1], out=is_first[1:])
        is_first[::h] = True
        start = np.flatnonzero(is_first)
        length = np.diff(start, append=len(cells))
        kept = cells[start] >= 0
        start, length = start[kept], length[kept]
        column, v = np.divmod(start, h)
        depth_bin, u = np.divmod(column, w)
        pixel = v * w + u
        point = depth_bin * (h * w) + pixel
        parts = (cells[start], point, pixel, length)
        return Runs(*(part.astype(np.int32) for part in parts))

    def _build(self, views: Sequence[Runs]) -> Tables:
        """Cut the points of every cell into rows."""
        grid_cells, entries = self._grid.rows * self._grid.columns, self._config.splat_row
        counts = np.bincount(
            np.concatenate([view.cell for view in views]),
            np.concatenate([view.length for view in views]),
            grid_cells,
        ).astype(np.int64)
        active = np.flatnonzero(counts)
        counts = counts[active]
        rows_of = -(-counts // entries)
        rows = max(int(rows_of.sum()), 1)
        # What fills the last row of every cell, and the only one if no point is on the grid.
        fill = np.append(rows_of * entries - counts, 0 if len(active) else entries)
        depth_table, pixel_table = self._entries(views, np.append(active, grid_cells), fill)
        width = int(rows_of.max(initial=1))
        cell_table = np.full(len(active) * width, rows, np.int32)
        row = np.arange(int(rows_of.sum()))
        unused = np.arange(len(active)) * width - (np.cumsum(rows_of) - rows_of)
        cell_table[row + np.repeat(unused, rows_of)] = row
        grid_table = np.full(grid_cells, len(active), np.int32)
        grid_table[active] = np.arange(len(active), dtype=np.int32)
        return {
            'depth_table': depth_table.reshape(rows, entries),
            'pixel_table': pixel_table.reshape(rows, entries),
            'cell_table': cell_table.reshape(-1, width),
            'grid_table': grid_table,
        }

    def _entries(
        self, views: Sequence[Runs], fill_cell: np.ndarray, fill: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flat `depth_table` and `pixel_table`: all runs by cell, and as many fillers behind them.

        Entries of a cell follow each other by view, depth bin, feature column and feature row.
        Along a run they rise by w, so that they are a value of the run and w times their place.
        """
        h, w = self._config.feature_shape
        pixels = h * w
        per_view = self._config.depth_bins * pixels
        nowhere = len(views) * per_view
        # A filler begins so low or high that its entries can be told and put right at the end.
        first_point = [view.point + place * per_view for place, view in enumerate(views)]
        first_pixel = [view.pixel + place * pixels for place, view in enumerate(views)]
        point = np.concatenate([*first_point, np.full(len(fill), nowhere, np.int32)])
        below = -w * self._config.splat_row
        pixel = np.concatenate([*first_pixel, np.full(len(fill), below, np.int32)])
        cell = np.concatenate([*(view.cell for view in views), fill_cell])
        length = np.concatenate([*(view.length for view in views), fill])
        order = stable_order(cell)
        length = length[order]
        # Both may wrap round in a huge rig; their difference does not.
        offset = ((np.cumsum(length) - length) * w).astype(np.int32)
        rise = np.arange(int(length.sum()), dtype=np.int32)
        rise *= w
        depth_table = np.repeat(point[order] - offset, length)
        depth_table += rise
        pixel_table = np.repeat(pixel[order] - offset, length)
        pixel_table += rise
        return (
            np.minimum(depth_table, nowhere, out=depth_table),
            np.maximum(pixel_table, 0, out=pixel_table),
        )


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


def stable_order(cells: np.ndarray) -> np.ndarray:
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
