"""Latency of every branch of the shipped model: ONNX Runtime beside torch eager, in one run.

    .venv/bin/metabev-env python benchmark/branch_latency.py [--record docs/results/latency.json]

Both get the same inputs in turn, so the ratio holds where the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch
from rich.progress import track

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

SEED = 900_500
WARM_UP = 5


def measure(runs: int, threads: int) -> dict[str, list[float]]:
    """Seconds by '<modality>.<stage>' and '<modality>.torch'."""
    torch.set_num_threads(threads)
    folder = resource_path('models/metabev_nano')
    network, config = load_network(folder)
    backend, peer = OnnxRuntimeBackend(folder, threads), TorchBackend(network, config)
    preprocess, postprocess = Preprocessor(config), Postprocessor(config)
    sample = sample_from_frame(
        SyntheticDrive(SEED, DriveConfig(frames=1))[0], preprocess.prepare_image
    )
    seconds: dict[str, list[float]] = {}
    modalities = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
    for turn in track(range(runs + WARM_UP), 'Measuring'):
        for modality in modalities:
            restricted = restrict_to(sample, modality)
            marks = [time.perf_counter()]
            inputs = preprocess(restricted)
            marks.append(time.perf_counter())
            outputs = backend.run(*inputs)
            marks.append(time.perf_counter())
            postprocess(outputs)
            marks.append(time.perf_counter())
            peer.run(*inputs)
            marks.append(time.perf_counter())
            if turn >= WARM_UP:
                for name, begin, end in zip(
                    ('preprocess', 'network', 'postprocess', 'torch'),
                    marks,
                    marks[1:],
                    strict=False,
                ):
                    seconds.setdefault(f'{modality.name.lower()}.{name}', []).append(end - begin)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=40)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    seconds = measure(options.runs, options.threads)
    command = shlex.join(['python', *sys.argv])
    records = []
    for name, values in seconds.items():
        median = statistics.median(values) * 1e3
        print(f'{name:20} median {median:7.1f} ms   max {max(values) * 1e3:7.1f} ms')
        records.append(make_record(f'latency.{name}', median, 'ms, median', command, options.runs))
    for modality in ('fused', 'camera', 'lidar'):
        ratios = [
            a / b
            for a, b in zip(
                seconds[f'{modality}.network'], seconds[f'{modality}.torch'], strict=True
            )
        ]
        ratio = statistics.median(ratios)
        print(f'{modality:20} ONNX Runtime / torch eager {ratio:.2f}')
        records.append(
            make_record(
                f'latency.{modality}.ratio_to_torch',
                ratio,
                'ONNX Runtime / torch eager',
                command,
                options.runs,
            )
        )
    if options.record:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
