"""Place of a point along its road: for what follows roads, such as ruts and slabs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import STEP, Path, RoadNetwork

_NODE = 2.0  # metres
_REACH = 40.0  # metres from a road to which its frame is known


@dataclass(frozen=True)
class RoadFrame:
    """Coordinates along and across the nearest road, to first order around nodes.

    Attributes:
        origin: (2,) world metres of node (0, 0).
        nodes: (R, C, 5) float32: along and across the road at the node (metres), cosine and sine
            of its heading, and the width of its lanes (0 where no road is near).
    """

    origin: np.ndarray
    nodes: np.ndarray

    def at(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) float32 metres along and to the left, and the lanes' width, at (N, 2) points."""
        place = ((xy - self.origin) / _NODE).astype(np.float32)
        rows, columns = self.nodes.shape[:2]
        column = np.clip(np.rint(place[:, 0]), 0, columns - 1).astype(np.int32)
        row = np.clip(np.rint(place[:, 1]), 0, rows - 1).astype(np.int32)
        s, d, c, sn, width = np.take(self.nodes.reshape(-1, 5), row * columns + column, axis=0).T
        dx, dy = (place[:, 0] - column) * _NODE, (place[:, 1] - row) * _NODE
        return s + c * dx + sn * dy, d - sn * dx + c * dy, width


def road_frame(low: np.ndarray, high: np.ndarray, networks: Sequence[RoadNetwork]) -> RoadFrame:
    """The frame of all roads between two (2,) corners; of none, the world's own axes."""
    columns, rows = (np.ceil((high - low) / _NODE).astype(int) + 1).tolist()
    x, y = low[0] + _NODE * np.arange(columns), low[1] + _NODE * np.arange(rows)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    nodes = np.zeros((rows * columns, 5), dtype=np.float32)
    # Far from all roads: the world's axes, folded so that float32 stays exact to a millimetre.
    nodes[:, :2], nodes[:, 2] = points, 1.0
    paths = [piece for roads in networks for piece in _paths(roads)]
    if paths:
        xy = np.concatenate([path.xy for path, _ in paths])
        heading = np.concatenate([path.heading for path, _ in paths])
        along = np.concatenate([path.start + STEP * np.arange(len(path.xy)) for path, _ in paths])
        width = np.repeat([w for _, w in paths], [len(path.xy) for path, _ in paths])
        distance, index = _nearest((xy - low) / _NODE, rows, columns)
        near = np.flatnonzero(distance < _REACH / _NODE)
        index = index[near]
        c, s = np.cos(heading[index]), np.sin(heading[index])
        delta = points[near] - xy[index]
        nodes[near, 0] = along[index] + c * delta[:, 0] + s * delta[:, 1]
        nodes[near, 1] = -s * delta[:, 0] + c * delta[:, 1]
        nodes[near, 2], nodes[near, 3], nodes[near, 4] = c, s, width[index]
    return RoadFrame(low, nodes.reshape(rows, columns, 5))


def _nearest(place: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance in cells from each node of a grid, flat, to the nearest (N, 2) place, and its row.

    Nodes that share a place's cell count as being at it: off by half a cell at most.
    """
    column, row = np.rint(place).astype(np.int64).T
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    owner = np.full(rows * columns, -1, dtype=np.int64)
    owner[(row * columns + column)[inside]] = np.flatnonzero(inside)
    free = (owner < 0).astype(np.uint8).reshape(rows, columns)
    distance, nearest = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = nearest.ravel().astype(np.int64)
    taken = np.flatnonzero(owner >= 0)
    by_label = np.zeros(int(label.max()) + 1, dtype=np.int64)
    by_label[label[taken]] = owner[taken]
    return distance.ravel(), by_label[label]


def _paths(roads: RoadNetwork) -> list[tuple[Path, float]]:
    """Each path where it is the nearest road, with the width of its lanes."""
    pieces = [(roads.main, roads.lane_width)]
    for street in roads.streets:
        first, last = int(street.mouth / STEP), int(street.length / STEP)
        path = Path(first * STEP, street.path.xy[first:last], street.path.heading[first:last])
        pieces.append((path, street.half_width))
    return pieces
