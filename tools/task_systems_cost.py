"""Cost of inter-task attention and of AdaMV-MoE, as formulas and as counted in the networks.

    python tools/task_systems_cost.py --record docs/results/task_systems.json

Nothing is timed. Bilinear sampling, which no counter of products sees, is in the figures of
attention and not in those of whole networks.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config import ModelConfig, TaskInteractionConfig, load_config
from metabev_ros.lab.evaluation.interaction_cost import deformable_cost, global_flops, global_macs
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.network.adamv import adaptive_layers
from metabev_ros.network.expert_forms import ExpertForm
from metabev_ros.network.metabev import Fusion

ROOT = Path(__file__).resolve().parent.parent
PAPER = TaskInteractionConfig(points=16, steps=3)


def attention_figures() -> list[tuple[str, float, str, str | None]]:
    """(id, value, unit, target): the published setting, and the base network's 180 x 180 cells."""
    published = deformable_cost(PAPER, 4, 107, 140, 256)
    whole = global_macs(2 * 180 * 180, 256)
    figures = [
        ('published.global', global_flops(4 * 107 * 140, 256, 4) / 1e12, 'TFLOPs', None),
        ('published.deformable', 2 * published.total / 1e12, 'TFLOPs', None),
        ('base.global', whole / 1e9, 'GMAC', None),
    ]
    for levels, points in ((3, 16), (3, 8), (1, 16)):
        cost = deformable_cost(replace(PAPER, levels=levels, points=points), 2, 180, 180, 256)
        name = f'base.L{levels}_P{points}'
        asked = '>= 10' if (levels, points) == (3, 16) else None  # "an order of magnitude"
        figures += [
            (f'{name}.attention', cost.attention / 1e9, 'GMAC', None),
            (f'{name}.step', cost.total / 1e9, 'GMAC', None),
            (f'{name}.global_over_attention', whole / cost.attention, 'times', asked),
        ]
    return figures


def counted(config: ModelConfig, form: ExpertForm) -> tuple[float, float]:
    """Parameters (millions) and multiply-adds (G) of all that follows the encoders, fused."""
    torch.manual_seed(0)
    fusion = Fusion(config).eval().requires_grad_(False)
    for layer in adaptive_layers(fusion):
        layer.form = form
    shape = config.bev_grid.shape
    maps = {
        'camera': torch.randn(1, config.camera.bev_channels, *shape),
        'lidar': torch.randn(1, config.lidar.bev_channels, *shape),
    }
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fusion(maps)
    return (sum(p.numel() for p in fusion.parameters()) / 1e6, counter.get_total_flops() / 2e9)


def network_figures() -> list[tuple[str, float, str, None]]:
    """nano, and nano with each system."""
    figures = []
    for name, form in (
        ('metabev_nano', ExpertForm.DISPATCHED),
        ('metabev_nano_adamv', ExpertForm.DISPATCHED),
        ('metabev_nano_adamv', ExpertForm.DENSE),
        ('metabev_nano_itsa', ExpertForm.DISPATCHED),
    ):
        path = ROOT / 'config' / 'models' / f'{name}.yaml'
        config = load_config(ModelConfig, path) if path.exists() else ModelConfig()
        parameters, macs = counted(config, form)
        wide = '.wide' if form is ExpertForm.DENSE else ''
        figures += [
            (f'{name}{wide}.fusion_parameters', parameters, 'M', None),
            (f'{name}{wide}.fusion_macs', macs, 'GMAC', None),
        ]
    return figures


def main() -> None:
    """Count, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--record', type=Path, help='results file to merge the figures into')
    arguments = parser.parse_args()
    figures = attention_figures() + network_figures()
    for name, value, unit, _ in figures:
        print(f'{name:45} {value:9.3f} {unit}')
    if arguments.record:
        command = shlex.join(['python', *sys.argv])
        merge_records(
            arguments.record,
            [
                make_record(f'task_systems.{name}', value, unit, command, 1, target)
                for name, value, unit, target in figures
            ],
        )


if __name__ == '__main__':
    main()
