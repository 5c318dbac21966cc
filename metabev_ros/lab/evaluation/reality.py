"""Figures of a few real frames, and how far they are to be believed.

With two to five frames a bootstrap over frames says nothing. What is drawn here are blocks: the
ground of every drive is cut into squares of 10 m, and squares are drawn with replacement, each
with the true objects in it, the boxes that match them and the false ones. Frames of one drive
share their squares, since they show the same objects. The intervals so tell how much hangs on
single objects and clusters of false ones. They say nothing about other places, sensors, weather.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.box_overlap import footprint_iou
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.bootstrap import LEVEL, Interval
from metabev_ros.lab.evaluation.detection import DISTANCES_M, TP_DISTANCE_M, DetectionEvaluator
from metabev_ros.lab.evaluation.matching import TP_ERRORS, Matches, average_precision
from metabev_ros.structures import DETECTION_CLASSES, Detections

BLOCK_M, REACH_M = 10.0, 60.0
BLOCKS_ACROSS = int(2 * REACH_M / BLOCK_M)
RESAMPLES = 1000
SHOWN_SCORE = 0.2  # recall and heading are of boxes from this score on
ASKED_SCORE = 0.3  # false and true cars are counted from this score on
HEADING_LIMIT = math.radians(30)
RANGES_M = ((0.0, 20.0), (20.0, 35.0), (35.0, 50.0))
# x y z length width height yaw of a vehicle whose rear axle is the origin: an overhang of 0.9 m
# behind and a length of 4.6 m suit those of all three data sets within 0.3 m.
OWN_VEHICLE = np.array([[1.4, 0.0, 0.8, 4.6, 1.8, 1.6, 0.0]])
CAR, PEDESTRIAN = DETECTION_CLASSES.index('car'), DETECTION_CLASSES.index('pedestrian')


@dataclass(frozen=True)
class Pairs:
    """Boxes of one class with the true objects that they match, best score first.

    Attributes:
        scores: (N,).
        partner: (N,) row of the true object, -1 for a false box.
        turned: (N,) radians between the axes of box and object, 0..pi/2; NaN for a false box.
        block, truth_block: (N,), (M,) squares of boxes, those of their objects, and of objects.
        distance: (M,) metres of an object from the ego frame's origin.
    """

    scores: np.ndarray
    partner: np.ndarray
    turned: np.ndarray
    block: np.ndarray
    truth_block: np.ndarray
    distance: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """(N,) bool."""
        return self.partner >= 0

    def average_precision(self, times: np.ndarray) -> float:
        """Average precision where square b is there `times[b]` times."""
        rows = np.repeat(np.arange(len(self.scores)), times[self.block])
        errors = np.full((len(rows), len(TP_ERRORS)), np.nan)
        truths = np.bincount(self.truth_block, minlength=len(times)) * times
        matches = Matches(self.scores[rows], self.hits[rows], errors, self.block[rows], truths)
        return average_precision(matches.curve().precision)


class RealFrames:
    """Boxes of one branch on the frames of one data set, and their figures.

    `figures` takes how often each square is there: once, or as a draw of the bootstrap has it.

    Attributes:
        own_centres: boxes whose centre lies in our own vehicle, which is reported there.
        own_boxes: boxes that reach into it, neighbours in the wrong place included.
    """

    def __init__(self) -> None:
        self._evaluator = DetectionEvaluator()
        self._drives: list[str] = []
        self.own_boxes = self.own_centres = 0

    def add(self, drive: str, detections: Detections, truth: GroundTruth) -> None:
        """Add one frame.

        Args:
            drive: frames of one drive share their squares.
        """
        self._evaluator.add(detections, truth)
        self._drives.append(drive)
        if len(detections):
            self.own_boxes += int((footprint_iou(detections.boxes, OWN_VEHICLE) > 0).sum())
            away = np.abs(detections.boxes[:, :2] - OWN_VEHICLE[0, :2])
            self.own_centres += int((away < OWN_VEHICLE[0, 3:5] / 2).all(axis=1).sum())

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self._drives)

    @property
    def blocks(self) -> int:
        """Number of squares of all drives."""
        return len(set(self._drives)) * BLOCKS_ACROSS**2

    def pairs(self, label: int, limit: float) -> Pairs:
        """Match a class: the best score chooses first, and takes the nearest free object.

        Args:
            limit: exclusive, metres between centres.
        """
        arrays = self._evaluator.to_arrays()
        found, sample = _of_class(arrays, 'found', label)
        truth, truth_sample = _of_class(arrays, 'truth', label)
        scores = arrays['found_scores'][arrays['found_labels'] == label]
        order = np.lexsort((np.arange(len(scores)), scores))[::-1]
        found, sample, scores = found[order], sample[order], scores[order]
        partner = _partners(found, sample, truth, truth_sample, limit)
        hits = partner >= 0
        turned = np.full(len(found), np.nan)
        between = found[hits, 6] - truth[partner[hits], 6]
        turned[hits] = np.abs((between + np.pi / 2) % np.pi - np.pi / 2)
        truth_block = self._blocks_of(truth, truth_sample)
        block = self._blocks_of(found, sample)
        block[hits] = truth_block[partner[hits]]
        distance = np.linalg.norm(truth[:, :2], axis=1)
        return Pairs(scores, partner, turned, block, truth_block, distance)

    def _blocks_of(self, boxes: np.ndarray, sample: np.ndarray) -> np.ndarray:
        names = list(dict.fromkeys(self._drives))
        drive = np.array([names.index(name) for name in self._drives], np.int64)[sample]
        cell = np.floor((boxes[:, :2] + REACH_M) / BLOCK_M).astype(np.int64)
        cell = np.clip(cell, 0, BLOCKS_ACROSS - 1)
        return np.asarray(drive * BLOCKS_ACROSS**2 + cell[:, 1] * BLOCKS_ACROSS + cell[:, 0])

    def counts(self) -> dict[str, int]:
        """True objects by class, after the filters of the evaluation."""
        return dict(zip(DETECTION_CLASSES, self._evaluator.counts().truth.tolist(), strict=True))

    def figures(self) -> Callable[[np.ndarray], dict[str, float]]:
        """The figures as a function of how often each square is there, (blocks,) int.

        Names: car.ap_0_5 and its like, pedestrian.ap_2, map, car.heading_off,
        car.recall_0_20 and its like, car.true_0_3, car.false_0_3, car.false_share_0_3. What has no
        objects or boxes behind it is NaN.
        """
        pairs = {
            (label, distance): self.pairs(label, distance)
            for label in range(len(DETECTION_CLASSES))
            for distance in DISTANCES_M
        }
        cars = pairs[CAR, TP_DISTANCE_M]

        def at(times: np.ndarray) -> dict[str, float]:
            ap = {key: pair.average_precision(times) for key, pair in pairs.items()}
            named = {f'car.ap_{d:g}'.replace('0.5', '0_5'): ap[CAR, d] for d in DISTANCES_M}
            named['pedestrian.ap_2'] = ap[PEDESTRIAN, TP_DISTANCE_M]
            named['map'] = float(np.mean(list(ap.values())))
            return named | car_figures(cars, times)

        return at


def _of_class(
    arrays: Mapping[str, np.ndarray], part: str, label: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 9) boxes of a class and (N,) the frame of each."""
    chosen = arrays[f'{part}_labels'] == label
    sample = np.repeat(np.arange(len(arrays[f'{part}_count'])), arrays[f'{part}_count'])
    return arrays[f'{part}_boxes'][chosen], sample[chosen]


