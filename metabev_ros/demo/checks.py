"""What was measured beside what was promised: the table that decides the exit status."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.demo.measures import NEVER_MS, Measures
from metabev_ros.evaluation.records import ResultRecord, make_record

COMMAND = 'make demo'
LONGEST_SILENCE_MS, RECOVERY_MS, NAMED_MS, SLOWEST_STATUS_HZ = 400, 500, 1000, 5


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        what: for people.
        record: value, unit, target and whether it is met (None: stated without a target).
    """

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


def make_checks(measures: Measures, rig: RigConfig, sensing: SensingConfig, node_exit: int
                ) -> list[Check]:
    """All lines, in order of the run."""
    return [*_cameras(measures, rig, sensing), *_lidar(measures), *_everything(measures),
            *_two_cameras(measures), *_frozen(measures), *_recoveries(measures),
            *_whole_run(measures, node_exit)]


def _check(name: str, what: str, value: float, unit: str, target: str | None = None,
           n: int = 1) -> Check:
    return Check(what, make_record(f'demo.{name}', round(float(value), 4), unit, COMMAND, n,
                                   target))


def _cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Check]:
    event = measures.event('cameras')
    limit = 1e3 / rig.lidar.rate_hz + 1e3 * sensing.deadline
    return [
        _check('cameras.label_stamp', 'all cameras die: first output labelled LIDAR, stamp time '
               '(one LiDAR period + deadline)', event.label_stamp, 'ms', f'<= {limit:.0f}'),
        _check('cameras.label_wall', 'the same output received', event.label_wall, 'ms'),
        _check('cameras.silence', 'longest silence around it', event.silence, 'ms',
               f'<= {LONGEST_SILENCE_MS}', event.outputs)]


def _lidar(measures: Measures) -> list[Check]:
    event = measures.event('lidar')
    return [
        _check('lidar.silence', 'the LiDAR dies: longest silence', event.silence, 'ms',
               f'<= {LONGEST_SILENCE_MS}', event.outputs),
        _check('lidar.label_stamp', 'first output labelled CAMERA, stamp time',
               event.label_stamp, 'ms', f'<= {LONGEST_SILENCE_MS}'),
        _check('lidar.label_wall', 'the same output received', event.label_wall, 'ms')]


def _everything(measures: Measures) -> list[Check]:
    event, dark = measures.event('everything'), measures.dark
    return [
        _check('everything.status_rate', 'all sensors die: PerceptionStatus goes on',
               dark.status_rate, 'Hz', f'>= {SLOWEST_STATUS_HZ}', dark.statuses),
        _check('everything.status_gap', 'longest gap between two', dark.longest_gap, 'ms'),
        _check('everything.none_delay', 'first status NONE', event.label_wall, 'ms'),
        _check('everything.none_share', 'statuses since then that say NONE',
               100 * dark.none_share, '%', '== 100', dark.statuses),
        _check('everything.error_delay', 'first /diagnostics ERROR', dark.error_delay, 'ms'),
        _check('everything.error_share', '/diagnostics since then that say ERROR',
               100 * dark.error_share, '%', '== 100')]


def _two_cameras(measures: Measures) -> list[Check]:
    event = measures.event('two_cameras')
    return [
        _check('two_cameras.label_wall', 'two cameras die: first output FUSED from the others',
               event.label_wall, 'ms'),
        _check('two_cameras.silence', 'longest silence around it', event.silence, 'ms',
               f'<= {LONGEST_SILENCE_MS}', event.outputs)]


def _frozen(measures: Measures) -> list[Check]:
    frozen = measures.frozen
    return [
        _check('frozen.named', 'a camera freezes: named FROZEN', frozen.named, 'ms',
               f'<= {NAMED_MS}'),
        _check('frozen.masked', 'first output made without it', frozen.masked, 'ms',
               f'<= {NAMED_MS}'),
        _check('frozen.used_after', 'outputs made with it after it was named',
               frozen.used_after, '', '== 0')]


def _recoveries(measures: Measures) -> list[Check]:
    return [_check(f'{event.fault.name}.recovery', f'revival after "{event.fault.title}": FUSED '
                   'from all sensors', event.recovery, 'ms', f'<= {RECOVERY_MS}')
            for event in measures.events]


def _whole_run(measures: Measures, node_exit: int) -> list[Check]:
    labels = measures.labels
    checks = [
        _check('labels.wrong', 'labels that name a sensor which did not make the output',
               len(labels.wrong), '', '== 0', labels.checked),
        _check('labels.complete', 'outputs from all sensors while nothing failed',
               100 * labels.complete / max(labels.healthy, 1), '%', n=labels.healthy),
        _check('heartbeat_rate', 'status heartbeats over the whole run',
               measures.heartbeat_rate, 'Hz', f'>= {SLOWEST_STATUS_HZ}'),
        _check('node_exit', "the node's exit status at the end", node_exit, '', '== 0')]
    for name, values in measures.latency.items():
        checks.append(_check(f'latency.{name.lower()}', f'median latency {name}, stamp to '
                             'publication', 1e3 * np.median(values), 'ms', n=len(values)))
    return checks
