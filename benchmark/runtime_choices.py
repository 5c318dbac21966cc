"""What was measured before the runtime was written as it is: interleaved, so ratios hold.

    .venv/bin/metabev-env python benchmark/runtime_choices.py [--record docs/results/engines.json]

`overlap`: both encoders at once, with half of the threads each or with all, against one after the
other. `tables`: building the camera-to-BEV tables of six cameras, for the calibrations of one rig.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path

SEED = 900_500
MODELS = ('models/metabev_nano/config.yaml', 'config/models/metabev_base.yaml')
WARM_UP = 3


def seconds_of(run, *arguments, clock=time.perf_counter) -> float:
    start = clock()
    run(*arguments)
    return clock() - start


def measure_runs(runs: int, threads: int) -> dict[str, float]:
    """Name -> median ratio to plain session runs, one after the other."""
    folder = resource_path('models/metabev_nano')
    backend = OnnxRuntimeBackend(folder, threads)
    halved = OnnxRuntimeBackend(folder, max(1, threads // 2))
    inputs = Preprocessor(backend.config)
    frame = SyntheticDrive(SEED, DriveConfig(frames=1))[0]
    camera, lidar = inputs(sample_from_frame(frame, inputs.prepare_image))
    aside = ThreadPoolExecutor(1)

    def plain() -> None:
        backend.fuse(backend.encode_camera(camera), backend.encode_lidar(lidar))

    def overlapped(encoders: OnnxRuntimeBackend) -> None:
        other = aside.submit(encoders.encode_lidar, lidar)
        backend.fuse(encoders.encode_camera(camera), other.result())

    seconds: dict[str, list[float]] = {}
    for turn in track(range(runs + WARM_UP), 'Measuring'):
        base = seconds_of(plain)
        for name, run, *arguments in (
            ('overlap_half_threads', overlapped, halved),
            ('overlap_all_threads', overlapped, backend),
        ):
            ratio = seconds_of(run, *arguments) / base
            if turn >= WARM_UP:
                seconds.setdefault(name, []).append(ratio)
    return {name: float(np.median(ratios)) for name, ratios in seconds.items()}


def measure_tables(config_path: Path, runs: int) -> tuple[str, float, float]:
    """(model, median, smallest) milliseconds of processor time: a build is one thread."""
    config = load_config(ModelConfig, config_path)
    prepare_image = Preprocessor(config).prepare_image
    sample = sample_from_frame(SyntheticDrive(SEED, DriveConfig(frames=1))[0], prepare_image)
    calibrations = [image.calibration for image in sample.cameras.values()]
    times = [
        1e3
        * seconds_of(
            LiftSplatTables(config.camera, config.splat_grid), calibrations, clock=time.thread_time
        )
        for _ in range(runs)
    ]
    return config.name, float(np.median(times)), min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    command, runs = shlex.join(['python', *sys.argv]), options.runs
    figures = [
        (f'runtime.{name}', ratio, 'of plain runs one after the other')
        for name, ratio in measure_runs(runs, options.threads).items()
    ]
    for model in MODELS:
        name, median, smallest = measure_tables(resource_path(model), runs)
        figures += [
            (f'tables.{name}.build', median, 'ms of one core, median'),
            (f'tables.{name}.build_least', smallest, 'ms of one core, smallest'),
        ]
    for name, value, unit in figures:
        print(f'{name:32} {value:8.3f} {unit}')
    if options.record:
        merge_records(options.record, [make_record(*figure, command, runs) for figure in figures])


if __name__ == '__main__':
    main()
