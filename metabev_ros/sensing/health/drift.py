"""Drift of one sensor's stamps against the reference of the samples."""

from __future__ import annotations

from collections import deque

_SKEWS = 40  # samples whose median skew is compared with that of the first ones


class Drift:
    """Skew of the frames used; a drift is named before frames miss the tolerance.

    The median of the last samples is compared with that of the first ones. More than half of the
    way from there to the edge of the tolerance counts as a drift.

    Attributes:
        flaw: how far the stamps have drifted, '' while that does not count.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self.flaw = ''
        self._tolerance_ns = tolerance_ns
        self._skews: deque[int] = deque(maxlen=_SKEWS)
        self._usual_ns: int | None = None

    def add(self, skew_ns: int) -> None:
        """Take how far a frame that was used lies from the reference, signed."""
        self._skews.append(skew_ns)
        if len(self._skews) < _SKEWS:
            return
        median = sorted(self._skews)[_SKEWS // 2]
        if self._usual_ns is None:
            self._usual_ns = median
        drift = median - self._usual_ns
        edge = self._tolerance_ns if drift > 0 else -self._tolerance_ns
        left = min(abs(edge - self._usual_ns), self._tolerance_ns)
        is_drifting = abs(drift) > left // 2
        self.flaw = f'skew: {drift / 1e6:+.0f} ms since the start' if is_drifting else ''

    def forget(self) -> None:
        """Begin anew: the skews belong to an epoch that has ended."""
        self._skews.clear()
        self._usual_ns, self.flaw = None, ''
