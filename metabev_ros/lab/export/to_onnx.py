"""Weights -> five ONNX graphs and their contract, then the parity gate.

Opset 18 is pinned (`lint`). The graphs are written for a runtime (`forms`).
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.config import ModelConfig, ViewTransform
from metabev_ros.config.sparse import SPARSE_STAGES, SPARSE_STEPS
from metabev_ros.contract import Contract, measured_errors_for, score_calibration_for
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.files import sha256_of, write_bytes
from metabev_ros.graph_specs import graph_inputs, graph_outputs, output_names
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.export.forms import written_for
from metabev_ros.lab.export.lint import OPSET, lint
from metabev_ros.lab.export.parity import ParityReport, check_parity, parity_inputs
from metabev_ros.network.metabev import MetaBev

# Example sizes for tracing: any size the graph accepts does.
EXAMPLE = {
    'images': (2,),
    'depth_table': (40,),
    'pixel_table': (40,),
    'cell_table': (30, 3),
    'pillars': (50,),
    'voxel_features': (50,),
    'points': (90,),
    'point_table': (50,),
    'fine_table': (40,),
    'fine_neighbours': (40,),
    'coarse_table': (30,),
    'coarse_neighbours': (30,),
}
# Stages of the sparse encoder: each strided table has as many rows as the next stage.
for _stage, _step, _rows in zip(SPARSE_STAGES, SPARSE_STEPS, (50, 40, 30, 20), strict=True):
    EXAMPLE.update({_stage: (_rows,), _step.name: (_rows - 10,)})


class CameraGraph(nn.Module):
    """camera_encoder: the encoder without its training-only depth output."""

    def __init__(self, network: MetaBev) -> None:
        super().__init__()
        self.encoder = network.camera_encoder

    def forward(
        self,
        images: Tensor,
        depth_table: Tensor,
        pixel_table: Tensor,
        cell_table: Tensor,
        grid_table: Tensor,
    ) -> Tensor:
        """Run the part of the network that the graph holds."""
        tables = {
            'depth_table': depth_table,
            'pixel_table': pixel_table,
            'cell_table': cell_table,
            'grid_table': grid_table,
        }
        return self.encoder(images, tables)[0]


class PullCameraGraph(nn.Module):
    """camera_encoder with the pull view transform."""

    def __init__(self, network: MetaBev) -> None:
        super().__init__()
        self.encoder = network.camera_encoder

    def forward(self, images: Tensor, depth_table: Tensor, pixel_table: Tensor) -> Tensor:
        """Run the part of the network that the graph holds."""
        return self.encoder(images, {'depth_table': depth_table, 'pixel_table': pixel_table})[0]


class FusionGraph(nn.Module):
    """fusion_*: one branch of the fusion with plain tensors in and out."""

    def __init__(
        self, network: MetaBev, sources: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.fusion, self.sources, self.outputs = network.fusion, sources, outputs

    def forward(self, first: Tensor, second: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run the part of the network that the graph holds."""
        maps = (first,) if second is None else (first, second)
        named = self.fusion(dict(zip(self.sources, maps, strict=True))).named()
        return tuple(named[name] for name in self.outputs)


def _camera_graph(network: MetaBev, transform: ViewTransform) -> CameraGraph | PullCameraGraph:
    match transform:
        case ViewTransform.LIFT_SPLAT:
            return CameraGraph(network)
        case ViewTransform.PULL:
            return PullCameraGraph(network)
        case _:
            assert_never(transform)


def graph_modules(
    network: MetaBev, config: ModelConfig, form: GraphForm = GraphForm.ONNXRUNTIME
) -> dict[str, nn.Module]:
    """The five graphs of one set of weights, written for a runtime."""
    network, outputs = written_for(network, form), output_names(config)
    network.eval()
    return {
        'camera_encoder': _camera_graph(network, config.camera.view_transform),
        'lidar_encoder': network.lidar_encoder,
        'fusion_fused': FusionGraph(network, ('camera', 'lidar'), outputs),
        'fusion_camera': FusionGraph(network, ('camera',), outputs),
        'fusion_lidar': FusionGraph(network, ('lidar',), outputs),
    }


