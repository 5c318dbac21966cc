"""The clock that stamps the data: how far it is behind, and when it began anew."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.health import to_ns

_LIVE_NS = 1_000_000_000  # a sensor that spoke within this is live
_LAGS = 5  # of each sensor whose median counts
_PATIENCE_NS = 300_000_000  # all live sensors go astray for this long: the clock did


@dataclass
class _Astray:
    """Messages in a row of one sensor whose lag does not fit.

    Attributes:
        ahead: they are too prompt; else too old.
    """

    since_ns: int
    ahead: bool
    count: int = 1


class ClockWatch:
    """Notices that time began anew, and messages that do not belong to this time.

    The lag of a message is its arrival minus its stamp. The offset of the two clocks is the lag
    of the promptest sensor (the median of its newest messages, so that one of them changes
    nothing): zero in a vehicle, large when a bag is played without its clock, negative after the
    node's clock was set back. It follows a slow drift. A message whose lag is far off the offset,
    or that is ahead of the node's clock, is refused. When that happens to all live sensors, in
    one direction and for some time, the clock has stepped and a new epoch begins. Half of them
    are enough where they are prompter than the others and not ahead of the node's clock.

    Args:
        config: tolerances.
        sensors: of the rig. Where there are several, one alone cannot say that the node's clock
            is behind.

    Attributes:
        now_ns: the newest time that was set.
        offset_ns: arrival minus stamp of the promptest sensor; None before the first message.
    """

    def __init__(self, config: SensingConfig, sensors: int) -> None:
        self._config, self._sensors = config, sensors
        self._future_ns = to_ns(config.future_tolerance)
        self.now_ns = 0
        self._stepped_to_ns: int | None = None
        self.reset()

    def reset(self) -> None:
        """A new epoch."""
        self.offset_ns, self._stepped_to_ns = self._stepped_to_ns, None
        self._lags: dict[str, deque[int]] = {}
        self._heard_ns: dict[str, int] = {}
        self._jumped: dict[str, int] = {}
        self._astray: dict[str, _Astray] = {}

    @property
    def ahead_ns(self) -> int:
        """Lead of all stamps over the clock of the node; 0 where there is none."""
        return max(0, -(self.offset_ns or 0))

    @property
    def latest_ns(self) -> int:
        """The latest stamp that is not in the future."""
        return self.now_ns + self.ahead_ns + self._future_ns

    @property
    def note(self) -> str:
        """The same in words; '' where it is within the tolerance."""
        if self.ahead_ns <= self._future_ns:
            return ''
        return f'stamps {self.ahead_ns / 1e9:.1f} s ahead of the clock'

    def went_back(self, now_ns: int) -> bool:
        """Set the time; True if it went back so far that a new epoch begins.

        What was usual before is expected of the new epoch too: when sensors and node go back
        together nothing else changes, and the first message that comes may have a wrong stamp.
        """
        jumped = now_ns < self.now_ns - to_ns(self._config.clock_jump)
        if now_ns > self.now_ns or jumped:
            self.now_ns = now_ns
        if jumped:
            self._stepped_to_ns = self.offset_ns
        return jumped

    def has_stepped(self, name: str, stamp_ns: int, newest_ns: int | None) -> bool:
        """Note a stamp; True once the clock of the live sensors has stepped.

        One sensor alone must say so twice: one wrong stamp is no new epoch.

        Args:
            name: of the sensor.
            stamp_ns: of its message.
            newest_ns: its newest stamp before this one.
        """
        self._heard_ns[name] = self.now_ns
        live = [n for n, heard in self._heard_ns.items() if self.now_ns - heard <= _LIVE_NS]
        return self._all_went_back(name, stamp_ns, newest_ns, live) or self._went_astray(
            name, stamp_ns, live
        )

    def _all_went_back(
        self, name: str, stamp_ns: int, newest_ns: int | None, live: list[str]
    ) -> bool:
        if newest_ns is None or stamp_ns >= newest_ns - to_ns(self._config.clock_jump):
            self._jumped.pop(name, None)
            return False
        self._jumped[name] = self._jumped.get(name, 0) + 1
        return (
            all(other in self._jumped for other in live)
            and sum(self._jumped[other] for other in live) >= 2
        )

    def _went_astray(self, name: str, stamp_ns: int, live: list[str]) -> bool:
        excess = self._excess(stamp_ns)
        if not excess:
            self._astray.pop(name, None)
            return False
        known = self._astray.get(name)
        if known is None or known.ahead != (excess < 0):
            self._astray[name] = _Astray(self.now_ns, excess < 0)
            return False
        known.count += 1
        alike = [
            other
            for other in (self._astray.get(sensor) for sensor in live)
            if other is not None and other.ahead == known.ahead and other.count >= 2
        ]
        lag = self.now_ns - stamp_ns
        is_future = lag < -self._future_ns
        if len(alike) < len(live) and (is_future or excess > 0 or 2 * len(alike) < len(live)):
            return False
        if is_future and len(alike) < min(2, self._sensors):
            return False
        if not alike or self.now_ns - min(a.since_ns for a in alike) < _PATIENCE_NS:
            return False
        self._stepped_to_ns = lag if is_future else None
        return True

    def _excess(self, stamp_ns: int) -> int:
        """Measure how far a lag is off, signed; 0 where that is within what is allowed."""
        lag, offset = self.now_ns - stamp_ns, self.offset_ns
        ahead = lag + self.ahead_ns  # beyond what all are
        if ahead < -self._future_ns:
            return ahead
        off = 0 if offset is None else lag - offset
        return off if abs(off) > to_ns(self._config.max_latency) else 0

    def take(self, name: str, stamp_ns: int) -> int:
        """Take the stamp of a message.

        Returns:
            Nanoseconds that it is ahead of what is usual among the sensors, signed.

        Raises:
            SensorDataError: 'old' or 'future' for one far off the messages of this epoch.
        """
        excess = self._excess(stamp_ns)
        if excess > 0:
            raise SensorDataError(
                'old', 'header.stamp', 'current data', f'{excess / 1e9:.1f} s old'
            )
        if excess < 0:
            raise SensorDataError(
                'future',
                'header.stamp',
                'a stamp that is not in the future',
                f'{-excess / 1e9:.3f} s ahead',
            )
        lag = self.now_ns - stamp_ns
        self._lags.setdefault(name, deque(maxlen=_LAGS)).append(lag)
        usual = sorted(
            sorted(lags)[len(lags) // 2]
            for other, lags in self._lags.items()
            if self.now_ns - self._heard_ns.get(other, self.now_ns) <= _LIVE_NS
        )
        self.offset_ns = usual[0]
        return usual[len(usual) // 2] - lag
