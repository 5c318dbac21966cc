"""Labels brought to the stamp of a sample, in the ego frame there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.geometry import rotation_z, transform_points, wrap_angle
from metabev_ros.lab.datasets.sources.label_frames import STILL_NS, FrameLog
from metabev_ros.lab.datasets.sources.labels import Labels

MOST_APART_NS = 1_000_000_000  # between two labels of a track that lead from one to the other
VELOCITY_NS = 1_500_000_000  # as nuScenes: labels farther apart tell no velocity


@dataclass(frozen=True, eq=False)
class PlacedLabels:
    """Labels in the ego frame at the stamp of a sample.

    Attributes:
        labels: what they were; as many rows.
        boxes: (M, 9) float64 as in `GroundTruth`.
        rotations: (M, 3, 3) float64 ego_from_box.
        is_known: (M,) bool; False where nobody knows how the object moved until the stamp.
        is_moved: the boxes were brought to another stamp than their own.
    """

    labels: Labels
    boxes: np.ndarray
    rotations: np.ndarray
    is_known: np.ndarray
    is_moved: bool = False

    def counts(self, points: np.ndarray) -> np.ndarray:
        """(M,) int64 points of (P, 3) in each box, whose tilt counts too."""
        order = points[np.argsort(points[:, 0])]
        reach = np.linalg.norm(self.boxes[:, 3:6], axis=1) / 2
        first = np.searchsorted(order[:, 0], self.boxes[:, 0] - reach)
        last = np.searchsorted(order[:, 0], self.boxes[:, 0] + reach, 'right')
        result = np.zeros(len(self.boxes), np.int64)
        for row, (box, turn) in enumerate(zip(self.boxes, self.rotations, strict=True)):
            inside = (order[first[row] : last[row]] - box[:3]) @ turn
            result[row] = (np.abs(inside) <= box[3:6] / 2).all(1).sum()
        return result


class LabelTrack:
    """The labels of a drive at any stamp near them.

    Args:
        labels: by rising stamps.
        tolerance_ns: farther from any label a sample has none.
    """

    def __init__(self, labels: Sequence[Labels], frames: FrameLog, tolerance_ns: int) -> None:
        self._labels, self._frames, self._tolerance = list(labels), frames, tolerance_ns
        self._stamps = [one.stamp_ns for one in self._labels]
        self._ego = frames.ego_frame
        self._where: dict[int, list[tuple[int, int]]] = {}  # track -> (number of labels, row)
        for number, one in enumerate(self._labels):
            for row, track in enumerate(one.tracks.tolist()):
                if track >= 0:
                    self._where.setdefault(track, []).append((number, row))

    def at(self, stamp_ns: int, header_ns: int) -> PlacedLabels | str:
        """The labels at a stamp, or why there are none.

        Args:
            stamp_ns: of the sample.
            header_ns: what its leading sensor's clock said; labels of exactly that are meant.
        """
        number = self._exact(header_ns)
        if number is not None:
            return self._of(number, stamp_ns, stamp_ns - header_ns)
        number = self._nearest(stamp_ns)
        if number is None or abs(stamp_ns - self._stamps[number]) > self._tolerance:
            return f'no labels within {self._tolerance / 1e6:g} ms'
        after_ns = stamp_ns - self._stamps[number]
        here = self._of(number, stamp_ns, 0)
        if isinstance(here, str) or abs(after_ns) <= STILL_NS:
            return here
        return replace(self._moved(number, here, stamp_ns, after_ns), is_moved=True)

    def _exact(self, stamp_ns: int) -> int | None:
        number = bisect_left(self._stamps, stamp_ns)
        is_there = number < len(self._stamps) and self._stamps[number] == stamp_ns
        return number if is_there else None

    def _nearest(self, stamp_ns: int) -> int | None:
        after = bisect_left(self._stamps, stamp_ns)
        near = [number for number in (after - 1, after) if 0 <= number < len(self._stamps)]
        return min(near, key=lambda n: abs(self._stamps[n] - stamp_ns), default=None)

    # ---------------------------------------------------------------------------------- placing
    def _of(self, number: int, stamp_ns: int, clock_ns: int) -> PlacedLabels | str:
        """Labels as they stood at their own stamp, with velocities where tracks tell them."""
        labels = self._labels[number]
        here = self._place(number, stamp_ns, clock_ns)
        if isinstance(here, str):
            return here
        boxes, rotations = here
        seen: dict[int, np.ndarray | None] = {number: boxes}
        for row in np.flatnonzero(np.isnan(boxes[:, 7]) & (labels.tracks >= 0)).tolist():
            boxes[row, 7:9] = self._velocity(number, row, stamp_ns, clock_ns, seen)
        return PlacedLabels(labels, boxes, rotations, np.ones(len(boxes), bool))

    def _place(
        self, number: int, stamp_ns: int, clock_ns: int
    ) -> tuple[np.ndarray, np.ndarray] | str:
        """(M, 9) boxes and (M, 3, 3) turns in the ego frame at a stamp; nothing moves."""
        labels = self._labels[number]
        boxes, rotations = labels.boxes.copy(), labels.rotations.copy()
        for frame, placed_ns in set(zip(labels.frames, labels.placed_ns.tolist(), strict=True)):
            rows = self._rows(labels, frame, placed_ns)
            then_ns = placed_ns + clock_ns
            if frame.lstrip('/') == self._ego and then_ns == stamp_ns:
                continue  # not a bit is changed
            ego_then_from_frame = self._frames.ego_from(frame, then_ns)
            motion = self._frames.motion(stamp_ns, then_ns)
            if ego_then_from_frame is None:
                return f'no transform from {frame[:64]!r} to the ego frame'
            if motion is None:
                return 'no ego motion between labels and sample'
            pose = motion @ ego_then_from_frame
            boxes[rows, :3] = transform_points(pose, boxes[rows, :3])
            rotations[rows] = pose[:3, :3] @ rotations[rows]
            boxes[rows, 6] = np.arctan2(rotations[rows, 1, 0], rotations[rows, 0, 0])
            flat = np.c_[boxes[rows, 7:9], np.zeros(len(rows))]
            boxes[rows, 7:9] = (flat @ pose[:3, :3].T)[:, :2]
        return boxes, rotations

    @staticmethod
    def _rows(labels: Labels, frame: str, placed_ns: int) -> np.ndarray:
        is_in = np.array([name == frame for name in labels.frames], bool)
        return np.flatnonzero(is_in & (labels.placed_ns == placed_ns))

    def _centres(
        self, number: int, stamp_ns: int, clock_ns: int, seen: dict[int, np.ndarray | None]
    ) -> np.ndarray | None:
        if number not in seen:
            found = self._place(number, stamp_ns, clock_ns)
            seen[number] = None if isinstance(found, str) else found[0]
        return seen[number]

    def _velocity(
        self,
        number: int,
        row: int,
        stamp_ns: int,
        clock_ns: int,
        seen: dict[int, np.ndarray | None],
    ) -> np.ndarray:
        """(2,) m/s from the labels of the same track before and after; NaN where none is near."""
        track = int(self._labels[number].tracks[row])
        places = self._where[track]
        index = bisect_left(places, (number, row))
        ends: list[tuple[int, np.ndarray]] = []
        for step in (-1, 1):
            other = index + step
            if not 0 <= other < len(places):
                continue
            their_number, their_row = places[other]
            apart = abs(self._stamps[their_number] - self._stamps[number])
            boxes = self._centres(their_number, stamp_ns, clock_ns, seen)
            if their_number != number and apart <= VELOCITY_NS and boxes is not None:
                ends.append((self._stamps[their_number], boxes[their_row, :2]))
        own = seen[number]
        if not ends or own is None:
            return np.full(2, np.nan)
        if len(ends) == 1:
            ends.append((self._stamps[number], own[row, :2]))
        (first_ns, first), (second_ns, second) = sorted(ends, key=lambda end: end[0])
        return (second - first) / ((second_ns - first_ns) / 1e9)

    # ---------------------------------------------------------------------------------- moving
    def _moved(
        self, number: int, here: PlacedLabels, stamp_ns: int, after_ns: int
    ) -> PlacedLabels:
        """Move each box to a stamp: between two labels of its track, else with its velocity."""
        boxes, is_known = here.boxes, here.is_known
        velocity = boxes[:, 7:9].copy()
        known = np.isfinite(velocity).all(1)
        boxes[known, :2] += velocity[known] * (after_ns / 1e9)
        is_known &= known
        other = number + (1 if after_ns > 0 else -1)
        if not 0 <= other < len(self._labels):
            return here
        apart_ns = self._stamps[other] - self._stamps[number]
        there = self._place(other, stamp_ns, 0)
        if abs(apart_ns) > MOST_APART_NS or isinstance(there, str):
            return here
        share = after_ns / apart_ns
        start = self._place(number, stamp_ns, 0)
        rows = {t: r for r, t in enumerate(self._labels[other].tracks.tolist()) if t >= 0}
        if isinstance(start, str):
            return here
        for row, track in enumerate(here.labels.tracks.tolist()):
            if track in rows:
                begin, end = start[0][row], there[0][rows[track]]
                boxes[row, :3] = begin[:3] + share * (end[:3] - begin[:3])
                turn = share * float(wrap_angle(end[6:7] - begin[6:7])[0])
                boxes[row, 6] = wrap_angle(begin[6:7] + turn)[0]
                here.rotations[row] = rotation_z(turn) @ here.rotations[row]
                is_known[row] = True
        return here
