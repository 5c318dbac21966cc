"""Export of the paper's network at full size, in both forms, and its parity: no training needed.

    .venv/bin/metabev-env python benchmark/base_export.py [--record docs/results/engines.json]

The weights are random. Every input runs through torch once and through ONNX Runtime in either
form. Needs 8 GB of memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import tempfile
import time
from pathlib import Path

import onnx
import onnxruntime
import torch

from metabev_ros.backends.same_detections import LEAST_MATCHED
from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.graph_specs import FUSION_OF, output_names
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.lab.export.parity import (
    PARITY_SEED,
    TOLERANCE,
    ParityReport,
    check_parity,
    parity_inputs,
)
from metabev_ros.lab.export.to_onnx import write_graphs
from metabev_ros.network.metabev import MetaBev
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

# Of `parity_inputs`: fused with 1, 4 and 6 cameras, camera alone, noise, LiDAR alone.
CASES = {GraphForm.ONNXRUNTIME: (0, 3, 6, 7, 8, 9), GraphForm.TENSORRT: (3, 7, 9)}
WITHOUT_LIDAR = {GraphForm.ONNXRUNTIME: (0, 3), GraphForm.TENSORRT: ()}  # 1 and 4 cameras alone


class RememberingBackend:
    """A reference that computes everything once."""

    def __init__(self, backend: TorchBackend) -> None:
        self._backend, self.config, self._known = backend, backend.config, {}

    def encode_camera(self, inputs):
        return self._once(self._backend.encode_camera, inputs)

    def encode_lidar(self, inputs):
        return self._once(self._backend.encode_lidar, inputs)

    def fuse(self, camera_bev, lidar_bev):
        return self._once(self._backend.fuse, camera_bev, lidar_bev)

    def _once(self, compute, *arguments):
        key = tuple(map(id, arguments))
        if key not in self._known:
            self._known[key] = arguments, compute(*arguments)  # arguments stay, and so their ids
        return self._known[key][1]


class FrugalBackend:
    """ONNX Runtime on a CPU, one graph in memory at a time and without an arena."""

    def __init__(self, folder: Path, config: ModelConfig, threads: int) -> None:
        self._folder, self._outputs = folder, output_names(config)
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.enable_cpu_mem_arena = self._options.enable_mem_pattern = False

    def encode_camera(self, inputs):
        return self._run('camera_encoder', inputs)[0]

    def encode_lidar(self, inputs):
        return self._run('lidar_encoder', inputs)[0]

    def fuse(self, camera_bev, lidar_bev):
        maps = {
            name: bev
            for name, bev in (('camera_bev', camera_bev), ('lidar_bev', lidar_bev))
            if bev is not None
        }
        graph = FUSION_OF[Modality.from_presence(camera_bev is not None, lidar_bev is not None)]
        return dict(zip(self._outputs, self._run(graph, maps), strict=True))

    def _run(self, graph: str, inputs: dict) -> list:
        session = onnxruntime.InferenceSession(
            self._folder / f'{graph}.onnx', self._options, providers=['CPUExecutionProvider']
        )
        return session.run(None, inputs)


def random_network() -> MetaBev:
    """The paper's network as it is initialised, but no weight matrix zero, a heatmap with some
    contrast (else all cells of it are equals, whose order says nothing) and no score threshold (it
    is sure of nothing)."""
    torch.manual_seed(0)
    config = load_config(ModelConfig, resource_path('config/models/metabev_base.yaml'))
    head = dataclasses.replace(config.head, score_threshold=0.0)
    network = MetaBev(dataclasses.replace(config, head=head)).eval()
    network.fusion.detection.heatmap_head[-1].weight.data *= 30
    for parameter in network.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return network


def export_form(
    network: MetaBev, form: GraphForm, folder: Path, command: str
) -> list[ResultRecord]:
    """Write the graphs; size, nodes and seconds of each."""
    records, start = [], time.perf_counter()

    def graph_done(line: str) -> None:
        nonlocal start
        name, seconds = line.partition('.onnx')[0], time.perf_counter() - start
        path = folder / f'{name}.onnx'
        figures = {
            'size': (path.stat().st_size / 1e6, 'MB'),
            'nodes': (len(onnx.load(path).graph.node), 'nodes'),
            'export': (seconds, 's'),
        }
        print(
            f'{form.value} {name}: ' + ', '.join(f'{v:.4g} {u}' for v, u in figures.values()),
            flush=True,
        )
        records.extend(
            make_record(f'export.base.{form.value}.{name}.{figure}', value, unit, command, 1)
            for figure, (value, unit) in figures.items()
        )
        start = time.perf_counter()

    write_graphs(folder, network, network.config, form, '0' * 64, graph_done)
    return records


def parity_records(form: GraphForm, report: ParityReport, command: str) -> list[ResultRecord]:
    prefix = f'parity.base.{form.value}'
    return [
        *(
            make_record(
                f'{prefix}.{graph}.{name}',
                error,
                'of its range',
                command,
                report.cases,
                f'<= {TOLERANCE:.4f}',
            )
            for graph, errors in report.errors.items()
            for name, error in errors.items()
        ),
        make_record(
            f'{prefix}.boxes_the_same',
            report.matched_share,
            'of the boxes',
            command,
            report.detections,
            f'>= {LEAST_MATCHED}',
        ),
        make_record(f'{prefix}.ties', report.ties, 'inputs', command, report.cases),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=PARITY_SEED)
    parser.add_argument('--form', choices=[form.value for form in GraphForm], help='default: both')
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    command = shlex.join(['python', *sys.argv])
    torch.set_num_threads(options.threads)
    network = random_network()
    reference = RememberingBackend(TorchBackend(network, network.config))
    inputs = list(parity_inputs(network.config, options.seed))
    for form, cases in CASES.items():
        if options.form not in (None, form.value):
            continue
        with tempfile.TemporaryDirectory() as folder:
            records = export_form(network, form, Path(folder), command)
            if options.record is not None:
                merge_records(options.record, records)
            backend = FrugalBackend(Path(folder), network.config, options.threads)
            pairs = [
                *(inputs[case] for case in cases),
                *((inputs[case][0], None) for case in WITHOUT_LIDAR[form]),
            ]
            report = check_parity(reference, backend, pairs)
        print('\n'.join(f'{form.value} {line}' for line in report.lines()), flush=True)
        if options.record is not None:
            merge_records(options.record, parity_records(form, report, command))


if __name__ == '__main__':
    main()
