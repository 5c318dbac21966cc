"""The heartbeat's own thread, and a clock that stands still. No rclpy in this module.

The executor's thread hands over what the middleware received: with messages of hundreds of
megabytes that takes longer than a heartbeat may wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from metabev_ros.node.workers import ThrottledLog
from metabev_ros.wire import clean_text

STANDSTILL = 1.0  # seconds without a new time; players and simulators send at least a few a second


class Heartbeat(threading.Thread):
    """Calls `beat` in steady time until stopped; nothing that it raises ends the thread."""

    def __init__(self, beat: Callable[[], None], rate_hz: float, log: ThrottledLog) -> None:
        super().__init__(name='heartbeat', daemon=True)
        self._beat, self._log = beat, log
        self.set_rate(rate_hz)
        self._stop_event = threading.Event()

    def set_rate(self, rate_hz: float) -> None:
        """Beat at another rate from the next beat on."""
        self._period = 1 / rate_hz

    def stop(self) -> None:
        """End the thread after the beat that it sends."""
        self._stop_event.set()

    def run(self) -> None:
        """Beat; beats that were missed are not made up for."""
        due = time.monotonic()
        while not self._stop_event.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - self._period) + self._period
            try:
                self._beat()
            except Exception as error:  # the heartbeat goes on
                self._log.line(
                    'heartbeat',
                    type(error).__name__,
                    f'heartbeat failed: {type(error).__name__}: {clean_text(str(error), 200)}',
                )


class ClockWatch:
    """Notices a simulated clock that does not go on: its publisher stopped, or a bag is paused."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._changed = time.monotonic()

    def look(self, now_ns: int) -> str:
        """Say why nothing can be said of now; '' while the clock goes.

        Args:
            now_ns: of the node's clock.
        """
        if now_ns != self._now_ns:
            self._now_ns, self._changed = now_ns, time.monotonic()
        still = time.monotonic() - self._changed
        if still < STANDSTILL:
            return ''
        return f'the clock stands still: nothing new on /clock for {still:.1f} s (a paused bag?)'
