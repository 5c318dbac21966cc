"""What a GPU makes of the models: latency, throughput, memory, parity, CUDA-graph gain.

    .venv/bin/metabev-env python benchmark/gpu_check.py [--record docs/results/engines.json]

Every branch of the default model (trained) and metabev_base (random weights: the arithmetic is the
same) through torch eager, torch.compile, ONNX Runtime's CUDA provider and both flavours of
TensorRT, on one rendered sample with six cameras. What cannot run here is named with its reason
and the rest goes on. Seconds are those of a whole call, copies to and from the GPU included.

Needs an NVIDIA GPU; without one it ends with exit code 2. `--device cpu` runs the same program
where there is none: to try it, not to publish it. docs/engines.md says what to carry to a
machine without network.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from gpu_candidates import Arrays, Candidate, TorchRunner, build_candidate
from safetensors.torch import save_file

from metabev_ros.backends.same_detections import align_queries, count_matched
from metabev_ros.config import ModelConfig, load_config, save_config
from metabev_ros.errors import BackendError, ConfigError, MetaBevError
from metabev_ros.files import sha256_of
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.lab.export.half import compute_in_half
from metabev_ros.lab.export.parity import relative_errors
from metabev_ros.lab.export.to_onnx import write_graphs
from metabev_ros.network.metabev import MetaBev
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import DEFAULT_MODEL, resource_path

SEED = 900_500
WARM_UP = 10
DEFAULT_MODELS = (DEFAULT_MODEL, 'config/models/metabev_base.yaml')
PACKAGES = (
    'torch',
    'onnxruntime',
    'onnxruntime-gpu',
    'tensorrt',
    'tensorrt-cu12',
    'tensorrt-cu13',
    'tensorrt-rtx-cu13',
)


def require_device(device: str) -> None:
    """Check that torch can use it.

    Raises:
        BackendError: if it cannot.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise BackendError(
            'gpu-check',
            'an NVIDIA GPU that torch can use',
            f'none (torch {torch.__version__})',
            'run it on a machine with one, see docs/engines.md; --device cpu '
            'tries the program itself',
        )


def machine_words(device: str) -> str:
    """Device and versions, to stand in every record."""
    # The package's metadata does not say which build of torch it is, CPU or CUDA.
    versions = {name: metadata.version(name) for name in PACKAGES if _has(name)}
    versions['torch'] = torch.__version__
    installed = [f'{name} {version}' for name, version in versions.items()]
    gpu = [torch.cuda.get_device_name(), f'CUDA {torch.version.cuda}'] if device == 'cuda' else []
    return ', '.join([*gpu, *installed])


