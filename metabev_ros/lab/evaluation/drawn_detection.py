"""Detection scores of draws of drives, without making the drawn set.

A draw holds drive i so many times. Its curves follow from the places of the hits and from how
many detections lie between them: everything else of the drawn set is never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.evaluation.detection import (
    DISTANCES_M,
    DetectionEvaluator,
    DetectionResult,
    score_curves,
)
from metabev_ros.lab.evaluation.matching import RECALL_POINTS, Curve, Matches
from metabev_ros.structures import DETECTION_CLASSES


class DrawnDetections:
    """Matches of some drives, made and sorted once; equal to repeating the drives' samples.

    Args:
        drives: evaluators of single drives.
    """

    def __init__(self, drives: Sequence[DetectionEvaluator]) -> None:
        whole = DetectionEvaluator()
        for drive in drives:
            whole.merge(drive)
        self._counts = whole.counts()
        samples = [drive.counts().samples for drive in drives]
        drive_of_sample = np.repeat(np.arange(len(drives)), samples)
        self._classes = [
            _Class.of(
                [whole.matches(label, distance) for distance in DISTANCES_M],
                drive_of_sample,
                len(drives),
            )
            for label in range(len(DETECTION_CLASSES))
        ]

    def result(self, times: np.ndarray) -> DetectionResult:
        """Scores of a draw that holds drive i `times[i]` times, (drives,) int.

        Counts of boxes and samples are those of the drives themselves.
        """
        curves = {
            (label, column): curve
            for label, matched in enumerate(self._classes)
            for column, curve in enumerate(matched.curves(times))
        }
        return score_curves(curves, self._counts)


@dataclass(frozen=True)
class _Class:
    """Detections of one class at all distances.

    Attributes:
        scores, drives: (N,) best first; the drive of each detection.
        truths: (drives,) number of truths.
        hits: per distance, indices of the detections that hit.
        errors: per distance, (hits, 5).
    """

    scores: np.ndarray
    drives: np.ndarray
    truths: np.ndarray
    hits: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, matches: Sequence[Matches], drive_of_sample: np.ndarray, drives: int) -> _Class:
        """From matches of the same detections at every distance."""
        first = matches[0]
        truths = np.bincount(drive_of_sample, first.truths, drives).astype(np.int64)
        return cls(
            first.scores,
            drive_of_sample[first.samples],
            truths,
            tuple(np.flatnonzero(m.hits) for m in matches),
            tuple(m.errors[m.hits] for m in matches),
        )

    def curves(self, times: np.ndarray) -> list[tuple[Curve, Matches]]:
        """Curve and hits of a draw, at every distance."""
        copies, total = times[self.drives], int(self.truths @ times)
        ends = np.cumsum(copies)
        drawn = np.maximum.accumulate(np.where(copies > 0, np.arange(len(copies)), -1))
        return [
            self._curve(hits, errors, copies, ends, drawn, total)
            for hits, errors in zip(self.hits, self.errors, strict=True)
        ]

    def _curve(
        self,
        hits: np.ndarray,
        errors: np.ndarray,
        copies: np.ndarray,
        ends: np.ndarray,
        drawn: np.ndarray,
        total: int,
    ) -> tuple[Curve, Matches]:
        """One curve of a draw.

        Args:
            hits, errors: of this distance.
            copies: (N,) how often each detection is drawn; `ends`: their running sum.
            drawn: (N,) the last detection up to each place that is drawn at all, or -1.
            total: truths of the draw.
        """
        times = copies[hits]
        hits, errors, times = hits[times > 0], errors[times > 0], times[times > 0]
        repeated = _repeated(self.scores[hits], errors, times)
        if total == 0 or not len(hits):
            return Curve.empty(), repeated
        # The copies of a hit come one after the other, and before them lies a miss or a hit.
        last = np.cumsum(times)
        rank = np.arange(1, last[-1] + 1)
        found = np.repeat(ends[hits] - last, times) + rank
        start = last - times
        found_before = ends[hits] - times
        score_before = self.scores[drawn[np.maximum(hits - 1, 0)]]
        true = np.append(np.insert(rank, start, start), last[-1])
        seen = np.append(np.insert(found, start, found_before), ends[-1])
        scores = np.append(np.insert(repeated.scores, start, score_before), self.scores[drawn[-1]])
        real = seen > 0  # nothing lies before a hit that is the very first
        true, seen, scores = true[real], seen[real], scores[real]
        recall = true / total
        points = np.linspace(0, 1, RECALL_POINTS)
        precision = np.interp(points, recall, true / seen, right=0)
        return Curve(precision, np.interp(points, recall, scores, right=0)), repeated


def _repeated(scores: np.ndarray, errors: np.ndarray, times: np.ndarray) -> Matches:
    """The hits alone, each so many times."""
    count = int(times.sum())
    return Matches(
        np.repeat(scores, times),
        np.ones(count, bool),
        np.repeat(errors, times, axis=0),
        np.zeros(count, np.int64),
        np.zeros(0, np.int64),
    )
