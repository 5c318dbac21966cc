"""The offset of one sensor's clock: a constant of the rig file, or measured at the start."""

from __future__ import annotations

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.health import to_ns

_MESSAGES = 10  # that it is measured from
_WHOLE_NS = 100_000_000  # this close to whole seconds it is a matter of leap seconds
_SECOND_NS = 1_000_000_000


class TimeOffset:
    """Nanoseconds that are added to a sensor's stamps.

    Measured, it is what makes the promptest of the first messages lag as much as those of the
    other sensors; within 0.1 s of whole seconds it is whole (TAI, GPS and UTC differ so).

    Attributes:
        offset_ns: None while it is being measured.
    """

    def __init__(self, seconds: float, is_estimated: bool) -> None:
        self.offset_ns: int | None = None if is_estimated else to_ns(seconds)
        self._is_estimated = is_estimated
        self._lags: list[int] = []

    def apply(self, stamp_ns: int, arrival_ns: int, usual_lag_ns: int) -> int:
        """The stamp on the clock of the others.

        Args:
            stamp_ns: of the message.
            arrival_ns: of the message.
            usual_lag_ns: lag of the other sensors' messages, 0 where there are none.

        Raises:
            SensorDataError: 'measuring' until the offset is known.
        """
        if self.offset_ns is None:
            self._lags.append(arrival_ns - stamp_ns)
            if len(self._lags) < _MESSAGES:
                raise SensorDataError(
                    'measuring',
                    'header.stamp',
                    'a known time offset',
                    f'time offset, message {len(self._lags)} of {_MESSAGES}',
                )
            offset = min(self._lags) - usual_lag_ns
            whole = round(offset / _SECOND_NS) * _SECOND_NS
            self.offset_ns = whole if abs(offset - whole) <= _WHOLE_NS else offset
        return stamp_ns + self.offset_ns

    @property
    def note(self) -> str:
        """A measured offset in words, '' for a given one."""
        if not self._is_estimated or self.offset_ns is None:
            return ''
        return f'time offset {self.offset_ns / 1e9:+.3f} s, measured at the start'
