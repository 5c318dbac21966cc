"""The targets of the demonstration by fault: the table that decides the exit status."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.config.yaml import require
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.lab.demo.events import NEVER_MS
from metabev_ros.lab.demo.fault_targets import SLOWEST_STATUS_HZ, TARGETS, Limits, Line
from metabev_ros.lab.demo.measures import EVERYTHING, FROZEN, Measures
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.structures import SensorKind

SHORTEST_PAUSE = 2.0  # seconds between two faults, so that each recovery can be seen
LAST_PAUSE = 3.0  # seconds at least from the last fault to the end of the drive
LEAST_COMPLETE = 99  # per cent of the outputs while nothing fails that all sensors made
NOT_JUDGED = 'not judged: busy machine'
RATE_ERROR = 5  # per cent between the rate that the node says and what was published


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        group: the fault it belongs to, in words.
        what: for people.
        record: value, unit, target and whether it is met (None: stated without a target).
        not_judged: the target that the machine was too busy to be held to; empty for none.
    """

    group: str
    what: str
    record: ResultRecord
    not_judged: str = ''

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
        target = self.record.target or self.not_judged
        return f'{target} {self.record.unit}'.strip() if target else ''

    @property
    def mark(self) -> str:
        """The judgement as a person reads it; empty for what is stated without a target."""
        if self.not_judged:
            return NOT_JUDGED
        return {True: 'met', False: 'missed', None: ''}[self.record.met]


def _recoveries(measures: Measures) -> list[Line]:
    return [
        Line(
            f'{event.fault.name}.recovery',
            f'after "{event.fault.title}"',
            event.recovery,
            'ms',
            f'<= {Limits(measures.inference).recovery}',
        )
        for event in measures.events
    ]


def _whole_run(measures: Measures, rig: RigConfig, node_exit: int) -> list[Line]:
    labels = measures.labels
    return [
        Line(
            'labels.wrong',
            'labels naming a sensor that did not make the output',
            len(labels.wrong),
            '',
            '== 0',
            labels.checked,
            is_decision=True,
        ),
        Line(
            'labels.complete',
            'outputs from all sensors while nothing failed',
            100 * labels.complete / max(labels.healthy, 1),
            '%',
            f'>= {LEAST_COMPLETE}',
            labels.healthy,
        ),
        Line(
            'labels.passed_over',
            'outputs that passed over a nearer frame, while nothing failed',
            len(labels.passed_over),
            '',
            '== 0',
            labels.healthy,
        ),
        *_ages_and_rates(measures, rig),
        Line(
            'inference',
            'inference of a FUSED output on this machine, 95th percentile',
            measures.inference,
            'ms',
        ),
        Line(
            'output_rate',
            'outputs a second while nothing failed',
            measures.output_hz,
            'Hz',
            n=labels.healthy,
        ),
        Line(
            'dropped_share',
            'samples that a newer one replaced before inference',
            100 * measures.dropped / max(measures.samples, 1),
            '%',
            n=measures.samples,
        ),
        Line(
            'heartbeat_rate',
            'status heartbeats',
            measures.heartbeat_rate,
            'Hz',
            f'>= {SLOWEST_STATUS_HZ}',
        ),
        Line('node_exit', "the node's exit status", node_exit, '', '== 0', is_decision=True),
        Line(
            'lateness',
            "sensors' messages sent later than planned by (95 %)",
            measures.lateness,
            'ms',
        ),
    ]


def _ages_and_rates(measures: Measures, rig: RigConfig) -> list[Line]:
    """Over all cameras, and over all sensors; the table of the report has each of them."""
    cameras = [s for s in measures.sensors if rig.kinds[s.name] is SensorKind.CAMERA]
    ages = np.concatenate([s.healthy_ages for s in cameras]) if cameras else np.zeros(0)
    apart = [
        abs(s.reported_hz - s.published_hz) / s.published_hz if s.published_hz else 1.0
        for s in measures.sensors
    ]
    return [
        Line(
            'ages.cameras_median',
            'age of an image while nothing failed, median',
            float(np.median(ages)) if len(ages) else 0.0,
            'ms',
            n=len(ages),
        ),
        Line(
            'ages.cameras_largest',
            'the largest, at most a fifth more than the period of its camera',
            float(ages.max(initial=0.0)),
            'ms',
            f'<= {min((1.2e3 / s.nominal_hz for s in cameras), default=0.0):.0f}',
            len(ages),
        ),
        Line(
            'rates.reported',
            "a sensor's rate as the node says it, off what was published by at most",
            100 * max(apart),
            '%',
            f'<= {RATE_ERROR}',
            len(apart),
        ),
    ]


def _latencies(measures: Measures) -> list[Line]:
    return [
        Line(
            f'latency.{name.lower()}',
            f'median latency {name}, stamp to publication',
            1e3 * float(np.median(values)),
            'ms',
            n=len(values),
        )
        for name, values in measures.latency.items()
    ]


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
    is_busy: bool = False,
) -> list[Check]:
    """All lines, in order of the run.

    Args:
        node_exit: exit status of the node's process.
        command: what measured it, for the records.
        is_busy: other programs took the processor: only decisions are judged.
    """
    groups = [
        *(
            (event.fault.title, TARGETS[event.fault.name](measures, rig, sensing))
            for event in measures.events
        ),
        ('revival to FUSED', _recoveries(measures)),
        ('the whole run', [*_whole_run(measures, rig, node_exit), *_latencies(measures)]),
    ]
    return [_check(group, line, command, is_busy) for group, lines in groups for line in lines]


def _check(group: str, line: Line, command: str, is_busy: bool) -> Check:
    value = round(float(line.value), 4)
    waived = is_busy and not line.is_decision
    target = None if waived else line.target
    record = make_record(f'demo.{line.name}', value, line.unit, command, line.n, target)
    return Check(group, line.what, record, (line.target or '') if waived else '')
