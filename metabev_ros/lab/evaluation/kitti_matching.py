"""Matching and precision of KITTI's official evaluation (`evaluate_object_3d_offline.cpp`).

Truth of the class, and detections, are valid (0), ignored (1) or of no concern (-1). First every
truth takes the best-scored detection above the overlap: the scores of those pairs give at most 41
thresholds, one for each step of recall. Then, at each threshold, every truth takes the detection
that overlaps it most, and precision is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAMPLES = 41  # steps of recall 0, 1/40, ... 1
VALID, IGNORED, OTHER = 0, 1, -1


@dataclass(frozen=True, eq=False)
class FrameMatch:
    """One frame as one class, difficulty and overlap see it.

    Attributes:
        truth: (M,) int VALID, IGNORED or OTHER.
        found: (N,) int the same of detections.
        scores: (N,) float64.
        overlaps: (M, N) float64 IoU.
        least: exclusive limit of an overlap.
    """

    truth: np.ndarray
    found: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray
    least: float

    def candidates(self) -> list[tuple[int, list[tuple[int, float, float]]]]:
        """(flag, [(detection, overlap, score), ...]) of each truth with a detection on it."""
        fits = (
            (self.overlaps > self.least) & (self.found != OTHER) & (self.truth != OTHER)[:, None]
        )
        return [
            (
                int(self.truth[row]),
                [
                    (int(j), float(self.overlaps[row, j]), float(self.scores[j]))
                    for j in np.flatnonzero(fits[row])
                ],
            )
            for row in np.flatnonzero(fits.any(1))
        ]


def matched_scores(frame: FrameMatch) -> list[float]:
    """Scores of the true positives, each truth taking the best-scored detection on it."""
    taken: set[int] = set()
    scores: list[float] = []
    for flag, options in frame.candidates():
        free = [option for option in options if option[0] not in taken]
        if not free:
            continue
        best = max(free, key=lambda option: option[2])  # of equal ones the first
        taken.add(best[0])
        if flag == VALID and frame.found[best[0]] == VALID:
            scores.append(best[2])
    return scores


def score_thresholds(scores: Sequence[float], truths: int) -> list[float]:
    """Scores at which precision is counted: the nearest to each step of recall.

    Args:
        scores: of all true positives of all frames.
        truths: number of valid truths.
    """
    ordered = sorted(scores, reverse=True)
    thresholds: list[float] = []
    recall = 0.0
    for i, score in enumerate(ordered):
        left = (i + 1) / truths
        is_last = i == len(ordered) - 1
        right = left if is_last else (i + 2) / truths
        if right - recall < recall - left and not is_last:
            continue
        thresholds.append(score)
        recall += 1 / (SAMPLES - 1)
    return thresholds


def count_at(
    candidates: list[tuple[int, list[tuple[int, float, float]]]],
    found: np.ndarray,
    threshold: float,
) -> tuple[int, int]:
    """True positives of one frame at a threshold, and valid detections that any truth took.

    Args:
        candidates: of the frame.
        found: (N,) flags of its detections.
    """
    taken: set[int] = set()
    hits, spared = 0, 0
    for flag, options in candidates:
        free = [o for o in options if o[2] >= threshold and o[0] not in taken]
        if not free:
            continue
        valid = [option for option in free if found[option[0]] == VALID]
        # An ignored detection is taken only where there is no valid one.
        best = max(valid, key=lambda option: option[1])[0] if valid else free[0][0]
        taken.add(best)
        if found[best] == VALID:
            spared += 1
            hits += flag == VALID
    return hits, spared


def precision_curve(frames: Sequence[FrameMatch]) -> tuple[np.ndarray, int]:
    """Precision at 41 steps of recall, made to fall, and the number of valid truths.

    Returns:
        (41,) float64; NaN without truth.
    """
    truths = int(sum((frame.truth == VALID).sum() for frame in frames))
    if truths == 0:
        return np.full(SAMPLES, np.nan), 0
    scores = [score for frame in frames for score in matched_scores(frame)]
    thresholds = score_thresholds(scores, truths)
    valid_scores = np.sort(
        np.concatenate([np.zeros(0), *(f.scores[f.found == VALID] for f in frames)])
    )
    listed = [(frame.candidates(), frame.found) for frame in frames]
    listed = [(candidates, found) for candidates, found in listed if candidates]
    precision = np.zeros(SAMPLES)
    for step, threshold in enumerate(thresholds):
        counts = [count_at(candidates, found, threshold) for candidates, found in listed]
        hits, spared = (sum(column) for column in zip(*counts, strict=True))
        above = len(valid_scores) - int(np.searchsorted(valid_scores, threshold))
        wrong = above - spared
        precision[step] = hits / (hits + wrong) if hits + wrong else 0.0
    return np.maximum.accumulate(precision[::-1])[::-1], truths
