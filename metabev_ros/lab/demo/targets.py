"""The targets of the demonstration by fault: the table that decides the exit status."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.config.yaml import require
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.lab.demo.measures import EVERYTHING, FROZEN, NEVER_MS, EventMeasure, Measures
from metabev_ros.lab.evaluation.records import ResultRecord, make_record

SHORTEST_PAUSE = 2.0  # seconds between two faults, so that each recovery can be seen
LAST_PAUSE = 3.5  # seconds at least from the last fault to the end of the drive
LONGEST_SILENCE_MS, RECOVERY_MS, NAMED_MS, SLOWEST_STATUS_HZ = 400, 500, 1000, 5


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        group: the fault it belongs to, in words.
        what: for people.
        record: value, unit, target and whether it is met (None: stated without a target).
    """

    group: str
    what: str
    record: ResultRecord

    @property
    def value_text(self) -> str:
        """The value as a person reads it."""
        value, unit = self.record.value, self.record.unit
        if unit == 'ms' and value >= NEVER_MS:
            return 'never'
        digits = 0 if unit == 'ms' or float(value).is_integer() else 3 if abs(value) < 2 else 1
        return f'{value:.{digits}f} {unit}'.strip()

    @property
    def target_text(self) -> str:
        """The target as a person reads it; empty without one."""
        return f'{self.record.target} {self.record.unit}'.strip() if self.record.target else ''


@dataclass(frozen=True)
class _Line:
    """A line of the table before its record is made."""

    name: str
    what: str
    value: float
    unit: str
    target: str | None = None
    n: int = 1


def _silence(event: EventMeasure) -> _Line:
    target = f'<= {LONGEST_SILENCE_MS}'
    name = f'{event.fault.name}.silence'
    return _Line(name, 'longest silence', event.silence, 'ms', target, event.outputs)


def _cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    event = measures.event('cameras')
    limit = 1e3 / rig.sample_rate_hz + 1e3 * sensing.deadline
    return [
        _Line(
            'cameras.label_stamp',
            'first output labelled LIDAR, stamp time',
            event.label_stamp,
            'ms',
            f'<= {limit:.0f}',
        ),
        _Line(
            'cameras.label_wall', 'first output labelled LIDAR, received', event.label_wall, 'ms'
        ),
        _silence(event),
    ]