def _has(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def model_folder(source: Path, options: argparse.Namespace) -> Path:
    """A model folder as it is; of a configuration one with random weights and the graphs that
    the candidates need.

    Raises:
        ConfigError: if it is neither.
    """
    if (source / 'config.yaml').is_file():
        return source
    config = load_config(ModelConfig, source)
    folder = options.out / config.name
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    digest = sha256_of(folder / 'weights.safetensors')
    for precision in (GraphPrecision.FP32, GraphPrecision.FP16):
        if precision is GraphPrecision.FP16:
            network = compute_in_half(network)
        for form in graph_forms(options, precision):
            target = variant_folder(folder, form, precision)
            target.mkdir(parents=True, exist_ok=True)
            contract = write_graphs(target, network, config, form, digest)
            dataclasses.replace(contract, precision=precision.value).save(target / 'contract.json')
    return folder


def graph_forms(options: argparse.Namespace, precision: GraphPrecision) -> list[GraphForm]:
    """Forms of the graphs of a precision that the candidates run on this device."""
    names = [
        candidate.value
        for candidate in options.candidates
        if candidate.value.endswith(precision.value)
    ]
    return [
        form
        for form in GraphForm
        if any(name.startswith(form.value) for name in names)
        and (form is GraphForm.ONNXRUNTIME or options.device == 'cuda')
    ]


def branch_inputs(config: ModelConfig) -> dict[str, tuple[Arrays | None, Arrays | None]]:
    """Branch -> (camera inputs, LiDAR inputs) of one rendered sample."""
    preprocessor = Preprocessor(config)
    frame = SyntheticDrive(SEED, DriveConfig(frames=1))[0]
    camera, lidar = preprocessor(sample_from_frame(frame, preprocessor.prepare_image))
    return {'fused': (camera, lidar), 'camera': (camera, None), 'lidar': (None, lidar)}


def measure(runner, inputs: tuple, runs: int) -> tuple[Arrays, np.ndarray]:
    """(outputs, seconds of every run after the warm-up)."""
    for _ in range(min(WARM_UP, runs)):
        outputs = runner.run(*inputs)
    seconds = np.empty(runs)
    for index in range(runs):
        start = time.perf_counter()
        outputs = runner.run(*inputs)
        seconds[index] = time.perf_counter() - start
    return outputs, seconds


def gpu_memory_used(device: str) -> int:
    """Bytes in use on the GPU, by anybody: run nothing else beside this program."""
    if device != 'cuda':
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return total - free


class Check:
    """Measures the candidates of one model and collects the figures."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options = folder, options
        self.config = load_config(ModelConfig, folder / 'config.yaml')
        self._inputs = branch_inputs(self.config)
        self._expected: dict[str, Arrays] = {}
        self.figures: list[tuple[str, float, str, int]] = []

    def run(self, candidate: Candidate) -> None:
        """Raises MetaBevError or RuntimeError: why this candidate does not run."""
        options, before = self._options, gpu_memory_used(self._options.device)
        runner = build_candidate(candidate, self._folder, options.device, options.out / 'engines')
        for branch, inputs in self._inputs.items():
            outputs, seconds = measure(runner, inputs, options.runs)
            name = f'{candidate.value}.{branch}'
            self._note(f'{name}.p50', np.quantile(seconds, 0.5) * 1e3, 'ms')
            self._note(f'{name}.p99', np.quantile(seconds, 0.99) * 1e3, 'ms')
            self._note(f'{name}.throughput', 1 / seconds.mean(), 'samples/s')
            self._compare(name, branch, outputs)
        if options.device == 'cuda':
            used = gpu_memory_used(options.device) - before
            self._note(f'{candidate.value}.memory', used / 1e6, 'MB')
            self._graph_gain(candidate, runner)

    def _note(self, name: str, value: float, unit: str) -> None:
        self.figures.append((f'{self.config.name}.{name}', float(value), unit, self._options.runs))
        print(f'{self.config.name}.{name}: {value:.4g} {unit}', flush=True)

    def _compare(self, name: str, branch: str, outputs: Arrays) -> None:
        """With the first candidate: largest error of a tensor, and boxes that both give."""
        if branch not in self._expected:
            self._expected[branch] = outputs
            return
        expected = self._expected[branch]
        errors = relative_errors(name, expected, align_queries(expected, outputs))
        self._note(f'{name}.error', max(errors.values()), 'of range')
        decode = Postprocessor(self.config)
        same, boxes = count_matched(decode(expected)[0], decode(outputs)[0], self.config.head)
        self._note(f'{name}.same_boxes', same / boxes if boxes else 1.0, 'of the boxes')

    def _graph_gain(self, candidate: Candidate, runner) -> None:
        """How much faster the fusion is as a CUDA graph."""
        camera, lidar = self._inputs['fused']
        runs = self._options.runs
        if isinstance(runner, TorchRunner) and candidate is Candidate.TORCH_FP16:
            launched, replayed = runner.fusion_seconds(camera, lidar, runs)
        elif getattr(runner, 'cuda_graphs', ()):
            _, with_graphs = measure(runner, (camera, lidar), runs)
            runner._captured.clear()  # nobody but this measurement wants it without them
            _, without = measure(runner, (camera, lidar), runs)
            launched, replayed = np.median(without), np.median(with_graphs)
        else:
            return
        self._note(f'{candidate.value}.cuda_graph_gain', launched / replayed, 'times')


def check_model(source: Path, options: argparse.Namespace) -> tuple[list, dict[str, str]]:
    """(figures, candidate -> why it did not run) of one model."""
    check, not_run = Check(model_folder(source, options), options), {}
    for candidate in options.candidates:
        try:
            check.run(candidate)
        except (MetaBevError, RuntimeError) as error:  # torch raises RuntimeError for its own
            not_run[f'{check.config.name}.{candidate.value}'] = str(error).splitlines()[0][:300]
    return check.figures, not_run


def records_of(figures: list, device: str, command: str) -> list[ResultRecord]:
    """The figures with device and versions as part of the machine."""
    prefix, words = {'cuda': 'gpu', 'cpu': 'gpu_check_on_cpu'}[device], machine_words(device)
    records = [
        make_record(f'{prefix}.{name}', value, unit, command, runs)
        for name, value, unit, runs in figures
    ]
    return [
        dataclasses.replace(record, machine=f'{record.machine}; {words}') for record in records
    ]


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--models',
        nargs='+',
        type=Path,
        help='model folders, or configurations that get random weights',
        default=[],
    )
    parser.add_argument(
        '--candidates',
        nargs='+',
        type=Candidate,
        default=list(Candidate),
        help=' '.join(candidate.value for candidate in Candidate),
    )
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--runs', type=int, default=100)
    parser.add_argument(
        '--out', type=Path, default=Path('out/gpu_check'), help='random models and engines'
    )
    parser.add_argument('--record', type=Path, help='merge the figures into this JSON file')
    options = parser.parse_args(arguments)
    if options.runs < 1:
        raise ConfigError('--runs', 'at least 1', str(options.runs))
    options.models = options.models or [resource_path(name) for name in DEFAULT_MODELS]
    return options


def main(arguments: list[str] | None = None) -> int:
    try:
        options = parse_arguments(arguments)
        require_device(options.device)
        print(f'on {machine_words(options.device)}', flush=True)
        command = shlex.join(['python', 'benchmark/gpu_check.py', *(arguments or sys.argv[1:])])
        for source in options.models:
            figures, not_run = check_model(source, options)
            for name, reason in not_run.items():
                print(f'not run: {name}: {reason}', flush=True)
            if options.record is not None:
                merge_records(options.record, records_of(figures, options.device, command))
    except MetaBevError as error:
        print(f'gpu-check: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
