"""What was measured beside what was promised: the table that decides the exit status."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.lab.demo.measures import NEVER_MS, Measures
from metabev_ros.lab.evaluation.records import ResultRecord, make_record

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
        value, unit = self.record.value, self.record.unit
        if unit == 'ms' and value >= NEVER_MS:
            return 'never'
        digits = 0 if unit == 'ms' or float(value).is_integer() else 3 if abs(value) < 2 else 1
        return f'{value:.{digits}f} {unit}'.strip()

    @property
    def target_text(self) -> str:
        return f'{self.record.target} {self.record.unit}'.strip() if self.record.target else ''


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
    groups = (
        ('all cameras die', _cameras(measures, rig, sensing)),
        ('the LiDAR dies', _lidar(measures)),
        ('all sensors die', _everything(measures)),
        ('two cameras die', _two_cameras(measures)),
        ('a camera freezes', _frozen(measures)),
        ('revival to FUSED', _recoveries(measures)),
        ('the whole run', _whole_run(measures, node_exit)),
    )
    return [
        Check(
            group,
            line.what,
            make_record(
                f'demo.{line.name}',
                round(float(line.value), 4),
                line.unit,
                command,
                line.n,
                line.target,
            ),
        )
        for group, lines in groups
        for line in lines
    ]


@dataclass(frozen=True)
class _Line:
    """What becomes a Check."""

    name: str
    what: str
    value: float
    unit: str
    target: str | None = None
    n: int = 1


def _cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[_Line]:
    event = measures.event('cameras')
    limit = 1e3 / rig.lidar.rate_hz + 1e3 * sensing.deadline
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
        _Line(
            'cameras.silence',
            'longest silence',
            event.silence,
            'ms',
            f'<= {LONGEST_SILENCE_MS}',
            event.outputs,
        ),
    ]


def _lidar(measures: Measures) -> list[_Line]:
    event = measures.event('lidar')
    return [
        _Line(
            'lidar.silence',
            'longest silence',
            event.silence,
            'ms',
            f'<= {LONGEST_SILENCE_MS}',
            event.outputs,
        ),
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


def _everything(measures: Measures) -> list[_Line]:
    event, dark = measures.event('everything'), measures.dark
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


def _two_cameras(measures: Measures) -> list[_Line]:
    event = measures.event('two_cameras')
    return [
        _Line(
            'two_cameras.label_wall',
            'first output FUSED from the others, received',
            event.label_wall,
            'ms',
        ),
        _Line(
            'two_cameras.silence',
            'longest silence',
            event.silence,
            'ms',
            f'<= {LONGEST_SILENCE_MS}',
            event.outputs,
        ),
    ]


def _frozen(measures: Measures) -> list[_Line]:
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
    lines = [
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
    lines += [
        _Line(
            f'latency.{name.lower()}',
            f'median latency {name}, stamp to publication',
            1e3 * float(np.median(values)),
            'ms',
            n=len(values),
        )
        for name, values in measures.latency.items()
    ]
    return lines
