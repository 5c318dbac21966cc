"""Raw network outputs -> Detections and map probabilities: the one decoder of all callers."""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.errors import BackendError, assert_never
from metabev_ros.score_calibration import BranchScores, ScoreCalibration, branch_scores, sigmoid
from metabev_ros.structures import Detections, Modality

CANDIDATES = 500  # peaks looked at per sample: the benchmark's limit of boxes
# Boxes of queries this far beyond the grid, or from the ego's height, are dropped (BEVFusion:
# 61.2 m with a grid of 54 m, and 10 m).
POST_MARGIN, POST_HEIGHT = 7.2, 10.0


class Postprocessor:
    """Raw outputs -> boxes above the threshold and map probabilities.

    Centre heads: peaks, boxes of the class's group, circle NMS. TransFusion: every query is a
    box, its score the class probability times the heatmap's at its peak; Plain-DETR: the class
    probability alone; no NMS.

    Scores and map are calibrated for their branch here and nowhere else, before the threshold is
    applied: it is a threshold of calibrated scores. A box keeps its class.

    A box whose centre lies in our own vehicle is our own vehicle, and is dropped.

    Args:
        calibration: of the model; None: scores are published as the network gives them.
    """

    def __init__(self, config: ModelConfig, calibration: ScoreCalibration | None = None) -> None:
        self._config, self._calibration = config, calibration
        self._scores = branch_scores(calibration)
        self._radius = np.array(
            [
                config.head.nms_radius_scale * min(MEAN_SIZES[name][:2])
                for name in config.detection_classes
            ]
        )
        self._group = np.concatenate(
            [np.full(len(group), i) for i, group in enumerate(config.detection_groups)]
        )

    def __call__(
        self,
        outputs: dict[str, np.ndarray],
        modality: Modality | None = None,
        own_vehicle: np.ndarray | None = None,
    ) -> tuple[Detections, np.ndarray]:
        """Decode one sample.

        Args:
            outputs: the arrays of `graph_specs.output_names`, batch axis 1.
            modality: branch that they come from; None only without a calibration.
            own_vehicle: as in `Sample`.

        Returns:
            detections (best first, at most `max_detections`) and (L, Ym, Xm) float32.

        Raises:
            BackendError: if an output is not finite: nothing of it is published; if there is a
                calibration and no branch to choose it by.
        """
        scores = self._scores_of(modality)
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise BackendError(
                    f'output {name}',
                    'finite numbers',
                    f'{np.count_nonzero(~np.isfinite(array))} non-finite',
                )
        probabilities = sigmoid(scores.map_logits(outputs['map_logits'][0]))
        detections = self._detections(outputs, scores)
        if own_vehicle is not None:
            detections = without_own_vehicle(detections, own_vehicle)
        return detections, probabilities

    def _scores_of(self, modality: Modality | None) -> BranchScores:
        if self._calibration is None:
            return BranchScores(None)
        if modality is None or modality is Modality.NONE:
            raise BackendError('postprocess', 'the branch of calibrated outputs', str(modality))
        return self._scores[modality]

    def _detections(self, outputs: dict[str, np.ndarray], scores: BranchScores) -> Detections:
        match self._config.head.detection:
            case DetectionHead.CENTER:
                return self._from_peaks(outputs, scores)
            case DetectionHead.TRANSFUSION:
                score = sigmoid(outputs['class_logits'][0]) * outputs['query_scores'][0]
                return self._from_queries(outputs['boxes'][0], score, scores)
            case DetectionHead.PLAIN_DETR:
                score = sigmoid(outputs['class_logits'][0])
                return self._from_queries(outputs['boxes'][0], score, scores)
            case _:
                assert_never(self._config.head.detection)

    def _from_peaks(self, outputs: dict[str, np.ndarray], branch: BranchScores) -> Detections:
        scores, labels, rows, columns = find_peaks(
            outputs['heatmap'][0], self._config.head.score_threshold, branch
        )
        maps = outputs['boxes'][0]
        maps = maps.reshape(-1, 10, *maps.shape[1:])  # (G, 10, Y, X)
        boxes = decode_boxes(
            maps[self._group[labels], :, rows, columns], rows, columns, self._config
        )
        keep = circle_nms(boxes, labels, self._radius)[: self._config.head.max_detections]
        return Detections(boxes[keep], scores[keep], labels[keep])

    def _from_queries(
        self, channels: np.ndarray, score: np.ndarray, branch: BranchScores
    ) -> Detections:
        """`channels` (10, P) and `score` (K, P) of the queries -> those that are boxes."""
        score = np.clip(score, 0.0, 1.0)
        labels = score.argmax(0)
        best = branch.scores(score.max(0), labels)
        zero = np.zeros(score.shape[1], np.int64)
        boxes = decode_boxes(channels.T, zero, zero, self._config)
        grid = self._config.bev_grid
        keep = (
            (best >= self._config.head.score_threshold)
            & (np.abs(boxes[:, 2]) <= POST_HEIGHT)
            & (boxes[:, 0] >= grid.x_min - POST_MARGIN)
            & (boxes[:, 0] <= grid.x_max + POST_MARGIN)
            & (boxes[:, 1] >= grid.y_min - POST_MARGIN)
            & (boxes[:, 1] <= grid.y_max + POST_MARGIN)
        )
        order = np.flatnonzero(keep)
        order = order[np.argsort(-best[order], kind='stable')][: self._config.head.max_detections]
        return Detections(boxes[order], best[order], labels[order])


