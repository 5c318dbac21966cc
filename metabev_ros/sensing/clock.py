"""Jumps of the clock that stamps the data: bag loops, restarts, replayed data."""

from __future__ import annotations

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.health import to_ns

_LIVE_NS = 1_000_000_000


class ClockWatch:
    """Notices that time began anew.

    The lag of a message is its arrival minus its stamp. The smallest lag of the epoch is the
    offset of the two clocks (zero in a vehicle; large when a bag is played without its clock);
    a message that lags `max_latency` more than that is old and not used as current.
    """

    def __init__(self, config: SensingConfig) -> None:
        self._config = config
        self.now_ns = 0
        self.reset()

    def reset(self) -> None:
        """A new epoch."""
        self._offset_ns: int | None = None
        self._heard_ns: dict[str, int] = {}
        self._jumped: dict[str, int] = {}

    def went_back(self, now_ns: int) -> bool:
        """Set the time; True if it went back so far that a new epoch begins."""
        jumped = now_ns < self.now_ns - to_ns(self._config.clock_jump)
        if now_ns > self.now_ns or jumped:
            self.now_ns = now_ns
        return jumped

    def all_went_back(self, name: str, stamp_ns: int, newest_ns: int | None) -> bool:
        """Note a stamp; True once every live sensor's stamps have jumped back.

        One sensor alone must say so twice: one wrong stamp is no new epoch.
        """
        self._heard_ns[name] = self.now_ns
        if newest_ns is None or stamp_ns >= newest_ns - to_ns(self._config.clock_jump):
            self._jumped.pop(name, None)
            return False
        self._jumped[name] = self._jumped.get(name, 0) + 1
        live = [
            other for other, heard in self._heard_ns.items() if self.now_ns - heard <= _LIVE_NS
        ]
        return (
            all(other in self._jumped for other in live)
            and sum(self._jumped[other] for other in live) >= 2
        )

    def check_lag(self, stamp_ns: int) -> None:
        """Refuse what is far behind the other messages of this epoch.

        Raises:
            SensorDataError: 'old'.
        """
        lag = self.now_ns - stamp_ns
        if self._offset_ns is None or lag < self._offset_ns:
            self._offset_ns = lag
        if lag - self._offset_ns > to_ns(self._config.max_latency):
            raise SensorDataError(
                'old', 'header.stamp', 'current data', f'{(lag - self._offset_ns) / 1e9:.1f} s old'
            )
