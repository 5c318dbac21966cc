"""Deadline-driven partial synchronisation: a sample closes with what has come.

The reference of a sample is the LiDAR sweep. It closes when every sensor that is still expected
has delivered, or `deadline` after the sweep arrived. When the sweep is overdue the cameras take
the trigger over at their own rate; the next sweep takes it back. Time is what the caller says:
the same calls give the same samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.health import SensorMonitor, to_ns
from metabev_ros.sensing.sample_maker import Collected, SampleMaker
from metabev_ros.structures import CameraImage, Sample, Sweep

_FRAMES_KEPT = 4


@dataclass
class _Open:
    """A sample that still waits."""

    reference_ns: int
    opened_ns: int
    deadline_ns: int
    sweep: Sweep | None
    given_up: set[str] = field(default_factory=set)


class Synchroniser:
    """Collects frames that are already trusted; knows nothing of messages."""

    def __init__(
        self,
        monitors: Mapping[str, SensorMonitor],
        cameras: tuple[str, ...],
        lidar: str,
        config: SensingConfig,
        maker: SampleMaker,
    ) -> None:
        self._monitors, self._cameras, self._lidar = monitors, cameras, lidar
        self._config, self._maker = config, maker
        self._deadline = to_ns(config.deadline)
        self._tolerance = to_ns(config.tolerance)
        self._camera_period = min(monitors[name].nominal_ns for name in cameras)
        self._lidar_period = monitors[lidar].nominal_ns
        self.reset(None)

    def reset(self, now_ns: int | None) -> None:
        """Forget all frames: the start, or a new epoch at `now_ns`."""
        self._frames: dict[str, deque[tuple[int, CameraImage]]] = {
            name: deque(maxlen=_FRAMES_KEPT) for name in self._cameras
        }
        self._used_ns: dict[str, int] = {}
        self._open: _Open | None = None
        self._last: _Open | None = None  # the newest closed sample
        self._start_ns: int | None = now_ns  # first accepted frame of this epoch
        self._sweep_ns: int | None = now_ns  # arrival of the newest usable sweep
        self._taken_over = False

    # --------------------------------------------------------------------------------- frames
    def is_timely(self, stamp_ns: int, arrival_ns: int) -> bool:
        """True for an image that came early enough for its sample, had one waited for it."""
        if self._last is None or stamp_ns > self._last.reference_ns + self._tolerance:
            return True
        if stamp_ns < self._last.reference_ns - self._tolerance:
            return False
        return arrival_ns <= self._last.opened_ns + self._deadline

    def check_timely(self, stamp_ns: int, arrival_ns: int) -> None:
        """Refuse an image whose sample is closed.

        Raises:
            SensorDataError: 'late'.
        """
        if self._last is not None and not self.is_timely(stamp_ns, arrival_ns):
            behind = (self._last.reference_ns - stamp_ns) / 1e6
            raise SensorDataError(
                'late', 'header.stamp', 'a frame in time', f'{behind:.0f} ms behind'
            )

    def heard(self, now_ns: int) -> None:
        """Start the clock of the start timeout: an acceptable message came."""
        if self._start_ns is None:
            self._start_ns = now_ns

    def add_image(self, name: str, image: CameraImage, now_ns: int) -> list[Sample]:
        """Take a usable image."""
        self._frames[name].append((now_ns, image))
        if self._open is None and not self._lidar_leads(now_ns) and self._may_anchor(image):
            self._open = _Open(image.stamp_ns, now_ns, now_ns + self._deadline, None)
        return self.settle(now_ns)

    def add_sweep(self, sweep: Sweep, now_ns: int) -> list[Sample]:
        """Take a usable sweep: it opens a sample, or joins the one the cameras opened."""
        closed: list[Sample] = []
        self._sweep_ns, self._taken_over = now_ns, False
        waiting = self._open
        if waiting is not None:
            joins = (
                waiting.sweep is None
                and abs(sweep.stamp_ns - waiting.reference_ns) <= self._tolerance
            )
            if not joins:
                closed += self._close(waiting, now_ns)
        if not self._sweep_may_anchor(sweep):
            self._monitors[self._lidar].ignored('late: its sample is closed')
            return closed
        self._open = _Open(sweep.stamp_ns, now_ns, now_ns + self._deadline, sweep)
        return closed + self.settle(now_ns)

    def drop(self, name: str) -> None:
        """Forget the unused frames of a sensor that was just lost."""
        if name in self._frames:
            self._frames[name].clear()

    def refuse(self, name: str, now_ns: int) -> list[Sample]:
        """A frame of this sensor came and cannot be used: nothing waits for it any longer."""
        if self._open is not None:
            self._open.given_up.add(name)
        elif name == self._lidar and not self._lidar_leads(now_ns):
            self._open_from_buffer(now_ns, now_ns + self._deadline)
        return self.settle(now_ns)

    # ----------------------------------------------------------------------------------- time
    def next_deadline_ns(self) -> int | None:
        """Time at which something happens even if no message comes; None for none."""
        if self._open is not None:
            return self._open.deadline_ns
        return None if self._taken_over else self._lead_until()

    def advance(self, now_ns: int) -> list[Sample]:
        """Do everything that is due until `now_ns`, each at its own time."""
        closed: list[Sample] = []
        while (due := self.next_deadline_ns()) is not None and due <= now_ns:
            self._tick(due)
            if self._open is None:
                self._taken_over = True
                lidar = self._monitors[self._lidar]
                lidar.given_up = lidar.given_up or not lidar.ever
                self._open_from_buffer(due, due)
            if self._open is not None:
                closed += self._close(self._open, due)
        self._tick(now_ns)
        return closed

    def tick(self, now_ns: int) -> None:
        """Let the monitors know the time, but not past what is still to be done."""
        due = self.next_deadline_ns()
        self._tick(now_ns if due is None else min(now_ns, due))

    def _tick(self, now_ns: int) -> None:
        for name, monitor in self._monitors.items():
            was_lost = monitor.lost
            monitor.tick(now_ns)
            if monitor.lost and not was_lost:
                self.drop(name)
            if not monitor.ever and not self._is_starting(now_ns):
                monitor.given_up = True

    def _is_starting(self, now_ns: int) -> bool:
        return self._start_ns is None or now_ns < self._start_ns + to_ns(
            self._config.start_timeout
        )

    # ------------------------------------------------------------------------------- triggers
    def _lead_until(self) -> int | None:
        """Until when the LiDAR has the trigger; None: it has not, or nothing was heard yet."""
        lidar = self._monitors[self._lidar]
        if self._start_ns is None or lidar.given_up:
            return None
        if not lidar.ever:
            return self._start_ns + to_ns(self._config.start_timeout)
        if lidar.lost or self._sweep_ns is None:
            return None
        return self._sweep_ns + self._lidar_period + self._deadline

    def _lidar_leads(self, now_ns: int) -> bool:
        if self._start_ns is None:
            return True
        until = self._lead_until()
        if until is None or now_ns >= until:
            return False
        lidar = self._monitors[self._lidar]
        return not lidar.ever or lidar.is_awaited(now_ns, self._is_starting(now_ns))

    def _may_anchor(self, image: CameraImage) -> bool:
        """True where the cameras may open a sample: not for stragglers of the last one."""
        return (
            self._last is None
            or image.stamp_ns > self._last.reference_ns + self._camera_period // 2
        )

    def _sweep_may_anchor(self, sweep: Sweep) -> bool:
        """Stamps increase; right after a camera sample a sweep of the same moment is late.

        Within the tolerance of that sample the pictures of this sweep are in it already: it would
        make a sample in which every camera is missing.
        """
        if self._last is None:
            return True
        gap = (
            0
            if self._last.sweep is not None
            else max(2 * self._lidar_period // 5, self._tolerance)
        )
        return sweep.stamp_ns > self._last.reference_ns + gap

    def _open_from_buffer(self, now_ns: int, deadline_ns: int) -> None:
        """Open a camera sample on the waiting frame that has the most company."""
        max_age = self._config.max_age_periods * self._camera_period
        fresh = {
            name: [
                image.stamp_ns
                for arrival, image in self._frames[name]
                if now_ns - arrival <= max_age and self._may_anchor(image)
            ]
            for name in self._cameras
        }

        def company(stamp: int) -> tuple[int, int]:
            return sum(
                any(abs(other - stamp) <= self._tolerance for other in stamps)
                for stamps in fresh.values()
            ), stamp

        anchors = [stamp for stamps in fresh.values() for stamp in stamps]
        if anchors:
            self._open = _Open(max(anchors, key=company), now_ns, deadline_ns, None)

    # -------------------------------------------------------------------------------- closing
    def settle(self, now_ns: int) -> list[Sample]:
        """Close the open sample if nothing is worth waiting for."""
        waiting = self._open
        if waiting is None or any(
            self._waits_for(name, waiting, now_ns) for name in self._monitors
        ):
            return []
        return self._close(waiting, now_ns)

    def _waits_for(self, name: str, waiting: _Open, now_ns: int) -> bool:
        monitor = self._monitors[name]
        if name in waiting.given_up or not monitor.is_awaited(now_ns, self._is_starting(now_ns)):
            return False
        if name == self._lidar:
            return waiting.sweep is None and self._expects(name, waiting)
        best = self._nearest(name, waiting.reference_ns)
        if best is None:
            return self._expects(name, waiting)
        # A frame within half a period, or one after the reference, cannot be beaten.
        return (
            best.stamp_ns < waiting.reference_ns
            and waiting.reference_ns - best.stamp_ns > monitor.nominal_ns // 2
        )

    def _expects(self, name: str, waiting: _Open) -> bool:
        slack = min(self._tolerance, self._lidar_period * 55 // 100)
        return self._monitors[name].expects(waiting.reference_ns, slack)

    def _nearest(self, name: str, reference_ns: int) -> CameraImage | None:
        """The unused image nearest to the reference, None when none is within tolerance."""
        newest_used = self._used_ns.get(name, -1)
        near = [
            image
            for _, image in self._frames[name]
            if image.stamp_ns > newest_used
            and abs(image.stamp_ns - reference_ns) <= self._tolerance
        ]
        return min(near, key=lambda image: abs(image.stamp_ns - reference_ns), default=None)

    def _close(self, waiting: _Open, now_ns: int) -> list[Sample]:
        images: dict[str, CameraImage] = {}
        for name in self._cameras:
            image = self._nearest(name, waiting.reference_ns)
            if image is not None:
                images[name] = image
                self._used_ns[name] = image.stamp_ns
        absent = set(self._monitors) - set(images)
        if waiting.sweep is not None:
            absent.discard(self._lidar)
        for name in sorted(name for name in absent if self._expects(name, waiting)):
            self._monitors[name].missed(now_ns)
            if self._monitors[name].lost:
                self.drop(name)
        self._open, self._last = None, waiting
        sample = self._maker.make(Collected(waiting.reference_ns, images, waiting.sweep))
        return [] if sample is None else [sample]
