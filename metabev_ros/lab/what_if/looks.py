"""Looks at a bag: with all sensors, and at the same moments in a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.what_if.failures import Failure
from metabev_ros.lab.what_if.losses import Perceived, Reference, Tally, sure
from metabev_ros.lab.what_if.question import Question, Times
from metabev_ros.lab.what_if.truths import BagTruths
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Sample

SAME_NS = 1_000_000  # stamps this close are of one moment
LATEST_NS = 500_000_000  # a sample later than this is no answer to a moment


@dataclass(frozen=True, eq=False)
class Scene:
    """One moment as a picture shows it.

    Attributes:
        boxes, labels, scores: of the sure boxes.
        layers: (K, Y, X) bool.
        truth: (T, >=7) boxes that had to be found.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    layers: np.ndarray
    truth: np.ndarray


def scene_of(tally: Tally, base: Reference, seen: Perceived, score: float) -> Scene:
    """The moment of a look."""
    boxes = sure(seen.detections, score)
    truth = tally.asked(base, seen).boxes
    return Scene(boxes.boxes, boxes.labels, boxes.scores, seen.layers, truth)


class HealthyLooks:
    """The looks with all sensors."""

    def __init__(
        self, question: Question, pipeline: Pipeline, truths: BagTruths | None, times: Times
    ) -> None:
        self._pipeline, self._truths = pipeline, truths
        self._looks_ns, self._number = times.looks_ns, 0
        self.tally = Tally(pipeline.model, question.score, truths is not None)
        self.score = question.score
        self.references: list[Reference] = []
        self.scenes: list[Scene] = []
        self.used: set[str] = set()

    def take(self, sample: Sample, now_ns: int, offsets: Mapping[str, int]) -> None:
        """Look at a sample if it is time to; see `watch.Take`."""
        due = self._looks_ns[self._number :]
        if not due or now_ns < due[0]:
            return
        truth = None if self._truths is None else self._truths.at(sample, offsets)
        if self._truths is not None and truth is None:
            return  # the next sample may have labels
        self._number += sum(at <= now_ns for at in due)
        seen = Perceived(sample, *SharedRuns(self._pipeline)(sample), truth)
        reference = Reference.of(seen)
        self.tally.add(reference, seen)
        self.references.append(reference)
        self.used.update(sample.used_sensors)
        self.scenes.append(scene_of(self.tally, reference, seen, self.score))


class Moments:
    """Network runs of the moments that some failure has not passed yet."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._runs: dict[int, SharedRuns] = {}

    def run(self, number: int) -> SharedRuns:
        """Those of a moment; equal inputs are run once."""
        return self._runs.setdefault(number, SharedRuns(self._pipeline))

    def forget(self, before: int) -> None:
        """Drop the moments that all failures have passed."""
        for number in [n for n in self._runs if n < before]:
            del self._runs[number]


class FailureLooks:
    """The looks of one failure, at the moments of the run with all sensors."""

    def __init__(
        self,
        failure: Failure,
        base: HealthyLooks,
        truths: BagTruths | None,
        moments: Moments,
        shown: int,
    ) -> None:
        self.failure, self._base, self._truths = failure, base, truths
        self._moments, self._shown = moments, shown
        self.tally = Tally(base.tally.model, base.score, truths is not None)
        self.number = 0
        self.scene: Scene | None = None

    def take(self, sample: Sample, now_ns: int, offsets: Mapping[str, int]) -> None:
        """Look at a sample if it is the first one of a moment; see `watch.Take`."""
        references = self._base.references
        while self.number < len(references) and sample.stamp_ns >= self._limit_ns():
            self._miss()
        if self.number == len(references):
            return
        reference = references[self.number]
        if sample.stamp_ns < reference.sample.stamp_ns - SAME_NS:
            return
        truth = (
            None if self._truths is None else self._truths.at(sample, offsets, reference.points)
        )
        seen = Perceived(sample, *self._moments.run(self.number)(sample), truth)
        self.tally.add(reference, seen)
        if self.number == self._shown:
            self.scene = scene_of(self.tally, reference, seen, self._base.score)
        self.number += 1

    @property
    def looks(self) -> int:
        """Number of moments."""
        return len(self._base.references)

    def _limit_ns(self) -> int:
        """Stamp from which on a sample answers a later moment, or none."""
        stamps = [r.sample.stamp_ns for r in self._base.references[self.number :][:2]]
        later = [stamp - SAME_NS for stamp in stamps[1:]]
        return min([stamps[0] + LATEST_NS, *later])

    def _miss(self) -> None:
        self.tally.add_silence(self._base.references[self.number])
        self.number += 1

    def finish(self) -> None:
        """Count the moments for which nothing came."""
        while self.number < len(self._base.references):
            self._miss()
