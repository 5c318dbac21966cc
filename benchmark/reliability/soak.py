"""A day at 10 Hz, accelerated: memory, files and threads of the sensing path and pipeline.

What the node's threads do with a message is done here on one thread and at once: raw bytes ->
`SensingWorker` (deserialise, front end, snapshot, log) -> `Mailbox` -> `InferenceWorker` ->
`Pipeline` (preprocess, a stub in the network's place, postprocess) -> encoded outputs. Time is
that of the messages. Every minute has a plan of faults of its own; each 50th begins 5 s before the
end of the one before, as when a bag is played in a loop; one sample in 997 fails in the stub.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.fake_drive import CAMERAS, LIDAR, T0, rig
from support.injected_drive import LEAD, TOGETHER, stream
from support.random_plans import random_plan

from benchmark.reliability.detection import Stop
from benchmark.reliability.figures import Figure
from metabev_ros import wire
from metabev_ros.config import (
    CameraBranchConfig,
    DecoderConfig,
    InferenceConfig,
    LidarBranchConfig,
    ModelConfig,
    SensingConfig,
)
from metabev_ros.errors import BackendError
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.geometry import BevGrid
from metabev_ros.node.inference import InferenceWorker
from metabev_ros.node.queues import RawMessage, TopicQueue
from metabev_ros.node.workers import Mailbox, SensingWorker, ThrottledLog
from metabev_ros.pipeline import Pipeline
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import PerceptionResult
from metabev_ros.wire import Counters, StatusReport

MINUTE = 60 * 10**9
FRAMES = 600  # sweeps a minute
FAILING = 997  # one sample in so many raises in the stub
EPOCH_EVERY, BACK = 50, 5 * 10**9


class StubBackend:
    """Gives the same few boxes for whatever comes in."""

    name, device, precision, provider, gpu_memory = 'stub', 'cpu', 'fp32', 'cpu', 0
    score_calibration = measured_errors = None

    def __init__(self, config: ModelConfig) -> None:
        grid, ground = config.bev_grid, config.map_grid
        heatmap = np.full(
            (1, len(config.detection_classes), grid.rows, grid.columns), -9, np.float32
        )
        heatmap[0, :3, 8, ::16] = 1.0
        self._outputs = {
            'heatmap': heatmap,
            'boxes': np.full((1, 10, grid.rows, grid.columns), 0.5, np.float32),
            'map_logits': np.zeros(
                (1, len(config.map_classes), ground.rows, ground.columns), np.float32
            ),
        }
        self.runs = 0

    def run(self, camera, lidar) -> dict[str, np.ndarray]:
        self.runs += 1
        if self.runs % FAILING == 0:
            raise BackendError('stub', 'an output', 'a planned failure')
        return {name: array.copy() for name, array in self._outputs.items()}


def small_config() -> ModelConfig:
    """Pictures of 64 x 32 and a grid of 32 x 32 cells."""
    return ModelConfig(
        name='soak',
        bev_grid=BevGrid(-25.6, 25.6, -25.6, 25.6, 1.6),
        map_grid=BevGrid(-25.6, 25.6, -25.6, 25.6, 1.6),
        camera=CameraBranchConfig(height=32, width=64, depth_max=8.0),
        lidar=LidarBranchConfig(pillar=0.8, max_pillars=1000),
        decoder=DecoderConfig(cell=3.2),
    )


class Machine:
    """The node without its threads and its middleware."""

    def __init__(self) -> None:
        self.now = T0
        self.lines = self.outputs = self.bytes = 0
        config = small_config()
        self.pipeline = Pipeline(config, StubBackend(config), '0' * 64)
        front_end = SensorFrontEnd(rig(), SensingConfig(), self.pipeline.prepare_image)
        self.types = {topic.lstrip('/'): kind for topic, kind in front_end.subscriptions().items()}
        log = ThrottledLog(self._line, self._line)
        self.mailbox = Mailbox()
        self.front_end = front_end
        self.sensing = SensingWorker(
            front_end, TopicQueue({}), self.mailbox, self.types, lambda: self.now, log
        )
        self.inference = InferenceWorker(
            self.pipeline,
            lambda attempt: self.pipeline,
            self.mailbox,
            self._publish,
            log,
            InferenceConfig(),
        )

    def _line(self, text: str) -> None:
        self.lines += 1

    def _publish(self, result: PerceptionResult) -> None:
        sample, model = result.sample, self.pipeline.model
        status = StatusReport(
            sample.stamp_ns,
            sample.modality,
            sample.sensors,
            Counters(self.outputs),
            epoch=sample.epoch,
            latency_s=result.latency_s,
        )
        messages = [
            wire.encode_status(status, model, 'base_link'),
            *wire.encode_result(result, model, 'base_link'),
        ]
        self.outputs += 1
        self.bytes += sum(len(message.cdr) for message in messages)

    def take(self, topic: str, cdr: bytes, arrival_ns: int) -> None:
        """One message, as `SensingWorker.run` and `InferenceWorker.run` have it."""
        self.now = arrival_ns
        worker = self.sensing
        while (due := self.front_end.next_deadline_ns()) is not None and due < arrival_ns:
            self._work(self.front_end.poll(due))
        self._work(worker._take(RawMessage(topic, cdr, arrival_ns)))
        worker.snapshot = worker._look(arrival_ns)
        worker._tell(worker.snapshot.sensors)

    def _work(self, samples) -> None:
        for sample in samples:
            self.mailbox.put(sample)
            taken = self.mailbox.get(0)
            if self.inference._is_new(taken):
                self.inference._process(taken)


def minute(number: int, start: int):
    """The messages of one minute, with its faults, beginning at `start`."""
    faults = [
        replace(fault, name=f'{k} {fault.name}', begin=fault.begin + 8 * k, end=fault.end + 8 * k)
        for k in range(7)
        for fault in random_plan(1000 * number + k)
    ]
    messages = stream(60.0, pace=TOGETHER)
    pipe = FaultPipe(
        FaultPlan('soak', '', tuple(faults)),
        rig(),
        {m.topic: m.msgtype for m in messages},
        number,
        lambda truth: None,
    )
    shift = start - T0 + round(LEAD * 1e9)
    for item in messages:
        cdr = item.cdr
        if item.topic != 'tf_static':
            cdr = wire.with_stamp(cdr, wire.read_stamp(cdr) + shift)
        yield from pipe.feed(replace(item, cdr=cdr, log_time_ns=item.log_time_ns + shift))
    yield from pipe.flush()


def resources(process: int | str = 'self') -> tuple[float, int, int]:
    """(resident MB, open files, threads) of a process."""
    place = Path('/proc') / str(process)
    status = (place / 'status').read_text(encoding='ascii')
    return (
        int(status.split('VmRSS:')[1].split()[0]) / 1024,
        len(os.listdir(place / 'fd')),
        len(os.listdir(place / 'task')),
    )


def slope_bound(frames: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Least-squares slope per 1e5 frames, and the upper end of its 95 % interval."""
    x = (frames - frames.mean()) / 1e5
    slope = float((x * values).sum() / (x * x).sum())
    rest = values - values.mean() - slope * x
    error = float(np.sqrt((rest * rest).sum() / (len(x) - 2) / (x * x).sum()))
    return slope, slope + 1.96 * error


