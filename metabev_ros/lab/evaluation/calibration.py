"""Expected calibration error: is a score of 0.8 right in 80 of 100 cases?

Guo et al. 2017, 15 bins of equal width: ECE = sum over bins of (share of the cases) x |share that
is right - mean score|. A detection is right when it matches at 2 m (Kueppers et al. 2020 for
detectors); a map cell when the truth has the class there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.detection import TP_DISTANCE_M, DetectionEvaluator
from metabev_ros.score_calibration import BranchScores
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES

BINS = 15


@dataclass(frozen=True)
class ScoreErrors:
    """Expected calibration errors of the same boxes and maps, means over classes; NaN without any.

    Attributes:
        detection, map: of what is published.
        raw_detection, raw_map: had the scores been published as the network gives them.
    """

    detection: float
    map: float
    raw_detection: float
    raw_map: float

    def to_plain(self) -> dict[str, float | None]:
        """For JSON; what is undefined is None."""
        plain = dataclasses.asdict(self)
        return {name: None if np.isnan(value) else value for name, value in plain.items()}


@dataclass(frozen=True)
class CalibrationResult:
    """Reliability per class and bin.

    Attributes:
        counts: (K, 15) cases.
        confidence, accuracy: (K, 15) mean score and share that is right; NaN in empty bins.
    """

    class_names: tuple[str, ...]
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def class_ece(self) -> dict[str, float]:
        """NaN for a class without cases."""
        gap = np.abs(np.nan_to_num(self.accuracy) - np.nan_to_num(self.confidence))
        total = self.counts.sum(axis=1)
        ece = np.divide(
            (self.counts * gap).sum(axis=1),
            total,
            where=total > 0,
            out=np.full(len(total), np.nan),
        )
        return dict(zip(self.class_names, ece.tolist(), strict=True))

    @property
    def mean_ece(self) -> float:
        """Mean over the classes that have cases; NaN without any."""
        known = [value for value in self.class_ece.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else float('nan')

    def to_plain(self) -> dict:
        """For JSON; what is undefined is None."""

        def plain(values: Iterable[float]) -> list[float | None]:
            return [None if np.isnan(v) else float(v) for v in values]

        mean, *classes = plain([self.mean_ece, *self.class_ece.values()])
        return {
            'mean_ece': mean,
            'bins': BINS,
            'classes': {
                name: {
                    'ece': classes[k],
                    'counts': self.counts[k].tolist(),
                    'confidence': plain(self.confidence[k]),
                    'accuracy': plain(self.accuracy[k]),
                }
                for k, name in enumerate(self.class_names)
            },
        }


class Reliability:
    """Counts cases per class and bin; `result` states them."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._class_names = tuple(class_names)
        shape = (len(self._class_names), BINS)
        self._counts, self._right = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._scores = np.zeros(shape)

    def add(
        self, label: int, scores: np.ndarray, right: np.ndarray, times: np.ndarray | None = None
    ) -> None:
        """Add cases of one class.

        Args:
            scores: (N,) in [0, 1].
            right: (N,) bool.
            times: (N,) int how often each case is there; None: once.

        Raises:
            ConfigError: for scores outside [0, 1].
        """
        scores = np.asarray(scores, np.float64).reshape(-1)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ConfigError('Reliability.add', 'scores in [0, 1]', 'other values')
        bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        right = np.asarray(right, bool).reshape(-1)
        if times is None:
            times = np.ones(len(scores), np.int64)
        for counted, share in ((self._counts, times), (self._right, times * right)):
            counted[label] += np.bincount(bins, share, BINS).astype(np.int64)
        self._scores[label] += np.bincount(bins, scores * times, BINS)

    def merge(self, other: Reliability) -> None:
        """Add the cases of another."""
        self._counts += other._counts
        self._right += other._right
        self._scores += other._scores

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything added so far, for a file or another process."""
        return {'counts': self._counts, 'right': self._right, 'scores': self._scores}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], class_names: tuple[str, ...]
    ) -> Reliability:
        """The inverse of `to_arrays`."""
        made = cls(class_names)
        made._counts, made._right = arrays['counts'].copy(), arrays['right'].copy()
        made._scores = arrays['scores'].copy()
        return made

    def result(self) -> CalibrationResult:
        """Calibration of everything counted so far."""
        none = np.full(self._counts.shape, np.nan)
        some = self._counts > 0
        return CalibrationResult(
            self._class_names,
            self._counts.copy(),
            np.divide(self._scores, self._counts, where=some, out=none.copy()),
            np.divide(self._right, self._counts, where=some, out=none),
        )


def add_map(
    reliability: Reliability,
    probabilities: np.ndarray,
    layers: np.ndarray,
    known: np.ndarray | None = None,
) -> None:
    """Add the cells of one sample: (K, Y, X) probabilities, truth and where it is known."""
    for label, (scores, right) in enumerate(zip(probabilities, layers, strict=True)):
        if known is None:
            reliability.add(label, scores, right)
        else:
            reliability.add(label, scores[known[label]], right[known[label]])


def map_reliability() -> Reliability:
    """For the map classes."""
    return Reliability(MAP_CLASSES)


def detection_calibration(
    evaluator: DetectionEvaluator, branch: BranchScores | None = None
) -> CalibrationResult:
    """Of all detections that the evaluator holds, after its filters.

    Args:
        branch: that calibrated them; their raw scores are counted. None: the scores as they are.
    """
    reliability = Reliability(DETECTION_CLASSES)
    for label in range(len(DETECTION_CLASSES)):
        matches = evaluator.matches(label, TP_DISTANCE_M)
        scores, hits = matches.scores, matches.hits
        if branch is not None:
            scores = branch.raw_scores(scores, np.full(len(scores), label))
        reliability.add(label, scores, hits)
    return reliability.result()


class ScoreErrorCount:
    """Calibration errors of one branch, before and after its calibration.

    Args:
        branch: the maps that scores went through.
    """

    def __init__(self, branch: BranchScores) -> None:
        self._branch = branch
        self._map, self._raw_map = map_reliability(), map_reliability()

    def add_map(
        self, probabilities: np.ndarray, layers: np.ndarray, known: np.ndarray | None
    ) -> None:
        """Add the map of one sample."""
        add_map(self._map, probabilities, layers, known)
        if not self._branch.is_identity:
            add_map(self._raw_map, self._branch.raw_map(probabilities), layers, known)

    def errors(self, evaluator: DetectionEvaluator) -> ScoreErrors:
        """Errors of the maps that were added, and of the boxes that an evaluator holds."""
        raw = self._map if self._branch.is_identity else self._raw_map
        return ScoreErrors(
            detection_calibration(evaluator).mean_ece,
            self._map.result().mean_ece,
            detection_calibration(evaluator, self._branch).mean_ece,
            raw.result().mean_ece,
        )
