"""Faults that are noticed: their share, their delay, false alarms."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from support.fake_drive import LIDAR, SENSORS
from support.injected_drive import Run, fault, run

from benchmark.reliability.figures import Figure
from metabev_ros.faults.pipe import PASSED
from metabev_ros.faults.plan import What
from metabev_ros.structures import SensorState

BEGIN, END, SECONDS = 1.0, 2.5, 6.0
COMMON = {
    'off': ('off', {}),
    'stuck': ('stuck', {}),
    'stuck_with_its_stamp': ('stuck', {'new_stamps': False}),
    'slow_to_a_quarter': ('slow', {'every': 4}),
    'delayed_200_ms': ('delayed', {'seconds': 0.2}),
    'intermittent_70_percent': ('intermittent', {'share': 0.7}),
    'garbage_bytes': ('garbage', {'what': What.BYTES}),
    'garbage_noise': ('garbage', {'what': What.NOISE}),
    'truncated': ('garbage', {'what': What.TRUNCATED, 'share': 0.5}),
    'stamp_10_s_back': ('wrong', {'what': What.STAMP, 'seconds': -10.0}),
    'stamp_5_s_ahead': ('wrong', {'what': What.STAMP, 'seconds': 5.0}),
    'foreign_frame': ('wrong', {'what': What.FRAME}),
}
OF_CAMERAS = {name: ('wrong', {'what': What(name)}) for name in ('black', 'white', 'torn')}
OF_LIDAR = {
    'empty': ('wrong', {'what': What.EMPTY}),
    'half_field': ('wrong', {'what': What.HALF_FIELD}),
    'sparse_20_percent': ('wrong', {'what': What.SPARSE, 'share': 0.2}),
    'not_finite_95_percent': ('wrong', {'what': What.NOT_FINITE, 'share': 0.95}),
}
KINDS = {'camera': ('cam2', COMMON | OF_CAMERAS), 'lidar': (LIDAR, COMMON | OF_LIDAR)}


def _states(result: Run, name: str) -> list[tuple[int, int, SensorState]]:
    """(stamp, time it came out, state of a sensor) of every output."""
    return [
        (s.stamp_ns, time, report.state)
        for time, s in result.out
        for report in s.sensors
        if report.name == name
    ]


def judge(result: Run, name: str) -> tuple[float | None, int, int]:
    """Delay in ms from the first message that was touched, or ought to have come, to the first
    output that does not call its sensor OK (None: never); false alarms; outputs judged for them.

    A false alarm is an output that calls a sensor not OK before any fault, or another sensor at
    any time. What follows a fault is recovery, and not judged.
    """
    touched = [t for t in result.truth_of(name) if t.fault and t.action != PASSED]
    begin = touched[0].arrival_ns
    noticed = next(
        (
            time
            for _, time, state in _states(result, name)
            if time >= begin and state is not SensorState.OK
        ),
        None,
    )
    false = judged = 0
    for other in SENSORS:
        for _, time, state in _states(result, other):
            if other == name and time >= begin:
                continue
            judged += 1
            false += state is not SensorState.OK
    return None if noticed is None else (noticed - begin) / 1e6, false, judged


def _cases() -> Iterator[tuple[str, str, str, str, dict]]:
    for kind, (name, types) in KINDS.items():
        for row, (fault_type, parameters) in types.items():
            yield kind, name, row, fault_type, parameters


def detection_truth(phases: int) -> list[Figure]:
    """Each type of fault, on a camera and on the LiDAR, at `phases` phases of the period."""
    figures, false_all, judged_all = [], 0, 0
    for kind, name, row, fault_type, parameters in _cases():
        delays, false, missed = [], 0, 0
        for phase in range(phases):
            begin = BEGIN + 0.1 * phase / phases
            result = run(
                fault(fault_type, name, begin, END, **parameters), seconds=SECONDS, seed=phase
            )
            delay, wrong, judged = judge(result, name)
            missed += delay is None
            delays += [] if delay is None else [delay]
            false, judged_all = false + wrong, judged_all + judged
        false_all += false
        n, place = phases, f'reliability.{kind}.{row}'
        figures += [
            Figure(f'{place}.noticed', (n - missed) / n, 'share', n),
            Figure(f'{place}.worst_delay', max(delays, default=np.nan), 'ms', n),
            Figure(f'{place}.false_alarms', false, 'alarms', n),
        ]
        sys.stdout.write(f'{kind} {row}: {n - missed} of {n}, {false} false\n')
    return [
        Figure(
            'f4.labels_of_unharmed_sensors_that_were_not_ok',
            false_all,
            'labels',
            judged_all,
            '== 0',
        ),
        *[f for f in figures if not np.isnan(f.value)],
    ]
