"""Admission of one sensor: whether it is lost, how it returns (invariant "Earned return")."""

from __future__ import annotations

from collections import deque

from metabev_ros.config import SensingConfig
from metabev_ros.sensing.health.stamps import to_ns

_GAP = 5  # nominal periods; good frames further apart are not in a row


class Admission:
    """Trust in one sensor.

    The first frames after the start are trusted at once. A lost sensor is used again on the
    `readmit_frames`-th good frame in a row. One that was lost more than `flap_limit` times in
    `flap_window` stays out for `quarantine`.

    Attributes:
        ever: something was accepted since the start; only then can a sensor be lost.
        lost: its frames are not used.
    """

    def __init__(self, nominal_ns: int, config: SensingConfig) -> None:
        self.ever = False
        self.lost = False
        self._config = config
        self.set_period(nominal_ns)
        self._good = 0  # frames in a row since it was lost
        self._losses: deque[int] = deque(maxlen=config.flap_limit + 1)
        self._quarantine_ns: int | None = None  # its end

    def set_period(self, nominal_ns: int) -> None:
        """Take another nominal period."""
        self._gap_ns = _GAP * nominal_ns

    def lose(self, now_ns: int) -> None:
        """Trust the sensor no longer; into quarantine where that happens too often."""
        if self.lost or not self.ever:
            return
        self.lost, self._good = True, 0
        self._losses.append(now_ns)
        window_ns = to_ns(self._config.flap_window)
        recent = [loss_ns for loss_ns in self._losses if now_ns - loss_ns <= window_ns]
        if len(recent) > self._config.flap_limit:
            self._quarantine_ns = now_ns + to_ns(self._config.quarantine)

    def admit(self, arrival_ns: int, gap_ns: int, needed: bool) -> str:
        """Take a good frame.

        Args:
            arrival_ns: of the frame.
            gap_ns: since the message before it.
            needed: too few other sensors are well; a quarantine is not kept.

        Returns:
            Why the frame may not be used yet; '' when it may.
        """
        self.ever = True
        if not self.lost:
            return ''
        if not needed and self.in_quarantine(arrival_ns):
            self._good = 0
            return f'quarantine: {len(self._losses)} losses'
        self._good = 1 if gap_ns > self._gap_ns else self._good + 1
        if self._good < self._config.readmit_frames:
            return f'good frame {self._good} of {self._config.readmit_frames}'
        self.lost = False
        return ''

    def refuse(self) -> None:
        """Begin to count good frames anew: a bad one came."""
        self._good = 0

    def in_quarantine(self, now_ns: int) -> bool:
        """Tell whether the sensor is kept out for having been lost too often."""
        return self.lost and self._quarantine_ns is not None and now_ns < self._quarantine_ns

    @property
    def is_next_trusted(self) -> bool:
        """Tell whether the next good frame brings a lost sensor back."""
        return self._good >= self._config.readmit_frames - 1

    def forget(self) -> None:
        """Forget when the sensor was lost: the times belong to an epoch that has ended."""
        self._losses.clear()
        self._quarantine_ns = None