def without_own_vehicle(detections: Detections, own_vehicle: np.ndarray) -> Detections:
    """The boxes whose centres lie outside our own vehicle.

    Args:
        own_vehicle: (4,) x_min, x_max, y_min, y_max in the ego frame, metres, bounds included.
    """
    x_min, x_max, y_min, y_max = own_vehicle
    x, y = detections.boxes[:, 0], detections.boxes[:, 1]
    keep = ~((x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max))
    return Detections(detections.boxes[keep], detections.scores[keep], detections.labels[keep])


def find_peaks(
    heatmap: np.ndarray, threshold: float, branch: BranchScores | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Local maxima of a 3 x 3 neighbourhood.

    Args:
        heatmap: (K, Y, X) logits.
        threshold: least probability, after calibration.
        branch: calibrates the logits; None: they are taken as they are.

    Returns:
        scores (M,) float32 in falling order, labels, rows, columns (M,) int64; ties fall to the
        lower class and cell.
    """
    peak = np.stack([cv2.dilate(layer, np.ones((3, 3), np.uint8)) == layer for layer in heatmap])
    limit = np.log(max(threshold, 1e-6) / (1 - max(threshold, 1e-6)))
    flat = np.flatnonzero(peak)
    logits = heatmap.reshape(-1)[flat]
    if branch is not None:
        logits = branch.peak_logits(logits, flat // heatmap[0].size)
    kept = logits >= limit
    flat, logits = flat[kept], logits[kept]
    order = np.argsort(-logits, kind='stable')[:CANDIDATES]
    labels, rows, columns = np.unravel_index(flat[order], heatmap.shape)
    return sigmoid(logits[order]), labels, rows, columns


def decode_boxes(
    channels: np.ndarray, rows: np.ndarray, columns: np.ndarray, config: ModelConfig
) -> np.ndarray:
    """Box channels at peaks -> metric boxes; the inverse of `training.targets.encode_boxes`.

    Args:
        channels: (M, 10) dx dy (cells from the cell's corner), z, log l w h, sin, cos, vx, vy.
        rows, columns: (M,) peak cells; zeros if dx and dy count from the grid's corner.

    Returns:
        (M, 9) float32 as in `Detections`.
    """
    grid = config.bev_grid
    boxes = np.empty((len(channels), 9), np.float32)
    boxes[:, 0] = grid.x_min + (columns + channels[:, 0]) * grid.cell
    boxes[:, 1] = grid.y_min + (rows + channels[:, 1]) * grid.cell
    boxes[:, 2] = channels[:, 2]
    boxes[:, 3:6] = np.exp(np.clip(channels[:, 3:6], -3.0, 4.0))
    yaw = np.arctan2(channels[:, 6], channels[:, 7])
    boxes[:, 6] = np.where(yaw >= np.float32(np.pi), -np.float32(np.pi), yaw)
    boxes[:, 7:9] = channels[:, 8:10]
    return boxes


def circle_nms(boxes: np.ndarray, labels: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Indices kept of boxes sorted by score: no two of a class nearer than its radius."""
    x, y = boxes[:, 0], boxes[:, 1]
    near = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < radius[labels][:, None] ** 2
    near &= labels[:, None] == labels[None]
    kept = np.ones(len(boxes), bool)
    for better, worse in np.argwhere(np.triu(near, 1)):  # row by row: `better` is decided
        kept[worse] &= not kept[better]
    return np.flatnonzero(kept)
