"""Checks of content: faults that the data itself shows, as tables of measures and thresholds."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from operator import ge, gt, le, lt
from typing import Generic, TypeVar

import numpy as np

from metabev_ros.sensing import measures
from metabev_ros.sensing.measures import Comparison, Picture, PointCount, SweepShape
from metabev_ros.structures import SensorState

MOST_POINTS = 300_000  # of a sweep that are used: the latency of what follows is bounded
IDENTICAL, CLIPPED = 'identical', 'clipped'  # checks that no table holds
REMEMBERED = 10  # frames that a frame may repeat
_POINT_STEP = 17  # of the points that a fingerprint looks at
_HISTORY = 20  # sound sweeps that the usual one is made of
_WARM_UP = 5  # of them, until a sweep is held against them

Look = TypeVar('Look')


@dataclass(frozen=True)
class Verdict:
    """Result of the checks.

    Attributes:
        state: OK, SUSPECT (use, but flag), INVALID or FROZEN (do not use).
        reason: the same for a person, '' for OK.
        check: name of the check that said so, '' for none.
    """

    state: SensorState = SensorState.OK
    reason: str = ''
    check: str = ''


GOOD = Verdict()


@dataclass(frozen=True)
class Check(Generic[Look]):
    """One fault of content; at least one of the two thresholds is given.

    Attributes:
        name: identifier of the fault, for programs.
        measure: the number that is judged.
        is_beyond: (value, threshold) -> whether the value is worse than the threshold allows.
        words: the reason that a person reads, with `{value}` and fields of `{look}`.
        suspect_at: threshold of SUSPECT.
        invalid_at: threshold of INVALID.
        invalid_after: frames in a row beyond `invalid_at` until INVALID.
    """

    name: str
    measure: Callable[[Look], float]
    is_beyond: Callable[[float, float], bool]
    words: str
    _: KW_ONLY
    suspect_at: float | None = None
    invalid_at: float | None = None
    invalid_after: int = 1

    def exceeds(self, value: float, threshold: float | None) -> bool:
        """Tell whether there is that threshold and the value is beyond it."""
        return threshold is not None and self.is_beyond(value, threshold)


# The order is the one they are asked in: the first that finds a fault gives the reason.
IMAGE_CHECKS: tuple[Check[Picture], ...] = (
    Check('dark', measures.flat_level, le, 'dark', suspect_at=5, invalid_at=5, invalid_after=2),
    Check(
        'over_exposed',
        measures.white_share,
        ge,
        'over-exposed: {value:.0%}',
        suspect_at=0.60,
        invalid_at=0.95,
        invalid_after=2,
    ),
    Check('torn', measures.fill_share, ge, 'torn: {value:.0%} fill', suspect_at=0.25),
    Check('noise', measures.noise_share, ge, 'noise: {value:.0%} of the contrast', suspect_at=0.6),
)
COUNT_CHECKS: tuple[Check[PointCount], ...] = (
    Check('empty', measures.usable_points, lt, 'empty', invalid_at=1),
    Check(
        'non_finite', measures.usable_share, lt, 'non-finite: {value:.1%} usable', invalid_at=0.1
    ),
)
SWEEP_CHECKS: tuple[Check[SweepShape], ...] = (
    Check('in_range', measures.share_in_range, lt, 'in range: {value:.1%}', invalid_at=0.1),
)
INTENSITY_CHECKS: tuple[Check[SweepShape], ...] = (
    Check(
        'intensity_high',
        measures.brightness,
        gt,
        'intensity: up to {value:.0f}, expected 0..255: set intensity_scale',
        suspect_at=256,
    ),
    Check(
        'intensity_low',
        measures.measured_brightness,
        le,
        'intensity: up to {value:.2g}, expected 0..255: set intensity_scale',
        suspect_at=1,
    ),
)
PAST_CHECKS: tuple[Check[Comparison], ...] = (
    Check(
        'noise', measures.disorder, gt, 'noise: neighbours {value:.0f} deg apart', invalid_at=45
    ),
    Check(
        'sparse',
        measures.count_share,
        lt,
        'sparse: {look.count} of {look.usual_count:.0f} points',
        suspect_at=0.3,
    ),
    Check('blocked', measures.blocked_angle, ge, 'blocked: {value:.0f} deg', suspect_at=30),
    Check(
        'beams',
        measures.lost_row_share,
        ge,
        'beams: {look.lost_rows} of {look.usual_rows} rows empty',
        suspect_at=1 / 3,
    ),
)


class Judge(Generic[Look]):
    """Asks checks one after the other, and counts frames in a row."""

    def __init__(self, checks: tuple[Check[Look], ...]) -> None:
        self._checks = checks
        self._in_a_row: dict[str, int] = {}  # frames beyond `invalid_at`, by name of the check

    def first_fault(self, look: Look) -> Verdict:
        """Verdict of the first check that finds a fault, else GOOD; the rest begins anew."""
        before, self._in_a_row = self._in_a_row, {}
        for check in self._checks:
            value = check.measure(look)
            if check.exceeds(value, check.invalid_at):
                self._in_a_row[check.name] = before.get(check.name, 0) + 1
            if self._in_a_row.get(check.name, 0) >= check.invalid_after:
                state = SensorState.INVALID
            elif check.exceeds(value, check.suspect_at):
                state = SensorState.SUSPECT
            else:
                continue
            return Verdict(state, check.words.format(value=value, look=look), check.name)
        return GOOD


class FrozenDetector:
    """Counts frames that came before: one again and again, or a few old ones in turn."""

    def __init__(self, frozen_frames: int) -> None:
        self._limit = frozen_frames
        self._past: deque[bytes] = deque(maxlen=REMEMBERED)
        self._repeats = 0  # in a row
        self._farthest = 0  # frames between them and those they repeat, the largest in the row

    def check(self, fingerprint: bytes) -> Verdict:
        """Verdict on a frame by the fingerprint of its content."""
        same = (n for n, past in enumerate(reversed(self._past), 1) if past == fingerprint)
        back = next(same, 0)
        self._past.append(fingerprint)
        self._repeats = self._repeats + 1 if back else 0
        self._farthest = max(self._farthest, back) if back else 0
        count = self._repeats + 1
        reason = f'{count} identical frames'
        if self._farthest > 1:
            reason = f'repeats the frame {self._farthest} before'
        if count >= self._limit:
            return Verdict(SensorState.FROZEN, reason, IDENTICAL)
        if count == self._limit - 1 and count > 1:
            return Verdict(SensorState.SUSPECT, reason, IDENTICAL)
        return GOOD


class ImageCheck:
    """Checks of what the pictures of one camera show."""

    def __init__(self) -> None:
        self._judge = Judge(IMAGE_CHECKS)

    def check(self, picture: Picture) -> Verdict:
        """Verdict on a decoded picture."""
        return self._judge.first_fault(picture)


class CloudCheck:
    """Checks of the LiDAR: each sweep on its own, and against the sound ones before it."""

    def __init__(self, frozen_frames: int) -> None:
        self._frozen = FrozenDetector(frozen_frames)
        self._of_count = Judge(COUNT_CHECKS)
        self._of_sweep = Judge(SWEEP_CHECKS)
        self._of_past = Judge(PAST_CHECKS)
        self._of_intensity = Judge(INTENSITY_CHECKS)
        self._past: deque[SweepShape] = deque(maxlen=_HISTORY)

    def check(self, points: np.ndarray, announced: int) -> Verdict:
        """Verdict on (P, 5) float32 usable points of `announced` points in the message."""
        verdict = self._of_count.first_fault(PointCount(len(points), announced))
        if verdict is not GOOD:
            return verdict
        frozen = self._frozen.check(_fingerprint(points))
        if frozen.state is SensorState.FROZEN:
            return frozen
        sweep = measures.look_at_sweep(points)
        verdict = self._of_sweep.first_fault(sweep)
        if verdict is GOOD and len(self._past) >= _WARM_UP:
            verdict = self._of_past.first_fault(measures.compare(sweep, self._past))
        if verdict is not GOOD:
            return verdict
        self._past.append(sweep)  # only a sound sweep: a fault does not become the norm
        if frozen is not GOOD:
            return frozen
        return self._of_intensity.first_fault(sweep)  # last: it hides nothing


def _fingerprint(points: np.ndarray) -> bytes:
    """A checksum of every 17th of (P, 5) points, and their number.

    Each range that a LiDAR measures has noise, so that two sweeps never agree in a seventeenth of
    their points. The step is prime: one of 16 would see the same beams of a firing always, and a
    beam on flat ground without noise repeats itself while the vehicle moves.
    """
    part = np.ascontiguousarray(points[::_POINT_STEP])
    return zlib.crc32(part.data).to_bytes(4, 'big') + len(points).to_bytes(8, 'big')


def limit_points(
    points: np.ndarray, seconds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None, Verdict]:
    """At most MOST_POINTS of (P, 5) points and their (P,) times, evenly chosen.

    The verdict is SUSPECT where some are left out.
    """
    if len(points) <= MOST_POINTS:
        return points, seconds, GOOD
    chosen = np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)
    reason = f'clipped: {len(points) - MOST_POINTS} points left out'
    verdict = Verdict(SensorState.SUSPECT, reason, CLIPPED)
    return points[chosen], None if seconds is None else seconds[chosen], verdict
