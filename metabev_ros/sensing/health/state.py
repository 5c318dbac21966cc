"""The decision: the facts about one sensor in, its state and the reason out."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.sensing.health.silence import MISSES_UNTIL_LOST
from metabev_ros.structures import SensorState


@dataclass(frozen=True)
class Facts:
    """All that the state of a sensor depends on.

    Attributes:
        ever: a sound frame was taken since the start.
        misses: 0 to `MISSES_UNTIL_LOST` in a row.
        held: UNCALIBRATED or NO_TF while its frames cannot be placed, else None.
        bad: INVALID or FROZEN while its newest frame is bad, else None.
        lost: it has not earned its return yet.
        flaw: what makes its newest sound frame suspect, '' for nothing.
        said: the newest that was said of it; `flaw` as long as nothing was said since then.
        note: what is to be known while all is well: a low but steady rate; else ''.
    """

    ever: bool
    misses: int
    held: SensorState | None
    bad: SensorState | None
    lost: bool
    flaw: str
    said: str
    note: str


def state(facts: Facts) -> tuple[SensorState, str]:
    """State of a sensor, and why it is not OK; the first line that applies decides.

    | facts                          | state                | reason                        |
    |--------------------------------|----------------------|-------------------------------|
    | held, fewer than two misses    | UNCALIBRATED, NO_TF  | what was said                 |
    | never sound, bad               | INVALID, FROZEN      | what was said                 |
    | never sound, something said    | STALE                | what was said                 |
    | never sound                    | NEVER                | 'nothing received'            |
    | two misses                     | STALE                | what was said since, 'silent' |
    | bad                            | INVALID, FROZEN      | what was said                 |
    | lost                           | RECOVERING           | what was said                 |
    | one miss                       | LATE                 | what was said since, 'no ...' |
    | flaw                           | SUSPECT              | what was said                 |
    | none of these                  | OK                   | its note                      |
    """
    said_since = facts.said if facts.said != facts.flaw else ''
    if facts.held is not None and facts.misses < MISSES_UNTIL_LOST:
        return facts.held, facts.said
    if not facts.ever:
        if facts.bad is not None:
            return facts.bad, facts.said
        if facts.said:
            return SensorState.STALE, facts.said
        return SensorState.NEVER, 'nothing received'
    if facts.misses >= MISSES_UNTIL_LOST:
        return SensorState.STALE, said_since or 'silent'
    if facts.bad is not None:
        return facts.bad, facts.said
    if facts.lost:
        return SensorState.RECOVERING, facts.said
    if facts.misses:
        return SensorState.LATE, said_since or 'no frame in time'
    if facts.flaw:
        return SensorState.SUSPECT, facts.said
    return SensorState.OK, facts.note
