"""Matches of detections with truth, and precision and errors over recall (nuScenes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.ground_truth import NO_ATTRIBUTE
from metabev_ros.lab.evaluation.attributes import attributes_by_speed
from metabev_ros.structures import DETECTION_CLASSES

MIN_RECALL, MIN_PRECISION = 0.1, 0.1
RECALL_POINTS = 101
TP_ERRORS = ('ATE', 'ASE', 'AOE', 'AVE', 'AAE')


@dataclass(frozen=True)
class Curve:
    """Precision and confidence at the 101 recall points."""

    precision: np.ndarray
    confidence: np.ndarray

    @classmethod
    def empty(cls) -> Curve:
        """The curve of a class that was not found at all."""
        return cls(np.zeros(RECALL_POINTS), np.zeros(RECALL_POINTS))


@dataclass(frozen=True)
class Matches:
    """Detections of one class, matched inside their samples.

    Attributes:
        scores: (N,) best first; of equal ones the later added comes first.
        hits: (N,) bool.
        errors: (N, 5) TP errors, TP_ERRORS; NaN where there is no hit.
        samples: (N,) index of each detection's sample.
        truths: (S,) number of truths of every sample.
    """

    scores: np.ndarray
    hits: np.ndarray
    errors: np.ndarray
    samples: np.ndarray
    truths: np.ndarray

    def curve(self) -> Curve:
        """Precision and errors over recall (devkit `accumulate`)."""
        total = int(self.truths.sum())
        if total == 0 or not self.hits.any():
            return Curve.empty()
        return _curve(self.hits, self.scores, total)

    def mean_errors(self, curve: Curve) -> list[float]:
        """Mean TP errors from recall 0.11 to the largest recall reached; 1 when that is below.

        Args:
            curve: of these matches.
        """
        first = round(100 * MIN_RECALL) + 1
        reached = np.nonzero(curve.confidence)[0]
        last = int(reached[-1]) if len(reached) else 0
        if last < first:
            return [1.0] * len(TP_ERRORS)
        matched = self.scores[self.hits][::-1]  # np.interp wants it to rise
        running = [_running_mean(column) for column in self.errors[self.hits].T]
        resampled = [
            np.interp(curve.confidence[::-1], matched, column[::-1])[::-1] for column in running
        ]
        return [float(column[first : last + 1].mean()) for column in resampled]


def match_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    sample: np.ndarray,
    truth: Sequence[tuple[np.ndarray, np.ndarray]],
    distance: float,
    name: str,
) -> Matches:
    """Match detections of a class: each takes the nearest free truth of its sample.

    The best score chooses first, so that a sample's matches do not depend on other samples.

    Args:
        boxes: (N, 9) float64.
        scores: (N,) float64.
        sample: (N,) index of each detection's sample, never falling.
        truth: (M, 9) boxes and (M,) attributes of every sample.
        distance: exclusive limit of a match, metres.
        name: of the class.
    """
    order, hits, taken, attributes = _match(boxes, scores, sample, truth, distance)
    errors = np.full((len(boxes), len(TP_ERRORS)), np.nan)
    errors[hits] = _pair_errors(boxes[hits], taken[hits], attributes[hits], name)
    truths = np.array([len(t) for t, _ in truth], np.int64)
    return Matches(scores[order], hits[order], errors[order], sample[order], truths)


def pair_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    sample: np.ndarray,
    truth: Sequence[tuple[np.ndarray, np.ndarray]],
    distance: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of `match_boxes`: (P,) scores, (P, 9) found boxes, (P, 9) theirs of the truth."""
    _, hits, taken, _ = _match(boxes, scores, sample, truth, distance)
    return scores[hits], boxes[hits], taken[hits]


