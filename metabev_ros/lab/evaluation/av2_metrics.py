"""AV2 CDS: Argoverse 2's composite detection score and its parts, equal to `av2` 0.3.6.

Per class: AP is the mean over distances of 0.5, 1, 2 and 4 m between centres in space. A detection
can only match the truth nearest to it, and of all detections that are nearest to one truth only
the best-scored can, even where it is too far away and another one is not. ATE, ASE and AOE are
means over the true positives at 2 m. CDS = AP times the mean of 1 - ATE / 2 m, 1 - ASE and
1 - AOE / pi.

What is evaluated: centres nearer than 150 m to the middle of the rear axle, truth with a LiDAR
point, the 100 best detections of a class and sample and, where the region is given, what has a
corner within 5 m of the drivable area. Argoverse's leaderboard always uses the region, and scores
26 categories of its own; here the classes are ours, so the score is not a place on it. It is not
comparable with nuScenes' NDS or KITTI's AP either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sources.argoverse_files import AXLE_HEIGHT
from metabev_ros.lab.datasets.sources.argoverse_map import RegionOfInterest
from metabev_ros.structures import DETECTION_CLASSES, Detections

METRIC_NAME = 'AV2 CDS'
DISTANCES_M = (0.5, 1.0, 2.0, 4.0)
TP_DISTANCE_M = 2.0
MAX_RANGE_M = 150.0
MAX_BOXES = 100  # of a class in a sample
RECALL_POINTS = 101
TP_ERRORS = ('ATE', 'ASE', 'AOE')
WORST = (TP_DISTANCE_M, 1.0, np.pi)  # of the three errors
_TP_COLUMN = DISTANCES_M.index(TP_DISTANCE_M)
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Av2Result:
    """Scores over a set of samples.

    Attributes:
        classes: names, in order.
        ap: (K, 4) average precision at DISTANCES_M; 0 for a class without truth.
        errors: (K, 3) TP_ERRORS; the worst for a class without truth or true positives.
        truth_count: (K,) objects asked for.
        samples: number of samples.
        max_range_m: limit of what was evaluated.
        has_region: whether only the region of interest was.
    """

    classes: tuple[str, ...]
    ap: np.ndarray
    errors: np.ndarray
    truth_count: np.ndarray
    samples: int
    max_range_m: float
    has_region: bool

    @property
    def cds(self) -> np.ndarray:
        """(K,) composite detection score of each class."""
        scores = 1 - self.errors / np.array(WORST)
        return self.ap.mean(1) * scores.mean(1)

    @property
    def mean_ap(self) -> float:
        """Mean over all classes; one without truth counts as 0, as in `av2`."""
        return float(self.ap.mean(1).mean())

    @property
    def mean_errors(self) -> dict[str, float]:
        """Mean of each error over all classes."""
        return dict(zip(TP_ERRORS, self.errors.mean(0).tolist(), strict=True))

    @property
    def mean_cds(self) -> float:
        """Mean over all classes."""
        return float(self.cds.mean())

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'metric': METRIC_NAME,
            'samples': self.samples,
            'max_range_m': self.max_range_m,
            'region_of_interest': self.has_region,
            'cds': self.mean_cds,
            'mean_ap': self.mean_ap,
            'mean_errors': self.mean_errors,
            'classes': {
                name: {
                    'cds': float(self.cds[k]),
                    'ap': float(self.ap[k].mean()),
                    'ap_at_m': {str(d): float(self.ap[k, i]) for i, d in enumerate(DISTANCES_M)},
                    'errors': dict(zip(TP_ERRORS, self.errors[k].tolist(), strict=True)),
                    'truth': int(self.truth_count[k]),
                }
                for k, name in enumerate(self.classes)
            },
        }


@dataclass(frozen=True, eq=False)
class _Matched:
    """Detections of one class in one sample, best first.

    Attributes:
        scores: (N,).
        hits: (N, 4) bool at DISTANCES_M.
        errors: (N, 3) TP_ERRORS of the hits at 2 m.
        truths: objects asked for.
    """

    scores: np.ndarray
    hits: np.ndarray
    errors: np.ndarray
    truths: int


class Av2Evaluator:
    """Collects samples; `result` scores them together.

    Args:
        classes: names among DETECTION_CLASSES that are scored; those that the data set has
            (`Argoverse2.detection_classes`), because one without truth counts as 0.
        max_range_m: exclusive limit of what is evaluated.
    """

    def __init__(
        self, classes: Sequence[str] = DETECTION_CLASSES, max_range_m: float = MAX_RANGE_M
    ) -> None:
        unknown = [name for name in classes if name not in DETECTION_CLASSES]
        if unknown or not classes or not max_range_m > 0:
            raise ConfigError(
                'Av2Evaluator',
                f'classes among {list(DETECTION_CLASSES)} and a positive range',
                f'{list(classes)}, {max_range_m}',
            )
        self._classes, self._range = tuple(classes), max_range_m
        self._samples: list[list[_Matched]] = []
        self._has_region: bool | None = None

    def add(
        self, detections: Detections, truth: GroundTruth, region: RegionOfInterest | None = None
    ) -> None:
        """Add one sample.

        Args:
            region: what of it is evaluated (`Argoverse2.regions`); None: all. The same for all
                samples: a set is scored with regions or without.

        Raises:
            ConfigError: for boxes or scores that are not finite, boxes without size, or a sample
                with a region among others without.
        """
        if self._has_region not in (None, region is not None):
            raise ConfigError(
                'Av2Evaluator.add', 'a region for all samples or for none', 'both', 'give all'
            )
        self._has_region = region is not None
        found = _checked('detections', detections.boxes)
        scores = np.asarray(detections.scores, np.float64)
        if len(scores) != len(found) or not np.isfinite(scores).all():
            raise ConfigError('Av2Evaluator.add', 'one finite score a box', f'{len(scores)}')
        boxes = _checked('truth', truth.boxes)
        asked = self._evaluated(boxes, truth.labels, truth, region)
        asked &= np.asarray(truth.num_lidar_pts) > 0
        looked = self._evaluated(found, detections.labels, truth, region)
        matched: list[_Matched] = []
        for name in self._classes:
            label = DETECTION_CLASSES.index(name)
            here = looked & (np.asarray(detections.labels) == label)
            there = asked & (np.asarray(truth.labels) == label)
            best = np.argsort(-scores[here], kind='stable')[:MAX_BOXES]
            matched.append(_match(found[here][best], scores[here][best], boxes[there]))
        self._samples.append(matched)

    def _evaluated(
        self,
        boxes: np.ndarray,
        labels: np.ndarray,
        truth: GroundTruth,
        region: RegionOfInterest | None,
    ) -> np.ndarray:
        """(N,) bool: near, in the region, and where an object would have been labelled."""
        distance = np.linalg.norm(boxes[:, :3] - [0.0, 0.0, AXLE_HEIGHT], axis=1)
        kept = (distance < self._range) & truth.is_asked(boxes[:, :3], labels)
        return kept if region is None else kept & region.covers(boxes)

    def merge(self, other: Av2Evaluator) -> None:
        """Add the samples of another evaluator after one's own.

        Raises:
            ConfigError: for one of other classes, range or region.
        """
        mine, others = (
            (e._classes, e._range, e._has_region if e._samples else None) for e in (self, other)
        )
        if mine[:2] != others[:2] or (None not in (mine[2], others[2]) and mine[2] != others[2]):
            raise ConfigError('Av2Evaluator.merge', str(mine), str(others))
        self._samples += other._samples
        self._has_region = self._has_region if others[2] is None else others[2]

    def result(self) -> Av2Result:
        """Score everything added so far."""
        count = len(self._classes)
        ap, errors = np.zeros((count, len(DISTANCES_M))), np.tile(WORST, (count, 1))
        truths = np.zeros(count, np.int64)
        for k in range(count):
            parts = [sample[k] for sample in self._samples]
            truths[k] = sum(part.truths for part in parts)
            if truths[k]:
                ap[k], errors[k] = _score(parts, int(truths[k]))
        has_region = bool(self._has_region)
        return Av2Result(
            self._classes, ap, errors, truths, len(self._samples), self._range, has_region
        )


def _checked(where: str, boxes: np.ndarray) -> np.ndarray:
    """(N, 7) float64."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 9)[:, :7]
    if not np.isfinite(boxes).all() or (boxes[:, 3:6] <= 0).any():
        raise ConfigError(f'Av2Evaluator.add.{where}', 'finite boxes of positive size', 'others')
    return boxes


