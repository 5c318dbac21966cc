"""All tracks of one moment as arrays: moved in time, corrected, begun, left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import wrap_angle
from metabev_ros.structures import Modality
from metabev_ros.tracking import kalman
from metabev_ros.tracking.motion import CLIMB, LEAST_VARIANCE, MotionTable

STEADY_SIZE = 30.0  # detections of score 1 after which a size moves no slower
TAIL = 20  # places that a tail holds
TAIL_STEP_NS = 150_000_000  # between two of them, at least


@dataclass(frozen=True, eq=False)
class Seen:
    """M detections in the frame at rest.

    Attributes:
        boxes: (M, 9) float64 as in `Detections`, in the frame at rest.
        noise: (M, 3, 3) covariance of the centres.
        yaw_variance: of all headings, square radians.
        scores: (M,) in [0, 1].
        labels: (M,) int64.
        stamp_ns, modality: when, and what they were made from.
    """

    boxes: np.ndarray
    noise: np.ndarray
    yaw_variance: float
    scores: np.ndarray
    labels: np.ndarray
    stamp_ns: int
    modality: Modality

    def take(self, index: np.ndarray) -> Seen:
        """Those of an index or a mask."""
        return dataclasses.replace(
            self,
            boxes=self.boxes[index],
            noise=self.noise[index],
            scores=self.scores[index],
            labels=self.labels[index],
        )


@dataclass(frozen=True, eq=False)
class TrackBank:
    """N tracks, each field with N rows.

    Attributes:
        ids: int64.
        mean, covariance: (N, 5), (N, 5, 5) state of `kalman`.
        yaw, yaw_variance: radians, square radians.
        facing: votes for the way that it faces, less those for the opposite.
        size: (N, 3) length, width, height.
        size_weight: scores that it is the mean of.
        votes: (N, K) scores a class.
        hits: detections.
        first_ns, seen_ns: stamps of the first and of the newest one.
        seen_modality: of the newest one.
        worn: 0 when seen, 1 when the track ends.
        is_believed: whether it had enough detections.
        tail: (N, TAIL, 3) places in the frame at rest, the newest last; NaN before the first.
        tail_ns: stamps of the newest of them.
    """

    ids: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    yaw: np.ndarray
    yaw_variance: np.ndarray
    facing: np.ndarray
    size: np.ndarray
    size_weight: np.ndarray
    votes: np.ndarray
    hits: np.ndarray
    first_ns: np.ndarray
    seen_ns: np.ndarray
    seen_modality: np.ndarray
    worn: np.ndarray
    is_believed: np.ndarray
    tail: np.ndarray
    tail_ns: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 class of the most votes; the lower one of equals."""
        return self.votes.argmax(axis=1)

    def take(self, index: np.ndarray) -> TrackBank:
        """Those of an index or a mask."""
        return TrackBank(*(value[index] for value in self._values()))

    def joined(self, other: TrackBank) -> TrackBank:
        """These, then those of the other."""
        pairs = zip(self._values(), other._values(), strict=True)
        return TrackBank(*(np.concatenate(pair) for pair in pairs))

    def _values(self) -> Iterable[np.ndarray]:
        return (getattr(self, field.name) for field in dataclasses.fields(self))

    def moved(self, seconds: float, motion: MotionTable) -> TrackBank:
        """Places some seconds later, and their uncertainty."""
        labels = self.labels
        mean, covariance = kalman.predict(
            self.mean, self.covariance, seconds, motion.acceleration[labels] ** 2, CLIMB
        )
        yaw_variance = self.yaw_variance + motion.turn[labels] ** 2 * seconds
        return dataclasses.replace(
            self, mean=mean, covariance=covariance, yaw_variance=yaw_variance
        )

    def trailed(self, stamp_ns: int) -> TrackBank:
        """With the places of this stamp at the end of those tails that are due."""
        due = stamp_ns - self.tail_ns >= TAIL_STEP_NS
        tail = self.tail.copy()
        tail[due, :-1], tail[due, -1] = self.tail[due, 1:], self.mean[due, :3]
        return dataclasses.replace(self, tail=tail, tail_ns=np.where(due, stamp_ns, self.tail_ns))

    def seen_as(self, seen: Seen, confirm_hits: int) -> TrackBank:
        """Each with the detection of the same row."""
        mean, covariance = kalman.correct(
            self.mean, self.covariance, seen.boxes[:, :3], seen.noise
        )
        yaw, yaw_variance, facing = self._turned_to(seen)
        weight = np.minimum(self.size_weight, STEADY_SIZE)
        share = (seen.scores / (weight + seen.scores))[:, None]
        votes = self.votes.copy()
        votes[np.arange(len(self)), seen.labels] += seen.scores
        hits = self.hits + 1
        return dataclasses.replace(
            self,
            mean=mean,
            covariance=covariance,
            yaw=yaw,
            yaw_variance=yaw_variance,
            facing=facing,
            size=self.size + share * (seen.boxes[:, 3:6] - self.size),
            size_weight=weight + seen.scores,
            votes=votes,
            hits=hits,
            seen_ns=np.full(len(self), seen.stamp_ns, np.int64),
            seen_modality=np.full(len(self), int(seen.modality), np.int64),
            worn=np.zeros(len(self)),
            is_believed=self.is_believed | (hits >= confirm_hits),
        )

    def _turned_to(self, seen: Seen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Heading, its variance and the votes for it, after a detection each.

        A box that faces the other way is turned round before it corrects the heading (AB3DMOT,
        section 4.1), and votes against it; where more vote against it, the object faces back.
        """
        off = wrap_angle(seen.boxes[:, 6] - self.yaw)
        is_back = np.abs(off) > np.pi / 2
        off = np.where(is_back, wrap_angle(off + np.pi), off)
        gain = self.yaw_variance / (self.yaw_variance + seen.yaw_variance)
        facing = self.facing + np.where(is_back, -seen.scores, seen.scores)
        yaw = wrap_angle(self.yaw + gain * off + np.where(facing < 0, np.pi, 0.0))
        return yaw, (1 - gain) * self.yaw_variance, np.abs(facing)


def begun(seen: Seen, ids: np.ndarray, motion: MotionTable, confirm_hits: int) -> TrackBank:
    """A track of each detection.

    Args:
        ids: (M,) int64.
    """
    count = len(ids)
    rows = np.arange(count)
    covariance = np.zeros((count, kalman.STATE, kalman.STATE))
    covariance[:, : kalman.MEASURED, : kalman.MEASURED] = seen.noise
    for place in range(kalman.MEASURED, kalman.STATE):
        covariance[:, place, place] = motion.speed[seen.labels] ** 2
    votes = np.zeros((count, len(motion.group)))
    # Of two classes without any score the first would win: a score of 0 votes as well.
    votes[rows, seen.labels] = np.maximum(seen.scores, LEAST_VARIANCE)
    stamps = np.full(count, seen.stamp_ns, np.int64)
    tail = np.full((count, TAIL, 3), np.nan)
    tail[:, -1] = seen.boxes[:, :3]
    return TrackBank(
        ids=ids,
        mean=seen.boxes[:, [0, 1, 2, 7, 8]],
        covariance=covariance,
        yaw=seen.boxes[:, 6],
        yaw_variance=np.full(count, seen.yaw_variance),
        facing=seen.scores,
        size=seen.boxes[:, 3:6],
        size_weight=np.maximum(seen.scores, LEAST_VARIANCE),
        votes=votes,
        hits=np.ones(count, np.int64),
        first_ns=stamps,
        seen_ns=stamps,
        seen_modality=np.full(count, int(seen.modality), np.int64),
        worn=np.zeros(count),
        is_believed=np.full(count, confirm_hits <= 1),
        tail=tail,
        tail_ns=stamps,
    )


def empty_bank(motion: MotionTable) -> TrackBank:
    """No tracks of this many classes."""
    nothing = Seen(
        np.zeros((0, 9)),
        np.zeros((0, 3, 3)),
        1.0,
        np.zeros(0),
        np.zeros(0, np.int64),
        0,
        Modality.NONE,
    )
    return begun(nothing, np.zeros(0, np.int64), motion, 1)
