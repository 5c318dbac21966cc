"""Delay until a dead sensor is named, untrue outputs, false alarms."""

from __future__ import annotations

import signal
import sys

from rich.progress import track
from support import fake_drive
from support.injected_drive import DEADLINE, VEHICLE, Run, check_truth, fault, run
from support.random_plans import random_plan

from benchmark.reliability.figures import Figure
from metabev_ros.faults.pipe import DROPPED
from metabev_ros.structures import SensorState

PERIOD = VEHICLE.period(fake_drive.CAMERAS[0])  # the longest of the drive's
SOURCES = (*fake_drive.SENSORS, 'cameras')
SWEEP_TRANSPORT = 10 * fake_drive.MS  # from the stamp of a sweep of the rig to its arrival


class Stop:
    """A run that lasts an hour ends early on SIGTERM and says what it has."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_) -> None:
        self.asked = True

    def until(self, items, label: str, every: int):
        """The items, until it was asked to stop; a line after each `every`."""
        for done, item in enumerate(items):
            if self.asked:
                sys.stdout.write(f'stopped after {done} of {len(items)} {label}\n')
                return
            if done and done % every == 0:
                sys.stdout.write(f'{done} of {len(items)} {label}\n')
                sys.stdout.flush()
            yield item


def _is_untrue(result: Run) -> bool:
    """Whether some output of a run is not what the truth file says."""
    try:
        check_truth(result)
    except AssertionError as error:
        sys.stdout.write(f'untrue: {error}\n')
        return True
    return False


def _names(source: str) -> tuple[str, ...]:
    return fake_drive.CAMERAS if source == 'cameras' else (source,)


def _delays(result: Run, source: str, begin: float, end: float) -> tuple[float, ...]:
    """Milliseconds: death to the first right label, to its stamp, missing message to that label,
    return to first use."""
    names = _names(source)
    death = fake_drive.T0 + round(begin * 1e9)
    first, stamp = next(
        (time, s.stamp_ns)
        for time, s in result.out
        if time >= death and not set(names) & set(s.used_sensors)
    )
    due = (
        max(
            t.out_arrival_ns
            for name in names
            for t in result.truth_of(name)
            if t.arrival_ns < death
        )
        + PERIOD
    )
    back = max(
        min(
            t.out_arrival_ns
            for t in result.truth_of(name)
            if t.arrival_ns >= fake_drive.T0 + round(end * 1e9) and t.action != DROPPED
        )
        for name in names
    )
    full = next(
        time for time, s in result.out if time >= back and set(names) <= set(s.used_sensors)
    )
    return tuple(ns / 1e6 for ns in (first - death, stamp - death, first - due, full - back))


def rig_bound_ms() -> float:
    """What the death of a sensor of this rig may take to be labelled, in milliseconds.

    A camera whose stamps lie ahead of the sweep dies right after a picture, which is in the next
    output by right; only the one after that lacks it. That one's sweep arrives `SWEEP_TRANSPORT`
    after its stamp, and the sample waits for the deadline.
    """
    ahead = -min(fake_drive.NUSCENES_OFFSETS.values()) * fake_drive.MS
    return (PERIOD + DEADLINE + ahead + SWEEP_TRANSPORT) / 1e6


def detection(plans: int) -> list[Figure]:
    """Deaths and returns over 20 phases x 8 sources; untrue outputs over random plans too."""
    delays, outputs, untrue, untrue_plans = [], 0, 0, 0
    cases = [(source, phase) for source in SOURCES for phase in range(0, 100, 5)]
    for source, phase in track(cases, 'dying and coming back', transient=True):
        begin, end = 1.0 + phase / 1000, 2.0 + phase / 1000
        result = run(fault('off', source, begin, end), seconds=4.0, check=False)
        outputs, untrue = outputs + len(result.out), untrue + _is_untrue(result)
        delays.append(_delays(result, source, begin, end))
    plans = 0
    for seed in Stop().until(range(plans), 'random plans', 500):
        result = run(*random_plan(1000 + seed), seconds=6.0, seed=seed, check=False)
        outputs, untrue_plans = outputs + len(result.out), untrue_plans + _is_untrue(result)
        plans += 1
    death, stamp, noticed, recovered = (max(values) for values in zip(*delays, strict=True))
    bound, n = (PERIOD + DEADLINE) / 1e6, len(delays)
    return [
        Figure('f1.death_to_first_right_label_worst', death, 'ms', n, f'<= {bound:g}'),
        Figure(
            'f1.death_to_first_right_label_worst_of_this_rig',
            death,
            'ms',
            n,
            f'<= {rig_bound_ms():g}',
        ),
        Figure('f1.death_to_stamp_of_first_right_label_worst', stamp, 'ms', n, f'<= {bound:g}'),
        Figure('f1.missing_message_to_first_right_label_worst', noticed, 'ms', n, f'<= {bound:g}'),
        Figure('f1.deaths_with_a_wrong_label', untrue, 'deaths', n, '== 0'),
        Figure(
            'f2.drives_with_an_untrue_output', untrue + untrue_plans, 'drives', n + plans, '== 0'
        ),
        Figure('f2.outputs_held_against_the_truth', outputs, 'outputs', outputs, '>= 1000000'),
        Figure('f5.return_to_use_worst', recovered, 'ms', n, f'<= {2 * PERIOD / 1e6 + bound:g}'),
    ]


def clean(drives: int) -> list[Figure]:
    """Alarms on clean drives whose stamps jitter by a fifth of the period."""
    outputs = alarms = changes = 0
    offsets = {name: -10 + 2 * k for k, name in enumerate(fake_drive.CAMERAS)}
    for seed in Stop().until(range(drives), 'clean drives', 20):
        drive = fake_drive.Drive(30, jitter=20, offsets=offsets, seed=seed)
        out = fake_drive.play(fake_drive.set_up(fake_drive.front_end()), drive.events)
        outputs += len(out)
        alarms += sum(any(r.state is not SensorState.OK for r in s.sensors) for _, s in out)
        changes += sum(
            a[1].modality is not b[1].modality for a, b in zip(out, out[1:], strict=False)
        )
    return [
        Figure('f3.outputs_with_a_false_alarm', alarms, 'outputs', outputs, '== 0'),
        Figure('f3.false_changes_of_modality', changes, 'changes', outputs, '== 0'),
    ]
