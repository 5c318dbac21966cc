"""Where inter-task attention looks, and what it costs beside global attention.

python tools/inter_task_picture.py runs/metabev_nano_itsa docs/images/inter_task_attention.png
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.config import TaskInteractionConfig
from metabev_ros.drawing.bev import BevView, draw_bev
from metabev_ros.lab.evaluation.interaction_cost import deformable_cost, global_macs
from metabev_ros.lab.evaluation.run import held_out_samples
from metabev_ros.network.decoder import reference_points
from metabev_ros.network.moe import TASKS
from metabev_ros.pipeline import Pipeline

COLOURS = {'detection': '#ffb000', 'map': '#40e0ff'}


def sampled_places(network, pipeline, sample, task: str, xy: np.ndarray):
    """Places (M, 2) in ego metres, weights (M,) and task of each that the query at `xy` reads."""
    mixing, noted = network.fusion.interaction.steps[0].mixing, []
    handle = mixing.register_forward_pre_hook(lambda module, given: noted.append(given[0]))
    pipeline(sample)
    handle.remove()
    maps, attention = noted[0], mixing.attention
    rows, columns = maps[task].shape[-2:]
    grid = network.config.bev_grid
    cell = np.floor(
        (xy - [grid.x_min, grid.y_min])
        / [(grid.x_max - grid.x_min) / columns, (grid.y_max - grid.y_min) / rows]
    ).astype(int)
    index = cell[1] * columns + cell[0]
    with torch.inference_mode():
        query = maps[task].flatten(2).transpose(1, 2)[:, index : index + 1]
        names = list(attention.offsets)
        weights = attention.attention_weights(query, names)[0, 0].unflatten(-1, (len(names), -1))
        shapes = {
            name: [-(-size // 2 ** int(name[-1])) for size in (rows, columns)] for name in names
        }
        reference = reference_points(rows, columns)[index : index + 1]
        places = torch.stack(
            [attention.locations(query, reference, name, shapes[name])[0, 0] for name in names], 1
        )  # (heads, maps, K, 2)
    owners = np.broadcast_to(
        np.array([name.split('_')[0] for name in names])[None, :, None], weights.shape
    )
    span = np.array([grid.x_max - grid.x_min, grid.y_max - grid.y_min])
    metres = places.numpy().reshape(-1, 2) * span + [grid.x_min, grid.y_min]
    return metres, weights.numpy().ravel() / attention.heads, owners.ravel()


def draw_places(axis, network, pipeline, labelled, task: str) -> None:
    """One query of `task` at the nearest seen object, over the truth."""
    truth, view = labelled.truth, BevView(480, 480, 24.0)
    seen = truth.num_lidar_pts > 0
    boxes = truth.boxes[seen]
    xy = boxes[np.linalg.norm(boxes[:, :2], axis=1).argmin(), :2]
    axis.imshow(
        draw_bev(view, truth.map_layers, network.config.map_grid, None, boxes, truth.labels[seen])
    )
    places, weights, owners = sampled_places(network, pipeline, labelled.sample, task, xy)
    for owner in TASKS:
        mine = owners == owner
        u, v = view.pixels(places[mine]).T
        axis.scatter(
            u,
            v,
            s=2400 * weights[mine],
            c=COLOURS[owner],
            alpha=0.8,
            linewidths=0.3,
            edgecolors='black',
            label=f'from {owner}, weight {weights[mine].sum():.2f}',
        )
    axis.plot(*view.pixels(xy), 'x', color='red', markersize=10, markeredgewidth=2)
    axis.set(
        xlim=(0, 479),
        ylim=(479, 0),
        xticks=[],
        yticks=[],
        title=f'what {task} reads at the red cross',
    )
    axis.legend(loc='lower right', fontsize=8)


def draw_cost(axis) -> None:
    """Multiply-adds over the number of cells."""
    sides = np.array([32, 64, 90, 128, 180, 256])
    axis.loglog(
        sides**2,
        [global_macs(2 * s * s, 256) / 1e9 for s in sides],
        'o-',
        color='#d1495b',
        label='global attention',
    )
    config = TaskInteractionConfig(points=16)
    for levels, style in ((3, '-'), (1, '--')):
        costs = [deformable_cost(replace(config, levels=levels), 2, s, s, 256) for s in sides]
        axis.loglog(
            sides**2,
            [(c.attention + c.pyramid) / 1e9 for c in costs],
            f's{style}',
            color='#1b6ca8',
            label=f'deformable, 16 points, levels: {levels}',
        )
    axis.set(
        xlabel='BEV cells of each of two tasks, 256 channels',
        ylabel='GMAC a step',
        title='cost of attention (with the pyramid)',
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def main(folder: Path, out: Path) -> None:
    """Draw."""
    network, config = load_network(folder)
    pipeline = Pipeline(config, TorchBackend(network, config), 'picture')
    labelled = next(iter(held_out_samples(pipeline, 1, 1)))
    figure = Figure(figsize=(14, 4.8), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    for axis, task in zip(axes, TASKS, strict=False):
        draw_places(axis, network, pipeline, labelled, task)
    draw_cost(axes[2])
    figure.savefig(out, dpi=80)


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
