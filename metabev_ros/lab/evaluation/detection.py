"""nuScenes detection metrics (configuration `detection_cvpr_2019`) in plain numpy.

Equal to the nuScenes devkit (v1.2.0, `nuscenes.eval.detection`) to 1e-9; a test proves it
against the devkit itself and against stored values that the devkit computed.

Attributes: detections bear none and get one from class and speed, by the rule that BEVFusion and
mmdet3d use for what they submit. Truth keeps its annotated one; AAE, and with it NDS, is then what
the devkit says of the same boxes. Where a data set annotates none (synthetic drives), truth gets
one from its speed by the same rule: AAE is the share of wrong moving / standing states there.

What nobody labelled is not asked for: truth and detections outside of `GroundTruth.is_asked` are
left out before they are matched, as the devkit does with bicycles in bicycle racks. A velocity or
an attribute that a true object lacks does not count. Where no true object has a velocity, or none
has an attribute, there is no such error and no NDS: they are NaN.

Distances are those in the plane of the vehicle, the devkit's those in the plane of the map: for a
vehicle that is tilted by 1.5 degrees a test holds NDS within 0.001 of the devkit's, else to 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import NO_ATTRIBUTE, GroundTruth
from metabev_ros.lab.evaluation.attributes import attributes_where_known, true_attributes
from metabev_ros.lab.evaluation.box_checks import valid_boxes
from metabev_ros.lab.evaluation.matching import (
    RECALL_POINTS,
    TP_ERRORS,
    Curve,
    Matches,
    average_precision,
    match_boxes,
    pair_boxes,
)
from metabev_ros.structures import DETECTION_CLASSES, Detections

CLASS_RANGE_M = {
    'car': 50.0,
    'truck': 50.0,
    'bus': 50.0,
    'trailer': 50.0,
    'construction_vehicle': 50.0,
    'pedestrian': 40.0,
    'motorcycle': 40.0,
    'bicycle': 40.0,
    'traffic_cone': 30.0,
    'barrier': 30.0,
}
DISTANCES_M = (0.5, 1.0, 2.0, 4.0)
TP_DISTANCE_M = 2.0
MAX_BOXES = 500
MEAN_AP_WEIGHT = 5.0
IGNORED_ERRORS = {'traffic_cone': ('AOE', 'AVE', 'AAE'), 'barrier': ('AVE', 'AAE')}
_PARTS = {'truth': ('boxes', 'labels', 'attributes'), 'found': ('boxes', 'labels', 'scores')}


@dataclass(frozen=True)
class DetectionResult:
    """Scores over a set of samples; classes in the order of DETECTION_CLASSES.

    Attributes:
        ap: (K, 4) average precision per class and distance of DISTANCES_M.
        errors: (K, 5) mean TP errors per class, TP_ERRORS; NaN where the metric does not apply.
        precision: (K, 4, 101) precision at recall 0, 0.01, ... 1.
        truth_count, detection_count: (K,) boxes after the filters.
        samples: number of samples added.
    """

    ap: np.ndarray
    errors: np.ndarray
    precision: np.ndarray
    truth_count: np.ndarray
    detection_count: np.ndarray
    samples: int

    @property
    def class_ap(self) -> dict[str, float]:
        """Mean over the distances."""
        return dict(zip(DETECTION_CLASSES, self.ap.mean(axis=1).tolist(), strict=True))

    @property
    def mean_ap(self) -> float:
        """mAP: mean over distances and all ten classes; a class without truth counts as 0."""
        return float(self.ap.mean(axis=1).mean())

    @property
    def mean_errors(self) -> dict[str, float]:
        """mATE, mASE, mAOE, mAVE, mAAE under the names of TP_ERRORS; NaN without such truth."""
        undefined = np.isnan(self.errors).all(axis=0)
        means = np.nanmean(np.where(undefined, 0.0, self.errors), axis=0)
        return dict(zip(TP_ERRORS, np.where(undefined, np.nan, means).tolist(), strict=True))

    @property
    def nds(self) -> float:
        """nuScenes detection score; NaN where one of its errors is not defined."""
        if np.isnan(list(self.mean_errors.values())).any():
            return float('nan')
        scores = [max(0.0, 1.0 - error) for error in self.mean_errors.values()]
        return (MEAN_AP_WEIGHT * self.mean_ap + sum(scores)) / (MEAN_AP_WEIGHT + len(scores))

    def to_plain(self) -> dict:
        """For JSON; undefined errors are None."""
        return {
            'samples': self.samples,
            'nds': _plain(self.nds),
            'mean_ap': self.mean_ap,
            'mean_errors': {name: _plain(value) for name, value in self.mean_errors.items()},
            'classes': {
                name: {
                    'ap': float(self.ap[k].mean()),
                    'ap_at_m': {str(d): float(self.ap[k, i]) for i, d in enumerate(DISTANCES_M)},
                    'errors': {
                        error: _plain(self.errors[k, i]) for i, error in enumerate(TP_ERRORS)
                    },
                    'truth': int(self.truth_count[k]),
                    'detections': int(self.detection_count[k]),
                }
                for k, name in enumerate(DETECTION_CLASSES)
            },
        }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True)
class Counts:
    """Numbers of boxes and samples.

    Attributes:
        truth, detections: (K,) boxes after the filters.
        samples: number of samples.
        unknown: errors that no true box can have, as none has a velocity or an attribute.
    """

    truth: np.ndarray
    detections: np.ndarray
    samples: int
    unknown: tuple[str, ...] = ()


def score_matches(matches: Mapping[tuple[int, int], Matches], counts: Counts) -> DetectionResult:
    """Score matched detections.

    Args:
        matches: (label, column of DISTANCES_M) -> matches of all samples.
    """
    return score_curves({key: (found.curve(), found) for key, found in matches.items()}, counts)


def score_curves(
    curves: Mapping[tuple[int, int], tuple[Curve, Matches]], counts: Counts
) -> DetectionResult:
    """Score curves.

    Args:
        curves: (label, column of DISTANCES_M) -> curve, and the matches whose hits it is of.
    """
    classes, distances = len(DETECTION_CLASSES), len(DISTANCES_M)
    ap = np.zeros((classes, distances))
    errors = np.full((classes, len(TP_ERRORS)), np.nan)
    precision = np.zeros((classes, distances, RECALL_POINTS))
    for (label, column), (curve, matched) in curves.items():
        precision[label, column] = curve.precision
        ap[label, column] = average_precision(curve.precision)
        if DISTANCES_M[column] == TP_DISTANCE_M:
            ignored = (*IGNORED_ERRORS.get(DETECTION_CLASSES[label], ()), *counts.unknown)
            errors[label] = [
                np.nan if error in ignored else value
                for error, value in zip(TP_ERRORS, matched.mean_errors(curve), strict=True)
            ]
    return DetectionResult(ap, errors, precision, counts.truth, counts.detections, counts.samples)


class DetectionEvaluator:
    """Collects samples; `result` scores them together."""

    def __init__(self) -> None:
        self._truth: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, detections: Detections, truth: GroundTruth) -> None:
        """Add one sample.

        Filters: centre nearer than the class range and where the truth is known (truth and
        detections); truth without a LiDAR point in it is removed.

        Raises:
            ConfigError: more than 500 boxes, or boxes that are not valid.
        """
        if len(detections) > MAX_BOXES:
            raise ConfigError(
                'DetectionEvaluator.add',
                f'at most {MAX_BOXES} boxes a sample',
                str(len(detections)),
                'keep the best ones',
            )
        found = valid_boxes('detections', detections.boxes, detections.labels)
        scores = np.asarray(detections.scores, dtype=np.float64)
        if not np.isfinite(scores).all() or len(scores) != len(found):
            raise ConfigError(
                'DetectionEvaluator.add.scores',
                'one finite score a box',
                f'{len(scores)} scores for {len(found)} boxes',
            )
        labels = np.asarray(detections.labels)
        near = _in_range(found, labels) & truth.is_asked(found[:, :3], labels)
        self._found.append((found[near], labels[near], scores[near]))
        boxes, labels = valid_boxes('truth', truth.boxes, truth.labels), np.asarray(truth.labels)
        kept = _in_range(boxes, labels) & (np.asarray(truth.num_lidar_pts) > 0)
        kept &= truth.is_asked(boxes[:, :3], labels)
        self._truth.append((boxes[kept], labels[kept], true_attributes(truth)[kept]))

    def result(self) -> DetectionResult:
        """Score everything added so far."""
        return score_matches(self.all_matches(), self.counts())

    def all_matches(self) -> dict[tuple[int, int], Matches]:
        """(label, column of DISTANCES_M) -> matches."""
        return {
            (label, column): self.matches(label, distance)
            for label in range(len(DETECTION_CLASSES))
            for column, distance in enumerate(DISTANCES_M)
        }

    def counts(self) -> Counts:
        """Boxes after the filters and samples."""
        return Counts(
            self._count(self._truth), self._count(self._found), len(self._truth), self._unknown()
        )

    def _unknown(self) -> tuple[str, ...]:
        """Errors that need what no true box has, of classes that could have it."""
        still = [DETECTION_CLASSES.index(name) for name in IGNORED_ERRORS]
        asked = [(t[0][~np.isin(t[1], still)], t[2][~np.isin(t[1], still)]) for t in self._truth]
        boxes = np.concatenate([np.zeros((0, 9)), *(boxes for boxes, _ in asked)])
        attributes = np.concatenate([np.zeros(0), *(attributes for _, attributes in asked)])
        known = {
            'AVE': not np.isnan(boxes[:, 7:9]).any(axis=1).all(),
            'AAE': bool((attributes != NO_ATTRIBUTE).any()),
        }
        return tuple(name for name, some in known.items() if len(boxes) and not some)

    @staticmethod
    def _count(samples: list) -> np.ndarray:
        labels = [sample[1] for sample in samples]
        flat = np.concatenate(labels).astype(np.int64) if labels else np.zeros(0, np.int64)
        return np.bincount(flat, minlength=len(DETECTION_CLASSES))

    def merge(self, other: DetectionEvaluator) -> None:
        """Add the samples of another evaluator after one's own."""
        self._truth += other._truth
        self._found += other._found

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything added so far, for a file or another process."""
        arrays = {}
        for name, samples in (('truth', self._truth), ('found', self._found)):
            arrays[f'{name}_count'] = np.array([len(s[0]) for s in samples], np.int64)
            for place, part in enumerate(_PARTS[name]):
                empty = np.zeros((0, 9) if part == 'boxes' else 0)
                arrays[f'{name}_{part}'] = (
                    np.concatenate([s[place] for s in samples]) if samples else empty
                )
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> DetectionEvaluator:
        """The inverse of `to_arrays`; takes attributes by speed where they were not stored."""
        arrays = dict(arrays)
        if 'truth_attributes' not in arrays:
            arrays['truth_attributes'] = attributes_where_known(
                arrays['truth_boxes'], arrays['truth_labels']
            )
        evaluator = cls()
        for name, samples in (('truth', evaluator._truth), ('found', evaluator._found)):
            cuts = np.cumsum(arrays[f'{name}_count'])[:-1]
            split = [np.split(arrays[f'{name}_{part}'], cuts) for part in _PARTS[name]]
            if len(arrays[f'{name}_count']):
                samples += list(zip(*split, strict=True))
        return evaluator

    def matches(self, label: int, distance: float) -> Matches:
        """Match a class's detections with its truth, sample by sample.

        Args:
            label: index into DETECTION_CLASSES.
            distance: a detection may match a truth nearer than this, metres.
        """
        return match_boxes(*self._of_class(label), distance, DETECTION_CLASSES[label])

    def pairs(self, label: int, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(P,) scores, (P, 9) boxes and (P, 9) true boxes of a class's matches."""
        return pair_boxes(*self._of_class(label), distance)

    def _of_class(
        self, label: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Boxes, scores, samples and truth of a class, as `match_boxes` takes them."""
        truth = [
            (boxes[labels == label], attributes[labels == label])
            for boxes, labels, attributes in self._truth
        ]
        found = [
            (boxes[labels == label], scores[labels == label])
            for boxes, labels, scores in self._found
        ]
        boxes = np.concatenate([np.zeros((0, 9)), *(b for b, _ in found)])
        scores = np.concatenate([np.zeros(0), *(s for _, s in found)])
        sample = np.repeat(np.arange(len(found)), [len(s) for _, s in found])
        return boxes, scores, sample, truth


def _in_range(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    limits = np.array([CLASS_RANGE_M[name] for name in DETECTION_CLASSES])
    distance = np.sqrt((boxes[:, :2] ** 2).sum(axis=1))  # as the devkit: the limit is strict
    return distance < limits[np.asarray(labels, dtype=np.int64)]
