"""What a filter uses of a node, on a clock that the caller moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from support.topic_traffic import T0, Arrival


class SimulatedTimer:
    """An rclpy timer: it calls again and again, first one period after its reset."""

    def __init__(self, node: SimulatedNode, period_ns: int, callback: Callable[[], None]) -> None:
        self._node, self.timer_period_ns, self.callback = node, period_ns, callback
        self.due_ns: int | None = None
        self.reset()

    def reset(self) -> None:
        self.due_ns = self._node.now_ns + self.timer_period_ns

    def cancel(self) -> None:
        self.due_ns = None


class SimulatedNode:
    """Clock and timers; time goes on with `advance` alone."""

    def __init__(self, now_ns: int = T0) -> None:
        self.now_ns = now_ns
        self.timers: list[SimulatedTimer] = []

    def get_clock(self) -> SimulatedNode:
        return self

    def now(self) -> SimpleNamespace:
        return SimpleNamespace(nanoseconds=self.now_ns)

    def create_timer(self, seconds: float, callback: Callable[[], None]) -> SimulatedTimer:
        self.timers.append(SimulatedTimer(self, round(seconds * 1e9), callback))
        return self.timers[-1]

    def advance(self, now_ns: int) -> None:
        """Let time pass; what is due meanwhile is called at its own time."""
        while due := [t for t in self.timers if t.due_ns is not None and t.due_ns <= now_ns]:
            timer = min(due, key=lambda one: one.due_ns or 0)
            self.now_ns = max(self.now_ns, timer.due_ns or 0)
            timer.due_ns = self.now_ns + timer.timer_period_ns
            timer.callback()
        self.now_ns = max(self.now_ns, now_ns)


def feed(node: SimulatedNode, inputs: Mapping[str, Any], arrivals: Sequence[Arrival]) -> None:
    """Give the messages to the filters of their topics, each at its time."""
    for arrival in arrivals:
        node.advance(arrival.at_ns)
        inputs[arrival.topic].signalMessage(arrival.message)