def _lidar(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    event = measures.event('lidar')
    return [
        _silence(event),
        _Line(
            'lidar.label_stamp',
            'first output labelled CAMERA, stamp time',
            event.label_stamp,
            'ms',
            f'<= {LONGEST_SILENCE_MS}',
        ),
        _Line(
            'lidar.label_wall', 'first output labelled CAMERA, received', event.label_wall, 'ms'
        ),
    ]


def _everything(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    event, dark = measures.event(EVERYTHING), measures.dark
    return [
        _Line(
            'everything.status_rate',
            'PerceptionStatus goes on',
            dark.status_rate,
            'Hz',
            f'>= {SLOWEST_STATUS_HZ}',
            dark.statuses,
        ),
        _Line('everything.status_gap', 'longest gap between two', dark.longest_gap, 'ms'),
        _Line('everything.none_delay', 'first status NONE', event.label_wall, 'ms'),
        _Line(
            'everything.none_share',
            'statuses since then that say NONE',
            100 * dark.none_share,
            '%',
            '== 100',
            dark.statuses,
        ),
        _Line('everything.error_delay', 'first /diagnostics ERROR', dark.error_delay, 'ms'),
        _Line(
            'everything.error_share',
            '/diagnostics since then that say ERROR',
            100 * dark.error_share,
            '%',
            '== 100',
        ),
    ]


def _two_cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    event = measures.event('two_cameras')
    return [
        _Line(
            'two_cameras.label_wall',
            'first output FUSED from the others, received',
            event.label_wall,
            'ms',
        ),
        _silence(event),
    ]


def _frozen(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    frozen = measures.frozen
    return [
        _Line('frozen.named', 'named FROZEN', frozen.named, 'ms', f'<= {NAMED_MS}'),
        _Line(
            'frozen.masked',
            'first output made without it, received',
            frozen.masked,
            'ms',
            f'<= {NAMED_MS}',
        ),
        _Line(
            'frozen.used_after',
            'outputs made with it after it was named',
            frozen.used_after,
            '',
            '== 0',
        ),
    ]


def _recoveries(measures: Measures) -> list[_Line]:
    return [
        _Line(
            f'{event.fault.name}.recovery',
            f'after "{event.fault.title}"',
            event.recovery,
            'ms',
            f'<= {RECOVERY_MS}',
        )
        for event in measures.events
    ]


def _whole_run(measures: Measures, node_exit: int) -> list[_Line]:
    labels = measures.labels
    return [
        _Line(
            'labels.wrong',
            'labels naming a sensor that did not make the output',
            len(labels.wrong),
            '',
            '== 0',
            labels.checked,
        ),
        _Line(
            'labels.complete',
            'outputs from all sensors while nothing failed',
            100 * labels.complete / max(labels.healthy, 1),
            '%',
            n=labels.healthy,
        ),
        _Line(
            'heartbeat_rate',
            'status heartbeats',
            measures.heartbeat_rate,
            'Hz',
            f'>= {SLOWEST_STATUS_HZ}',
        ),
        _Line('node_exit', "the node's exit status", node_exit, '', '== 0'),
        _Line('lateness', "sensors' messages sent late by (95 %)", measures.lateness, 'ms'),
    ]


def _latencies(measures: Measures) -> list[_Line]:
    return [
        _Line(
            f'latency.{name.lower()}',
            f'median latency {name}, stamp to publication',
            1e3 * float(np.median(values)),
            'ms',
            n=len(values),
        )
        for name, values in measures.latency.items()
    ]


# What each fault of the demonstration is held to, by its name in the plan.
TARGETS: dict[str, Callable[[Measures, RigConfig, SensingConfig], list[_Line]]] = {
    'cameras': _cameras,
    'lidar': _lidar,
    EVERYTHING: _everything,
    'two_cameras': _two_cameras,
    FROZEN: _frozen,
}


def require_judgeable(plan: FaultPlan, rig: RigConfig) -> None:
    """Refuse a plan that the demonstration has no targets for, or whose recoveries are not seen.

    Raises:
        ConfigError
    """
    where = f'fault plan {plan.name}'
    names = sorted(fault.name for fault in plan.faults)
    require(names == sorted(TARGETS), where, f'the faults {sorted(TARGETS)}', names)
    dark = set(plan.named(EVERYTHING).sensor_names(rig))
    require(dark == set(rig.sensor_names), f'fault {EVERYTHING}.sensors', 'all', sorted(dark))
    frozen = plan.named(FROZEN)
    is_one = frozen.type is FaultType.STUCK and len(frozen.sensor_names(rig)) == 1
    require(is_one, f'fault {FROZEN}', 'one sensor that is stuck', frozen)
    before = 0.0
    for fault in plan.faults:
        earliest = before + SHORTEST_PAUSE
        expected = f'a begin {SHORTEST_PAUSE:g} s after the fault before it ({before:g} s)'
        require(fault.begin >= earliest, f'fault {fault.name}', expected, f'{fault.begin:g} s')
        before = fault.end


def drive_seconds(plan: FaultPlan) -> float:
    """Seconds of a drive that lasts until every recovery has been seen."""
    return float(math.ceil(plan.end + LAST_PAUSE))


def make_checks(
    measures: Measures,
    rig: RigConfig,
    sensing: SensingConfig,
    node_exit: int,
    command: str = 'make demo',
) -> list[Check]:
    """All lines, in order of the run.

    Args:
        node_exit: exit status of the node's process.
        command: what measured it, for the records.
    """
    groups = [
        *(
            (event.fault.title, TARGETS[event.fault.name](measures, rig, sensing))
            for event in measures.events
        ),
        ('revival to FUSED', _recoveries(measures)),
        ('the whole run', [*_whole_run(measures, node_exit), *_latencies(measures)]),
    ]
    return [_check(group, line, command) for group, lines in groups for line in lines]


def _check(group: str, line: _Line, command: str) -> Check:
    value = round(float(line.value), 4)
    record = make_record(f'demo.{line.name}', value, line.unit, command, line.n, line.target)
    return Check(group, line.what, record)
