"""Map segmentation IoU as BEVFusion's `evaluate_map` counts it, and IoU at 0.5.

True and false positives and false negatives are summed over all samples first; a class's score
is its best IoU over seven thresholds (which picks the threshold on the test set and so hides a
loss of calibration: IoU at 0.5 stands beside it).

Cells whose truth is not known do not count. A layer that is known in no sample has no IoU (NaN)
and no part in the means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.structures import MAP_CLASSES

THRESHOLDS = (0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65)


@dataclass(frozen=True)
class MapResult:
    """IoU over a set of samples.

    Attributes:
        iou: (K, 7) per class and threshold of THRESHOLDS; NaN for a class that is nowhere known.
        truth_cells: (K,) true cells over all samples.
        samples: number of samples added.
    """

    class_names: tuple[str, ...]
    iou: np.ndarray
    truth_cells: np.ndarray
    samples: int

    @property
    def class_iou(self) -> dict[str, float]:
        """Best over the thresholds."""
        return dict(zip(self.class_names, self.iou.max(axis=1).tolist(), strict=True))

    @property
    def class_iou_at_half(self) -> dict[str, float]:
        """At threshold 0.5."""
        column = THRESHOLDS.index(0.5)
        return dict(zip(self.class_names, self.iou[:, column].tolist(), strict=True))

    @property
    def mean_iou(self) -> float:
        """mIoU: mean over the known classes of the best over the thresholds; NaN without any."""
        return _mean_of_known(self.iou.max(axis=1))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Classes whose truth is nowhere known."""
        missing = np.isnan(self.iou[:, 0]).tolist()
        return tuple(n for n, gone in zip(self.class_names, missing, strict=True) if gone)

    @property
    def mean_iou_at_half(self) -> float:
        """Mean over the known classes of the IoU at threshold 0.5; NaN without any."""
        return _mean_of_known(self.iou[:, THRESHOLDS.index(0.5)])

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'samples': self.samples,
            'mean_iou': _plain(self.mean_iou),
            'mean_iou_at_half': _plain(self.mean_iou_at_half),
            'classes': {
                name: {
                    'iou': _plain(best),
                    'iou_at_half': _plain(self.class_iou_at_half[name]),
                    'iou_at': {str(t): _plain(self.iou[k, i]) for i, t in enumerate(THRESHOLDS)},
                    'truth_cells': int(self.truth_cells[k]),
                }
                for k, (name, best) in enumerate(self.class_iou.items())
            },
        }


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float('nan')


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class MapEvaluator:
    """Collects samples; `result` scores them together."""

    def __init__(self, class_names: tuple[str, ...] = MAP_CLASSES) -> None:
        self._class_names = tuple(class_names)
        shape = (len(self._class_names), len(THRESHOLDS))
        self._hits = np.zeros(shape, dtype=np.int64)
        self._predicted = np.zeros(shape, dtype=np.int64)
        self._true = np.zeros(len(self._class_names), dtype=np.int64)
        self._known = np.zeros(len(self._class_names), dtype=np.int64)
        self._samples = 0

    def add(
        self, probabilities: np.ndarray, layers: np.ndarray, known: np.ndarray | None = None
    ) -> None:
        """Add one sample.

        Args:
            probabilities: (K, Y, X) in [0, 1].
            layers: (K, Y, X) bool truth on the same grid.
            known: (K, Y, X) bool cells that count; None: all.

        Raises:
            ConfigError: on other shapes or values that are no probabilities.
        """
        layers = np.asarray(layers, dtype=bool)
        probabilities = np.asarray(probabilities)
        if not np.issubdtype(probabilities.dtype, np.floating):
            probabilities = probabilities.astype(np.float32)
        expected = (len(self._class_names), *layers.shape[1:])
        if probabilities.shape != layers.shape or layers.shape != expected:
            raise ConfigError(
                'MapEvaluator.add',
                f'{expected} twice',
                f'{probabilities.shape} and {layers.shape}',
            )
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ConfigError('MapEvaluator.add', 'probabilities in [0, 1]', 'other values')
        known = np.ones(expected, bool) if known is None else known
        layers = layers & known
        for column, threshold in enumerate(THRESHOLDS):
            # The threshold in the probabilities' own precision: 0.35 as float32 reaches 0.35.
            predicted = (probabilities >= probabilities.dtype.type(threshold)) & known
            self._hits[:, column] += (predicted & layers).sum(axis=(1, 2))
            self._predicted[:, column] += predicted.sum(axis=(1, 2))
        self._true += layers.sum(axis=(1, 2))
        self._known += known.any(axis=(1, 2))
        self._samples += 1

    def merge(self, other: MapEvaluator) -> None:
        """Add the samples of another evaluator."""
        self._hits += other._hits
        self._predicted += other._predicted
        self._true += other._true
        self._known += other._known
        self._samples += other._samples

    @classmethod
    def merged(cls, parts: Iterable[MapEvaluator]) -> MapEvaluator:
        """The samples of all parts together."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything added so far, for a file or another process."""
        return {
            'hits': self._hits,
            'predicted': self._predicted,
            'true': self._true,
            'known': self._known,
            'samples': np.array(self._samples),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], class_names: tuple[str, ...] = MAP_CLASSES
    ) -> MapEvaluator:
        """The inverse of `to_arrays`; where it was not stored, all truth is known."""
        evaluator = cls(class_names)
        evaluator._hits, evaluator._predicted = arrays['hits'].copy(), arrays['predicted'].copy()
        evaluator._true, evaluator._samples = arrays['true'].copy(), int(arrays['samples'])
        everywhere = np.full(len(evaluator._true), evaluator._samples)
        evaluator._known = np.array(arrays.get('known', everywhere))
        return evaluator

    def result(self) -> MapResult:
        """Score everything added so far."""
        union = self._predicted + self._true[:, None] - self._hits
        iou = self._hits / (union + 1e-7)
        if self._samples:
            iou[self._known == 0] = np.nan
        return MapResult(self._class_names, iou, self._true.copy(), self._samples)
