"""Draw docs/images/hornet.png: what one output cell sees, and that it depends on the image.

    .venv/bin/metabev-env python tools/hornet_picture.py

One layer at the third stage of the nano HorNet (8 x 22 cells), with weights as initialised: the
picture shows a property of the layers, not of a training. For two images, the norm of the
derivative of the outlined output cell by every input cell.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

from metabev_ros.config import HorNetConfig, HorNetSize, Mixing, ModelConfig
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.network.camera import PIXEL_MEAN, PIXEL_STD
from metabev_ros.network.gnconv import GnConv
from metabev_ros.network.hornet import NANO, ORDERS, SCALE, HorNet, build_hornet
from metabev_ros.preprocess.preprocessor import Preprocessor

TARGET = Path(__file__).resolve().parent.parent / 'docs' / 'images' / 'hornet.png'
DRIVES, STAGE, CELL = (900_300, 900_304), 2, (4, 12)
HORNET = HorNetConfig(HorNetSize.NANO, Mixing.LOCAL)
CHANGE = 0.1  # end of the colour scale of differences


def pictures() -> list[np.ndarray]:
    """Front images of two drives at the size of nano, (H, W, 3) uint8."""
    prepare = Preprocessor(ModelConfig()).prepare_image
    frames = [SyntheticDrive(seed, DriveConfig(frames=1))[0] for seed in DRIVES]
    return [
        prepare(frame.images['CAM_FRONT'], frame.calibrations['CAM_FRONT'])[0] for frame in frames
    ]


@torch.no_grad()
def features(network: HorNet, image: np.ndarray) -> Tensor:
    """(1, C, h, w) as they enter the first gnConv of the stage."""
    x = (torch.from_numpy(image).float() - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    x = x.permute(2, 0, 1)[None]
    for down, stage in zip(network.downsample_layers[:STAGE], network.stages[:STAGE], strict=True):
        x = stage(down(x))
    return network.stages[STAGE][0].norm1(network.downsample_layers[STAGE](x))


def influence(layer: nn.Module, x: Tensor) -> np.ndarray:
    """(h, w): norm of d out[CELL] / d x over random directions of the output channels."""
    x = x.clone().requires_grad_()
    out = layer(x)[0, :, CELL[0], CELL[1]]
    squares = torch.zeros(x.shape[-2:])
    for direction in torch.randn(16, len(out), generator=torch.Generator().manual_seed(1)):
        (grad,) = torch.autograd.grad(out, x, direction, retain_graph=True)
        squares += grad[0].square().sum(0)
    return squares.sqrt().numpy()


def layers() -> dict[str, nn.Module]:
    width, order, stored = NANO.width << STAGE, ORDERS[STAGE], NANO.filters[STAGE - 2]
    return {
        '3x3 convolution': nn.Conv2d(width, width, 3, padding=1),
        f'gnConv, order {order}, 7x7': GnConv(width, order, Mixing.LOCAL, stored, SCALE),
        f'gnConv, order {order}, global filter': GnConv(
            width, order, Mixing.GLOBAL, stored, SCALE
        ),
    }


def draw_row(row: np.ndarray, name: str, maps: list[np.ndarray]) -> None:
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


def main() -> None:
    torch.manual_seed(0)
    network, images = build_hornet(HORNET).eval(), pictures()
    inputs = [features(network, image) for image in images]
    figure, axes = plt.subplots(4, 3, figsize=(11, 6.2), layout='constrained')
    for axis, image, title in zip(axes[0], images, ('image A', 'image B'), strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=9)
    for row, (name, layer) in zip(axes[1:], layers().items(), strict=True):
        draw_row(row, name, [influence(layer, x) for x in inputs])
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
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=90)
    print(TARGET)


if __name__ == '__main__':
    main()
