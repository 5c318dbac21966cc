"""What it costs that the vehicle moves: every image has a calibration of its own in every sample.

    .venv/bin/metabev-env python benchmark/ego_motion.py [--record docs/results/ego_motion.json]

Images are up to 83 ms older than the sweep (`ego_motion_drive.py`). `moving`: 15 m/s in a bend,
noise of 1 cm and 0.05 degrees; `standing`: noise of 0.1 mm and 0.001 degrees.

One core, and processor time of the process: `tables` and `preprocess` take turns with the code of
before (`ego_motion_before.py`), so the ratio holds where the machine's speed drifts. `paced` sends
samples at 10 Hz through `BackgroundTables` and `fall_back`, as a live node does, on all cores, or
beside as many processes that do nothing but take them. `rejected` is what two other ways would do.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from ego_motion_before import TablesBefore, pillars_before
from ego_motion_drive import (
    MOTIONS,
    PERIOD,
    SEED,
    calibrations_of,
    scattered_sweep,
    street_sweep,
    with_calibrations,
)
from rich.progress import track

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.config.node import InferenceConfig
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.preprocess.lift_splat import ANSWERS, BackgroundTables, LiftSplatTables
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path
from metabev_ros.sensing.modality import fall_back
from metabev_ros.structures import CameraCalibration, Modality, Sample

MODELS = {'nano': 'models/metabev_nano/config.yaml', 'base': 'config/models/metabev_base.yaml'}
WARM_UP = 3
Figure = tuple[str, float, str, int, str | None]  # id, value, unit, n, target


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def take_turns(
    new: Callable[[int], object], old: Callable[[int], object], runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of processor time of every run."""
    spent = {new: [], old: []}
    with one_core():
        for turn in range(runs + WARM_UP):
            for run, values in spent.items():
                start = time.process_time()
                run(turn)
                values.append(1e3 * (time.process_time() - start))
    return np.array(spent[new][WARM_UP:]), np.array(spent[old][WARM_UP:])


def beside(name: str, new: np.ndarray, old: np.ndarray, target: str | None) -> list[Figure]:
    """New, 95th percentile, old and their ratio."""
    return [
        (f'{name}.new', float(np.median(new)), 'ms', len(new), target),
        (f'{name}.new_95', float(np.percentile(new, 95)), 'ms', len(new), None),
        (f'{name}.before', float(np.median(old)), 'ms', len(old), None),
        (f'{name}.ratio', float(np.median(old / new)), 'times', len(old), None),
    ]


def measure_tables(name: str, config: ModelConfig, sample: Sample, runs: int) -> list[Figure]:
    """Tables of both motions, and in how many cells old and new differ."""
    figures, rig = [], [image.calibration for image in sample.cameras.values()]
    before, after, unlike = (
        TablesBefore(config),
        LiftSplatTables(config.camera, config.splat_grid),
        0,
    )
    for motion, how in MOTIONS.items():
        rigs = calibrations_of(rig, how, runs + WARM_UP)
        new, old = take_turns(
            lambda turn, r=rigs: after(r[turn]), lambda turn, r=rigs: before(r[turn]), runs
        )
        figures += beside(f'tables.{name}.{motion}', new, old, None)
        for camera in rigs[0]:
            unlike += int((before.view_cells(camera) != after.view_cells(camera)).sum())
    points = 2 * len(rig) * config.camera.depth_bins * int(np.prod(config.camera.feature_shape))
    return [*figures, (f'tables.{name}.points_elsewhere', unlike, 'points', points, '== 0')]


def measure_preprocessing(config: ModelConfig, sample: Sample, runs: int) -> list[Figure]:
    """The whole preprocessor of nano: images, tables, pillars."""
    figures, preprocess, tables = [], Preprocessor(config), TablesBefore(config)
    rig = [image.calibration for image in sample.cameras.values()]
    rigs = calibrations_of(rig, MOTIONS['moving'], runs + WARM_UP)
    for sweep_name, sweep in (('street', street_sweep()), ('scattered', scattered_sweep())):
        samples = [with_calibrations(dataclasses.replace(sample, sweep=sweep), r) for r in rigs]

        def before(turn: int, sweep=sweep) -> None:
            tables(rigs[turn])
            np.stack([image.pixels for image in sample.cameras.values()])
            pillars_before(sweep, config.lidar, config.pillar_grid)

        new, old = take_turns(lambda turn, s=samples: preprocess(s[turn]), before, runs)
        figures += beside(f'preprocess.nano.{sweep_name}', new, old, '< 10')
    return figures


