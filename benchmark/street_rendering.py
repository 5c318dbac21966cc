"""What a sample of simulated streets costs, by stage, at the size of `metabev_nano`.

    .venv/bin/metabev-env python benchmark/street_rendering.py [--worlds 12] [--frames 6]
        [--record docs/results/street_rendering.json]

Worlds of rising seeds with their own rigs and weathers, as training draws them: one to eight
pictures of 352 x 128, the LiDAR sweeps of the configuration, boxes and map. Seconds of processor
time on one core. `world` is built once for `frames` samples, and so is `backdrop`, what cameras
work out of a world; both are divided by that. `pictures` is what a sample with pictures costs
beyond one without. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metabev_ros.config import ModelConfig
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.simulation.cameras.scene import backdrop
from metabev_ros.lab.simulation.records import StreetDrive, StreetDrives

SEED = 900_000  # of the first world; training begins elsewhere
FIRST, SPACING = 0.25, StreetDrives().spacing  # seconds
TARGET = 5.0  # samples a second a core
T = TypeVar('T')


def timed(make: Callable[[], T]) -> tuple[T, float]:
    """A result and the processor time that it took, seconds."""
    start = time.process_time()
    result = make()
    return result, time.process_time() - start


def measure(seed: int, frames: int, model: ModelConfig) -> dict[str, float]:
    """Seconds a sample by stage, of one world."""
    drive, world = timed(lambda: StreetDrive(seed, FIRST + frames * SPACING, model))
    _, once = timed(lambda: backdrop(drive.street))
    drive.record(0, FIRST, True)  # tables of lenses are made once for a drive
    without = whole = 0.0
    for index in range(frames):
        at = FIRST + index * SPACING
        without += timed(lambda at=at, index=index: drive.record(index, at, False))[1]
        whole += timed(lambda at=at, index=index: drive.record(index, at, True))[1]
    spent = {
        'world': world,
        'backdrop': once,
        'lidar': without,
        'pictures': whole - without,
        'all': world + once + whole,
    }
    return {name: seconds / frames for name, seconds in spent.items()}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--worlds', type=int, default=12)
    parser.add_argument('--frames', type=int, default=StreetDrives().frames_per_world)
    parser.add_argument('--sweeps', type=int, default=3)
    parser.add_argument('--record', type=Path)
    arguments = parser.parse_args()
    model = ModelConfig()
    lidar = dataclasses.replace(model.lidar, sweeps=arguments.sweeps)
    model = dataclasses.replace(model, lidar=lidar)
    measure(SEED, 1, model)  # the shelf of bodies, once in a process
    found: list[dict[str, float]] = []
    for seed in range(SEED, SEED + arguments.worlds):
        found.append(measure(seed, arguments.frames, model))
        print(seed, {name: round(value, 3) for name, value in found[-1].items()}, flush=True)
    mean = {name: sum(one[name] for one in found) / len(found) for name in found[0]}
    print('mean', {name: round(value, 3) for name, value in mean.items()})
    print(f'{1 / mean["all"]:.2f} samples a second a core')
    if arguments.record:
        record(arguments.record, mean, arguments.worlds * arguments.frames)


def record(path: Path, mean: dict[str, float], samples: int) -> None:
    """Write the figures down."""
    command = shlex.join(['python', *sys.argv])
    records = [
        make_record(f'street_rendering.{name}', value, 's a sample', command, samples)
        for name, value in mean.items()
    ]
    rate, unit = 1 / mean['all'], 'samples a second a core'
    goal = f'>= {TARGET:g}'
    records.append(make_record('street_rendering.rate', rate, unit, command, samples, goal))
    merge_records(path, records)


if __name__ == '__main__':
    main()
