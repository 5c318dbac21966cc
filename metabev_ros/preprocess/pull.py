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
from typing import TypeAlias

import numpy as np

from metabev_ros.config import CameraBranchConfig
from metabev_ros.geometry import BevGrid, inverse_rigid
from metabev_ros.preprocess.lift_splat import Tables, calibration_keys, remember
from metabev_ros.structures import CameraCalibration

HEIGHTS = (-1.0, 3.0)  # metres in the ego frame: the points lie in the middles of equal slabs

Look: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # depth bin, pixel, score


class PullTables:
    """Builds and caches the tables of a rig, as `LiftSplatTables` does.

    Args:
        config: camera branch sizes.
        grid: where the cells are (`ModelConfig.splat_grid`).
        cache_size: combinations of views and calibrations kept.
    """

    def __init__(self, config: CameraBranchConfig, grid: BevGrid, cache_size: int = 16) -> None:
        self._config, self._grid, self._cache_size = config, grid, cache_size
        self._looks: OrderedDict[bytes, Look] = OrderedDict()
        self._tables: OrderedDict[bytes, Tables] = OrderedDict()
        low, high = HEIGHTS
        z = low + (np.arange(config.pull_heights) + 0.5) * (high - low) / config.pull_heights
        xy = np.repeat(grid.centres().reshape(-1, 2), len(z), 0)  # (YX Z, 2)
        self._points = np.column_stack([xy, np.tile(z, len(xy) // len(z))])

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
                    remember(self._looks, key, 64, lambda c=c: self._look(c))
                    for key, c in zip(keys, calibrations, strict=True)
                ]
            ),
        )

    def _look(self, calibration: CameraCalibration) -> Look:
        """Every point in one view.

        Returns:
            depth bin and feature pixel (int32), and how well the view sees it (float32): 1 in the
            middle column, 1/2 at the border, 0 where it does not.
        """
        config, (h, w) = self._config, self._config.feature_shape
        camera_from_ego = inverse_rigid(calibration.ego_from_camera)
        xyz = self._points @ camera_from_ego[:3, :3].T + camera_from_ego[:3, 3]
        bins = np.floor((xyz[:, 2] - config.depth_min) / config.depth_step)
        is_seen = (bins >= 0) & (bins < config.depth_bins)
        uvw = xyz @ calibration.intrinsics.T
        depth = np.where(is_seen, uvw[:, 2], 1.0)
        column = np.floor((uvw[:, 0] / depth + 0.5) / config.stride)
        row = np.floor((uvw[:, 1] / depth + 0.5) / config.stride)
        is_seen &= (column >= 0) & (column < w) & (row >= 0) & (row < h)
        score = 1 - np.abs((column + 0.5) / w - 0.5)
        pixel = np.where(is_seen, row * w + column, 0)
        return (
            np.where(is_seen, bins, 0).astype(np.int32),
            pixel.astype(np.int32),
            np.where(is_seen, score, 0).astype(np.float32),
        )

    def _build(self, looks: list[Look]) -> dict[str, np.ndarray]:
        """The best views of every point; equals fall to the earlier view."""
        config = self._config
        h, w = config.feature_shape
        bins, pixels, scores = (np.stack(part) for part in zip(*looks, strict=True))  # (N, YX Z)
        best = np.argsort(-scores, axis=0, kind='stable')[: config.pull_views]
        bins, pixels, scores = (
            np.take_along_axis(part, best, 0) for part in (bins, pixels, scores)
        )
        view_of = best.astype(np.int32)
        depths = (view_of * config.depth_bins + bins) * (h * w) + pixels
        nowhere = len(looks) * config.depth_bins * h * w
        depths = np.where(scores > 0, depths, nowhere).astype(np.int32)
        pixels = np.where(scores > 0, view_of * (h * w) + pixels, 0).astype(np.int32)
        return {'depth_table': self._rows(depths, nowhere), 'pixel_table': self._rows(pixels, 0)}

    def _rows(self, chosen: np.ndarray, padding: int) -> np.ndarray:
        """(views, YX Z) -> (YX, pull_views Z), padded where there are fewer views."""
        config = self._config
        cells = self._grid.rows * self._grid.columns
        rows = np.full((config.pull_views, cells, config.pull_heights), padding, np.int32)
        rows[: len(chosen)] = chosen.reshape(len(chosen), cells, -1)
        return np.ascontiguousarray(rows.transpose(1, 0, 2).reshape(cells, -1))