def _spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Processes that take as much of the machine as they get."""
    hogs = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.terminate()
            hog.join()


def pace(
    sample: Sample, rigs: Sequence[Sequence[CameraCalibration]], build
) -> tuple[float, float]:
    """Samples at 10 Hz through the tables of a live node.

    Returns:
        share of samples that stay FUSED with all cameras, and the 95th percentile of the ms until
        it is known which they are.
    """
    tables, wait = BackgroundTables(build, InferenceConfig().table_wait), []
    tables([image.calibration for image in sample.cameras.values()])  # as `Pipeline.warm_up`
    fused, begin = 0, time.monotonic()
    for place, rig in enumerate(track(rigs, 'Samples at 10 Hz', transient=True)):
        moved = with_calibrations(sample, rig)
        time.sleep(max(0.0, begin + place * PERIOD - time.monotonic()))
        start = time.perf_counter()
        result = fall_back(moved, tables)
        wait.append(1e3 * (time.perf_counter() - start))
        used = sum(image is not None for image in result.cameras.values())
        fused += result.modality is Modality.FUSED and used == len(rig)
    return fused / len(rigs), float(np.percentile(wait, 95))


def measure_paced(name: str, config: ModelConfig, sample: Sample, samples: int) -> list[Figure]:
    """Shares of FUSED samples of a moving vehicle, quiet machine and loaded."""
    rig = [image.calibration for image in sample.cameras.values()]
    rigs, figures = calibrations_of(rig, MOTIONS['moving'], samples), []
    cores = len(os.sched_getaffinity(0))
    for load, hogs in (('quiet', 0), ('loaded', cores)):
        for code in ('new', 'before'):
            build = (
                LiftSplatTables(config.camera, config.splat_grid)
                if code == 'new'
                else TablesBefore(config)
            )
            with busy_cores(hogs):
                share, wait = pace(sample, rigs, build)
            target = '>= 99' if code == 'new' and load == 'quiet' else None
            figures += [
                (f'paced.{name}.{load}.{code}.fused', 100 * share, '%', samples, target),
                (f'paced.{name}.{load}.{code}.wait_95', wait, 'ms', samples, None),
            ]
    return figures


def quantised(calibration: CameraCalibration, config: ModelConfig) -> bytes:
    """A key that two poses share if they differ by less than 0.25 px at the nearest depth.

    Half of that goes to the place, half to the attitude; three axes each.
    """
    pixels = 0.125 / np.sqrt(3)
    focal = calibration.intrinsics[0, 0]
    nearest = config.camera.depth_min + config.camera.depth_step / 2
    pose = calibration.ego_from_camera[:3]
    place = np.round(pose[:, 3] * focal / nearest / (2 * pixels))
    attitude = np.round(pose[:, :3] * focal / (2 * pixels))
    return np.column_stack([attitude, place]).astype(np.int64).tobytes()


def measure_quantised(name: str, config: ModelConfig, sample: Sample, samples: int) -> Figure:
    """Share of samples of a standing vehicle that would find their tables by rounded poses."""
    rig = [image.calibration for image in sample.cameras.values()]
    found, kept = 0, []
    for moved in calibrations_of(rig, MOTIONS['standing'], samples):
        key = b''.join(quantised(calibration, config) for calibration in moved)
        found += key in kept
        kept = [key, *(k for k in kept if k != key)][:ANSWERS]
    return f'rejected.{name}.rounded_poses.found', 100 * found / samples, '%', samples, None


def measure_warped(name: str, config: ModelConfig, sample: Sample) -> list[Figure]:
    """How far points of one sample land if the map of every camera is moved cell by cell."""
    tables, grid = LiftSplatTables(config.camera, config.splat_grid), config.splat_grid
    rig = [image.calibration for image in sample.cameras.values()]
    depth = config.camera.depth_min + config.camera.depth_step * (
        np.arange(config.camera.depth_bins) + 0.5
    )
    centres, elsewhere, pixels = grid.centres().reshape(-1, 2), [], []
    for still, moved in zip(rig, calibrations_of(rig, MOTIONS['moving'], 1)[0], strict=True):
        ego_from_ego = moved.ego_from_camera @ inverse_rigid(still.ego_from_camera)
        cells, exact = tables.view_cells(still), tables.view_cells(moved)
        kept = (cells >= 0) & (exact >= 0)
        flat = np.column_stack([centres[cells[kept]], np.zeros(kept.sum())])
        carried = transform_points(ego_from_ego, flat)[:, :2]
        warped = grid.cell_index(carried)
        off = np.linalg.norm(centres[warped] - carried, axis=1)
        far = np.repeat(depth, np.prod(config.camera.feature_shape))[kept]
        elsewhere.append(warped != exact[kept])
        pixels.append(off * still.intrinsics[0, 0] / far)
    elsewhere, pixels = np.concatenate(elsewhere), np.concatenate(pixels)
    where = f'rejected.{name}.warped_map'
    return [
        (f'{where}.points_elsewhere', 100 * float(elsewhere.mean()), '%', len(pixels), None),
        (f'{where}.error', float(np.median(pixels)), 'px, median', len(pixels), None),
    ]


def measure(runs: int, samples: int) -> list[Figure]:
    """All figures."""
    figures = []
    for name, path in MODELS.items():
        config = load_config(ModelConfig, resource_path(path))
        frame = SyntheticDrive(SEED, DriveConfig(frames=1))[0]
        sample = sample_from_frame(frame, Preprocessor(config).prepare_image)
        figures += measure_tables(name, config, sample, runs)
        if name == 'nano':
            figures += measure_preprocessing(config, sample, runs)
        figures += measure_paced(name, config, sample, samples)
        figures.append(measure_quantised(name, config, sample, samples))
        figures += measure_warped(name, config, sample)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=60)
    parser.add_argument('--samples', type=int, default=300)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    command, records = shlex.join(['python', *sys.argv]), []
    for name, value, unit, n, target in measure(options.runs, options.samples):
        print(f'{name:44} {value:9.3f} {unit}')
        records.append(make_record(f'ego_motion.{name}', value, unit, command, n, target))
    if options.record:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
