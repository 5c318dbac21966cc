"""The part of the machine that other programs took while the node lived.

A node that shares its processor is late, however it is written: on a busy machine only what load
cannot change is judged.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

BUSY_SHARE = 0.15  # of the cores, from which on a machine counts as busy
STAT = Path('/proc/stat')
# Columns of its first line, https://man7.org/linux/man-pages/man5/proc_stat.5.html: user, nice,
# system, irq, softirq and steal. What guests take lies in the first two.
_SPENT = (0, 1, 2, 5, 6, 7)


@dataclass(frozen=True)
class Load:
    """Processor time that other programs took in some stretch.

    Attributes:
        cores: of the machine.
        others: how many of them others kept busy, on average; None where nobody says.
    """

    cores: int
    others: float | None

    @property
    def is_busy(self) -> bool:
        """Tell whether the machine was too busy for times to be judged; unknown is not busy."""
        return self.others is not None and self.others > BUSY_SHARE * self.cores

    @property
    def text(self) -> str:
        """The share of others in words."""
        if self.others is None:
            return 'not known'
        return f'other programs kept {self.others:.1f} of {self.cores} cores busy'


class LoadMeter:
    """Measures from its making to `load`.

    Args:
        stat: the kernel's counters, as Linux has them.
    """

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._began = time.monotonic(), spent_by_all(stat), spent_by_us()

    def load(self) -> Load:
        """The load since it was made; children must have been waited for."""
        began, all_before, ours_before = self._began
        all_now, seconds = spent_by_all(self._stat), time.monotonic() - began
        cores = os.cpu_count() or 1
        if all_before is None or all_now is None or seconds <= 0:
            return Load(cores, None)
        theirs = (all_now - all_before) - (spent_by_us() - ours_before)
        return Load(cores, max(theirs, 0.0) / seconds)


def spent_by_all(stat: Path) -> float | None:
    """Seconds that all processors have worked since the start; None where nothing says it."""
    try:
        name, *columns = stat.read_text(encoding='ascii').split('\n', 1)[0].split()
        ticks = [int(columns[index]) for index in _SPENT]
    except (OSError, ValueError, IndexError):
        return None
    return sum(ticks) / os.sysconf('SC_CLK_TCK') if name == 'cpu' else None


def spent_by_us() -> float:
    """Seconds that this process and its children that have ended worked."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)
