"""Bags of failing sensors replayed: nothing is lost, the bytes are the same again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.progress import track
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from benchmark.reliability.figures import Figure
from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import SensingConfig, save_config
from metabev_ros.replay.run import output_topic
from metabev_ros.sensing.health import to_ns

TICKS, START = 50, 1_700_000_000_000_000_000
Skip = Callable[[str, int], bool]
# Threads of each replay: three of the same bag, each in a process of its own.
THREADS = (2, 2, 1)


def scenarios(seed: int) -> dict[str, Skip]:
    """Name -> what the sensors do not send. At every tick some sensor is left."""
    lost = np.random.default_rng(seed).random((3, TICKS, len(rig_messages.SENSORS)))
    order = rig_messages.SENSORS.index

    def drops(share: float, row: int) -> Skip:
        return lambda sensor, tick: sensor != LIDAR and lost[row, tick, order(sensor)] < share

    return {
        'full': lambda sensor, tick: False,
        'one_camera_never': lambda sensor, tick: sensor == CAMERAS[0],
        'no_cameras': lambda sensor, tick: sensor in CAMERAS,
        'no_lidar': lambda sensor, tick: sensor == LIDAR,
        'cameras_die_and_return': lambda sensor, tick: sensor in CAMERAS and 10 <= tick < 30,
        'lidar_dies_and_returns': lambda sensor, tick: sensor == LIDAR and 10 <= tick < 30,
        'one_after_the_other': lambda sensor, tick: (
            sensor in CAMERAS and 10 <= tick < 20 or sensor == LIDAR and 30 <= tick < 40
        ),
        'pictures_dropped_20': drops(0.2, 0),
        'pictures_dropped_60': drops(0.6, 1),
    }


def expected(skip: Skip) -> set[int]:
    """Stamps that must have an output: those of all ticks at which some sensor sent.

    A LiDAR that never spoke is waited for until the start timeout; the cameras take over with
    the pictures that are there by then, which are those of the tick before.
    """
    first = 0
    if all(skip(LIDAR, tick) for tick in range(TICKS)):
        first = to_ns(SensingConfig().start_timeout) // PERIOD_NS - 1
    return {
        START + tick * PERIOD_NS
        for tick in range(first, TICKS)
        if not all(skip(sensor, tick) for sensor in rig_messages.SENSORS)
    }


def _replay(bag: Path, threads: int, rig: Path) -> Path:
    out = bag.with_suffix(f'.{threads}.out.mcap')
    subprocess.run(
        [
            sys.executable,
            '-m',
            'metabev_ros.cli',
            'replay',
            str(bag),
            '-o',
            str(out),
            '--rig',
            str(rig),
            '--threads',
            str(threads),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return out


def _outputs(bag: Path) -> tuple[list[int], str]:
    """Stamps of the detections, and a hash of all outputs.

    Of a status, the stages' times are left out: they are those of the machine.
    """
    names = {output_topic(topic): kind for topic, kind in wire.OUTPUT_TYPES.items()}
    stamps, total = [], hashlib.sha256()
    for message in BagReader(bag):
        if message.topic not in names:
            continue
        cdr = message.cdr
        if message.topic == output_topic(wire.STATUS):
            status = wire.deserialize(cdr, message.msgtype)
            status.stage_latencies = np.zeros_like(status.stage_latencies)
            cdr = wire.serialize(status, message.msgtype)
        elif message.topic == output_topic(wire.DETECTIONS):
            stamps.append(wire.read_stamp(cdr))
        total.update(f'{message.topic} {message.log_time_ns} {len(cdr)}\0'.encode() + cdr)
    return stamps, total.hexdigest()


def replay(seed: int) -> list[Figure]:
    """Replay every scenario: its ticks, its bytes."""
    outputs = lost = foreign = different = 0
    cases = scenarios(seed)
    with tempfile.TemporaryDirectory() as folder:
        rig = Path(folder) / 'rig.yaml'
        save_config(rig_messages.rig(), rig)
        for name, skip in track(cases.items(), 'replays', transient=True):
            bag = Path(folder) / name / 'in.mcap'
            bag.parent.mkdir()
            with BagWriter(bag) as writer:
                rig_messages.write_drive(writer, TICKS, START, skip)
            ticks = expected(skip)
            found = [_outputs(_replay(bag, threads, rig)) for threads in THREADS]
            stamps = found[0][0]
            outputs, lost = outputs + len(stamps), lost + len(ticks - set(stamps))
            foreign += len(stamps) - len(ticks & set(stamps))
            different += len({digest for _, digest in found}) - 1
            sys.stdout.write(
                f'{name}: {len(stamps)} outputs of {len(ticks)} ticks, missing '
                f'{sorted((t - START) // PERIOD_NS for t in ticks - set(stamps))}, '
                f'{len({digest for _, digest in found})} contents\n'
            )
            shutil.rmtree(bag.parent)
    n = len(cases) * len(THREADS)
    return [
        Figure('f9.outputs', outputs, 'outputs', len(cases)),
        Figure('f9.ticks_without_an_output', lost, 'outputs', outputs, '== 0'),
        Figure('f9.outputs_without_a_tick', foreign, 'outputs', outputs, '== 0'),
        Figure('f10.replays_with_other_bytes', different, 'replays', n, '== 0'),
    ]
