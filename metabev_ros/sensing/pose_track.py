"""Poses over time that are only believed where the vehicle could have moved like that."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import quaternion_to_rotation, rigid_transform
from metabev_ros.sensing.messages import Quaternion, Vector3

MAX_SPEED = 70.0  # m/s between two poses; faster is a jump, not a drive
MAX_TURN_RATE = 3.0  # rad/s
EXTRAPOLATION_NS = 100_000_000
MAX_ACCELERATION = 20.0  # m/s2, of brakes and bends together
MAX_TURN_ACCELERATION = 10.0  # rad/s2
_NOISE_METRES = 0.1  # what noise may add between two poses, however close in time they are
_NOISE_RADIANS = 0.02
_STEP_METRES = 0.5  # what noise may put a pose beside where the last ones led
_STEP_RADIANS = 0.05
_UNIT_TOLERANCE = 1e-2  # tf2's
_HOLE_NS = 1_000_000_000  # nothing is known between two poses farther apart
_CONFIRM = 3  # poses in a row that must agree before a new track replaces the old one
_KEPT = 512
_SPACING_NS = 4_000_000  # with `_KEPT` poses: 2 s at any rate
_LATELY_NS = 1_000_000_000


class Pose(NamedTuple):
    """parent_from_child as a translation in metres and a unit quaternion."""

    x: float
    y: float
    z: float
    qx: float
    qy: float
    qz: float
    qw: float

    def matrix(self) -> np.ndarray:
        """(4, 4) float64."""
        return rigid_transform(quaternion_to_rotation(*self[3:]), self[:3])


def read_pose(translation: Vector3, rotation: Quaternion, where: str) -> Pose:
    """The pose of a Vector3 or Point and a Quaternion.

    Raises:
        SensorDataError: 'transform'.
    """
    turn = [float(value) for value in (rotation.x, rotation.y, rotation.z, rotation.w)]
    offset = [float(value) for value in (translation.x, translation.y, translation.z)]
    norm = math.hypot(*turn)
    if not abs(norm - 1.0) <= _UNIT_TOLERANCE:
        raise SensorDataError('transform', where, 'a unit quaternion', str(turn))
    if not all(abs(value) < 1e8 for value in offset):
        raise SensorDataError('transform', where, 'a finite translation', str(offset))
    return Pose(*offset, *(value / norm for value in turn))


def interpolate(first: Pose, second: Pose, share: float) -> Pose:
    """Between two poses, linear and slerp; a share beyond 0..1 goes on as before."""
    cosine = sum(a * b for a, b in zip(first[3:], second[3:], strict=True))
    sign = 1.0 if cosine >= 0 else -1.0  # both quaternions of a rotation are the same rotation
    # From the chord: the arc cosine loses the small angles between neighbouring poses.
    chord = math.sqrt(sum((sign * b - a) ** 2 for a, b in zip(first[3:], second[3:], strict=True)))
    angle = 2 * math.asin(min(chord / 2, 1.0))
    if angle < 1e-9:
        begin, end = 1.0 - share, sign * share
    else:
        begin = math.sin((1 - share) * angle) / math.sin(angle)
        end = sign * math.sin(share * angle) / math.sin(angle)
    turn = [begin * a + end * b for a, b in zip(first[3:], second[3:], strict=True)]
    offset = [a + share * (b - a) for a, b in zip(first[:3], second[:3], strict=True)]
    return Pose(*offset, *turn)


def _turned(first: Pose, second: Pose) -> float:
    """Angle between two poses, radians."""
    pairs = list(zip(first[3:], second[3:], strict=True))
    sign = 1.0 if sum(a * b for a, b in pairs) >= 0 else -1.0
    return 4 * math.asin(min(math.sqrt(sum((sign * b - a) ** 2 for a, b in pairs)) / 2, 1.0))


class PoseTrack:
    """The last two seconds of a frame's pose, in stretches without a jump.

    A pose that the last one cannot have led to waits. Once three that wait lead from one to the
    next they become the track: behind a jump as a stretch of their own, and in place of what is
    stamped after them. Until then, and if the old track goes on, they are not used: one pose far
    away or one stamp far ahead costs nothing but itself.

    Attributes:
        problem: what was refused during the last second, in words; '' for nothing.
    """

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._poses: list[Pose] = []
        self._stretches: list[int] = []  # rising; motion is known within one stretch only
        self._waiting: list[tuple[int, Pose]] = []
        self._problem_ns: int | None = None
        self.problem = ''

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose."""
        return self._stamps[-1] if self._stamps else None

    # ----------------------------------------------------------------------------------- adding
    def add(self, stamp_ns: int, pose: Pose, where: str) -> None:
        """Take the next pose if the vehicle can have come there.

        Raises:
            SensorDataError: 'stamp' for one that does not rise, 'implausible' for a jump. Both
                are used later where what follows confirms them.
        """
        if not self._stamps:
            self._append(stamp_ns, pose, 0)
            return
        error = self._error_after_last(stamp_ns, pose, where)
        goes_on = error is None and stamp_ns - self._stamps[-1] <= _HOLE_NS
        # Where two in a row do not fit the last pose, but this one fits them, that was the wrong
        # one, though near enough for this one to fit it as well.
        if goes_on and not (len(self._waiting) >= _CONFIRM - 1 and self._fits(stamp_ns, pose)):
            self._waiting.clear()
            self._append(stamp_ns, pose, self._stretches[-1])
        elif not self._confirm(stamp_ns, pose) and error is not None:
            self.complain(error)
            raise error

    def replace(self, stamp_ns: int, pose: Pose, remember: bool) -> None:
        """Take a pose whatever came before; what is stamped at it or later is forgotten.

        Args:
            remember: False keeps no other pose.
        """
        self._waiting.clear()
        self._cut(stamp_ns if remember else -1)
        self._append(stamp_ns, pose, self._stretches[-1] if self._stretches else 0)

    def complain(self, error: SensorDataError) -> None:
        """Note a refused pose for `problem`."""
        self.problem = f'{error.reason}: {error.got}'
        self._problem_ns = self.newest_ns

    def _error_after_last(self, stamp_ns: int, pose: Pose, where: str) -> SensorDataError | None:
        """Say what is wrong with a pose as the next of the track; None for nothing."""
        last = len(self._stamps) - 1
        error = _step_error(self._stamps[last], self._poses[last], stamp_ns, pose, where)
        first = self._recent(last)
        if error is not None or first == last or stamp_ns - self._stamps[last] > _HOLE_NS:
            return error
        expected, _ = self._between(first, last, stamp_ns)
        seconds = (stamp_ns - self._stamps[last]) / 1e9
        squared = seconds * (stamp_ns - self._stamps[first]) / 1e9 / 2
        metres, radians = math.dist(expected[:3], pose[:3]), _turned(expected, pose)
        if (
            metres <= MAX_ACCELERATION * squared + _STEP_METRES
            and radians <= MAX_TURN_ACCELERATION * squared + _STEP_RADIANS
        ):
            return None
        got = (
            f'{metres:.1f} m and {math.degrees(radians):.0f} deg off after {seconds * 1e3:.0f} ms'
        )
        return SensorDataError('implausible', where, 'a motion that goes on', got)

    def _fits(self, stamp_ns: int, pose: Pose) -> bool:
        """Tell whether the last pose that waits can have led to this one."""
        last_ns, last = self._waiting[-1]
        error = _step_error(last_ns, last, stamp_ns, pose, '')
        return error is None and stamp_ns - last_ns <= _HOLE_NS

    def _confirm(self, stamp_ns: int, pose: Pose) -> bool:
        """Let a pose wait; True once enough of them agree and have become the track."""
        if stamp_ns == (self._waiting[-1][0] if self._waiting else self._stamps[-1]):
            return False  # a repeated message is no new track
        if self._waiting and not self._fits(stamp_ns, pose):
            self._waiting.clear()
        self._waiting.append((stamp_ns, pose))
        if len(self._waiting) < _CONFIRM:
            return False
        self._adopt()
        return True

    def _adopt(self) -> None:
        """Make the poses that wait part of the track, in place of all that is stamped later."""
        first_ns, first = self._waiting[0]
        stretch = self._stretches[-1] + 1
        self._cut(first_ns)
        if self._stamps and first_ns - self._stamps[-1] <= _HOLE_NS:
            error = self._error_after_last(first_ns, first, '')
            stretch = stretch if error else self._stretches[-1]
        for stamp_ns, pose in self._waiting:
            self._append(stamp_ns, pose, stretch)
        self._waiting.clear()

    def _cut(self, stamp_ns: int) -> None:
        """Forget what is stamped at `stamp_ns` or later."""
        keep = bisect_left(self._stamps, stamp_ns)
        del self._stamps[keep:], self._poses[keep:], self._stretches[keep:]

    def _append(self, stamp_ns: int, pose: Pose, stretch: int) -> None:
        if (
            len(self._stamps) > 1
            and self._stretches[-2] == stretch
            and stamp_ns - self._stamps[-2] <= 2 * _SPACING_NS
        ):
            self._cut(self._stamps[-1])
        self._stamps.append(stamp_ns)
        self._poses.append(pose)
        self._stretches.append(stretch)
        if len(self._stamps) > _KEPT + _KEPT // 4:
            del self._stamps[:-_KEPT], self._poses[:-_KEPT], self._stretches[:-_KEPT]
        if self.problem:
            if self._problem_ns is None or stamp_ns < self._problem_ns:
                self._problem_ns = stamp_ns
            elif stamp_ns - self._problem_ns > _LATELY_NS:
                self.problem = ''

    # ---------------------------------------------------------------------------------- asking
    def held(self, stamp_ns: int) -> tuple[Pose, int]:
        """The pose at a stamp, that of the first or last one beyond them; needs one pose.

        Returns:
            The pose, and by how many ns the nearest known one is older than the stamp.
        """
        after = bisect_left(self._stamps, stamp_ns)
        if after == 0 or after == len(self._stamps):
            index = min(after, len(self._stamps) - 1)
            return self._poses[index], stamp_ns - self._stamps[index]
        age, ahead = stamp_ns - self._stamps[after - 1], self._stamps[after] - stamp_ns
        pose = interpolate(self._poses[after - 1], self._poses[after], age / (age + ahead))
        return pose, age if age <= ahead else -ahead

    def moving(self, stamp_ns: int) -> tuple[Pose, int] | None:
        """The pose at a stamp and the number of its stretch; None where it is not known.

        Up to 0.1 s past the end of a stretch its last motion is taken to go on.
        """
        after = bisect_left(self._stamps, stamp_ns)
        if len(self._stamps) < 2 or (after == 0 and self._stamps[0] != stamp_ns):
            return None
        after = after or 1
        if after < len(self._stamps) and self._stretches[after - 1] == self._stretches[after]:
            return self._between(after - 1, after, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[after], self._stretches[after]
        if stamp_ns - self._stamps[after - 1] > EXTRAPOLATION_NS:
            return None
        return self._beyond(after - 1, stamp_ns)

    def _beyond(self, last: int, stamp_ns: int) -> tuple[Pose, int] | None:
        """Go on past the last pose of a stretch."""
        first = self._recent(last)
        return None if first == last else self._between(first, last, stamp_ns)

    def _recent(self, last: int) -> int:
        """The pose of its stretch 0.1 s before the last one, from which the motion goes on.

        From two neighbours alone noise would grow tenfold. The last one itself for a lone pose.
        """
        begin = bisect_left(self._stretches, self._stretches[last])
        recent = bisect_left(self._stamps, self._stamps[last] - EXTRAPOLATION_NS)
        return max(begin, min(recent, last - 1))

    def _between(self, first: int, second: int, stamp_ns: int) -> tuple[Pose, int]:
        begin_ns, end_ns = self._stamps[first], self._stamps[second]
        share = (stamp_ns - begin_ns) / (end_ns - begin_ns)
        pose = interpolate(self._poses[first], self._poses[second], share)
        return pose, self._stretches[second]


def _step_error(
    last_ns: int, last: Pose, stamp_ns: int, pose: Pose, where: str
) -> SensorDataError | None:
    """Say what is wrong with a pose as the next after another; None for nothing."""
    seconds = (stamp_ns - last_ns) / 1e9
    if seconds <= 0:
        return SensorDataError('stamp', where, f'a stamp after {last_ns}', str(stamp_ns))
    metres = math.dist(last[:3], pose[:3])
    if metres > MAX_SPEED * seconds + _NOISE_METRES:
        got = f'{metres:.1f} m in {seconds * 1e3:.0f} ms'
        return SensorDataError('implausible', where, f'at most {MAX_SPEED:.0f} m/s', got)
    radians = _turned(last, pose)
    if radians > MAX_TURN_RATE * seconds + _NOISE_RADIANS:
        got = f'{math.degrees(radians):.0f} deg in {seconds * 1e3:.0f} ms'
        return SensorDataError('implausible', where, f'at most {MAX_TURN_RATE:.0f} rad/s', got)
    return None
