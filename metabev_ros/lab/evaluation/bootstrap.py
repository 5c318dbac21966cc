"""Intervals over drives: paired bootstrap of NDS, mAP and mIoU.

Samples of one drive show the same world and the same traffic, so drives are drawn, not samples.
All models and settings are scored on the same draws: a difference has an interval of its own,
much narrower than those of its two parts (Efron and Tibshirani 1993, chapter 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.evaluation.drawn_detection import DrawnDetections
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator
from metabev_ros.lab.evaluation.score import Score

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies with a chance of LEVEL when other drives are drawn.

    Attributes:
        value: on the drives themselves.
        low, high: ends of the percentile interval.
    """

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on one side of zero, else 0: no difference."""
        return int(self.low > 0) - int(self.high < 0)


def drawn_drives(drives: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples, drives) indices of drives, drawn with replacement; always the same ones."""
    return np.random.default_rng(SEED).integers(0, drives, (resamples, drives))


def resampled_figures(
    drives: Sequence[Score], resamples: int = RESAMPLES
) -> dict[str, list[float]]:
    """NDS, mAP and mIoU of one model under one setting on every draw of drives.

    Args:
        drives: scores of single drives.

    Returns:
        'nds', 'map' and 'miou' -> one value a draw of `drawn_drives`; NaN on a draw without such
        truth.
    """
    detections = DrawnDetections([drive.detection for drive in drives])
    draws = drawn_drives(len(drives), resamples)
    results = [detections.result(np.bincount(draw, minlength=len(drives))) for draw in draws]
    return {
        'nds': [result.nds for result in results],
        'map': [result.mean_ap for result in results],
        'miou': [
            MapEvaluator.merged(drives[i].map for i in draw).result().mean_iou for draw in draws
        ],
    }


def difference(
    value: float,
    first: Sequence[float | None],
    second: Sequence[float | None],
    level: float = LEVEL,
) -> Interval:
    """Interval of a difference from the paired draws of both sides.

    Args:
        value: the difference on the drives themselves.
        first, second: figures on the same draws; None on a draw that has none.
    """
    tail = 100 * (1 - level) / 2
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    low, high = np.percentile(np.subtract(*np.array(pairs).T), [tail, 100 - tail])
    return Interval(value, float(low), float(high))
