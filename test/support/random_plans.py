"""Fault plans of all types by chance, for runs that are held against the injected truth."""

from __future__ import annotations

import numpy as np

from metabev_ros.faults.plan import FaultType, PlannedFault, What
from support.fake_drive import LIDAR, SENSORS
from support.injected_drive import fault


def random_plan(seed: int) -> list[PlannedFault]:
    """One fault after the other on three of the sensors."""
    dice = np.random.default_rng(seed)
    faults = []
    for lane, name in enumerate(dice.permutation(SENSORS)[:3]):
        begin = float(dice.uniform(0.2, 1.5))
        while begin < 5.5:
            end = begin + float(dice.uniform(0.45, 2.0))
            faults.append(random_fault(dice, str(name), begin, end, f'{lane} {begin:.2f}'))
            begin = end + float(dice.uniform(0.0, 1.0))
    return faults


def random_fault(dice, name: str, begin: float, end: float, label: str) -> PlannedFault:
    """Any type that fits the sensor."""
    kind = FaultType(dice.choice([t.value for t in FaultType]))
    extra = {
        FaultType.SLOW: {'every': int(dice.integers(2, 5))},
        FaultType.DELAYED: {'seconds': float(dice.uniform(0.01, 0.4))},
        FaultType.INTERMITTENT: {'share': 0.7},
    }.get(kind, {})
    if kind is FaultType.GARBAGE:
        extra = {'what': What(dice.choice(['bytes', 'noise', 'truncated']))}
        if extra['what'] is What.TRUNCATED:
            extra['share'] = 0.5
    elif kind is FaultType.WRONG:
        what = What(
            dice.choice(
                [
                    'stamp',
                    'frame',
                    *(
                        ['empty', 'half_field', 'not_finite']
                        if name == LIDAR
                        else ['black', 'white', 'torn']
                    ),
                ]
            )
        )
        extra = {'what': what}
        if what is What.STAMP:
            extra['seconds'] = float(dice.choice([-10.0, -0.1, 0.03, 5.0]))
        if what is What.NOT_FINITE:
            extra['share'] = 0.6
    return fault(kind.value, name, begin, end, name=label, **extra)