def _match(
    boxes: np.ndarray,
    scores: np.ndarray,
    sample: np.ndarray,
    truth: Sequence[tuple[np.ndarray, np.ndarray]],
    distance: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The order of choice, and per box whether it matches, with which box and attribute."""
    order = np.lexsort((np.arange(len(scores)), scores))[::-1]  # ties: the later box first
    free = [np.ones(len(t), dtype=bool) for t, _ in truth]
    hits, taken = np.zeros(len(boxes), dtype=bool), np.zeros((len(boxes), 9))
    attributes = np.full(len(boxes), NO_ATTRIBUTE)
    for row in order[_near_a_truth(boxes, sample, truth, distance)[order]]:
        s = int(sample[row])
        apart = np.where(free[s], _apart(boxes[row], truth[s][0]), np.inf)
        nearest = int(np.argmin(apart))
        if apart[nearest] < distance:
            free[s][nearest] = False
            hits[row], taken[row] = True, truth[s][0][nearest]
            attributes[row] = truth[s][1][nearest]
    return order, hits, taken, attributes


def _near_a_truth(
    boxes: np.ndarray,
    sample: np.ndarray,
    truth: Sequence[tuple[np.ndarray, np.ndarray]],
    distance: float,
) -> np.ndarray:
    """(N,) bool: which boxes could match at all. Few can, so that only those take their turns."""
    near = np.zeros(len(boxes), dtype=bool)
    ends = np.searchsorted(sample, np.arange(len(truth) + 1))
    for s, (true_boxes, _) in enumerate(truth):
        rows = slice(ends[s], ends[s + 1])
        near[rows] = (_apart(boxes[rows, None], true_boxes) < distance).any(axis=-1)
    return near


def _apart(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(..., M) metres between centres of (..., 9) boxes and of (M, 9) true ones, on the ground."""
    offset = truth[:, :2] - boxes[..., :2]
    return np.sqrt((offset**2).sum(axis=-1))


def turns(found: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    """(N,) radians from found to true headings; a barrier looks the same from both sides."""
    period = np.pi if name == 'barrier' else 2 * np.pi
    return (truth[:, 6] - found[:, 6] + period / 2) % period - period / 2


def _pair_errors(
    found: np.ndarray, truth: np.ndarray, attributes: np.ndarray, name: str
) -> np.ndarray:
    """(N, 5) TP errors of matched pairs; NaN where the truth has no velocity or attribute."""
    shared = np.minimum(found[:, 3:6], truth[:, 3:6]).prod(axis=1)
    union = found[:, 3:6].prod(axis=1) + truth[:, 3:6].prod(axis=1) - shared
    turn = np.abs(turns(found, truth, name))
    velocity = np.linalg.norm(found[:, 7:9] - truth[:, 7:9], axis=1)
    labels = np.full(len(found), DETECTION_CLASSES.index(name))
    attribute = (attributes_by_speed(found, labels) != attributes).astype(float)
    attribute[attributes == NO_ATTRIBUTE] = np.nan
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


def _curve(hits: np.ndarray, scores: np.ndarray, total: int) -> Curve:
    """Resample precision and confidence to the 101 recall points."""
    true_positives = np.cumsum(hits).astype(float)
    recall = true_positives / total
    points = np.linspace(0, 1, RECALL_POINTS)
    precision = np.interp(points, recall, true_positives / np.arange(1, len(hits) + 1), right=0)
    confidence = np.interp(points, recall, scores, right=0)
    return Curve(precision, confidence)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean up to each position without the NaNs; ones when all are NaN (devkit `cummean`)."""
    known = ~np.isnan(values)
    if not known.any():
        return np.ones(len(values))
    count = np.cumsum(known)
    return np.divide(np.nancumsum(values), count, out=np.zeros(len(values)), where=count != 0)


def average_precision(precision: np.ndarray) -> float:
    """Average precision above the floors of recall and precision, 0..1."""
    above = np.maximum(precision[round(100 * MIN_RECALL) + 1 :] - MIN_PRECISION, 0.0)
    return float(above.mean()) / (1.0 - MIN_PRECISION)