def growth(prefix: str, seen: list[tuple[int, float, int, int]], frames: int) -> list[Figure]:
    """What (frames so far, *resources) did after the first tenth, which is warm-up."""
    kept = np.array(seen[len(seen) // 10 :])
    slope, bound = slope_bound(kept[:, 0], kept[:, 1])
    tenth = max(1, len(kept) // 10)
    rise = float(np.median(kept[-tenth:, 1]) - np.median(kept[:tenth, 1]))
    n = len(kept)
    return [
        Figure(f'{prefix}.memory_growth', rise, 'MB', frames, '< 20'),
        Figure(f'{prefix}.memory_slope_per_1e5_frames', slope, 'MB', n),
        Figure(f'{prefix}.memory_slope_95_percent_bound', bound, 'MB', n, '< 1'),
        Figure(f'{prefix}.change_of_open_files', float(np.ptp(kept[:, 2])), 'files', n, '== 0'),
        Figure(f'{prefix}.change_of_threads', float(np.ptp(kept[:, 3])), 'threads', n, '== 0'),
    ]


def soak(frames: int) -> list[Figure]:
    """A day in whole minutes of at most `frames` sweeps."""
    machine, seen, start, done = Machine(), [], T0, 0
    for number in Stop().until(range(frames // FRAMES), 'minutes', 20):
        for item in minute(number, start):
            machine.take(item.topic.lstrip('/'), item.cdr, item.log_time_ns)
        start += MINUTE - (BACK if number % EPOCH_EVERY == EPOCH_EVERY - 1 else 0)
        done += FRAMES
        seen.append((done, *resources()))
        if number % 20 == 19:
            sys.stdout.write(
                f'{done} frames: {seen[-1][1]:.1f} MB, {seen[-1][2]} files, '
                f'{machine.outputs} outputs, {machine.lines} log lines\n'
            )
    lost = machine.sensing._escaped
    sensors = len(CAMERAS) + len((LIDAR,))
    sys.stdout.write(
        f'{machine.outputs} outputs, {machine.inference.failed} planned failures, '
        f'{machine.lines} log lines of {sensors} sensors\n'
    )
    return [
        Figure('f8.frames', done, 'sweeps', done, '>= 864000'),
        Figure('f8.outputs', machine.outputs, 'outputs', done),
        *growth('f8', seen, done),
        Figure('f8.exceptions_that_nobody_foresaw', lost, 'exceptions', done, '== 0'),
    ]
