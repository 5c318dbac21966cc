"""Stamps of one sensor: their order, their period and their rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from metabev_ros.errors import SensorDataError

_KEPT = 20  # stamps that the rate is measured from
_STEPS = 3  # between the newest stamps, that the period is measured from
_LAGS = 5  # of the newest messages, that the next arrival is expected from


def to_ns(seconds: float) -> int:
    """Integer nanoseconds, rounded."""
    return round(seconds * 1e9)


class Stamps:
    """Stamps of the messages that were accepted, in nanoseconds; they increase.

    Attributes:
        nominal_ns: period by the configured rate.
        period_ns: the same, or the measured one where a sensor steadily sends slower.
        newest_ns: the newest stamp, None before the first of an epoch.
        pace_ns: period between arrivals: another one where a bag is played slowly.
    """

    def __init__(self, rate_hz: float) -> None:
        """Begin without stamps, at the nominal rate."""
        self.set_rate(rate_hz)
        self.newest_ns: int | None = None
        self._kept: deque[int] = deque(maxlen=_KEPT)
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._arrivals: deque[int] = deque(maxlen=_STEPS + 1)

    def set_rate(self, rate_hz: float) -> None:
        """Take another nominal rate; the next stamps may still show a slower one."""
        self.nominal_ns = self.period_ns = self.pace_ns = to_ns(1 / rate_hz)

    def check(self, stamp_ns: int) -> None:
        """Refuse an old stamp, or the same one again.

        Raises:
            SensorDataError: 'duplicate' or 'backwards'.
        """
        if self.newest_ns is None:
            return
        if stamp_ns == self.newest_ns:
            raise SensorDataError('duplicate', 'header.stamp', 'a new stamp', str(stamp_ns))
        if stamp_ns < self.newest_ns:
            raise SensorDataError(
                'backwards',
                'header.stamp',
                'a stamp that increases',
                f'{(self.newest_ns - stamp_ns) / 1e9:.3f} s back',
            )

    def add(self, stamp_ns: int, arrival_ns: int) -> None:
        """Take the stamp of an accepted message and measure the period anew."""
        self.newest_ns = stamp_ns
        self._kept.append(stamp_ns)
        self._lags.append(arrival_ns - stamp_ns)
        self._arrivals.append(arrival_ns)
        self.period_ns = self._steady_slow_step(self._kept) or self.nominal_ns
        self.pace_ns = self._steady_slow_step(self._arrivals) or self.period_ns

    def _steady_slow_step(self, times: Sequence[int]) -> int | None:
        """Mean of the newest steps where they are alike and longer than nominal, else None.

        Only a steady slow sensor changes what is expected; random drops and jitter do not.
        """
        if len(times) <= _STEPS:
            return None
        steps = [later - earlier for earlier, later in pairwise(list(times)[-_STEPS - 1 :])]
        is_slow = 1.1 * self.nominal_ns < min(steps) and max(steps) < 5 * self.nominal_ns
        return sum(steps) // len(steps) if is_slow and max(steps) < 1.3 * min(steps) else None

    @property
    def next_due(self) -> tuple[int, int] | None:
        """Stamp of the next message, and when it will have arrived at the latest; None: unknown.

        It is taken to lag as much as the slowest of the newest messages.
        """
        if self.newest_ns is None:
            return None
        stamp_ns = self.newest_ns + self.period_ns
        late_ns = self.pace_ns - self.period_ns  # a bag that is played slowly
        return stamp_ns, stamp_ns + max(self._lags, default=0) + late_ns

    def due_from(self, stamp_ns: int) -> tuple[int, int] | None:
        """The same of the first message that is not before a stamp."""
        if self.next_due is None:
            return None
        stamp, arrival = self.next_due
        more = max(0, -(-(stamp_ns - stamp) // self.period_ns))
        return stamp + more * self.period_ns, arrival + more * self.pace_ns

    @property
    def rate_hz(self) -> float:
        """Rate by the kept stamps, 0 with fewer than two of them."""
        if len(self._kept) < 2:
            return 0.0
        span = self._kept[-1] - self._kept[0]
        return (len(self._kept) - 1) * 1e9 / span if span > 0 else 0.0

    def forget(self) -> None:
        """Forget all stamps: they belong to the clock of an epoch that has ended."""
        self.newest_ns = None
        self._kept.clear()
        self._lags.clear()
        self._arrivals.clear()
        self.pace_ns = self.period_ns
