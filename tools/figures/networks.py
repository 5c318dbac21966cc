"""Pictures of what networks look at: HorNet and inter-task attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from figures import style
from metabev_ros.backends.torch_backend import TorchBackend, load_network
from metabev_ros.config import HorNetConfig, HorNetSize, Mixing, ModelConfig, TaskInteractionConfig
from metabev_ros.drawing.bev import BevView, draw_bev
from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.lab.evaluation.interaction_cost import deformable_cost, global_macs
from metabev_ros.network.camera import PIXEL_MEAN, PIXEL_STD
from metabev_ros.network.decoder import reference_points
from metabev_ros.network.gnconv import GnConv
from metabev_ros.network.hornet import NANO, ORDERS, SCALE, HorNet, build_hornet
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS
from metabev_ros.pipeline import Pipeline
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import Sample

# --------------------------------------------------------------------------------------- HorNet
HORNET = HorNetConfig(HorNetSize.NANO, Mixing.LOCAL)
DRIVES, STAGE, CELL = (900_300, 900_304), 2, (4, 12)
CHANGE = 0.1  # end of the colour scale of differences


def _pictures() -> list[np.ndarray]:
    """Front images of two drives at the size of nano, (H, W, 3) uint8."""
    prepare = Preprocessor(ModelConfig()).prepare_image
    frames = [SyntheticDrive(seed, DriveConfig(frames=1))[0] for seed in DRIVES]
    return [
        prepare(frame.images['CAM_FRONT'], frame.calibrations['CAM_FRONT'])[0] for frame in frames
    ]


@torch.no_grad()
def _features(network: HorNet, image: np.ndarray) -> Tensor:
    """(1, C, h, w) as they enter the first gnConv of the stage."""
    x = (torch.from_numpy(image).float() - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    x = x.permute(2, 0, 1)[None]
    for down, stage in zip(network.downsample_layers[:STAGE], network.stages[:STAGE], strict=True):
        x = stage(down(x))
    return network.stages[STAGE][0].norm1(network.downsample_layers[STAGE](x))


def _influence(layer: nn.Module, x: Tensor) -> np.ndarray:
    """(h, w): norm of d out[CELL] / d x over random directions of the output channels."""
    x = x.clone().requires_grad_()
    out = layer(x)[0, :, CELL[0], CELL[1]]
    squares = torch.zeros(x.shape[-2:])
    for direction in torch.randn(16, len(out), generator=torch.Generator().manual_seed(1)):
        (grad,) = torch.autograd.grad(out, x, direction, retain_graph=True)
        squares += grad[0].square().sum(0)
    return squares.sqrt().numpy()


def _layers() -> dict[str, nn.Module]:
    width, order, stored = NANO.width << STAGE, ORDERS[STAGE], NANO.filters[STAGE - 2]
    return {
        '3x3 convolution': nn.Conv2d(width, width, 3, padding=1),
        f'gnConv, order {order}, 7x7': GnConv(width, order, Mixing.LOCAL, stored, SCALE),
        f'gnConv, order {order}, global filter': GnConv(
            width, order, Mixing.GLOBAL, stored, SCALE
        ),
    }


def _draw_row(row: np.ndarray, name: str, maps: list[np.ndarray]) -> None:
    """Influence for A, for B, and the difference."""
    top = max(m.max() for m in maps)
    change = (maps[1] - maps[0]) / top
    for axis, m, label in zip(row, maps, 'AB', strict=False):
        axis.imshow(np.log10(np.maximum(m / top, 1e-4)), vmin=-4, vmax=0, cmap='magma')
        axis.set_title(f'{name}: {label}', fontsize=8)
    row[2].imshow(change, vmin=-CHANGE, vmax=CHANGE, cmap='RdBu_r')
    row[2].set_title(f'B - A, at most {np.abs(change).max():.1%}', fontsize=8)
    for axis in row:
        axis.add_patch(
            plt.Rectangle(
                (CELL[1] - 0.5, CELL[0] - 0.5),
                1,
                1,
                fill=False,
                edgecolor='#36c5f0',
                linewidth=1.2,
            )
        )


def draw_hornet(path: Path) -> None:
    """Influence of every input cell on one output cell, for two images, of three layers.

    The layers stand at the third stage of the nano HorNet (8 x 22 cells), with weights as
    initialised: the picture shows a property of the layers, not of a training.
    """
    torch.manual_seed(0)
    network, images = build_hornet(HORNET).eval(), _pictures()
    inputs = [_features(network, image) for image in images]
    figure, axes = plt.subplots(4, 3, figsize=(11, 6.2), layout='constrained')
    for axis, image, title in zip(axes[0], images, ('image A', 'image B'), strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=9)
    for row, (name, layer) in zip(axes[1:], _layers().items(), strict=True):
        _draw_row(row, name, [_influence(layer, x) for x in inputs])
    axes[0, 2].text(
        0,
        0.5,
        'Influence of each input cell on the outlined output cell,\n'
        'log scale over four decades. Right: B - A as a share of\n'
        f'the largest influence, colours from -{CHANGE:.0%} to {CHANGE:.0%}.',
        fontsize=8,
        va='center',
    )
    for axis in axes.flat:
        axis.set_axis_off()
    style.save(figure, path)


# -------------------------------------------------------------------------- inter-task attention
TASK_COLOURS = {'detection': '#ffb000', 'map': '#40e0ff'}


def _sampled_places(
    network: MetaBev, pipeline: Pipeline, sample: Sample, task: str, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _draw_places(
    axis: Axes, network: MetaBev, pipeline: Pipeline, labelled: LabelledSample, task: str
) -> None:
    """One query of `task` at the nearest seen object, over the truth."""
    truth, view = labelled.truth, BevView(480, 480, 24.0)
    seen = truth.num_lidar_pts > 0
    boxes = truth.boxes[seen]
    xy = boxes[np.linalg.norm(boxes[:, :2], axis=1).argmin(), :2]
    axis.imshow(
        draw_bev(view, truth.map_layers, network.config.map_grid, None, boxes, truth.labels[seen])
    )
    places, weights, owners = _sampled_places(network, pipeline, labelled.sample, task, xy)
    for owner in TASKS:
        mine = owners == owner
        u, v = view.pixels(places[mine]).T
        axis.scatter(
            u,
            v,
            s=2400 * weights[mine],
            c=TASK_COLOURS[owner],
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


def _draw_cost(axis: Axes) -> None:
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
    for levels, line in ((3, '-'), (1, '--')):
        costs = [deformable_cost(replace(config, levels=levels), 2, s, s, 256) for s in sides]
        axis.loglog(
            sides**2,
            [(c.attention + c.pyramid) / 1e9 for c in costs],
            f's{line}',
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


def draw_inter_task(folder: Path, path: Path) -> None:
    """Where inter-task attention of a trained network looks, and what it costs."""
    network, config = load_network(folder)
    pipeline = Pipeline(config, TorchBackend(network, config), 'picture')
    test_set = HeldOutDrives(1, 1, CHOICE_FIRST_SEED)
    labelled = next(test_set.samples(test_set.all_drives[0], pipeline))
    figure, panels = plt.subplots(1, 3, figsize=(14, 4.8), layout='constrained')
    for axes, task in zip(panels, TASKS, strict=False):
        _draw_places(axes, network, pipeline, labelled, task)
    _draw_cost(panels[2])
    style.save(figure, path)
