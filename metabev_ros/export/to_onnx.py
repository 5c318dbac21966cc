"""Weights -> five ONNX graphs and their contract, then the parity gate.

Opset 18 is pinned: from opset 20 on GridSample's mode is called 'linear', which some TensorRT
parsers read as nearest neighbour.
"""
from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SPARSE_STAGES, SPARSE_STEPS
from metabev_ros.contract import (
    Contract,
    graph_inputs,
    graph_outputs,
    output_names,
    sha256_of,
    write_atomically,
)
from metabev_ros.errors import ContractError
from metabev_ros.export.parity import check_parity, parity_inputs
from metabev_ros.network.metabev import MetaBev

OPSET = 18
# Inputs whose first (and for cell_table second) axis is free.
FREE_AXES = {'images': (0,), 'depth_table': (0,), 'pixel_table': (0,), 'cell_table': (0, 1),
             'pillars': (0,), 'voxel_features': (0,)}
# Example sizes for tracing: any size the graph accepts does.
EXAMPLE = {'images': (2,), 'depth_table': (40,), 'pixel_table': (40,), 'cell_table': (30, 3),
           'pillars': (50,), 'voxel_features': (50,)}
# Stages of the sparse encoder: each strided table has as many rows as the next stage.
for _stage, _step, _rows in zip(SPARSE_STAGES, SPARSE_STEPS, (50, 40, 30, 20), strict=True):
    FREE_AXES |= {_stage: (0,), _step.name: (0,)}
    EXAMPLE |= {_stage: (_rows,), _step.name: (_rows - 10,)}


class CameraGraph(nn.Module):
    """camera_encoder: the encoder without its training-only depth output."""

    def __init__(self, network: MetaBev) -> None:
        super().__init__()
        self.encoder = network.camera_encoder

    def forward(self, images: Tensor, depth_table: Tensor, pixel_table: Tensor,
                cell_table: Tensor, grid_table: Tensor) -> Tensor:
        tables = {'depth_table': depth_table, 'pixel_table': pixel_table,
                  'cell_table': cell_table, 'grid_table': grid_table}
        return self.encoder(images, tables)[0]


class FusionGraph(nn.Module):
    """fusion_*: one branch of the fusion with plain tensors in and out."""

    def __init__(self, network: MetaBev, sources: tuple[str, ...], outputs: tuple[str, ...]
                 ) -> None:
        super().__init__()
        self.fusion, self.sources, self.outputs = network.fusion, sources, outputs

    def forward(self, first: Tensor, second: Tensor | None = None):
        maps = (first,) if second is None else (first, second)
        named = self.fusion(dict(zip(self.sources, maps, strict=True))).named()
        return tuple(named[name] for name in self.outputs)


def graph_modules(network: MetaBev, config: ModelConfig) -> dict[str, nn.Module]:
    """The five graphs of one set of weights."""
    outputs = output_names(config)
    return {'camera_encoder': CameraGraph(network), 'lidar_encoder': network.lidar_encoder,
            'fusion_fused': FusionGraph(network, ('camera', 'lidar'), outputs),
            'fusion_camera': FusionGraph(network, ('camera',), outputs),
            'fusion_lidar': FusionGraph(network, ('lidar',), outputs)}


def export_model(folder: Path, run: Path | None = None, report=print
                 ) -> tuple[Contract, dict[str, float]]:
    """Make the five graphs and contract.json of a model folder; all or nothing.

    Everything is made and checked in a scratch folder; the files replace the old ones only after
    the parity gate.

    Args:
        folder: holds config.yaml and weights.safetensors, unless `run` gives them.
        run: training run whose averaged weights are to be shipped.
        report: called with one line per graph.

    Returns:
        the contract and the parity errors per output.

    Raises:
        ContractError: weights do not fit, the lint or the parity gate refuses.
    """
    network, config = load_network(run or folder)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name in ('config.yaml', 'weights.safetensors'):
            (scratch / name).write_bytes(((run or folder) / name).read_bytes())
        digests = {}
        for name, module in graph_modules(network, config).items():
            content = trace(module.eval(), name, config)
            lint(content, name)
            (scratch / f'{name}.onnx').write_bytes(content)
            digests[f'{name}.onnx'] = sha256_of(scratch / f'{name}.onnx')
            report(f'{name}.onnx: {len(content) / 1e6:.2f} MB')
        contract = Contract(config, OPSET, 'fp32', digests,
                            {'torch': torch.__version__, 'onnx': onnx.__version__},
                            sha256_of(scratch / 'weights.safetensors'))
        contract.save(scratch / 'contract.json')
        parity = check_parity(TorchBackend(network, config), OnnxRuntimeBackend(scratch, 2),
                              parity_inputs(config))
        folder.mkdir(parents=True, exist_ok=True)
        if run is not None and (run / 'training.json').exists():
            write_atomically(folder / 'training.json', (run / 'training.json').read_bytes())
        # The contract goes last: until then the old one refuses the new graphs.
        for name in (*digests, 'weights.safetensors', 'config.yaml', 'contract.json'):
            write_atomically(folder / name, (scratch / name).read_bytes())
    return contract, parity


def trace(module: nn.Module, name: str, config: ModelConfig) -> bytes:
    """One graph as ONNX bytes without external data."""
    specs = graph_inputs(config)[name]
    examples = []
    for spec in specs:
        free = iter(EXAMPLE.get(spec.name, ()))
        shape = [next(free) if size is None else size for size in spec.shape]
        dtype = getattr(torch, spec.dtype)
        examples.append(torch.ones(shape, dtype=dtype))
    shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in FREE_AXES[spec.name]}
                   if spec.name in FREE_AXES else None for spec in specs)
    outputs = [spec.name for spec in graph_outputs(config)[name]]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = Path(folder) / 'graph.onnx'
        torch.onnx.export(module, tuple(examples), path, opset_version=OPSET, dynamo=True,
                          external_data=False, input_names=[spec.name for spec in specs],
                          output_names=outputs, dynamic_shapes=shapes, verbose=False)
        return path.read_bytes()


def lint(content: bytes, name: str) -> None:
    """Refuse what runtimes get silently wrong (docs/architecture.md, export).

    Raises:
        ContractError: naming the graph and the operator.
    """
    model = onnx.load_model_from_string(content)
    opset = next(item.version for item in model.opset_import if item.domain in ('', 'ai.onnx'))
    if opset != OPSET:
        raise ContractError(f'{name}.onnx', f'opset {OPSET}', f'opset {opset}')
    for node in model.graph.node:
        reduces = any(a.name == 'reduction' and a.s not in (b'', b'none') for a in node.attribute)
        if node.op_type in ('NonZero', 'Unique') or (
                node.op_type.startswith('Scatter') and reduces):
            raise ContractError(f'{name}.onnx', 'no scatter reductions, NonZero or Unique',
                                f'{node.op_type} ({node.name})', 'use table look-ups')