def export_model(
    folder: Path,
    run: Path | None = None,
    report: Callable[[str], object] = print,
    form: GraphForm = GraphForm.ONNXRUNTIME,
    seed: int | None = None,
) -> tuple[Contract, ParityReport]:
    """Make the five graphs and contract.json of a model folder; all or nothing.

    Everything is made and checked in a scratch folder; the files replace the old ones only after
    the parity gate. Graphs for TensorRT go into their `variant_folder`.

    Args:
        folder: holds config.yaml and weights.safetensors, unless `run` gives them.
        run: training run whose averaged weights are to be shipped; for ONNX Runtime only, whose
            graphs lie beside the weights.
        report: called with one line per graph.
        form: runtime that the graphs are written for.
        seed: of the parity inputs; None draws a new one, which is reported.

    Returns:
        the contract and what the parity gate saw.

    Raises:
        ConfigError: for a run together with another form.
        ContractError: weights do not fit, the lint or the parity gate refuses.
    """
    if run is not None and form is not GraphForm.ONNXRUNTIME:
        raise ConfigError(
            'export --run',
            f'form {GraphForm.ONNXRUNTIME.value}',
            form.value,
            'export the run first, then the model folder in the other form',
        )
    source = run or folder
    network, config = load_network(source)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    report(f'parity seed {seed}')
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        contract = write_graphs(
            scratch, network, config, form, sha256_of(source / 'weights.safetensors'), report
        )
        parity = check_parity(
            TorchBackend(network, config),
            OnnxRuntimeBackend(scratch, 2),
            parity_inputs(config, seed),
        )
        contract = keep_calibration(contract, folder, scratch, report)
        if run is not None:
            _copy_weights(run, folder)
        install_graphs(scratch, variant_folder(folder, form, GraphPrecision.FP32), contract)
    return contract, parity


def write_graphs(
    folder: Path,
    network: MetaBev,
    config: ModelConfig,
    form: GraphForm,
    weights_sha256: str,
    report: Callable[[str], object] = print,
) -> Contract:
    """Trace and lint the five graphs into a folder, with their contract.

    Raises:
        ContractError: if the lint refuses.
    """
    digests = {}
    for name, module in graph_modules(network, config, form).items():
        content = trace(module, name, config)
        lint(content, name, form)
        (folder / f'{name}.onnx').write_bytes(content)
        digests[f'{name}.onnx'] = sha256_of(folder / f'{name}.onnx')
        report(f'{name}.onnx: {len(content) / 1e6:.2f} MB')
    contract = Contract(
        config,
        OPSET,
        GraphPrecision.FP32.value,
        digests,
        {'torch': torch.__version__, 'onnx': onnx.__version__},
        weights_sha256,
        form,
    )
    contract.save(folder / 'contract.json')
    return contract


def keep_calibration(
    contract: Contract, folder: Path, scratch: Path, report: Callable[[str], object]
) -> Contract:
    """Keep what the model folder says was measured of these weights; of others it goes.

    Args:
        contract: of the new graphs, in `scratch`.
        report: called with one line.
    """
    fitted = score_calibration_for(folder, contract.weights_sha256)
    if fitted is None:
        report('scores: not calibrated; `metabev calibrate` does it')
        return contract
    report(f'scores: calibrated on {fitted.fitted_on}')
    measured = measured_errors_for(folder, contract.weights_sha256)
    contract = dataclasses.replace(contract, score_calibration=fitted, measured_errors=measured)
    contract.save(scratch / 'contract.json')
    return contract


def _copy_weights(run: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('MODEL_CARD.md', 'training.json', 'weights.safetensors', 'config.yaml'):
        if (run / name).exists():
            write_bytes(folder / name, (run / name).read_bytes())


def install_graphs(scratch: Path, target: Path, contract: Contract) -> None:
    """The contract goes last: until then the old one refuses the new graphs."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*contract.digests, 'contract.json'):
        write_bytes(target / name, (scratch / name).read_bytes())


def trace(module: nn.Module, name: str, config: ModelConfig) -> bytes:
    """One graph as ONNX bytes without external data."""
    specs = graph_inputs(config)[name]
    examples = []
    for spec in specs:
        free = iter(EXAMPLE.get(spec.name, ()))
        shape = [next(free) if size is None else size for size in spec.shape]
        dtype = getattr(torch, spec.dtype)
        examples.append(torch.ones(shape, dtype=dtype))
    shapes = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if size is None}
        or None
        for spec in specs
    )
    outputs = [spec.name for spec in graph_outputs(config)[name]]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = Path(folder) / 'graph.onnx'
        torch.onnx.export(
            module,
            tuple(examples),
            path,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            input_names=[spec.name for spec in specs],
            output_names=outputs,
            dynamic_shapes=shapes,
            verbose=False,
        )
        return path.read_bytes()
