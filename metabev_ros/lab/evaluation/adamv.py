"""Usage of the experts of an AdaMV-MoE network per task, layer and BEV cell, with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.drawing.bev import BevView, draw_bev
from metabev_ros.errors import ContractError, MissingDependencyError
from metabev_ros.geometry import BevGrid
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.network.adamv import AdaptiveExperts, experts_used
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRANCHES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)


def record_gates(network: MetaBev, pipeline: Pipeline, sample: Sample) -> np.ndarray:
    """(layers, tasks, Y, X, E) float32 on the query grid: the gates, zero where not used."""
    decoder, noted = network.fusion.decoder, []

    def note(ffn: AdaptiveExperts) -> Callable[[nn.Module, object, Tensor], None]:
        """Keep the FFN's input: the output of the norm before it."""
        return lambda norm, given, x: noted.append(
            torch.stack([ffn.gates(x, task)[0] for task in TASKS])
        )

    handles = [
        cast(nn.Module, layer.norm1).register_forward_hook(note(cast(AdaptiveExperts, layer.ffn)))
        for layers in (decoder.cross_layers, decoder.self_layers)
        for layer in cast(nn.ModuleList, layers)
    ]
    try:
        pipeline(sample)
    finally:
        for handle in handles:
            handle.remove()
    gates = torch.stack(noted).numpy()
    return gates.reshape(*gates.shape[:2], *network.config.query_grid.shape, -1)


def usage_of(gates: np.ndarray) -> np.ndarray:
    """(layers, tasks, E) share of the cells that use an expert; its sum over E is k."""
    return (gates > 0).mean((2, 3))


def selection_curve(log: Path) -> list[dict]:
    """The lines of a run's log.jsonl at which experts were looked at."""
    lines = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    return [line for line in lines if 'experts_map' in line]


def report_experts(folder: Path, out: Path, drives: int = 2) -> list[Path]:
    """Pictures of an AdaMV-MoE model or training run.

    Args:
        folder: config.yaml and weights.safetensors; of a run also log.jsonl.
        out: `expert_usage.png` and `expert_cells.png`, and `expert_selection.png` of a run that
            selected.
        drives: held-out synthetic drives, one sample each.

    Raises:
        ContractError: if the network has no such experts.
    """
    network, config = load_network(Path(folder))
    if not experts_used(network):
        raise ContractError(
            f'{folder}/config.yaml',
            'decoder.ffn: adamv',
            config.decoder.ffn.value,
            'name a model with AdaMV-MoE',
        )
    pipeline = Pipeline(config, TorchBackend(network, config), 'experts')
    test_set = HeldOutDrives(drives, 1, CHOICE_FIRST_SEED)
    samples = [s for drive in test_set.all_drives for s in test_set.samples(drive, pipeline)]
    gates = {
        modality: [
            record_gates(network, pipeline, restrict_to(s.sample, modality)) for s in samples
        ]
        for modality in BRANCHES
    }
    out.mkdir(parents=True, exist_ok=True)
    usage = {
        modality: np.mean([usage_of(g) for g in noted], 0) for modality, noted in gates.items()
    }
    paths = [out / 'expert_usage.png', out / 'expert_cells.png']
    plot_usage(usage, paths[0])
    plot_cells(
        gates[Modality.FUSED][0], samples[0].truth, config.query_grid, config.map_grid, paths[1]
    )
    log = Path(folder) / 'log.jsonl'
    curve = selection_curve(log) if log.exists() else []
    if curve:
        paths.append(out / 'expert_selection.png')
        plot_selection(curve, paths[-1])
    return paths


def _figure(width: float, height: float) -> Figure:
    """Figure without pyplot's global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'expert pictures', 'matplotlib', 'not installed', 'pip install matplotlib'
        ) from error
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def plot_selection(curve: Sequence[dict], path: Path) -> None:
    """k of each task over the training, and the validation losses that moved it."""
    figure = _figure(8, 4.5)
    steps = [line['step'] for line in curve]
    for place, task in enumerate(TASKS, 1):
        axis = figure.add_subplot(1, len(TASKS), place, title=task, xlabel='step')
        axis.step(
            steps,
            [line[f'experts_{task}'] for line in curve],
            where='post',
            color='#1b6ca8',
            label='experts per cell (k)',
        )
        axis.set_ylim(0, max(line[f'experts_{task}'] for line in curve) + 1)
        cast(Any, axis.yaxis.get_major_locator()).set_params(integer=True)
        axis.set_ylabel('k', color='#1b6ca8')
        losses = axis.twinx()
        losses.plot(steps, [line[f'validation_{task}'] for line in curve], '.-', color='#d1495b')
        losses.set_ylabel('validation loss', color='#d1495b')
    figure.savefig(path, dpi=90)


def plot_usage(usage: dict[Modality, np.ndarray], path: Path) -> None:
    """Share of the cells that use each expert: a row of pictures per task, a column per branch."""
    figure = _figure(9, 4.5)
    axes = figure.subplots(len(TASKS), len(usage), squeeze=False)
    image = None
    for column, (modality, shares) in enumerate(usage.items()):
        for row, task in enumerate(TASKS):
            axis = axes[row, column]
            image = axis.imshow(shares[:, row], vmin=0, vmax=1, cmap='viridis', aspect='auto')
            axis.set_title(f'{task}, {modality.name.lower()}', fontsize=10)
            axis.set_yticks(range(len(shares)), [f'layer {i + 1}' for i in range(len(shares))])
            axis.set_xticks(range(shares.shape[-1]))
            axis.set_xlabel('expert')
    if image is not None:
        figure.colorbar(image, ax=axes, label='share of the BEV cells')
    figure.savefig(path, dpi=90)


def plot_cells(
    gates: np.ndarray, truth: GroundTruth, grid: BevGrid, map_grid: BevGrid, path: Path
) -> None:
    """The most used expert of every BEV cell, per task and layer, beside the scene."""
    layers, experts = len(gates), gates.shape[-1]
    figure = _figure(3.1 * (layers + 1), 6.2)
    from matplotlib import colormaps

    colours = colormaps['turbo'].resampled(experts)
    axes = figure.subplots(len(TASKS), layers + 1, squeeze=False)
    side = (grid.y_max, grid.y_min, grid.x_min, grid.x_max)  # left is ego y at its largest
    view = BevView(400, 400, grid.x_max)
    seen = truth.num_lidar_pts > 0
    scene = draw_bev(view, truth.map_layers, map_grid, None, truth.boxes[seen], truth.labels[seen])
    image = None
    for row, task in enumerate(TASKS):
        axes[row, 0].imshow(scene, extent=side)
        axes[row, 0].set_title('truth', fontsize=10)
        for layer in range(layers):
            image = axes[row, layer + 1].imshow(
                gates[layer, row].argmax(-1).T[::-1, ::-1],
                extent=side,
                vmin=-0.5,
                vmax=experts - 0.5,
                cmap=colours,
                interpolation='nearest',
            )
            axes[row, layer + 1].set_title(f'{task}, layer {layer + 1}', fontsize=10)
    for axis in axes.flat:
        axis.set_xlabel('y, m')
        axis.set_ylabel('x, m')
    if image is not None:
        figure.colorbar(image, ax=axes, label='expert with the largest gate', ticks=range(experts))
    figure.savefig(path, dpi=90)
