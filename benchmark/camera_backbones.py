"""Parameters and products of every image backbone with a neck: counted, nothing is run.

    python benchmark/camera_backbones.py [--record docs/results/hornet.json]

Products (multiply-accumulates) are of one view, of convolutions, linear layers and the Fourier
products of global filters; norms, gates and activations are left out.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from metabev_ros.config import (
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    HorNetConfig,
    HorNetSize,
    Mixing,
)
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.network.camera import build_backbone
from metabev_ros.network.gnconv import GlobalLocalFilter
from metabev_ros.network.neck import BevNeck, SecondNeck

NANO, BASE = (128, 352), (256, 704)
LOCAL, GLOBAL = Mixing.LOCAL, Mixing.GLOBAL


def camera(
    size: tuple[int, int],
    backbone: CameraBackbone,
    neck: CameraNeck = CameraNeck.LSS_FPN,
    hornet: HorNetConfig | None = None,
    horfpn: Mixing | None = None,
) -> CameraBranchConfig:
    """A branch for images of `size` (height, width)."""
    channels = 96 if size == NANO else 256
    return CameraBranchConfig(
        backbone, neck, *size, feature_channels=channels, hornet=hornet, horfpn=horfpn
    )


def hornet(
    size: HorNetSize,
    mixing: Mixing,
    horfpn: Mixing | None,
    neck: CameraNeck = CameraNeck.LSS_FPN,
) -> CameraBranchConfig:
    """A HorNet on images of its size."""
    image = NANO if size is HorNetSize.NANO else BASE
    return camera(image, CameraBackbone.HORNET, neck, HorNetConfig(size, mixing), horfpn)


# By the names in the records.
CAMERA_ROWS = {
    'nano.none': camera(NANO, CameraBackbone.NANO, CameraNeck.NONE),
    'hornet_nano_7x7.lss_fpn': hornet(HorNetSize.NANO, LOCAL, None),
    'hornet_nano_7x7.lss_horfpn_7x7': hornet(HorNetSize.NANO, LOCAL, LOCAL),
    'hornet_nano_7x7.horfpn_7x7': hornet(HorNetSize.NANO, LOCAL, LOCAL, CameraNeck.FPN),
    'hornet_nano_gf.lss_horfpn_gf': hornet(HorNetSize.NANO, GLOBAL, GLOBAL),
    'swin_t.lss_fpn': camera(BASE, CameraBackbone.SWIN_T),
    'resnet50.lss_fpn': camera(BASE, CameraBackbone.RESNET50),
    'hornet_t_7x7.lss_fpn': hornet(HorNetSize.TINY, LOCAL, None),
    'hornet_t_7x7.lss_horfpn_7x7': hornet(HorNetSize.TINY, LOCAL, LOCAL),
    'hornet_t_gf.lss_horfpn_gf': hornet(HorNetSize.TINY, GLOBAL, GLOBAL),
    'hornet_s_7x7.lss_horfpn_7x7': hornet(HorNetSize.SMALL, LOCAL, LOCAL),
    'hornet_b_7x7.lss_horfpn_7x7': hornet(HorNetSize.BASE, LOCAL, LOCAL),
    'hornet_l_7x7.lss_horfpn_7x7': hornet(HorNetSize.LARGE, LOCAL, LOCAL),
}
# Neck, channels in and out, cells per edge of its input, mixing: nano's, and the paper's.
BEV_ROWS = {
    f'{name}{suffix}': (kind, c_in, c_out, cells, mixing)
    for name, kind, (c_in, c_out, cells) in (
        ('nano', BevNeck, (96, 64, 64)),
        ('second', SecondNeck, (256, 512, 180)),
    )
    for suffix, mixing in (('', None), ('_horfpn_7x7', LOCAL), ('_horfpn_gf', GLOBAL))
}


def products(module: nn.Module, x: torch.Tensor) -> int:
    """Of one pass on the meta device. Swin's attention itself is not counted."""
    total = 0

    def layer(layer: nn.Module, _, out: torch.Tensor) -> None:
        nonlocal total
        total += (
            out.numel() * layer.weight[0].numel()
            if not isinstance(layer, nn.ConvTranspose2d)
            else out.numel() * layer.weight.shape[0]
        )

    def fourier(_, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal total
        channels, (h, w) = out.shape[0] * out.shape[1] // 2, out.shape[-2:]
        kept = w // 2 + 1
        total += channels * (2 * h * w * 2 * kept + 2 * (2 * h) ** 2 * kept + 4 * h * kept)

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            part.register_forward_hook(layer)
        elif isinstance(part, GlobalLocalFilter):
            part.register_forward_hook(fourier)
    module(x)
    return total


def rows() -> dict[str, tuple[int, int]]:
    """Name -> (parameters, products)."""
    counted = {}
    with torch.device('meta'):
        for name, config in CAMERA_ROWS.items():
            network = build_backbone(config).eval()
            image = torch.zeros(1, 3, config.height, config.width)
            counted[f'camera.{name}'] = network, products(network, image)
        for name, (kind, c_in, c_out, cells, mixing) in BEV_ROWS.items():
            network = kind(c_in, c_out, mixing).eval()
            queries = torch.zeros(1, c_in, cells, cells)
            counted[f'bev.{name}'] = network, products(network, queries)
    return {
        name: (sum(p.numel() for p in network.parameters()), total)
        for name, (network, total) in counted.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    counted = rows()
    table = Table('part', 'parameters, M', 'products, G')
    for name, (parameters, total) in counted.items():
        table.add_row(name, f'{parameters / 1e6:.2f}', f'{total / 1e9:.2f}')
    Console().print(table)
    if options.record is not None:
        command = shlex.join(['python', *sys.argv])
        merge_records(
            options.record,
            [
                record
                for name, (parameters, total) in counted.items()
                for record in (
                    make_record(
                        f'hornet.{name}.parameters', round(parameters / 1e6, 3), 'M', command, 1
                    ),
                    make_record(
                        f'hornet.{name}.products', round(total / 1e9, 3), 'GMAC', command, 1
                    ),
                )
            ],
        )


if __name__ == '__main__':
    main()