def _match(found: np.ndarray, scores: np.ndarray, truth: np.ndarray) -> _Matched:
    """Give each truth the best-scored of the detections that it is nearest to."""
    hits = np.zeros((len(found), len(DISTANCES_M)), bool)
    errors = np.tile(WORST, (len(found), 1))
    if len(found) and len(truth):
        apart = np.linalg.norm(found[:, None, :3] - truth[None, :, :3], axis=-1)
        nearest = apart.argmin(1)
        taken, first = np.unique(nearest, return_index=True)  # the first is the best-scored
        near = apart[first, taken]
        for column, distance in enumerate(DISTANCES_M):
            hits[first[near < distance], column] = True
        errors[first] = _pair_errors(found[first], truth[taken], near)
    return _Matched(scores, hits, errors, len(truth))


def _pair_errors(found: np.ndarray, truth: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """(N, 3) TP_ERRORS of pairs."""
    shared = np.minimum(found[:, 3:6], truth[:, 3:6]).prod(1)
    either = np.maximum(found[:, 3:6], truth[:, 3:6]).prod(1)
    turn = np.abs((found[:, 6] - truth[:, 6] + np.pi) % (2 * np.pi) - np.pi)
    return np.stack([apart, 1 - shared / either, turn], axis=1)


def _score(parts: list[_Matched], truths: int) -> tuple[np.ndarray, np.ndarray]:
    """(4,) AP and (3,) errors of a class."""
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind='stable')
    hits = np.concatenate([part.hits for part in parts])[order]
    errors = np.concatenate([part.errors for part in parts])[order]
    ap = np.array([_average_precision(column, truths) for column in hits.T])
    matched = errors[hits[:, _TP_COLUMN]]
    return ap, matched.mean(0) if len(matched) else np.array(WORST)


def _average_precision(hits: np.ndarray, truths: int) -> float:
    """Mean at 101 points of recall of the precision that was made to fall."""
    if not len(hits):
        return 0.0
    found = np.cumsum(hits)
    precision = found / (np.arange(1, len(hits) + 1) + _EPSILON)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    points = np.linspace(0, 1, RECALL_POINTS)
    return float(np.interp(points, found / truths, falling, right=0).mean())
