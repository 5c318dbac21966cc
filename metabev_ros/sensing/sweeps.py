"""LiDAR points in the ego frame at one stamp: a sweep without the vehicle's motion, and several.

Every result is made element by element in float32, never by a matrix product, whose last bit
depends on the library and its threads: live, replay and training get the same points.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

Motion = Callable[[int, int], np.ndarray | None]
"""(target_ns, source_ns) -> (4, 4) ego(target)_from_ego(source), None where it is not known."""

MAX_POINT_SECONDS = 0.3  # a point farther from its sweep's stamp has a wrong time
MAX_SWEEP_AGE = 1.5  # seconds
NO_POINT_TIME = 'no per-point time'
_KNOT_SECONDS = 0.005  # between them motion is linear: 0.3 mm off at 100 m and 1 rad/s
_SLOTS = 1024  # between two knots; half of one is 2.5 us: 0.25 mm at 100 m and 1 rad/s
STILL_SECONDS = 0.001  # points this close to the stamp need no motion


def points_in_ego(
    points: np.ndarray,
    seconds: np.ndarray | None,
    stamp_ns: int,
    ego_from_lidar: np.ndarray,
    motion: Motion,
) -> tuple[np.ndarray, str]:
    """Place of every point when it was measured, in the ego frame at the sweep's stamp.

    Args:
        points: (P, 5) float32 `POINT_COLUMNS` in the LiDAR frame.
        seconds: (P,) float32 time of every point after the stamp, negative before it; None where
            the LiDAR does not say.
        ego_from_lidar: (4, 4) float64.
        motion: the vehicle's, like `EgoMotion.motion`.

    Returns:
        (P, 5) float32 in the same order, and why the vehicle's motion during the sweep is still
        in it, in words; '' where it is not.
    """
    if seconds is None:
        return moved_points(points, ego_from_lidar), NO_POINT_TIME
    if not len(points):
        return points.copy(), ''
    low, high = float(seconds.min()), float(seconds.max())
    if not -MAX_POINT_SECONDS <= low <= high <= MAX_POINT_SECONDS:
        note = f'per-point time from {low:+.3f} s to {high:+.3f} s: not used'
        return moved_points(points, ego_from_lidar), note
    farthest = max(abs(low), abs(high))
    if farthest <= STILL_SECONDS:
        return moved_points(points, ego_from_lidar), ''
    knots = max(math.ceil((high - low) / _KNOT_SECONDS), 1) + 1
    poses: list[np.ndarray] = []
    for after in np.linspace(low, high, knots).tolist():
        ego_from_then = motion(stamp_ns, stamp_ns + round(after * 1e9))
        if ego_from_then is None:
            note = f'no ego motion over {farthest * 1e3:.0f} ms'
            return moved_points(points, ego_from_lidar), note
        poses.append(ego_from_then @ ego_from_lidar)
    return _deskewed(points, seconds, low, high, np.array(poses)), ''


def _deskewed(
    points: np.ndarray, seconds: np.ndarray, low: float, high: float, poses: np.ndarray
) -> np.ndarray:
    """Points moved by the pose at their own time, to the nearest 5 microseconds.

    A table of poses that fine is cheap, and looking up in it leaves the points in their order.

    Args:
        poses: (K, 4, 4) float64 at equal steps from `low` to `high` seconds.
    """
    rows = poses[:, :3].reshape(len(poses), 12).T.astype(np.float32)[..., None]
    share = (np.arange(_SLOTS, dtype=np.float32) + np.float32(0.5)) / np.float32(_SLOTS)
    table = (rows[:, :-1] + (rows[:, 1:] - rows[:, :-1]) * share).reshape(3, 4, -1)
    slots = table.shape[-1]
    scale = np.float32(slots / max(high - low, 1e-9))
    slot = ((seconds - np.float32(low)) * scale).astype(np.intp)
    np.minimum(slot, slots - 1, out=slot)
    x, y, z = (np.ascontiguousarray(column) for column in points[:, :3].T)
    result = points.copy()
    for row in range(3):
        result[:, row] = _apply([column.take(slot) for column in table[row]], x, y, z)
    return result


def _apply(
    row: Sequence[np.ndarray] | np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """One row of a transform applied to points, element by element."""
    return row[0] * x + row[1] * y + row[2] * z + row[3]


def moved_points(points: np.ndarray, target_from_source: np.ndarray) -> np.ndarray:
    """(P, 5) float32 points of the source frame in the target frame."""
    result = points.copy()
    _move_into(result, points, target_from_source)
    return result


def _move_into(result: np.ndarray, points: np.ndarray, target_from_source: np.ndarray) -> None:
    matrix = target_from_source.astype(np.float32)
    x, y, z = (np.ascontiguousarray(column) for column in points[:, :3].T)
    for row in range(3):
        result[:, row] = _apply(matrix[row], x, y, z)


class SweepHistory:
    """The newest sweeps of one LiDAR, to be merged into one cloud.

    Args:
        sweeps: how many to merge, the newest one included; 1 or more.
    """

    def __init__(self, sweeps: int) -> None:
        self._wanted = sweeps
        self._sweeps: deque[tuple[int, np.ndarray]] = deque(maxlen=sweeps)  # newest first

    def clear(self) -> None:
        """Forget all sweeps."""
        self._sweeps.clear()

    def add(self, stamp_ns: int, points_in_ego: np.ndarray) -> None:
        """Take a sweep; those with its stamp or a later one are forgotten.

        Args:
            points_in_ego: (P, 5) float32 in the ego frame at `stamp_ns`, time lag 0; kept, not
                copied.
        """
        while self._sweeps and self._sweeps[0][0] >= stamp_ns:
            self._sweeps.popleft()
        self._sweeps.appendleft((stamp_ns, points_in_ego))

    def merged(self, reference_ns: int, motion: Motion) -> tuple[np.ndarray, str]:
        """The newest sweep and those before it in the ego frame at the reference, newest first.

        Returns:
            (P, 5) float32 with the time lag of every sweep in seconds, and which sweeps are
            missing and why, in words; '' where none is.
        """
        if not self._sweeps:
            return np.zeros((0, 5), np.float32), f'{self._wanted} of {self._wanted} sweeps missing'
        if self._wanted == 1 and self._sweeps[0][0] == reference_ns:
            return self._sweeps[0][1], ''
        self._forget_old()
        moves = [self._move(stamp_ns, reference_ns, motion) for stamp_ns, _ in self._sweeps]
        used = [
            (stamp_ns, points, move)
            for (stamp_ns, points), move in zip(self._sweeps, moves, strict=True)
            if move is not None
        ]
        notes: list[str] = []
        if moves[0] is None:  # the newest is what the sample is made of
            used.insert(0, (*self._sweeps[0], np.eye(4)))
            apart = (self._sweeps[0][0] - reference_ns) / 1e6
            notes.append(f'no ego motion over {apart:+.0f} ms')
        if unknown := len(self._sweeps) - len(used):
            notes.append(f'{unknown} of {self._wanted} sweeps left out: no ego motion')
        if missing := self._wanted - len(self._sweeps):
            notes.append(f'{missing} of {self._wanted} sweeps missing')
        return _merge(used, reference_ns), '; '.join(notes)

    def _forget_old(self) -> None:
        newest_ns = self._sweeps[0][0]
        while newest_ns - self._sweeps[-1][0] > MAX_SWEEP_AGE * 1e9:
            self._sweeps.pop()

    @staticmethod
    def _move(stamp_ns: int, reference_ns: int, motion: Motion) -> np.ndarray | None:
        return np.eye(4) if stamp_ns == reference_ns else motion(reference_ns, stamp_ns)


def _merge(sweeps: list[tuple[int, np.ndarray, np.ndarray]], reference_ns: int) -> np.ndarray:
    """One cloud of (stamp, points, reference_from_ego) sweeps, with their time lags."""
    result = np.empty((sum(len(points) for _, points, _ in sweeps), 5), np.float32)
    begin = 0
    for stamp_ns, points, reference_from_ego in sweeps:
        part = result[begin : begin + len(points)]
        part[:] = points
        if stamp_ns != reference_ns:
            _move_into(part, points, reference_from_ego)
        part[:, 4] = (reference_ns - stamp_ns) / 1e9
        begin += len(points)
    return result
