"""Index tables of the pull form: BEV cells look up what the cameras see at their place.

Lift-splat pushes every (view, depth bin, feature pixel) into the cell it falls into. Here every
cell takes `pull_heights` points above its centre, finds each in the `pull_views` views that see it
best, and adds up depth probability x context there: one Gather and one MatMul of fixed size,
whatever the rig. It is another operator than the lift-splat sum (a pixel far away is looked up by
many cells, one near by not at all), so that a network is trained with the one it will run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metabev_ros.config import CameraBranchConfig
from metabev_ros.geometry import BevGrid, inverse_rigid
from metabev_ros.preprocess.lift_splat import ANSWERS, VIEWS, Tables, calibration_keys, remember
from metabev_ros.structures import CameraCalibration

HEIGHTS = (-1.0, 3.0)  # metres in the ego frame: the points lie in the middles of equal slabs
MARGIN = 1e-6  # of the size of what is compared: more than rounding, less than anybody sees


class Look(NamedTuple):
    """Points that one view sees.

    Attributes:
        point: (S,) int64 place among the points (Y X Z).
        score: (S,) float32, how well the view sees it: 1 in its middle column, 1/2 at its border.
        entry: (S,) int64 place of depth bin and feature pixel among (D h w).
    """

    point: np.ndarray
    score: np.ndarray
    entry: np.ndarray


class PullTables:
    """Builds and caches the tables of a rig, as `LiftSplatTables` does.

    Args:
        config: camera branch sizes.
        grid: where the cells are (`ModelConfig.splat_grid`).
        cache_size: combinations of views and calibrations kept.
    """

    def __init__(
        self, config: CameraBranchConfig, grid: BevGrid, cache_size: int = ANSWERS
    ) -> None:
        self._config, self._grid, self._cache_size = config, grid, cache_size
        self._looks: OrderedDict[bytes, Look] = OrderedDict()
        self._tables: OrderedDict[bytes, Tables] = OrderedDict()
        low, high = HEIGHTS
        self._z = low + (np.arange(config.pull_heights) + 0.5) * (high - low) / config.pull_heights
        self._xy = grid.centres().reshape(-1, 2)  # (YX, 2)

    def __call__(self, calibrations: Sequence[CameraCalibration]) -> Tables:
        """Tables for these views, in this order, for images of the network's input size.

        Returns:
            `depth_table` and `pixel_table`, each (Y X, pull_views * pull_heights) int32: flat
            places among depth probabilities (N D h w), whose number is the padding, and among
            feature pixels (N h w).
        """
        keys = calibration_keys(calibrations)
        return remember(
            self._tables,
            b''.join(keys),
            self._cache_size,
            lambda: self._build(
                [
                    remember(self._looks, key, VIEWS, lambda c=c: self._look(c))
                    for key, c in zip(keys, calibrations, strict=True)
                ]
            ),
        )

    def _look(self, calibration: CameraCalibration) -> Look:
        """Points that one view sees above the cells that may be in its picture."""
        config, (h, w) = self._config, self._config.feature_shape
        camera_from_ego = inverse_rigid(calibration.ego_from_camera)
        cells, heights = self._cells_in_view(calibration.intrinsics, camera_from_ego), len(self._z)
        point = (cells[:, None] * heights + np.arange(heights)).reshape(-1)
        points = np.column_stack(
            [np.repeat(self._xy.take(cells, 0), heights, 0), np.tile(self._z, len(cells))]
        )
        xyz = points @ camera_from_ego[:3, :3].T + camera_from_ego[:3, 3]
        bins = np.floor((xyz[:, 2] - config.depth_min) / config.depth_step)
        is_seen = (bins >= 0) & (bins < config.depth_bins)
        point, bins, uvw = point[is_seen], bins[is_seen], xyz[is_seen] @ calibration.intrinsics.T
        column = np.floor((uvw[:, 0] / uvw[:, 2] + 0.5) / config.stride)
        row = np.floor((uvw[:, 1] / uvw[:, 2] + 0.5) / config.stride)
        is_seen = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        column, row, bins = column[is_seen], row[is_seen], bins[is_seen]
        score = 1 - np.abs((column + 0.5) / w - 0.5)
        entry = (bins * h + row) * w + column
        return Look(point[is_seen], score.astype(np.float32), entry.astype(np.int64))

    def _cells_in_view(self, intrinsics: np.ndarray, camera_from_ego: np.ndarray) -> np.ndarray:
        """Cells of which a point may be in the picture: all that are, and few others.

        Each border of what a view sees is a plane, so that a sum of an x, a y and a z part tells
        the side of it. Most cells end here; the rest are looked at exactly.
        """
        config = self._config
        depth = camera_from_ego[2]
        u, v, _ = intrinsics @ camera_from_ego[:3]
        far = config.depth_min + config.depth_bins * config.depth_step
        planes = (
            depth - [0, 0, 0, config.depth_min],
            [0, 0, 0, far] - depth,
            u + 0.5 * depth,
            (config.width - 0.5) * depth - u,
            v + 0.5 * depth,
            (config.height - 0.5) * depth - v,
        )
        columns = self._grid.columns
        x, y = self._xy[:columns, 0], self._xy[::columns, 1]
        is_in_view = np.ones(self._grid.shape, bool)
        for a, b, c, d in planes:
            above = d + max(c * self._z[0], c * self._z[-1])
            above += MARGIN * (np.abs([a * x[0], a * x[-1], b * y[0], b * y[-1], c, d]).max())
            is_in_view &= (b * y)[:, None] >= -above - a * x
        return np.flatnonzero(is_in_view)

    def _build(self, looks: list[Look]) -> Tables:
        """The best views of every point; equals fall to the earlier view."""
        (h, w), heights = self._config.feature_shape, self._config.pull_heights
        pixels, width = h * w, heights * self._config.pull_views
        per_view = self._config.depth_bins * pixels
        nowhere = len(looks) * per_view
        # Score in the high bits, in the low ones how far the entry lies before `nowhere`: of two
        # numbers the larger is the better view, and 0 is none.
        best = np.zeros(len(self._xy) * width, np.int64)
        for view, look in enumerate(looks):
            # Bits of floats that are not negative rise as they do.
            number = look.score.view(np.int32).astype(np.int64) << 32
            number += nowhere - view * per_view - look.entry
            cell, height = np.divmod(look.point, heights)
            place = cell * width + height
            for _ in range(self._config.pull_views):
                held = best.take(place)
                best[place] = np.maximum(held, number)
                number = np.minimum(held, number)
                place += heights
        depths = (nowhere - (best & 0xFFFFFFFF)).astype(np.int32)
        planes = depths // pixels  # of depth bins, in all views
        chosen = depths - (planes - planes // self._config.depth_bins) * pixels
        chosen[depths == nowhere] = 0
        return {
            'depth_table': depths.reshape(-1, width),
            'pixel_table': chosen.reshape(-1, width),
        }
