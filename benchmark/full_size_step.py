"""Memory and time of one training step of the paper's network at full size, ten sweeps.

    python benchmark/full_size_step.py [--record docs/results/training.json]
    python benchmark/full_size_step.py --device cuda --batch 4 --record docs/results/training.json

The network, augmentation and batch are those of config/training/nuscenes/switched_modality.yaml;
the samples are rendered drives of ten sweeps at 20 Hz, all sensors present. A CPU takes bf16, one
sample at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import shlex
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from metabev_ros.config import load_config
from metabev_ros.lab.datasets.sample_record import write_record
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.training.config import Device, Precision
from metabev_ros.lab.training.device import find_device
from metabev_ros.lab.training.recompute import enable_recompute
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.lab.training.step import TrainingStep, parameter_groups, to_device
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality

RUN = Path('config/training/nuscenes/switched_modality.yaml')
SWEEPS = 10


def last_record(folder: Path, run: RunConfig) -> Path:
    """The tenth frame of a drive at 20 Hz, with the nine sweeps before it."""
    drives = SyntheticDrives(710_000, 1, SWEEPS, 20.0)
    done = frozenset(f'0710000_{i:03d}' for i in range(SWEEPS - 1))
    [record] = drives.records('0710000', RecordMaker(run.model), done)
    write_record(folder / 'record.npz', record)
    return folder / 'record.npz'


def measure(run: RunConfig, path: Path, batch: int, steps: int) -> dict[str, tuple[float, str]]:
    """Figures of the steps after the first one."""
    config, device = run.training, find_device(run.training.device, 0)
    samples = TrainingSamples(
        [path], run.model, config.augmentation, config.curriculum, execution=config.execution
    )
    before = time.perf_counter()
    keys = [SampleKey(0, Modality.FUSED.value, 0, step, 0) for step in range(batch)]
    items = [samples[key] for key in keys]
    loading = (time.perf_counter() - before) / batch
    torch.manual_seed(0)
    network = MetaBev(run.model, config.execution).to(device).train()
    enable_recompute(network)
    step = TrainingStep(network, None, config)
    optimiser = torch.optim.AdamW(parameter_groups(step, config), lr=1e-5)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision is Precision.FP16)
    on_device, times = to_device(items, device), []
    for _ in range(steps):
        before = time.perf_counter()
        loss = sum(step(on_device).values())
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        loss.item()  # waits for a GPU
        times.append(time.perf_counter() - before)
    peak = (
        torch.cuda.max_memory_allocated() / 2**30
        if device.type == 'cuda'
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    return {
        'voxels': (float((items[0][1]['voxel_features']).shape[0]), 'voxels'),
        'loading': (round(loading, 2), 's a sample'),
        'step': (round(min(times), 1 if min(times) > 1 else 3), 's'),
        'throughput': (round(batch / min(times), 3), 'samples/s'),
        'memory': (round(peak, 1), 'GiB'),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--batch', type=int, default=1, help='samples of one process')
    parser.add_argument('--steps', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = load_config(RunConfig, RUN)
    device = Device(options.device)
    precision = Precision.FP16 if device is Device.CUDA else Precision.BF16
    training = dataclasses.replace(run.training, device=device, precision=precision)
    run = dataclasses.replace(run, training=training)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(run, last_record(Path(folder), run), options.batch, options.steps)
    for name, (value, unit) in figures.items():
        Console().print(f'{name}: {value} {unit}')
    if options.record is not None:
        command = shlex.join(['python', *sys.argv])
        prefix = f'training.full_size.{options.device}.batch_{options.batch}'
        merge_records(
            options.record,
            [
                make_record(f'{prefix}.{name}', value, unit, command, options.steps)
                for name, (value, unit) in figures.items()
            ],
        )


if __name__ == '__main__':
    main()
