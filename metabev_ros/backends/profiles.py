"""Optimisation profiles: how large the free axes of a graph may become in use.

TensorRT plans memory for the largest shape of a profile, so "anything" is no answer. Typical sizes
follow from the configuration (they are met within a third by the nuScenes-like rig, see
test_profiles); the largest are `headroom` times that, or the hard limit of the preprocessing
where it has one. An input beyond its profile is refused by the backend with both figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SPARSE_STAGES, SPARSE_STEPS, sparse_shapes
from metabev_ros.config.yaml import require
from metabev_ros.graph_specs import graph_inputs

Shape = tuple[int, ...]
# Share of the splat grid's cells that see a camera all round (0.43 nano, 0.35 base).
_ACTIVE_CELLS = 0.4
_HALF_VIEW = 0.7  # tangent of half the horizontal view (nuScenes: 35 degrees)
# Occupied sites of the sparse encoder's stages and output per voxel of the first, one real sweep.
_SITES = (1.0, 1.5, 0.9, 0.4, 0.35)
_TYPICAL_VOXELS = 1 / 6  # of max_voxels: one sweep of 32 beams


@dataclass(frozen=True)
class ProfileLimits:
    """Largest inputs an engine is built for.

    Attributes:
        cameras: most views at once.
        headroom: largest over typical size of the calibration tables and sparse stages.
    """

    cameras: int = 6
    headroom: float = 1.5

    def __post_init__(self) -> None:
        require(1 <= self.cameras <= 32, 'engines.cameras', '1..32', self.cameras)
        require(1 <= self.headroom <= 16, 'engines.headroom', '1..16', self.headroom)


def graph_profile(
    config: ModelConfig, graph: str, limits: ProfileLimits
) -> dict[str, tuple[Shape, Shape, Shape]]:
    """(min, opt, max) shape of every input of a graph that has a free axis."""
    sizes = _splat_sizes(config, limits) | _lidar_sizes(config, limits)
    profile: dict[str, tuple[Shape, Shape, Shape]] = {}
    for spec in graph_inputs(config)[graph]:
        if None in spec.shape:
            smallest, typical, largest = (
                _filled(spec.shape, [axis[choice] for axis in sizes[spec.name]])
                for choice in range(3)
            )
            profile[spec.name] = smallest, typical, largest
    return profile


def _filled(shape: tuple[int | None, ...], free: list[int]) -> Shape:
    """The shape with its free axes replaced in order."""
    sizes = iter(free)
    return tuple(next(sizes) if size is None else size for size in shape)


def _splat_sizes(config: ModelConfig, limits: ProfileLimits) -> dict[str, list[Shape]]:
    camera, grid = config.camera, config.splat_grid
    height, width = camera.feature_shape
    cells = grid.rows * grid.columns
    points = limits.cameras * camera.depth_bins * height * width
    rows = math.ceil(points / camera.splat_row)
    # The fullest cell lies in front of a camera: all rows and many columns of the first bins.
    first_bin = camera.depth_min + camera.depth_step / 2
    columns = min(1.0, grid.cell / (2 * _HALF_VIEW * first_bin)) * width
    bins = max(1.0, grid.cell / camera.depth_step)
    fullest = math.ceil(height * columns * bins / camera.splat_row)

    def sized(typical: float, limit: int) -> Shape:
        return 1, min(math.ceil(typical), limit), min(math.ceil(typical * limits.headroom), limit)

    row_axis = sized(rows, rows + cells)
    return {
        'images': [(1, limits.cameras, limits.cameras)],
        'depth_table': [row_axis],
        'pixel_table': [row_axis],
        'cell_table': [sized(_ACTIVE_CELLS * cells, cells), sized(fullest, rows)],
    }


def _lidar_sizes(config: ModelConfig, limits: ProfileLimits) -> dict[str, list[Shape]]:
    lidar = config.lidar
    sizes = {
        'pillars': [(1, math.ceil(lidar.max_pillars / 2), lidar.max_pillars)],
        'voxel_features': [_sites(config, 0, limits)],
        **_fine_sizes(config),
    }
    for stage, (name, step) in enumerate(zip(SPARSE_STAGES, SPARSE_STEPS, strict=True)):
        sizes |= {
            name: [_sites(config, stage, limits)],
            step.name: [_sites(config, stage + 1, limits)],
        }
    return sizes


def _fine_sizes(config: ModelConfig) -> dict[str, list[Shape]]:
    """Fine pillars: each cell of a step has one to four children."""
    lidar, grid = config.lidar, config.bev_grid
    most = lidar.max_pillars
    cells, bev_cells = (min(most, grid.rows * grid.columns * n) for n in (4, 1))
    points = most * lidar.points_per_pillar
    return {
        'points': [(1, points // 6, points)],
        'point_table': [(1, most // 2, most)],
        **dict.fromkeys(('fine_table', 'fine_neighbours'), [(1, cells // 3, cells)]),
        **dict.fromkeys(('coarse_table', 'coarse_neighbours'), [(1, bev_cells // 4, bev_cells)]),
    }


def _sites(config: ModelConfig, stage: int, limits: ProfileLimits) -> Shape:
    """Occupied sites of a stage of the sparse encoder; the first has a hard limit."""
    most = config.lidar.max_voxels * _SITES[stage] * (limits.headroom if stage else 1)
    limit = math.prod(sparse_shapes(config)[stage])
    typical = config.lidar.max_voxels * _SITES[stage] * _TYPICAL_VOXELS
    return 1, min(math.ceil(typical), limit), min(math.ceil(most), limit)
