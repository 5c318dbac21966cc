"""Time of lift-splat and of pull alone, between image features and BEV map, with six cameras.

    .venv/bin/metabev-env python benchmark/view_transforms.py [--record docs/results/engines.json]

Torch on one thread; the two take turns, so the ratio holds where the speed of a machine drifts.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch

from metabev_ros.config import ModelConfig, ViewTransform, load_config
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.preprocess.preprocessor import Preprocessor, view_tables
from metabev_ros.resources import resource_path

SEED = 900_500


def networks() -> dict[str, ModelConfig]:
    """Nano, and base with its fine splat grid and without."""
    base = load_config(ModelConfig, resource_path('config/models/metabev_base.yaml'))
    coarse = dataclasses.replace(base, camera=dataclasses.replace(base.camera, splat_factor=1))
    return {'nano': ModelConfig(), 'base': base, 'base_splat_factor_1': coarse}


@torch.inference_mode()
def measure(config: ModelConfig, runs: int) -> dict[ViewTransform, list[float]]:
    """Seconds of every run."""
    frame = SyntheticDrive(SEED, DriveConfig(frames=1))[0]
    cameras = sample_from_frame(frame, Preprocessor(config).prepare_image).cameras.values()
    calibrations, (h, w) = [image.calibration for image in cameras], config.camera.feature_shape
    depth = torch.rand(len(calibrations), config.camera.depth_bins, h, w)
    context = torch.randn(len(calibrations), config.camera.context_channels, h, w)
    sides = {}
    for kind in ViewTransform:
        model = dataclasses.replace(
            config, camera=dataclasses.replace(config.camera, view_transform=kind)
        )
        tables = {
            name: torch.from_numpy(table)
            for name, table in view_tables(model)(calibrations).items()
        }
        sides[kind] = CameraEncoder(model.camera, model.splat_grid).eval(), tables
    seconds = {kind: [] for kind in sides}
    for _ in range(runs):
        for kind, (encoder, tables) in sides.items():
            start = time.perf_counter()
            encoder.splat(depth, context, tables)
            seconds[kind].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=10)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    command, records = shlex.join(['python', *sys.argv]), []
    for name, config in networks().items():
        seconds = measure(config, options.runs)
        for kind, values in seconds.items():
            median = statistics.median(values) * 1e3
            print(f'{name} {kind.value}: median {median:.1f} ms')
            records.append(
                make_record(
                    f'view_transform.{name}.{kind.value}',
                    median,
                    'ms, median',
                    command,
                    options.runs,
                )
            )
    if options.record is not None:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
