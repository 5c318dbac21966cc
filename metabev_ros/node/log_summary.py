"""The line of the log that says, every ten seconds, what comes out and what does not come in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from metabev_ros.structures import Modality, SensorReport, SensorState

PERIOD = 10.0  # seconds


class LogSummary:
    """Counts what is published, on one thread, and tells of it, on another.

    Args:
        warn, info: write a line.
    """

    def __init__(self, warn: Callable[[str], None], info: Callable[[str], None]) -> None:
        self._warn, self._info = warn, info
        self._lock = threading.Lock()
        self._begin, self._counts, self._latencies = (
            time.monotonic(),
            Counter[str](),
            list[float](),
        )

    def count(self, modality: Modality, latency_s: float) -> None:
        """Take one output.

        Args:
            latency_s: from the sensors' stamp to the output.
        """
        with self._lock:
            self._counts[modality.name] += 1
            self._latencies.append(latency_s)

    def tell(self, sensors: Sequence[SensorReport], fault: str) -> None:
        """Write the line; a warning where nothing came out or a sensor never spoke."""
        with self._lock:
            begin, counts, latencies = self._begin, self._counts, sorted(self._latencies)
            self._begin, self._counts, self._latencies = time.monotonic(), Counter[str](), []
        seconds = self._begin - begin
        text = f'published nothing in {seconds:.0f} s' + (f' ({fault})' if fault else '')
        if latencies:
            made = ', '.join(f'{count} {name}' for name, count in counts.most_common())
            text = (
                f'published {made} in {seconds:.0f} s, '
                f'{latencies[len(latencies) // 2] * 1e3:.0f} ms after the sensors'
            )
        unused = [report for report in sensors if not report.state.is_usable]
        if unused:
            text += '; not used: ' + ', '.join(map(_named, unused))
        is_bad = not latencies or any(report.state is SensorState.NEVER for report in unused)
        (self._warn if is_bad else self._info)(text)


def _named(report: SensorReport) -> str:
    why = f': {report.reason}' if report.reason else ''
    return f'{report.name} ({report.state.name}{why})'
