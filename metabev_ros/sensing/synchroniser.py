"""Deadline-driven partial synchronisation: a sample closes with what has come.

One sensor leads: the first LiDAR that lives, else the fastest camera that lives. Each of its
frames is the reference of a sample. It closes when nothing better is worth waiting for, or
`deadline` after it opened. Every other sensor gives the frame nearest to the reference; where its
next one is not due yet, the newest one serves again. When the leader is overdue the next sensor
takes over; the leader's next frame takes it back. Time is what the caller says: the same calls
give the same samples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.frames import Collected, FrameT
from metabev_ros.sensing.health import SensorMonitor, to_ns
from metabev_ros.sensing.leader import Leadership
from metabev_ros.structures import SensorKind

_BUFFER = ''  # leads a sample that was opened without its leader, from frames that waited

SampleT = TypeVar('SampleT')


@dataclass
class _Open:
    """A sample that still waits."""

    reference_ns: int
    leader: str
    opened_ns: int
    deadline_ns: int
    given_up: set[str] = field(default_factory=set[str])


class Synchroniser(Generic[FrameT, SampleT]):
    """Collects placed frames; knows nothing of messages.

    Args:
        monitors: sensor name -> its health; in rig order.
        config: deadline and tolerance.
        look: looks at the content of frames that a sample is to hold; the names of the sensors
            whose frames turn out to be of no use.
        make: labels what a sample closed with; None where that makes no branch.
        is_wanted: tells whether a sample that closes now will be used: else it costs little.
        most: frames of one sensor that are kept, the newest.
        holds_old: a frame beyond the tolerance serves while its sensor's next one is not due.

    Attributes:
        leadership: which sensor leads.
    """

    def __init__(
        self,
        monitors: Mapping[str, SensorMonitor],
        config: SensingConfig,
        look: Callable[[Mapping[str, FrameT]], Sequence[str]],
        make: Callable[[Collected[FrameT]], SampleT | None],
        is_wanted: Callable[[], bool] = lambda: True,
        most: int = sys.maxsize,
        holds_old: bool = True,
    ) -> None:
        self._monitors, self._config = monitors, config
        self._look, self._make, self._is_wanted = look, make, is_wanted
        self._deadline = to_ns(config.deadline)
        self._tolerance = to_ns(config.tolerance)
        self._most, self._holds_old = most, holds_old
        self.leadership = Leadership(monitors, config)
        self.reset(None)

    def reset(self, now_ns: int | None) -> None:
        """Forget all frames: the start, or a new epoch at `now_ns`."""
        self._frames: dict[str, list[FrameT]] = {name: [] for name in self._monitors}
        self._used_ns: dict[str, int] = {}
        self._open: _Open | None = None
        self._last: _Open | None = None  # the newest closed sample
        self._in_last: frozenset[str] = frozenset()  # sensors that gave it a frame
        self.leadership.reset(now_ns)
        self._at_ns = 0 if now_ns is None else now_ns  # time up to which all is done

    # --------------------------------------------------------------------------------- frames
    def check_timely(self, name: str, stamp_ns: int, arrival_ns: int) -> None:
        """Refuse a frame that came too late for its sample and is too old for later ones.

        One of a sensor that is in the last sample is merely not needed, as is one that is newer
        than that: sensors may be faster than the one that leads. One that came before the
        deadline of the last sample is in time, though nobody waited for it.

        Raises:
            SensorDataError: 'late'.
        """
        last = self._last
        if last is None or name in self._in_last or stamp_ns > last.reference_ns:
            return
        if arrival_ns <= last.deadline_ns and last.reference_ns - stamp_ns <= self._max_age(name):
            return
        if self._open is not None:
            reference_ns = self._open.reference_ns
        else:
            leader = self.leadership.at(self._at_ns)
            reference_ns = last.reference_ns + (self._monitors[leader].nominal_ns if leader else 0)
        if reference_ns - stamp_ns > self._max_age(name):
            behind = (last.reference_ns - stamp_ns) / 1e6
            raise SensorDataError(
                'late', 'header.stamp', 'a frame in time', f'{behind:.0f} ms behind'
            )

    def add(self, name: str, frame: FrameT, now_ns: int) -> list[SampleT]:
        """Take a placed frame: it opens a sample, or waits for one."""
        closed: list[SampleT] = []
        self._keep(name, frame)
        leads = self.leadership.at(now_ns, just_came=name) == name
        self.leadership.came(name, now_ns)
        if leads:
            waiting = self._open
            if waiting is not None:
                joins = (
                    waiting.leader != name
                    and abs(frame.stamp_ns - waiting.reference_ns) <= self._tolerance
                )
                if not joins:
                    closed += self._close(waiting, now_ns)
            if self._may_lead(name, frame.stamp_ns):
                self._open = _Open(frame.stamp_ns, name, now_ns, now_ns + self._deadline)
            elif self._monitors[name].kind is SensorKind.LIDAR:
                self._monitors[name].ignored('late: its sample is closed')
        return closed + self.settle(now_ns)

    def _keep(self, name: str, frame: FrameT) -> None:
        """Keep a frame and those before it that a sample may still hold."""
        frames, last = [*self._frames[name], frame], self._last
        oldest_ns = min(frame.stamp_ns - self._tolerance, self._next_reference_ns(frame))
        frames = [f for f in frames if f.stamp_ns >= oldest_ns - self._max_age(name)]
        if last is not None:
            # A later sample is nearer to the newest of the frames up to the last reference.
            passed = sum(f.stamp_ns <= last.reference_ns for f in frames)
            frames = frames[max(0, passed - 1) :]
        self._frames[name] = frames[-self._most :]

    def _next_reference_ns(self, frame: FrameT) -> int:
        """Reference of the open sample, else of the next one; a leader may lag far behind."""
        if self._open is not None:
            return self._open.reference_ns
        leader = self.leadership.at(frame.arrival_ns)
        due = None if leader is None else self._monitors[leader].next_due
        return frame.stamp_ns if due is None else due[0]

    def drop(self, name: str) -> None:
        """Forget the frames of a sensor that was just lost."""
        self._frames[name] = []

    def refuse(self, name: str, now_ns: int) -> list[SampleT]:
        """A frame of this sensor came and cannot be used: nothing waits for it any longer."""
        if self._open is not None:
            self._open.given_up.add(name)
        elif name in self.leadership.before(now_ns):
            self._open_from_buffer(now_ns, now_ns + self._deadline)
        return self.settle(now_ns)

    # ----------------------------------------------------------------------------------- time
    def next_deadline_ns(self) -> int | None:
        """Time at which something happens even if no message comes; None for none."""
        if self._open is not None:
            return self._open.deadline_ns
        leader = self.leadership.at(self._at_ns)
        return None if leader is None else self.leadership.end_ns(leader)

    def advance(self, now_ns: int) -> list[SampleT]:
        """Do everything that is due until `now_ns`, each at its own time."""
        closed: list[SampleT] = []
        while (due := self.next_deadline_ns()) is not None and due <= now_ns:
            leader = self.leadership.at(self._at_ns)
            self._at_ns = max(self._at_ns, due)
            self._tick(due)
            if self._open is None and leader is not None:
                monitor = self._monitors[leader]
                monitor.given_up = monitor.given_up or not monitor.ever
                self._open_from_buffer(due, due)
            if self._open is not None:
                closed += self._close(self._open, due)
        self._at_ns = max(self._at_ns, now_ns)
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
            if not monitor.ever and not self.leadership.is_starting(now_ns):
                monitor.given_up = True

    # -------------------------------------------------------------------------------- opening
    def _may_lead(self, name: str, stamp_ns: int) -> bool:
        """Tell whether a frame opens a sample: stamps increase.

        Right after a sample that another sensor led, a frame of the same moment is late: the
        frames of this moment are in that sample already.
        """
        last, monitor = self._last, self._monitors[name]
        if last is None:
            return True
        gap = 0
        if last.leader != name:
            gap = monitor.nominal_ns // 2
            if monitor.kind is SensorKind.LIDAR:
                gap = max(2 * monitor.nominal_ns // 5, self._tolerance)
        return stamp_ns > last.reference_ns + gap

    def _open_from_buffer(self, now_ns: int, deadline_ns: int) -> None:
        """Open a sample on the waiting frame that has the most company."""
        fresh = {
            name: [
                frame.stamp_ns
                for frame in frames
                if now_ns - frame.arrival_ns <= self._max_age(name)
                and frame.stamp_ns > self._used_ns.get(name, -1)
                and self._may_lead(name, frame.stamp_ns)
            ]
            for name, frames in self._frames.items()
        }

        def company(stamp: int) -> tuple[int, int]:
            return sum(
                any(abs(other - stamp) <= self._tolerance for other in stamps)
                for stamps in fresh.values()
            ), stamp

        anchors = [stamp for stamps in fresh.values() for stamp in stamps]
        if anchors:
            self._open = _Open(max(anchors, key=company), _BUFFER, now_ns, deadline_ns)

    # ------------------------------------------------------------------------------- choosing
    def _max_age(self, name: str) -> int:
        """Age beyond which no frame of a sensor is in a sample."""
        if not self._holds_old:
            return self._tolerance
        period = self._monitors[name].nominal_ns
        return max(self._tolerance, round(self._config.max_age_periods * period))

    def _is_due(self, name: str, waiting: _Open) -> bool:
        """Tell whether the next frame of a sensor belongs to this sample by its stamp."""
        due = self._monitors[name].next_due
        leader = self._monitors[waiting.leader or self.leadership.order[0]]
        slack = min(self._tolerance, leader.nominal_ns * 55 // 100)
        return due is None or due[0] <= waiting.reference_ns + slack

    def _is_overdue(self, name: str, waiting: _Open, now_ns: int) -> bool:
        """Tell whether the next frame of a sensor belongs here and should long have come.

        A frame that is expected about when the sample has to close may come shortly after that.
        """
        due = self._monitors[name].next_due
        slack = self._deadline // 2
        return self._is_due(name, waiting) and (due is None or due[1] + slack <= now_ns)

    def _choose(self, name: str, waiting: _Open, now_ns: int) -> FrameT | None:
        """The frame nearest to the reference.

        A used or an old one serves only until the next one is due, and while the newest is sound.
        """
        reference, frames = waiting.reference_ns, self._frames[name]
        is_sound = name not in waiting.given_up and self._monitors[name].is_sound
        if not is_sound or self._is_overdue(name, waiting, now_ns):
            used = self._used_ns.get(name, -1)
            frames = [frame for frame in frames if frame.stamp_ns > used]
            oldest = reference - self._tolerance
        else:
            oldest = reference - self._max_age(name)
        near = [f for f in frames if oldest <= f.stamp_ns <= reference + self._tolerance]
        return min(near, key=lambda frame: abs(frame.stamp_ns - reference), default=None)

    def settle(self, now_ns: int) -> list[SampleT]:
        """Close the open sample if nothing is worth waiting for."""
        waiting = self._open
        if waiting is None or any(
            self._waits_for(name, waiting, now_ns) for name in self._monitors
        ):
            return []
        return self._close(waiting, now_ns)

    def _waits_for(self, name: str, waiting: _Open, now_ns: int) -> bool:
        """Tell whether a better frame of a sensor can still come.

        Within the tolerance it must bring the sample nearer than it makes it wait.
        """
        monitor, reference = self._monitors[name], waiting.reference_ns
        if name == waiting.leader or name in waiting.given_up:
            return False
        if not monitor.is_awaited(now_ns, self.leadership.is_starting(now_ns)):
            return False
        best = self._choose(name, waiting, waiting.opened_ns)
        due = monitor.due_from(reference - self._max_age(name))
        if due is None:
            return best is None
        stamp, arrival = due
        if best is None:
            return stamp - reference <= self._tolerance and (
                arrival <= waiting.deadline_ns or self._is_due(name, waiting)
            )
        gain = abs(best.stamp_ns - reference) - abs(stamp - reference)
        if gain <= 0 or arrival > waiting.deadline_ns:
            return False
        is_close = abs(best.stamp_ns - reference) <= self._tolerance
        return not is_close or gain > arrival - waiting.opened_ns

    # -------------------------------------------------------------------------------- closing
    def _close(self, waiting: _Open, now_ns: int) -> list[SampleT]:
        is_wanted = self._is_wanted()
        chosen = (self._look_at_chosen if is_wanted else self._choose_all)(waiting, now_ns)
        for name, frame in chosen.items():
            self._used_ns[name] = max(frame.stamp_ns, self._used_ns.get(name, -1))
        for name in sorted(set(self._monitors) - set(chosen)):
            if self._is_due(name, waiting):
                self._monitors[name].missed(now_ns)
                if self._monitors[name].lost:
                    self.drop(name)
        self._open, self._last, self._in_last = None, waiting, frozenset(chosen)
        sample = self._make(Collected(waiting.reference_ns, chosen, is_wanted))
        return [] if sample is None else [sample]

    def _choose_all(self, waiting: _Open, now_ns: int) -> dict[str, FrameT]:
        found = {name: self._choose(name, waiting, now_ns) for name in self._monitors}
        return {name: frame for name, frame in found.items() if frame is not None}

    def _look_at_chosen(self, waiting: _Open, now_ns: int) -> dict[str, FrameT]:
        """Frames of the sample; in place of one that cannot be used, the next nearest."""
        while True:
            chosen = self._choose_all(waiting, now_ns)
            spoilt = self._look(chosen)
            if not spoilt:
                return chosen
            for name in spoilt:
                kept = [frame for frame in self._frames[name] if frame is not chosen[name]]
                self._frames[name] = [] if self._monitors[name].lost else kept
