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

from metabev_ros.config import BevNeckKind, CameraBackbone, CameraBranchConfig, CameraNeck
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.network.camera import build_backbone
from metabev_ros.network.gnconv import GlobalLocalFilter
from metabev_ros.network.neck import NECKS

NANO, BASE = (128, 352), (256, 704)
CAMERA_ROWS = (
    *(
        (CameraBackbone(name), CameraNeck(neck), NANO)
        for name, neck in (
            ('nano', 'none'),
            ('hornet_nano_7x7', 'lss_fpn'),
            ('hornet_nano_7x7', 'lss_horfpn_7x7'),
            ('hornet_nano_7x7', 'horfpn_7x7'),
            ('hornet_nano_gf', 'lss_horfpn_gf'),
        )
    ),
    *(
        (CameraBackbone(name), CameraNeck(neck), BASE)
        for name, neck in (
            ('swin_t', 'lss_fpn'),
            ('resnet50', 'lss_fpn'),
            ('hornet_t_7x7', 'lss_fpn'),
            ('hornet_t_7x7', 'lss_horfpn_7x7'),
            ('hornet_t_gf', 'lss_horfpn_gf'),
            ('hornet_s_7x7', 'lss_horfpn_7x7'),
            ('hornet_b_7x7', 'lss_horfpn_7x7'),
            ('hornet_l_7x7', 'lss_horfpn_7x7'),
        )
    ),
)
# Channels in, out and grid of the BEV neck: nano's, and the paper's.
BEV_ROWS = tuple(
    (kind, (96, 64, 64) if kind.query_cells == 2 else (256, 512, 180)) for kind in BevNeckKind
)


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
        for backbone, neck, size in CAMERA_ROWS:
            channels = 96 if size == NANO else 256
            network = build_backbone(
                CameraBranchConfig(backbone, neck, *size, feature_channels=channels)
            ).eval()
            counted[f'camera.{backbone.value}.{neck.value}'] = (
                network,
                products(network, torch.zeros(1, 3, *size)),
            )
        for kind, (c_in, c_out, cells) in BEV_ROWS:
            neck_type, mixing = NECKS[kind]
            network = neck_type(c_in, c_out, mixing).eval()
            counted[f'bev.{kind.value}'] = (
                network,
                products(network, torch.zeros(1, c_in, cells, cells)),
            )
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