def _partners(
    found: np.ndarray,
    sample: np.ndarray,
    truth: np.ndarray,
    truth_sample: np.ndarray,
    limit: float,
) -> np.ndarray:
    """(N,) row of the object that each box takes, -1 for none; the boxes choose in their order."""
    free = np.ones(len(truth), bool)
    partner = np.full(len(found), -1, np.int64)
    for row, box in enumerate(found):
        possible = free & (truth_sample == sample[row])
        if not possible.any():
            continue
        apart = np.where(possible, np.linalg.norm(truth[:, :2] - box[:2], axis=1), np.inf)
        nearest = int(np.argmin(apart))
        if apart[nearest] < limit:
            free[nearest], partner[row] = False, nearest
    return partner


def car_figures(cars: Pairs, times: np.ndarray) -> dict[str, float]:
    """Headings, recall by range, and false beside true cars, of cars matched at 2 m."""
    weight, hits = times[cars.block], cars.hits
    shown, asked = cars.scores >= SHOWN_SCORE, cars.scores >= ASKED_SCORE
    right = float(weight[hits & asked].sum())
    wrong = float(weight[~hits & asked].sum())
    off = hits & shown & (np.nan_to_num(cars.turned) > HEADING_LIMIT)
    figures = {
        'car.heading_off': _share(weight[off].sum(), weight[hits & shown].sum()),
        'car.true_0_3': right,
        'car.false_0_3': wrong,
        'car.false_share_0_3': _share(wrong, right + wrong),
    }
    seen = np.zeros(len(cars.distance), bool)
    seen[cars.partner[hits & shown]] = True
    for near, far in RANGES_M:
        inside = (cars.distance >= near) & (cars.distance < far)
        there = times[cars.truth_block]
        figures[f'car.recall_{near:g}_{far:g}'] = _share(
            there[inside & seen].sum(), there[inside].sum()
        )
    return figures


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float('nan')


def drawn_blocks(blocks: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples, blocks) how often each square is drawn; always the same draws."""
    rng = np.random.default_rng(0)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples)


def intervals(
    sides: Sequence[RealFrames], names: Sequence[str], resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """The named figures of the first side, less those of the second if there is one.

    Both sides are drawn together: the interval of a difference is that of the pair.

    Raises:
        ConfigError: where the sides are of different frames.
    """
    if len({side.blocks for side in sides}) != 1:
        raise ConfigError('intervals', 'sides of the same frames', 'others')
    blocks, functions = sides[0].blocks, [side.figures() for side in sides]

    def value(times: np.ndarray) -> dict[str, float]:
        first, *others = [function(times) for function in functions]
        return {name: first[name] - sum(o[name] for o in others) for name in names}

    whole = value(np.ones(blocks, np.int64))
    draws = [value(times) for times in drawn_blocks(blocks, resamples)]
    tail = 100 * (1 - LEVEL) / 2
    found: dict[str, Interval] = {}
    for name in names:
        known = np.array([d[name] for d in draws if not math.isnan(d[name])] or [math.nan])
        low, high = np.percentile(known, [tail, 100 - tail])
        found[name] = Interval(whole[name], float(low), float(high))
    return found
