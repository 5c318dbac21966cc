"""Counts of what is perceived, and of what is lost of it, over the moments that were looked at."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import inverse_rigid, transform_points, wrap_angle
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.detection import TP_DISTANCE_M, DetectionEvaluator
from metabev_ros.lab.evaluation.score import Score, ScoreResult
from metabev_ros.lab.what_if.truths import Points
from metabev_ros.structures import Detections, Modality, ModelInfo, Sample

REACHES_M = (15.0, 30.0, 50.0)  # distances from the vehicle up to which boxes are counted
MAP_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Perceived:
    """A sample and what the network made of it.

    Attributes:
        map_probabilities: (K, Y, X).
        truth: labels at the sample's stamp; None without.
    """

    sample: Sample
    detections: Detections
    map_probabilities: np.ndarray
    truth: GroundTruth | None

    @property
    def layers(self) -> np.ndarray:
        """(K, Y, X) bool cells that reach MAP_THRESHOLD."""
        return self.map_probabilities >= MAP_THRESHOLD


@dataclass(frozen=True, eq=False)
class Reference:
    """Part of a look with all sensors that is kept, to compare others with.

    Attributes:
        sample: without its pixels and points.
        layers: (K, Y, X) bool cells of the map.
        points: of its sweep.
    """

    sample: Sample
    detections: Detections
    layers: np.ndarray
    truth: GroundTruth | None
    points: Points

    @classmethod
    def of(cls, seen: Perceived) -> Reference:
        """The part of a look that is kept."""
        bare = dataclasses.replace(seen.sample, cameras={}, sweep=None, modality=Modality.NONE)
        points = Points.of(seen.sample)
        return cls(bare, seen.detections, seen.layers, seen.truth, points)


def motion_between(target: Sample, source: Sample) -> np.ndarray:
    """(4, 4) float64 ego(target)_from_ego(source); that of standing still where nobody knows."""
    for frame, rest_from_source in source.ego_poses.items():
        rest_from_target = target.ego_poses.get(frame)
        if rest_from_target is not None:
            return inverse_rigid(rest_from_target) @ rest_from_source
    return np.eye(4)


def moved_boxes(boxes: np.ndarray, target: Sample, source: Sample) -> np.ndarray:
    """(M, 9) boxes of one sample as they should stand in another, at their velocity."""
    moved = boxes.astype(np.float64)
    if not len(moved) or target.stamp_ns == source.stamp_ns:
        return moved
    pose = motion_between(target, source)
    moved[:, :2] += np.nan_to_num(moved[:, 7:9]) * ((target.stamp_ns - source.stamp_ns) / 1e9)
    moved[:, :3] = transform_points(pose, moved[:, :3])
    moved[:, 6] = wrap_angle(moved[:, 6] + np.arctan2(pose[1, 0], pose[0, 0]))
    moved[:, 7:9] = moved[:, 7:9] @ pose[:2, :2].T
    return moved


def sure(detections: Detections, score: float) -> Detections:
    """Those of at least a score."""
    kept = detections.scores >= score
    return Detections(detections.boxes[kept], detections.scores[kept], detections.labels[kept])


@dataclass(frozen=True)
class Share:
    """Something that was there, and how much of it is left: boxes, or square metres.

    Attributes:
        before: with all sensors.
        after: in the failure.
    """

    before: float
    after: float

    @property
    def lost(self) -> float:
        """Lost share, 0..1; below 0 where more was found than before, NaN without anything."""
        return 1 - self.after / self.before if self.before else float('nan')


class Tally:
    """Collects the looks of one failure, or those with all sensors.

    Boxes count up to the distances that nuScenes asks for their classes (30 to 50 m).

    Args:
        model: of the map's classes and cells.
        score: boxes below it are not counted.
        is_labelled: count against labels, and score too; else against the run with all sensors.

    Attributes:
        model: as given.
        looks: moments.
        silent: those at which nothing came out.
        unlabelled: those whose sample has no labels near, though the one with all sensors has.
        branches: modality name -> moments.
    """

    def __init__(self, model: ModelInfo, score: float, is_labelled: bool) -> None:
        self.model, self._score = model, score
        self._boxes = DetectionEvaluator()
        self._scores = Score() if is_labelled else None
        self._cells = np.zeros(len(model.map_classes), np.int64)
        self.looks = self.silent = self.unlabelled = 0
        self.branches: Counter[str] = Counter()

    def add(self, base: Reference, found: Perceived) -> None:
        """Add one moment: `found` in the failure, `base` with all sensors."""
        self.looks += 1
        self.branches[found.sample.modality.name] += 1
        boxes = sure(found.detections, self._score)
        self._boxes.add(boxes, self.asked(base, found))
        self._cells += (base.layers & self._seen_from(base, found)).sum(axis=(1, 2))
        if self._scores is None:
            return
        if found.truth is None:
            self.unlabelled += 1
        else:
            self._scores.add(found.detections, found.map_probabilities, found.truth)

    def add_silence(self, base: Reference) -> None:
        """Add a moment at which nothing came out."""
        self.looks += 1
        self.silent += 1
        self.branches[Modality.NONE.name] += 1
        nothing = Detections(
            np.zeros((0, 9), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        )
        self._boxes.add(nothing, self._asked(base, base.sample, base.truth))
        if self._scores is not None and base.truth is not None:
            self._scores.add(nothing, np.zeros(base.layers.shape, np.float32), base.truth)

    def asked(self, base: Reference, found: Perceived) -> GroundTruth:
        """Objects that have to be found: the labels, else the sure boxes with all sensors."""
        return self._asked(base, found.sample, found.truth)

    def _asked(self, base: Reference, sample: Sample, truth: GroundTruth | None) -> GroundTruth:
        truth = base.truth if truth is None else truth
        if self._scores is not None and truth is not None:
            return truth
        boxes = sure(base.detections, self._score)
        count = len(boxes)
        return GroundTruth(
            moved_boxes(boxes.boxes, sample, base.sample),
            boxes.labels,
            np.ones(count, np.int64),
            np.full(count, np.nan, np.float32),
            np.full(count, -1, np.int64),
            base.layers,
        )

    def _seen_from(self, base: Reference, found: Perceived) -> np.ndarray:
        """(K, Y, X) bool: which cells of the map with all sensors the other map has too."""
        layers = found.layers
        if found.sample.stamp_ns == base.sample.stamp_ns:
            return layers
        grid = self.model.map_grid
        centres = grid.centres().reshape(-1, 2)
        flat = np.c_[centres, np.zeros(len(centres))]
        index = grid.cell_index(
            transform_points(motion_between(found.sample, base.sample), flat)[:, :2]
        )
        padded = np.concatenate([layers.reshape(len(layers), -1), np.zeros((len(layers), 1))], 1)
        return padded[:, index].reshape(layers.shape).astype(bool)  # outside of the grid: -1

    # ------------------------------------------------------------------------------- figures
    def found(self) -> np.ndarray:
        """(K, R) int: boxes of what had to be found that were, by class, up to REACHES_M."""
        counts = np.zeros((len(self.model.detection_classes), len(REACHES_M)), np.int64)
        for label in range(len(counts)):
            _, _, true = self._boxes.pairs(label, TP_DISTANCE_M)
            away = np.hypot(true[:, 0], true[:, 1])
            counts[label] = [(away < reach).sum() for reach in REACHES_M]
        return counts

    def extra(self) -> int:
        """Number of sure boxes where there is nothing to be found."""
        return int(self._boxes.counts().detections.sum() - self.found()[:, -1].sum())

    def area(self) -> np.ndarray:
        """(K,) square metres of the map with all sensors that are seen."""
        return self._cells * self.model.map_grid.cell**2

    def scores(self) -> ScoreResult | None:
        """Against the labels; None without."""
        return None if self._scores is None else self._scores.result()
