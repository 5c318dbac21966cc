"""Layers of the map as grids: nav_msgs/OccupancyGrid and grid_map_msgs/GridMap.

What nobody looked at (`coverage.seen_cells`) is -1 in an occupancy grid and NaN in a grid map.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metabev_ros.structures import ModelInfo, PerceptionResult
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.definitions import GRID_MAP
from metabev_ros.wire.poses import pose

UNSEEN = -1


def occupancy_grid(
    shares: np.ndarray, seen: np.ndarray, result: PerceptionResult, model: ModelInfo, frame: str
) -> Any:
    """OccupancyGrid of one layer.

    Args:
        shares: (Y, X) float32, 0..1 of a hundred.
        seen: (Y, X) bool.
    """
    grid, head = model.map_grid, header(result.sample.stamp_ns, frame)
    data = np.rint(np.clip(shares, 0, 1) * np.float32(100)).astype(np.int8)
    data[~seen] = UNSEEN
    info = message_class('nav_msgs/msg/MapMetaData')(
        map_load_time=head.stamp,
        resolution=grid.cell,
        width=grid.columns,
        height=grid.rows,
        origin=pose(grid.x_min, grid.y_min, 0.0),
    )
    return message_class('nav_msgs/msg/OccupancyGrid')(
        header=head, info=info, data=data.reshape(-1)
    )


def grid_map(result: PerceptionResult, seen: np.ndarray, model: ModelInfo, frame: str) -> Any:
    """GridMap of all layers: probabilities, NaN where nobody looked.

    grid_map counts from the largest x and y, and stores columns (y) one after the other:
    index = column * rows + row.
    """
    grid = model.map_grid
    layers = np.where(seen, result.map_probabilities, np.float32(np.nan)).astype(np.float32)
    info = message_class('grid_map_msgs/msg/GridMapInfo')(
        resolution=grid.cell,
        length_x=grid.x_max - grid.x_min,
        length_y=grid.y_max - grid.y_min,
        pose=pose((grid.x_min + grid.x_max) / 2, (grid.y_min + grid.y_max) / 2, 0.0),
    )
    return message_class(GRID_MAP)(
        header=header(result.sample.stamp_ns, frame),
        info=info,
        layers=list(model.map_classes),
        basic_layers=[],
        data=[_column_major(layer) for layer in layers],
        outer_start_index=0,
        inner_start_index=0,
    )


def _column_major(layer: np.ndarray) -> Any:
    """Float32MultiArray of a (Y, X) layer, as grid_map_ros writes an Eigen matrix."""
    columns, rows = layer.shape

    def side(label: str, size: int, stride: int) -> Any:
        return message_class('std_msgs/msg/MultiArrayDimension')(
            label=label, size=size, stride=stride
        )

    layout = message_class('std_msgs/msg/MultiArrayLayout')(
        dim=[side('column_index', columns, columns * rows), side('row_index', rows, rows)],
        data_offset=0,
    )
    return message_class('std_msgs/msg/Float32MultiArray')(
        layout=layout, data=np.ascontiguousarray(layer[::-1, ::-1]).reshape(-1)
    )
