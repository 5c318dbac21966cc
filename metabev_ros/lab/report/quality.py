"""Outputs against truth: scores of those made from one set of sensors, and single outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation import DetectionEvaluator, DetectionResult, MapEvaluator, MapResult
from metabev_ros.lab.evaluation.matching import pair_boxes
from metabev_ros.pages.ground import boxes_shown
from metabev_ros.pages.messages import Frame
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Modality

FOUND_WITHIN_M = 2.0  # between the centres, of one class
COUNTED_WITHIN_M = 50.0  # from the vehicle


@dataclass(frozen=True)
class Quality:
    """Scores of the outputs made from one set of sensors.

    Attributes:
        title: which outputs.
        class_names: detection classes that have truth in these outputs; the mean is over them.
        samples: outputs with a truth of the same stamp.
    """

    title: str
    modality: Modality
    samples: int
    class_names: tuple[str, ...]
    mean_ap: float
    mean_iou: float
    detection: DetectionResult
    map: MapResult

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'title': self.title,
            'samples': self.samples,
            'classes': list(self.class_names),
            'mean_ap': self.mean_ap,
            'mean_iou': self.mean_iou,
            'class_ap': {name: self.detection.class_ap[name] for name in self.class_names},
            'class_iou': self.map.class_iou,
        }


class QualityScores:
    """Collects outputs and their truth; `result` scores them together."""

    def __init__(self) -> None:
        self._detection, self._maps = DetectionEvaluator(), MapEvaluator()
        self.samples = 0

    def add(self, frame: Frame, truth: GroundTruth) -> None:
        """Add one output; one without a map, or of other classes than ours, is passed over."""
        layers = frame.map_probabilities
        if layers is None or not is_comparable(frame) or len(frame.detections) > 500:
            return
        self.samples += 1
        self._detection.add(frame.detections, truth)
        self._maps.add(layers, truth.map_layers, truth.map_known)

    def result(self, title: str, modality: Modality) -> Quality:
        """Score everything added so far."""
        found, layers = self._detection.result(), self._maps.result()
        names = tuple(
            name for name, count in zip(DETECTION_CLASSES, found.truth_count, strict=True) if count
        )
        mean_ap = float(np.mean([found.class_ap[name] for name in names])) if names else 0.0
        seen = layers.truth_cells > 0
        mean_iou = float(layers.iou.max(axis=1)[seen].mean()) if seen.any() else 0.0
        return Quality(title, modality, self.samples, names, mean_ap, mean_iou, found, layers)


def is_comparable(frame: Frame) -> bool:
    """Tell whether an output has the classes and the grid that truth has."""
    return (
        frame.class_names == DETECTION_CLASSES
        and frame.map_classes == MAP_CLASSES
        and frame.map_grid.shape == NUSCENES_MAP_GRID.shape
        and abs(frame.map_grid.x_min - NUSCENES_MAP_GRID.x_min) < 1e-6
        and abs(frame.map_grid.y_min - NUSCENES_MAP_GRID.y_min) < 1e-6
    )


@dataclass(frozen=True)
class Count:
    """Objects of one output.

    Attributes:
        found: true ones with a box of their class near them.
        missed: true ones without.
        wrong: boxes without a true one.
    """

    found: int
    missed: int
    wrong: int


def count_objects(frame: Frame, truth: GroundTruth) -> Count:
    """Count what is shown of an output against what could be seen, near the vehicle."""
    boxes, labels, scores = boxes_shown(frame)
    near = np.hypot(boxes[:, 0], boxes[:, 1]) < COUNTED_WITHIN_M
    near &= truth.is_asked(boxes[:, :3], labels)
    boxes, labels, scores = boxes[near], labels[near], scores[near]
    could = (truth.num_lidar_pts > 0) | (truth.visibility > 0)
    could &= np.hypot(truth.boxes[:, 0], truth.boxes[:, 1]) < COUNTED_WITHIN_M
    could &= truth.is_asked(truth.boxes[:, :3], truth.labels)
    true_boxes, true_labels = truth.boxes[could], truth.labels[could]
    return count_pairs((boxes, labels, scores), (true_boxes, true_labels))


def count_pairs(
    found: tuple[np.ndarray, np.ndarray, np.ndarray], true: tuple[np.ndarray, np.ndarray]
) -> Count:
    """Count boxes (M, 9), labels and scores against boxes (T, 9) and labels."""
    boxes, labels, scores = found
    hits = 0
    for label in np.unique(true[1]):
        mine, theirs = labels == label, true[1] == label
        pairs, _, _ = pair_boxes(
            boxes[mine].astype(np.float64),
            scores[mine].astype(np.float64),
            np.zeros(int(mine.sum()), np.int64),
            [(true[0][theirs].astype(np.float64), np.zeros(int(theirs.sum()), np.int64))],
            FOUND_WITHIN_M,
        )
        hits += len(pairs)
    return Count(hits, len(true[1]) - hits, len(labels) - hits)
