"""The decision on a sensor's state: each of its rows, and the arrows that the monitor draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import pytest
from support.fake_drive import MS, T0

from metabev_ros.config import SensingConfig
from metabev_ros.sensing.checks import GOOD, Verdict
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.health.state import Facts, state
from metabev_ros.structures import SensorKind, SensorState

S = SensorState
PERIOD = 100 * MS

EVERY = tuple(
    Facts(*values)
    for values in product(
        (False, True),
        (0, 1, 2),
        (None, S.UNCALIBRATED, S.NO_TF),
        (None, S.INVALID, S.FROZEN),
        (False, True),
        ('', 'dark'),
        ('', 'dark', 'late: 9 ms behind'),
        ('', 'rate: 2.5 Hz'),
    )
)


@dataclass(frozen=True)
class Row:
    """One row of the decision; it applies where no row above it does."""

    facts: str
    applies: Callable[[Facts], bool]
    state: SensorState | None = None
    held: bool = False  # the state is that of the frame that could not be placed
    bad: bool = False  # the state is that of the bad frame
    reason: str | None = None  # None: what was said


def news(facts: Facts) -> bool:
    """Whether something was said since the newest sound frame."""
    return facts.said not in ('', facts.flaw)


ROWS = (
    Row('held, at most one miss', lambda f: f.held is not None and f.misses < 2, held=True),
    Row('never sound, bad', lambda f: not f.ever and f.bad is not None, bad=True),
    Row('never sound, something said', lambda f: not f.ever and f.said != '', S.STALE),
    Row('never sound', lambda f: not f.ever, S.NEVER, reason='nothing received'),
    Row('two misses, something said since', lambda f: f.misses == 2 and news(f), S.STALE),
    Row('two misses', lambda f: f.misses == 2, S.STALE, reason='silent'),
    Row('bad', lambda f: f.bad is not None, bad=True),
    Row('lost', lambda f: f.lost, S.RECOVERING),
    Row('one miss, something said since', lambda f: f.misses == 1 and news(f), S.LATE),
    Row('one miss', lambda f: f.misses == 1, S.LATE, reason='no frame in time'),
    Row('a flaw', lambda f: f.flaw != '', S.SUSPECT),
    Row('note', lambda f: f.note != '', S.OK, reason='rate: 2.5 Hz'),
    Row('all is well', lambda f: True, S.OK, reason=''),
)


@pytest.mark.parametrize('row', ROWS, ids=[row.facts for row in ROWS])
def test_each_row_decides_where_no_row_above_it_applies(row):
    above = ROWS[: ROWS.index(row)]
    cases = [f for f in EVERY if row.applies(f) and not any(r.applies(f) for r in above)]
    assert cases
    for facts in cases:
        expected = facts.held if row.held else facts.bad if row.bad else row.state
        reason = facts.said if row.reason is None else row.reason
        assert state(facts) == (expected, reason), facts


def test_the_rows_say_every_state_but_the_one_of_a_sample():
    found = {state(facts)[0] for facts in EVERY}
    assert found == set(SensorState) - {S.MISSING}  # that one is of a sample, not of a sensor


# Line by line the drawing at the head of SensorMonitor: an event, and the state after it.
ARROWS = {
    'start': [('nothing', S.NEVER), ('good', S.OK)],
    'start of a bad one': [('nothing', S.NEVER), ('bad', S.INVALID), ('good', S.OK)],
    'silence': [
        ('good', S.OK),
        ('quiet', S.LATE),
        ('good', S.OK),
        ('quiet', S.LATE),
        ('quiet', S.STALE),
        ('good', S.RECOVERING),
        ('good', S.OK),
    ],
    'samples without it': [
        ('good', S.OK),
        ('missed', S.LATE),
        ('good', S.OK),
        ('missed', S.LATE),
        ('missed', S.STALE),
        ('good', S.RECOVERING),
        ('good', S.OK),
    ],
    'bad frames': [
        ('good', S.OK),
        ('bad', S.INVALID),
        ('good', S.OK),
        ('bad', S.INVALID),
        ('bad', S.INVALID),
        ('good', S.RECOVERING),
        ('good', S.OK),
    ],
    'the same frame': [
        ('good', S.OK),
        ('frozen', S.FROZEN),
        ('good', S.RECOVERING),
        ('good', S.OK),
    ],
    'no place': [
        ('good', S.OK),
        ('no transform', S.NO_TF),
        ('good', S.OK),
        ('uncalibrated', S.UNCALIBRATED),
        ('good', S.OK),
    ],
    'a flaw': [('good', S.OK), ('flawed', S.SUSPECT), ('good', S.OK)],
    'a bad one on the way back': [
        ('good', S.OK),
        ('frozen', S.FROZEN),
        ('good', S.RECOVERING),
        ('bad', S.INVALID),
        ('good', S.RECOVERING),
        ('good', S.OK),
    ],
}


@pytest.mark.parametrize('steps', ARROWS.values(), ids=list(ARROWS))
def test_the_monitor_goes_along_the_arrows_that_it_draws(steps):
    monitor = SensorMonitor('cam', SensorKind.CAMERA, 10.0, SensingConfig())
    for number, (event, expected) in enumerate(steps):
        now = T0 + number * PERIOD
        match event:
            case 'nothing':
                monitor.tick(now)
            case 'good':
                monitor.good(now, now, GOOD)
            case 'flawed':
                monitor.good(now, now, Verdict(S.SUSPECT, 'torn: 40% fill', 'torn'))
            case 'bad':
                monitor.bad(S.INVALID, 'size: 3 bytes', now)
            case 'frozen':
                monitor.bad(S.FROZEN, '3 identical frames', now, now)
            case 'no transform':
                monitor.held(S.NO_TF, '/tf: none', now)
            case 'uncalibrated':
                monitor.held(S.UNCALIBRATED, 'CameraInfo: none', now)
            case 'missed':
                monitor.missed(now)
            case 'quiet':  # until the deadline after this period
                monitor.tick(now + 50 * MS)
            case _:
                raise AssertionError(event)
        assert monitor.state is expected, (number, event)
