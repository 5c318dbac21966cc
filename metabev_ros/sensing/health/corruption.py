"""Corruption of one sensor: bad frames in a row, and frames that no calibration places."""

from __future__ import annotations

from metabev_ros.structures import SensorState

_BAD_UNTIL_LOST = 2


class Corruption:
    """Flaws of the newest frames; a sound frame ends them.

    Attributes:
        held: UNCALIBRATED or NO_TF since a frame could not be placed, else None.
    """

    def __init__(self) -> None:
        self.held: SensorState | None = None
        self._in_a_row = 0  # bad frames
        self._state = SensorState.INVALID  # of the newest of them
        self._arrival_ns = 0  # of the newest of them

    def add(self, state: SensorState, arrival_ns: int) -> bool:
        """Count a bad frame, INVALID or FROZEN; whether that is one too many.

        FROZEN is: it takes several identical frames to be that.
        """
        self._in_a_row += 1
        self._state, self._arrival_ns = state, arrival_ns
        return state is SensorState.FROZEN or self._in_a_row >= _BAD_UNTIL_LOST

    def end(self) -> None:
        """Begin to count anew: a sound frame came."""
        self._in_a_row, self.held = 0, None

    def is_recent(self, now_ns: int, within_ns: int) -> bool:
        """Tell whether the newest frame is bad and came less than `within_ns` ago."""
        return self._in_a_row > 0 and now_ns - self._arrival_ns < within_ns

    def new_epoch(self, now_ns: int, period_ns: int) -> None:
        """Place the newest bad frame a period before `now_ns` of the new clock."""
        self._arrival_ns = now_ns - period_ns

    @property
    def bad(self) -> SensorState | None:
        """INVALID or FROZEN while the newest frame is bad, else None."""
        return self._state if self._in_a_row else None
