"""Truth -> training targets on the network's grids."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL, GroundTruth

MIN_RADIUS, MAX_RADIUS = 2, 5  # cells; CenterPoint's minimum, and a cap for long vehicles
MIN_OVERLAP = 0.1
_NO_LABELS = np.zeros(0, np.int64)


def gaussian_radius(length: float, width: float, overlap: float = MIN_OVERLAP) -> float:
    """Largest shift of a box's corners that keeps this IoU (CornerNet, as CenterPoint uses it).

    Args:
        length, width: in cells.
    """
    b1 = length + width
    c1 = width * length * (1 - overlap) / (1 + overlap)
    r1 = (b1 + math.sqrt(b1**2 - 4 * c1)) / 2
    b2 = 2 * (length + width)
    c2 = (1 - overlap) * width * length
    r2 = (b2 + math.sqrt(b2**2 - 16 * c2)) / 2
    a3, b3 = 4 * overlap, -2 * overlap * (length + width)
    c3 = (overlap - 1) * width * length
    r3 = (b3 + math.sqrt(b3**2 - 4 * a3 * c3)) / 2
    return min(r1, r2, r3)


def encode_boxes(
    boxes: np.ndarray, config: ModelConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Metric boxes -> box channels; the inverse of `postprocess.decode_boxes`.

    Args:
        boxes: (M, 9), all inside the BEV grid.

    Returns:
        (M, 10) float32 channels, (M,) rows, (M,) columns.
    """
    grid = config.bev_grid
    x = (boxes[:, 0] - grid.x_min) / grid.cell
    y = (boxes[:, 1] - grid.y_min) / grid.cell
    columns, rows = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    channels = np.stack(
        [
            x - columns,
            y - rows,
            boxes[:, 2],
            *np.log(boxes[:, 3:6]).T,
            np.sin(boxes[:, 6]),
            np.cos(boxes[:, 6]),
            *boxes[:, 7:9].T,
        ],
        1,
    )
    return channels.astype(np.float32), rows, columns


def detection_targets(
    boxes: np.ndarray, labels: np.ndarray, config: ModelConfig
) -> dict[str, np.ndarray]:
    """Heatmap and box channels.

    Args:
        boxes: (M, 9) in the ego frame; those outside the grid are left out. A velocity that is
            not known is NaN, in the channels too.
        labels: (M,).

    Returns:
        `heatmap` (K, Y, X) float32 with ones at centres; `cells` (M',) int64 flat row * X +
        column; `labels` (M',) int64; `channels` (M', 10) float32.
    """
    grid = config.bev_grid
    inside = grid.cell_index(boxes[:, :2]) >= 0
    boxes, labels = boxes[inside], labels[inside]
    channels, rows, columns = encode_boxes(boxes, config)
    heatmap = np.zeros((len(config.detection_classes), *grid.shape), np.float32)
    for box, label, row, column in zip(boxes, labels, rows, columns, strict=True):
        radius = gaussian_radius(box[3] / grid.cell, box[4] / grid.cell)
        _draw_peak(heatmap[label], row, column, int(np.clip(radius, MIN_RADIUS, MAX_RADIUS)))
    return {
        'heatmap': heatmap,
        'cells': rows * grid.columns + columns,
        'labels': labels.astype(np.int64),
        'channels': channels,
    }


def asked_cells(
    truth: GroundTruth,
    targets: Mapping[str, np.ndarray],
    config: ModelConfig,
    new_from_old: np.ndarray,
) -> np.ndarray | None:
    """Cells in which an object would have been labelled: `GroundTruth.is_asked` as a raster.

    Args:
        truth: in the ego frame of the record.
        targets: of `detection_targets`; the cells of true boxes are always asked for.
        new_from_old: (4, 4) of the ego frame.

    Returns:
        (K, Y, X) bool on the BEV grid of the new frame; None when every cell is asked for.
    """
    if truth.objects_known is None and not len(truth.ignored):
        return None
    grid, old_from_new = config.bev_grid, np.linalg.inv(new_from_old)
    places = grid.centres().reshape(-1, 2) @ old_from_new[:2, :2].T + old_from_new[:2, 3]
    everywhere = dataclasses.replace(truth, ignored=truth.ignored[:0], ignored_labels=_NO_LABELS)
    flat = np.concatenate([places, np.zeros((len(places), 1))], 1)
    known = everywhere.is_asked(flat, np.zeros(len(flat), np.int64))
    asked = np.tile(known, (len(config.detection_classes), 1))
    for row, label in enumerate(truth.ignored_labels):
        box = truth.ignored[row].astype(np.float64)
        near = np.flatnonzero(np.hypot(*(places - box[:2]).T) <= np.hypot(*box[3:5]) / 2 + 1e-6)
        flat[near, 2] = box[2]  # a cell has no height: it is asked about at that of the box
        alone = dataclasses.replace(
            truth,
            objects_known=None,
            ignored=truth.ignored[row : row + 1],
            ignored_labels=truth.ignored_labels[row : row + 1],
        )
        free = alone.is_asked(flat[near], np.full(len(near), label))
        layers = slice(None) if label == ANY_LABEL else slice(label, label + 1)
        asked[layers, near] &= free
    asked[targets['labels'], targets['cells']] = True
    return asked.reshape(-1, *grid.shape)


def _draw_peak(layer: np.ndarray, row: int, column: int, radius: int) -> None:
    """Maximum of the layer and a Gaussian of sigma (2 r + 1) / 6 around a cell."""
    offsets = np.arange(-radius, radius + 1)
    bell = np.exp(-(offsets**2) / (2 * ((2 * radius + 1) / 6) ** 2))
    y0, y1 = max(row - radius, 0), min(row + radius + 1, layer.shape[0])
    x0, x1 = max(column - radius, 0), min(column + radius + 1, layer.shape[1])
    peak = np.outer(
        bell[y0 - row + radius : y1 - row + radius],
        bell[x0 - column + radius : x1 - column + radius],
    )
    np.maximum(layer[y0:y1, x0:x1], peak, out=layer[y0:y1, x0:x1])


def depth_bins(depth: np.ndarray, config: ModelConfig) -> np.ndarray:
    """(N, h, w) metres -> int64 bin, -1 where there is no depth in range."""
    camera = config.camera
    valid = (depth >= camera.depth_min) & (depth < camera.depth_max)
    bins = np.floor(
        (np.where(valid, depth, camera.depth_min) - camera.depth_min) / camera.depth_step
    ).astype(np.int64)
    return np.where(valid, np.minimum(bins, camera.depth_bins - 1), -1)
