r"""Latency of candidates for the network of a CPU: random weights, one run, turn by turn.

    .venv/bin/metabev-env python benchmark/network_choices.py \
        [--record docs/results/network_choices.json]

Every candidate runs camera encoder, LiDAR encoder and fusion on the same frame, one after the
other, and the next candidate follows at once: ratios hold where the machine's speed drifts. The
smallest time of each graph counts, and the preparation of points on the host.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.protocol import Arrays
from metabev_ros.config import (
    CameraBackbone,
    CameraNeck,
    DecoderFfn,
    LidarEncoder,
    ModelConfig,
    load_config,
)
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.datasets.samples import sample_from_frames
from metabev_ros.lab.datasets.sweeps import frames_before
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.export.to_onnx import write_graphs
from metabev_ros.network.metabev import MetaBev
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path

SEED = 900_500
FIRST, CHOSEN = 'first', 'config/models/metabev_nano_lite.yaml'
Result = TypeVar('Result', np.ndarray, Arrays)
GRAPHS = ('camera', 'lidar', 'fusion')


def candidates() -> dict[str, ModelConfig]:
    """Name -> configuration; the first one is the network that was shipped before."""
    first = ModelConfig()
    lite = replace(
        first,
        camera=replace(
            first.camera, backbone=CameraBackbone.EFFICIENTNET_LITE0, neck=CameraNeck.FPN
        ),
    )
    fine = replace(
        lite,
        lidar=replace(
            first.lidar,
            encoder=LidarEncoder.FINE_PILLAR,
            pillar=0.2,
            points_per_pillar=8,
            max_pillars=24_000,
            sweeps=3,
        ),
    )
    deep = replace(fine, lidar=replace(fine.lidar, fine_blocks=2, coarse_blocks=2))

    def decoder(**changes: Any) -> ModelConfig:
        return replace(deep, decoder=replace(deep.decoder, value_stride=2, **changes))

    return {
        FIRST: first,
        'sweeps': replace(first, lidar=replace(first.lidar, sweeps=3)),
        'lite': lite,
        'fine': fine,
        'fine_deep': deep,
        'chosen': load_config(ModelConfig, resource_path(CHOSEN)),
        'points_2': decoder(points=2),
        'points_8': decoder(points=8),
        'cross_1': decoder(cross_layers=1),
        'cross_3': decoder(cross_layers=3),
        'self_0': decoder(self_layers=0),
        'experts': decoder(ffn=DecoderFfn.RM2OE, experts=4, experts_used=1),
        'wide': decoder(channels=128),
        'wide_heads': replace(
            decoder(), head=replace(deep.head, neck_channels=80, det_channels=80)
        ),
    }


class Candidate:
    """One network with random weights, exported, and its inputs of one frame."""

    def __init__(self, config: ModelConfig, folder: Path, threads: int) -> None:
        torch.manual_seed(0)
        network = MetaBev(config).eval()
        self.parameters = sum(p.numel() for p in network.parameters())
        write_graphs(folder, network, config, GraphForm.ONNXRUNTIME, '0' * 64, lambda _: None)
        self._backend = OnnxRuntimeBackend(folder, threads)
        self._preprocessor = Preprocessor(config)
        drive = SyntheticDrive(SEED, DriveConfig(frames=config.lidar.sweeps, rate_hz=10.0))
        frames = frames_before(drive, config.lidar.sweeps - 1, config.lidar.sweeps)
        self._sample = sample_from_frames(
            frames, self._preprocessor.prepare_image, sweeps=config.lidar.sweeps
        )
        camera, lidar = self._preprocessor(self._sample)
        assert camera is not None and lidar is not None
        self._camera, self._lidar = camera, lidar

    def run(self) -> dict[str, float]:
        """Milliseconds of every part."""
        sweep = self._sample.sweep
        assert sweep is not None
        camera, in_camera = timed(lambda: self._backend.encode_camera(self._camera))
        lidar, in_lidar = timed(lambda: self._backend.encode_lidar(self._lidar))
        _, in_fusion = timed(lambda: self._backend.fuse(camera, lidar))
        _, in_points = timed(lambda: self._preprocessor.lidar_inputs(sweep))
        return dict(
            zip((*GRAPHS, 'points'), (in_camera, in_lidar, in_fusion, in_points), strict=True)
        )


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Result and milliseconds."""
    before = time.perf_counter()
    result = call()
    return result, (time.perf_counter() - before) * 1e3


def measure(names: list[str], runs: int, threads: int) -> dict[str, dict[str, float]]:
    """Name -> smallest milliseconds of every part, `fused` (their sum) and `parameters` (M)."""
    configs, built = candidates(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in track(names, 'Exporting'):
            (Path(folder) / name).mkdir()
            built[name] = Candidate(configs[name], Path(folder) / name, threads)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in track(range(runs + 1), 'Measuring'):
        for name in names:
            parts = built[name].run()
            if turn:
                times[name].append(parts)
    results = {}
    for name, turns in times.items():
        least = {part: min(turn[part] for turn in turns) for part in turns[0]}
        results[name] = least | {
            'fused': sum(least.values()),
            'parameters': built[name].parameters / 1e6,
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', help='candidates; all of them when none is named')
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    names = options.names or list(candidates())
    if FIRST not in names:
        names.insert(0, FIRST)
    results = measure(names, options.runs, options.threads)
    parts = (*GRAPHS, 'points', 'fused')
    table = Table('network', *(f'{part}, ms' for part in parts), 'of the first', 'parameters, M')
    records = []
    command = shlex.join(['python', *sys.argv])
    for name, parts_of in results.items():
        ratio = parts_of['fused'] / results[FIRST]['fused']
        figures = [f'{parts_of[part]:.1f}' for part in parts]
        table.add_row(name, *figures, f'{ratio:.2f}', f'{parts_of["parameters"]:.2f}')
        for key, value, unit in (
            *((part, parts_of[part], 'ms, least') for part in parts),
            ('ratio', ratio, 'of the first'),
            ('parameters', parts_of['parameters'], 'M'),
        ):
            records.append(
                make_record(f'network.{name}.{key}', round(value, 3), unit, command, options.runs)
            )
    Console().print(table)
    if options.record:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
