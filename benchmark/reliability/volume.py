"""Lines in the log while a fault lasts for ever; ten minutes of made-up time each."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from unittest import mock

import numpy as np
from support.fake_drive import CAMERAS, LIDAR, SENSORS, T0, rig
from support.injected_drive import TOGETHER, fault, stream

from benchmark.reliability.figures import Figure
from benchmark.reliability.soak import MINUTE, Machine, StubBackend, small_config
from benchmark.reliability.truth import COMMON, OF_CAMERAS, OF_LIDAR
from metabev_ros import wire
from metabev_ros.errors import BackendError, ConfigError
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.node import inference

BEGIN = 1.0  # seconds; everything is well until then
PER_SOURCE = 0.5  # lines a second


class FailingBackend(StubBackend):
    """Raises whatever comes in (row 78)."""

    def run(self, camera, lidar):
        raise BackendError('stub', 'an output', 'a planned failure')


class CountingMachine(Machine):
    """Counts the lines of the log by what they are about."""

    def __init__(self) -> None:
        self.sources: Counter[str] = Counter()
        super().__init__()

    def _line(self, text: str) -> None:
        super()._line(text)
        source = text.partition(':')[0].partition('/')[0]  # of a sensor, or of one of its topics
        self.sources[source if source in SENSORS else 'inference'] += 1

    def fail_for_ever(self) -> None:
        """The network raises at each sample, and cannot be loaded again."""

        def refuse(attempt: int):
            raise ConfigError('engine', 'a file', 'none')

        config = small_config()
        self.pipeline._backend = FailingBackend(config)
        self.inference._reload = refuse

    def take(self, topic: str, cdr: bytes, arrival_ns: int) -> None:
        super().take(topic, cdr, arrival_ns)
        worker = self.inference
        if (
            worker._failures >= inference.FAILURES_BEFORE_RELOAD
            and arrival_ns / 1e9 > worker._next_reload
        ):
            worker._load_again()


def _messages(faults: tuple[PlannedFault, ...], seconds: int):
    """The drive under lasting faults: a minute of messages, again and again, with later stamps."""
    messages = stream(60.0, pace=TOGETHER)
    pipe = FaultPipe(
        FaultPlan('volume', '', faults),
        rig(),
        {m.topic: m.msgtype for m in messages},
        0,
        lambda truth: None,
    )
    for minute in range(seconds // 60):
        for item in messages:
            cdr, shift = item.cdr, minute * MINUTE
            if item.topic != 'tf_static':
                cdr = wire.with_stamp(cdr, wire.read_stamp(cdr) + shift)
            yield from pipe.feed(replace(item, cdr=cdr, log_time_ns=item.log_time_ns + shift))


def lines(faults: tuple[PlannedFault, ...], seconds: int, fails: bool = False) -> Counter[str]:
    """Lines of the log by source, of a run whose clock is made up."""
    now = [T0]
    with mock.patch('time.monotonic', lambda: now[0] / 1e9):
        machine = CountingMachine()
        if fails:
            machine.fail_for_ever()
        for item in _messages(faults, seconds):
            now[0] = item.log_time_ns
            machine.take(item.topic.lstrip('/'), item.cdr, item.log_time_ns)
    return machine.sources


def log_volume(minutes: int) -> list[Figure]:
    """Each type of fault on one sensor, everything off (row 5), inference that fails (78)."""
    cases = {
        f'{name} of {sensor}': (fault(kind, sensor, BEGIN, **parameters),)
        for sensor, types in ((CAMERAS[2], COMMON | OF_CAMERAS), (LIDAR, COMMON | OF_LIDAR))
        for name, (kind, parameters) in types.items()
    }
    cases['everything off'] = (fault('off', SENSORS, BEGIN),)
    worst, seconds = {}, minutes * 60
    for name, faults in cases.items():
        worst[name] = max(lines(faults, seconds).values(), default=0) / seconds
        sys.stdout.write(f'{name}: {worst[name]:.3f} lines/s\n')
    one_camera_less = (fault('off', CAMERAS[0], BEGIN),)
    failing = lines(one_camera_less, seconds, fails=True)['inference'] / seconds
    return [
        Figure(
            'f17.lines_per_second_of_the_loudest_sensor',
            float(np.max([*worst.values()])),
            'lines/s',
            len(cases),
            f'<= {PER_SOURCE:g}',
        ),
        Figure(
            'f17.lines_per_second_of_failing_inference',
            failing,
            'lines/s',
            1,
            f'<= {PER_SOURCE:g}',
        ),
    ]
