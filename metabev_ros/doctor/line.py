"""One line of the examination."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """Result of one look."""

    OK = 'ok'
    MISSING = 'missing'  # and not needed by everybody
    BROKEN = 'broken'  # nothing runs without it


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        state: result.
        found: what was seen.
        remedy: what to do, '' where nothing is to be done.
        needed_for: who misses it, '' for everybody.
    """

    name: str
    state: State
    found: str
    remedy: str = ''
    needed_for: str = ''
