"""nuScenes detection metrics (configuration `detection_cvpr_2019`) in plain numpy.

Equal to the nuScenes devkit (v1.2.0, `nuscenes.eval.detection`) to 1e-9; a test proves it
against the devkit itself and against stored values that the devkit computed.

Attributes: this package's boxes carry none. Truth and prediction both get one from their speed by
the rule that BEVFusion and mmdet3d use for predictions (faster than 0.2 m/s: moving, with rider;
else parked, stopped, standing, without rider). AAE is therefore the share of matched boxes whose
moving / standing state is wrong: stricter in velocity and blind to anything else that an
annotated attribute would say (a parked car and one that waits at a light are the same).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.structures import DETECTION_CLASSES, Detections, GroundTruth

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
MIN_RECALL, MIN_PRECISION = 0.1, 0.1
MAX_BOXES = 500
MEAN_AP_WEIGHT = 5.0
MOVING_SPEED = 0.2  # m/s
RECALL_POINTS = 101
TP_ERRORS = ('ATE', 'ASE', 'AOE', 'AVE', 'AAE')
IGNORED_ERRORS = {'traffic_cone': ('AOE', 'AVE', 'AAE'), 'barrier': ('AVE', 'AAE')}
WITHOUT_ATTRIBUTE = ('traffic_cone', 'barrier')
_PARTS = ('boxes', 'labels', 'scores')


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
        """mATE, mASE, mAOE, mAVE, mAAE under the names of TP_ERRORS."""
        return dict(zip(TP_ERRORS, np.nanmean(self.errors, axis=0).tolist(), strict=True))

    @property
    def nds(self) -> float:
        """nuScenes detection score."""
        scores = [max(0.0, 1.0 - error) for error in self.mean_errors.values()]
        return (MEAN_AP_WEIGHT * self.mean_ap + sum(scores)) / (MEAN_AP_WEIGHT + len(scores))

    def to_plain(self) -> dict:
        """For JSON; undefined errors are None."""
        return {
            'samples': self.samples,
            'nds': self.nds,
            'mean_ap': self.mean_ap,
            'mean_errors': self.mean_errors,
            'classes': {
                name: {
                    'ap': float(self.ap[k].mean()),
                    'ap_at_m': {str(d): float(self.ap[k, i]) for i, d in enumerate(DISTANCES_M)},
                    'errors': {
                        error: None if np.isnan(self.errors[k, i]) else float(self.errors[k, i])
                        for i, error in enumerate(TP_ERRORS)
                    },
                    'truth': int(self.truth_count[k]),
                    'detections': int(self.detection_count[k]),
                }
                for k, name in enumerate(DETECTION_CLASSES)
            },
        }


class DetectionEvaluator:
    """Collects samples; `result` scores them together."""

    def __init__(self) -> None:
        self._truth: list[tuple[np.ndarray, np.ndarray]] = []
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, detections: Detections, truth: GroundTruth) -> None:
        """Add one sample.

        Filters: centre nearer than the class range (truth and detections); truth without a LiDAR
        point in it is removed.

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
        found = _valid_boxes('detections', detections.boxes, detections.labels)
        scores = np.asarray(detections.scores, dtype=np.float64)
        if not np.isfinite(scores).all() or len(scores) != len(found):
            raise ConfigError(
                'DetectionEvaluator.add.scores',
                'one finite score a box',
                f'{len(scores)} scores for {len(found)} boxes',
            )
        near = _in_range(found, detections.labels)
        self._found.append((found[near], np.asarray(detections.labels)[near], scores[near]))
        boxes = _valid_boxes('truth', truth.boxes, truth.labels)
        kept = _in_range(boxes, truth.labels) & (np.asarray(truth.num_lidar_pts) > 0)
        self._truth.append((boxes[kept], np.asarray(truth.labels)[kept]))

    def result(self) -> DetectionResult:
        """Score everything added so far."""
        classes, distances = len(DETECTION_CLASSES), len(DISTANCES_M)
        ap = np.zeros((classes, distances))
        errors = np.full((classes, len(TP_ERRORS)), np.nan)
        precision = np.zeros((classes, distances, RECALL_POINTS))
        for label, name in enumerate(DETECTION_CLASSES):
            for column, distance in enumerate(DISTANCES_M):
                curve = self._accumulate(label, distance)
                precision[label, column] = curve.precision
                ap[label, column] = _average_precision(curve.precision)
                if distance == TP_DISTANCE_M:
                    errors[label] = [
                        np.nan if error in IGNORED_ERRORS.get(name, ()) else _mean_error(curve, i)
                        for i, error in enumerate(TP_ERRORS)
                    ]
        return DetectionResult(
            ap,
            errors,
            precision,
            self._count(self._truth),
            self._count(self._found),
            len(self._truth),
        )

    @staticmethod
    def _count(samples: list) -> np.ndarray:
        labels = [sample[1] for sample in samples]
        flat = np.concatenate(labels).astype(np.int64) if labels else np.zeros(0, np.int64)
        return np.bincount(flat, minlength=len(DETECTION_CLASSES))

    def matches(self, label: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
        """Scores (N,) and hits (N,) bool of a class's detections of all samples, best first."""
        scores, hits, _, _ = self._matched(label, distance)
        return scores, hits

    def merge(self, other: DetectionEvaluator) -> None:
        """Add the samples of another evaluator after one's own."""
        self._truth += other._truth
        self._found += other._found

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything added so far, for a file or another process."""
        arrays = {}
        for name, samples, widths in (
            ('truth', self._truth, (9, 0)),
            ('found', self._found, (9, 0, 0)),
        ):
            arrays[f'{name}_count'] = np.array([len(s[0]) for s in samples], np.int64)
            for part, width in zip(_PARTS, widths, strict=False):
                empty = np.zeros((0, width) if width else 0)
                arrays[f'{name}_{part}'] = (
                    np.concatenate([s[_PARTS.index(part)] for s in samples]) if samples else empty
                )
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> DetectionEvaluator:
        """The inverse of `to_arrays`."""
        evaluator = cls()
        for name, samples, parts in (
            ('truth', evaluator._truth, _PARTS[:2]),
            ('found', evaluator._found, _PARTS),
        ):
            cuts = np.cumsum(arrays[f'{name}_count'])[:-1]
            split = [np.split(arrays[f'{name}_{part}'], cuts) for part in parts]
            if len(arrays[f'{name}_count']):
                samples += list(zip(*split, strict=True))
        return evaluator

    def _accumulate(self, label: int, distance: float) -> _Curve:
        """Precision and errors over recall of a class (devkit `accumulate`)."""
        scores, hits, pairs, total = self._matched(label, distance)
        if total == 0 or not hits.any():
            return _Curve.empty()
        return _curve(hits, scores, _pair_errors(*pairs, DETECTION_CLASSES[label]), total)

    def _matched(self, label: int, distance: float):
        """Match a class's detections of all samples, best score first.

        Returns:
            scores (N,), hits (N,) bool, the matched (boxes, truths), the number of truths.
        """
        truth = [boxes[labels == label] for boxes, labels in self._truth]
        found = [
            (boxes[labels == label], scores[labels == label])
            for boxes, labels, scores in self._found
        ]
        boxes = np.concatenate([np.zeros((0, 9)), *(b for b, _ in found)])
        scores = np.concatenate([np.zeros(0), *(s for _, s in found)])
        sample = np.repeat(np.arange(len(found)), [len(s) for _, s in found])
        order = np.lexsort((np.arange(len(scores)), scores))[::-1]  # ties: the later box first
        hits, pairs = _match(boxes[order], sample[order], truth, distance)
        return scores[order], hits, pairs, sum(map(len, truth))


@dataclass(frozen=True)
class _Curve:
    """At the 101 recall points: precision, confidence, (101, 5) running mean errors."""

    precision: np.ndarray
    confidence: np.ndarray
    errors: np.ndarray

    @classmethod
    def empty(cls) -> _Curve:
        return cls(
            np.zeros(RECALL_POINTS),
            np.zeros(RECALL_POINTS),
            np.ones((RECALL_POINTS, len(TP_ERRORS))),
        )


def _valid_boxes(where: str, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 9)
    labels = np.asarray(labels)
    if (
        len(labels) != len(boxes)
        or not np.isfinite(boxes[:, :7]).all()
        or (boxes[:, 3:6] <= 0).any()
    ):
        raise ConfigError(
            f'DetectionEvaluator.add.{where}',
            'finite boxes of positive size with one label each',
            f'{len(boxes)} boxes, {len(labels)} labels',
        )
    if len(labels) and not (0 <= labels.min() and labels.max() < len(DETECTION_CLASSES)):
        raise ConfigError(
            f'DetectionEvaluator.add.{where}.labels',
            f'0..{len(DETECTION_CLASSES) - 1}',
            f'{labels.min()}..{labels.max()}',
        )
    return boxes


def _in_range(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    limits = np.array([CLASS_RANGE_M[name] for name in DETECTION_CLASSES])
    distance = np.sqrt((boxes[:, :2] ** 2).sum(axis=1))  # as the devkit: the limit is strict
    return distance < limits[np.asarray(labels, dtype=np.int64)]


def _match(
    boxes: np.ndarray, sample: np.ndarray, truth: list[np.ndarray], distance: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Each box in turn takes the nearest free truth of its sample if nearer than `distance`.

    Returns:
        (N,) bool hits, and the matched boxes and truths, (hits, 9) each.
    """
    free = [np.ones(len(t), dtype=bool) for t in truth]
    hits, taken = np.zeros(len(boxes), dtype=bool), []
    for row, (box, s) in enumerate(zip(boxes, sample, strict=True)):
        if not free[s].any():
            continue
        offset = truth[s][:, :2] - box[:2]
        apart = np.where(free[s], np.sqrt((offset**2).sum(axis=1)), np.inf)
        nearest = int(np.argmin(apart))
        if apart[nearest] < distance:
            free[s][nearest] = False
            hits[row] = True
            taken.append(truth[s][nearest])
    return hits, (boxes[hits], np.array(taken).reshape(-1, 9))


def _pair_errors(found: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    """(N, 5) TP errors of matched pairs."""
    shared = np.minimum(found[:, 3:6], truth[:, 3:6]).prod(axis=1)
    union = found[:, 3:6].prod(axis=1) + truth[:, 3:6].prod(axis=1) - shared
    period = np.pi if name == 'barrier' else 2 * np.pi
    turn = np.abs((truth[:, 6] - found[:, 6] + period / 2) % period - period / 2)
    velocity = np.linalg.norm(found[:, 7:9] - truth[:, 7:9], axis=1)
    moving = [np.linalg.norm(boxes[:, 7:9], axis=1) for boxes in (found, truth)]
    attribute = ((moving[0] > MOVING_SPEED) != (moving[1] > MOVING_SPEED)).astype(float)
    attribute[np.isnan(moving[1])] = np.nan  # truth without velocity has no attribute
    if name in WITHOUT_ATTRIBUTE:
        attribute[:] = np.nan
    return np.stack(
        [
            np.linalg.norm(found[:, :2] - truth[:, :2], axis=1),
            1 - shared / union,
            turn,
            velocity,
            attribute,
        ],
        axis=1,
    )


def _curve(hits: np.ndarray, scores: np.ndarray, errors: np.ndarray, total: int) -> _Curve:
    """Resample precision, confidence and running mean errors to the 101 recall points."""
    true_positives = np.cumsum(hits).astype(float)
    recall = true_positives / total
    points = np.linspace(0, 1, RECALL_POINTS)
    precision = np.interp(points, recall, true_positives / np.arange(1, len(hits) + 1), right=0)
    confidence = np.interp(points, recall, scores, right=0)
    matched = scores[hits][::-1]  # np.interp wants it to rise
    resampled = [
        np.interp(confidence[::-1], matched, _running_mean(column)[::-1])[::-1]
        for column in errors.T
    ]
    return _Curve(precision, confidence, np.stack(resampled, axis=1))


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean up to each position without the NaNs; ones when all are NaN (devkit `cummean`)."""
    known = ~np.isnan(values)
    if not known.any():
        return np.ones(len(values))
    count = np.cumsum(known)
    return np.divide(np.nancumsum(values), count, out=np.zeros(len(values)), where=count != 0)


def _average_precision(precision: np.ndarray) -> float:
    above = np.maximum(precision[round(100 * MIN_RECALL) + 1 :] - MIN_PRECISION, 0.0)
    return float(above.mean()) / (1.0 - MIN_PRECISION)


def _mean_error(curve: _Curve, error: int) -> float:
    """Mean from recall 0.11 to the largest recall reached; 1 when that is below."""
    first = round(100 * MIN_RECALL) + 1
    reached = np.nonzero(curve.confidence)[0]
    last = int(reached[-1]) if len(reached) else 0
    return 1.0 if last < first else float(curve.errors[first : last + 1, error].mean())
