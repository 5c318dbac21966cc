"""All metrics of one model under one setting, collected sample by sample and merged in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.calibration import (
    CalibrationResult,
    Reliability,
    add_map,
    detection_calibration,
    map_reliability,
)
from metabev_ros.lab.evaluation.detection import DetectionEvaluator, DetectionResult
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator, MapResult
from metabev_ros.structures import MAP_CLASSES, Detections

# name in records: unit
FIGURES = {
    'nds': 'NDS',
    'map': 'mAP',
    'miou': 'mIoU',
    'miou_at_half': 'mIoU@0.5',
    'detection_ece': 'ECE',
    'map_ece': 'ECE',
}


@dataclass(frozen=True)
class ScoreResult:
    """Scores of one model under one setting."""

    detection: DetectionResult
    map: MapResult
    detection_calibration: CalibrationResult
    map_calibration: CalibrationResult

    @property
    def figures(self) -> dict[str, float]:
        """By the names of FIGURES; NaN where nothing was found, or no truth is known."""
        return {
            'nds': self.detection.nds,
            'map': self.detection.mean_ap,
            'miou': self.map.mean_iou,
            'miou_at_half': self.map.mean_iou_at_half,
            'detection_ece': self.detection_calibration.mean_ece,
            'map_ece': self.map_calibration.mean_ece,
        }

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'detection': self.detection.to_plain(),
            'map': self.map.to_plain(),
            'detection_calibration': self.detection_calibration.to_plain(),
            'map_calibration': self.map_calibration.to_plain(),
        }


class Score:
    """Collects the outputs of one model under one setting."""

    def __init__(self) -> None:
        self.detection, self.map = DetectionEvaluator(), MapEvaluator()
        self.reliability = map_reliability()

    def add(
        self, detections: Detections, map_probabilities: np.ndarray, truth: GroundTruth
    ) -> None:
        """Add one sample."""
        self.detection.add(detections, truth)
        self.map.add(map_probabilities, truth.map_layers, truth.map_known)
        add_map(self.reliability, map_probabilities, truth.map_layers, truth.map_known)

    def merge(self, other: Score) -> None:
        """Add the samples of another; equal results need equal order."""
        self.detection.merge(other.detection)
        self.map.merge(other.map)
        self.reliability.merge(other.reliability)

    @classmethod
    def merged(cls, parts: Iterable[Score]) -> Score:
        """The samples of all parts, in their order."""
        score = cls()
        for part in parts:
            score.merge(part)
        return score

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything added so far, as flat names."""
        return {
            f'{part}.{name}': array
            for part, collector in (
                ('detection', self.detection),
                ('map', self.map),
                ('reliability', self.reliability),
            )
            for name, array in collector.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Score:
        """The inverse of `to_arrays`."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            part, _, inner = name.partition('.')
            parts.setdefault(part, {})[inner] = array
        score = cls()
        score.detection = DetectionEvaluator.from_arrays(parts['detection'])
        score.map = MapEvaluator.from_arrays(parts['map'])
        score.reliability = Reliability.from_arrays(parts['reliability'], MAP_CLASSES)
        return score

    def result(self) -> ScoreResult:
        """Score everything added so far."""
        return ScoreResult(
            self.detection.result(),
            self.map.result(),
            detection_calibration(self.detection),
            self.reliability.result(),
        )
