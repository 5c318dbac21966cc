"""The sensor whose frames are the references of samples: the first of the rig that lives."""

from __future__ import annotations

from collections.abc import Mapping

from metabev_ros.config import SensingConfig
from metabev_ros.sensing.health import SensorMonitor, to_ns
from metabev_ros.structures import SensorKind


class Leadership:
    """Finds the leader: LiDARs in rig order, then cameras, the fastest first.

    A sensor leads as long as its next frame can be in time. One that never spoke leads until the
    start timeout has passed.

    Args:
        monitors: sensor name -> its health; in rig order.
        config: deadline and start timeout.

    Attributes:
        order: sensors in the order in which they lead.
    """

    def __init__(self, monitors: Mapping[str, SensorMonitor], config: SensingConfig) -> None:
        self._monitors = monitors
        self._deadline, self._start = to_ns(config.deadline), to_ns(config.start_timeout)
        cameras = [n for n, m in monitors.items() if m.kind is SensorKind.CAMERA]
        cameras.sort(key=lambda name: monitors[name].nominal_ns)
        self.order = (*(n for n in monitors if n not in cameras), *cameras)
        self.reset(None)

    def reset(self, now_ns: int | None) -> None:
        """Begin anew: the start, or a new epoch at `now_ns`, as if all had just spoken."""
        self._start_ns: int | None = now_ns  # first acceptable message of this epoch
        self._arrived: dict[str, int] = {}  # newest usable frame
        if now_ns is not None:
            self._arrived = {n: now_ns for n, m in self._monitors.items() if m.ever}

    def heard(self, now_ns: int) -> None:
        """Start the clock of the start timeout: an acceptable message came."""
        if self._start_ns is None:
            self._start_ns = now_ns

    def came(self, name: str, now_ns: int) -> None:
        """Note a usable frame."""
        self._arrived[name] = now_ns

    def is_starting(self, now_ns: int) -> bool:
        """Tell whether the start timeout has not passed yet."""
        return self._start_ns is None or now_ns < self._start_ns + self._start

    def end_ns(self, name: str) -> int | None:
        """Time until which a sensor leads if nothing comes of it; None: it does not lead."""
        monitor = self._monitors[name]
        if self._start_ns is None or monitor.given_up or monitor.lost:
            return None
        if not monitor.ever:
            return self._start_ns + self._start
        arrived = self._arrived.get(name)
        if arrived is None:
            return None
        return arrived + monitor.nominal_ns + monitor.slowness_ns + self._deadline

    def at(self, now_ns: int, just_came: str = '') -> str | None:
        """The sensor that leads, None for none; a frame of `just_came` is there just now."""
        for name in self.order:
            if name == just_came:
                return name
            end = self.end_ns(name)
            if end is None or now_ns >= end:
                continue
            monitor = self._monitors[name]
            if not monitor.ever or monitor.is_awaited(now_ns, self.is_starting(now_ns)):
                return name
        return None

    def before(self, now_ns: int) -> tuple[str, ...]:
        """Sensors that would lead in place of the one that leads."""
        leader = self.at(now_ns)
        return self.order if leader is None else self.order[: self.order.index(leader)]
