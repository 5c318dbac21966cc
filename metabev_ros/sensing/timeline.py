"""The time that the sensors of one rig share: their clock, its epochs, and the synchroniser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.clock import ClockWatch
from metabev_ros.sensing.frames import FrameT
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.synchroniser import SampleT, Synchroniser
from metabev_ros.structures import SensorState

_IGNORED = ('duplicate', 'backwards', 'old', 'late', 'measuring')


class Timeline(Generic[FrameT, SampleT]):
    """Lets time pass, judges the stamps of messages, and begins anew where their clock does.

    Args:
        monitors: sensor name -> its health; those that the synchroniser has.
        synchroniser: of their frames.
        config: tolerances.
        on_epoch: called where a new epoch begins, before clock, synchroniser and monitors do.

    Attributes:
        clock: which also holds the newest time that was told.
    """

    def __init__(
        self,
        monitors: Mapping[str, SensorMonitor],
        synchroniser: Synchroniser[FrameT, SampleT],
        config: SensingConfig,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        self._monitors, self._synchroniser = monitors, synchroniser
        self._on_epoch = on_epoch
        self.clock = ClockWatch(config, len(monitors))

    def poll(self, now_ns: int) -> list[SampleT]:
        """Close what is due until now."""
        if self.clock.went_back(now_ns):
            self._begin_epoch()
        return self._synchroniser.advance(self.clock.now_ns)

    def check(self, monitor: SensorMonitor, stamp_ns: int, note: str = '') -> None:
        """Judge the stamp of a sensor's message; begin a new epoch where the clock has stepped.

        Args:
            monitor: of the sensor.
            stamp_ns: of the message.
            note: what is to be known of the stamps of this sensor.

        Raises:
            SensorDataError: for a stamp that cannot be current.
        """
        if self.clock.has_stepped(monitor.name, stamp_ns, monitor.newest_ns):
            self._begin_epoch()
        monitor.check_stamp(stamp_ns)
        monitor.note_skew(self.clock.take(monitor.name, stamp_ns))
        monitor.note = note or self.clock.note
        try:
            self._synchroniser.check_timely(monitor.name, stamp_ns, self.clock.now_ns)
        except SensorDataError:
            monitor.late(stamp_ns, self.clock.now_ns)
            raise

    def refuse(self, monitor: SensorMonitor, error: SensorDataError) -> list[SampleT]:
        """Count a message that cannot be used; one of no consequence as if it had not come."""
        reason = told(error)
        if error.reason in _IGNORED:
            monitor.ignored(reason)
            return []
        monitor.bad(SensorState.INVALID, reason, self.clock.now_ns)
        return self.give_up(monitor)

    def give_up(self, monitor: SensorMonitor) -> list[SampleT]:
        """Let no sample wait for this sensor any longer."""
        if monitor.lost:
            self._synchroniser.drop(monitor.name)
        return self._synchroniser.refuse(monitor.name, self.clock.now_ns)

    def _begin_epoch(self) -> None:
        self._on_epoch()
        self.clock.reset()
        self._synchroniser.reset(self.clock.now_ns)
        for monitor in self._monitors.values():
            monitor.new_epoch(self.clock.now_ns)


def told(error: SensorDataError) -> str:
    """The reason of a refusal and what came instead."""
    return f'{error.reason}: {error.got}' if error.got else error.reason
