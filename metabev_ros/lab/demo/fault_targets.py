"""Targets that the node is held to while one fault lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.lab.demo.events import EventMeasure
from metabev_ros.lab.demo.measures import EVERYTHING, FROZEN, Measures

NAMED_MS, SLOWEST_STATUS_HZ = 1000, 5


@dataclass(frozen=True)
class Line:
    """A line of the table before its record is made.

    Attributes:
        is_decision: load cannot change it, so that it is judged on a busy machine too.
    """

    name: str
    what: str
    value: float
    unit: str
    target: str | None = None
    n: int = 1
    is_decision: bool = False


@dataclass(frozen=True)
class Limits:
    """Milliseconds that a node on this machine may take.

    Sensing takes the same on every machine, inference does not: the node first ends the one that
    it is at, and samples that close meanwhile are replaced by newer ones. With an inference of
    145 ms the limits are 300, 400 and 500 ms.

    Attributes:
        inference: of a FUSED output, 95th percentile of the run: each event is one of a kind.
    """

    inference: float

    @property
    def first_right(self) -> int:
        """Until an output without dead cameras: their period, the deadline, an inference."""
        return round(155 + self.inference)

    @property
    def silence(self) -> int:
        """Between two outputs: an inference, the sample that it waits for, and half as much."""
        return round(182 + 1.5 * self.inference)

    @property
    def recovery(self) -> int:
        """Until FUSED from all: two frames of the slowest sensor, the deadline, two inferences."""
        return round(210 + 2 * self.inference)


def _silence(event: EventMeasure, limits: Limits) -> Line:
    target = f'<= {limits.silence}'
    name = f'{event.fault.name}.silence'
    return Line(name, 'longest silence', event.silence, 'ms', target, event.outputs)


def _output_rate(event: EventMeasure) -> Line:
    rate = event.outputs / (event.end_s - event.begin_s)
    return Line(f'{event.fault.name}.output_rate', 'outputs a second', rate, 'Hz', None)


def _still_named(event: EventMeasure, rig: RigConfig) -> Line:
    """A frame serves again until the next one of its sensor is due, and no longer."""
    dead = event.fault.sensor_names(rig)
    period = max(1e3 / sensor.rate_hz for sensor in rig.sensors if sensor.name in dead)
    return Line(
        f'{event.fault.name}.still_named',
        'last output that names a dead sensor, stamp time',
        event.still_named,
        'ms',
        f'<= {period:.0f}',
    )


def _cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Line]:
    event, limits = measures.event('cameras'), Limits(measures.inference)
    return [
        Line(
            'cameras.label_stamp',
            'first output labelled LIDAR, stamp time',
            event.label_stamp,
            'ms',
            f'<= {limits.first_right}',
        ),
        Line(
            'cameras.label_wall', 'first output labelled LIDAR, received', event.label_wall, 'ms'
        ),
        _still_named(event, rig),
        _output_rate(event),
        _silence(event, limits),
    ]


def _lidar(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Line]:
    event, limits = measures.event('lidar'), Limits(measures.inference)
    return [
        _silence(event, limits),
        Line(
            'lidar.label_stamp',
            'first output labelled CAMERA, stamp time',
            event.label_stamp,
            'ms',
            f'<= {limits.silence}',
        ),
        Line('lidar.label_wall', 'first output labelled CAMERA, received', event.label_wall, 'ms'),
        _still_named(event, rig),
        _output_rate(event),
    ]


def _everything(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Line]:
    event, dark = measures.event(EVERYTHING), measures.dark
    return [
        Line(
            'everything.status_rate',
            'PerceptionStatus goes on',
            dark.status_rate,
            'Hz',
            f'>= {SLOWEST_STATUS_HZ}',
            dark.statuses,
        ),
        Line('everything.status_gap', 'longest gap between two', dark.longest_gap, 'ms'),
        Line('everything.none_delay', 'first status NONE', event.label_wall, 'ms'),
        Line(
            'everything.none_share',
            'statuses since then that say NONE',
            100 * dark.none_share,
            '%',
            '== 100',
            dark.statuses,
            is_decision=True,
        ),
        Line('everything.error_delay', 'first /diagnostics ERROR', dark.error_delay, 'ms'),
        Line(
            'everything.error_share',
            '/diagnostics since then that say ERROR',
            100 * dark.error_share,
            '%',
            '== 100',
            is_decision=True,
        ),
    ]


def _two_cameras(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Line]:
    event, limits = measures.event('two_cameras'), Limits(measures.inference)
    return [
        Line(
            'two_cameras.label_wall',
            'first output FUSED from the others, received',
            event.label_wall,
            'ms',
        ),
        _silence(event, limits),
        _still_named(event, rig),
    ]


def _frozen(measures: Measures, rig: RigConfig, sensing: SensingConfig) -> list[Line]:
    frozen = measures.frozen
    return [
        Line('frozen.named', 'named FROZEN', frozen.named, 'ms', f'<= {NAMED_MS}'),
        Line(
            'frozen.masked',
            'first output made without it, received',
            frozen.masked,
            'ms',
            f'<= {NAMED_MS}',
        ),
        Line(
            'frozen.used_after',
            'outputs made with it after it was named',
            frozen.used_after,
            '',
            '== 0',
            is_decision=True,
        ),
    ]


# What each fault of the demonstration is held to, by its name in the plan.
TARGETS: dict[str, Callable[[Measures, RigConfig, SensingConfig], list[Line]]] = {
    'cameras': _cameras,
    'lidar': _lidar,
    EVERYTHING: _everything,
    'two_cameras': _two_cameras,
    FROZEN: _frozen,
}
