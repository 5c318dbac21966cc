"""Drift of one sensor's stamps against the clock of the others."""

from __future__ import annotations

from collections import deque

_SKEWS = 40  # messages whose median skew is compared with that of the first ones


class Drift:
    """Skew of a sensor's stamps; a drift is named before frames miss the tolerance.

    The median of the last messages is compared with that of the first ones. More than half of the
    tolerance counts as a drift. Where a sensor lies between two sweeps says nothing: cameras that
    run freely wander there.

    Attributes:
        flaw: how far the stamps have drifted, '' while that does not count.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self.flaw = ''
        self._tolerance_ns = tolerance_ns
        self._skews: deque[int] = deque(maxlen=_SKEWS)
        self._usual_ns: int | None = None

    def add(self, skew_ns: int) -> None:
        """Take how far a stamp is ahead of what is usual among the sensors, signed."""
        self._skews.append(skew_ns)
        if len(self._skews) < _SKEWS:
            return
        median = sorted(self._skews)[_SKEWS // 2]
        if self._usual_ns is None:
            self._usual_ns = median
        drift = median - self._usual_ns
        is_drifting = abs(drift) > self._tolerance_ns // 2
        self.flaw = f'skew: {drift / 1e6:+.0f} ms since the start' if is_drifting else ''

    def forget(self) -> None:
        """Begin anew: the skews belong to an epoch that has ended."""
        self._skews.clear()
        self._usual_ns, self.flaw = None, ''
