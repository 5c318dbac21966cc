"""Draw docs/images/ablations.png from docs/results/ablations.json: systems beside their controls.

    python tools/ablations_picture.py

Marks are means over the seeds, bars one standard deviation; hollow marks are controls.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from metabev_ros.lab.evaluation.records import read_records

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'docs' / 'results' / 'ablations.json'
TARGET = ROOT / 'docs' / 'images' / 'ablations.png'
STATES = {
    'fused': ('fused', '#2ea05a', 'o'),
    'no_camera': ('no camera', '#2e6ec8', 's'),
    'no_lidar': ('no LiDAR', '#cd8c1e', '^'),
}
SCORES = {'nds': 'NDS', 'miou': 'mIoU'}
# Systems that compare with one control stand beside it.
GROUPS = (
    ('base', 'itsa'),
    ('adamv_control', 'adamv'),
    ('plain_detr_control', 'plain_detr'),
    ('horfpn_bev_control', 'horfpn_bev'),
    ('hornet_control', 'hornet', 'hornet_horfpn'),
)
NAMES = {
    'itsa': 'inter-task\nattention',
    'adamv': 'AdaMV-\nMoE',
    'plain_detr': 'Plain-\nDETR',
    'horfpn_bev': 'HorFPN\n(BEV)',
    'hornet': 'HorNet',
    'hornet_horfpn': 'HorNet,\nHorFPN',
}


def places(known: set[str]) -> dict[str, float]:
    """Where on the axis each measured variant stands; groups with a gap between them."""
    found, x = {}, 0.0
    for group in GROUPS:
        if len(known & set(group)) > 1:
            for name in group:
                if name in known:
                    found[name] = x
                    x += 1.0
            x += 0.6
    return found


def label(name: str) -> str:
    return NAMES.get(name, 'base' if name == 'base' else 'control')


def draw(axes: Axes, values: dict[str, float], score: str, where: dict[str, float]) -> None:
    """One score of all variants under the three sensor states."""
    for offset, (state, (_, colour, marker)) in zip((-0.2, 0.0, 0.2), STATES.items(), strict=True):
        for name, x in where.items():
            key = f'ablations.{state}.{name}.{score}'
            plain = name == 'base' or name.endswith('_control')
            axes.errorbar(
                x + offset,
                values[key],
                values.get(f'{key}_sd', 0.0),
                color=colour,
                marker=marker,
                markerfacecolor='white' if plain else colour,
                capsize=3,
            )
    axes.set_xticks(list(where.values()), [label(name) for name in where], fontsize=8)
    axes.set_ylabel(SCORES[score])
    axes.set_ylim(bottom=0)
    axes.grid(axis='y', alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--out', type=Path, default=TARGET)
    options = parser.parse_args()
    values = {record.id: record.value for record in read_records(options.results)}
    where = places({key.split('.')[2] for key in values if key.startswith('ablations.fused.')})
    figure, rows = plt.subplots(2, 1, figsize=(8.6, 6.2), sharex=True, layout='constrained')
    for axes, score in zip(rows, SCORES, strict=True):
        draw(axes, values, score, where)
    marks = [
        Line2D([], [], color=colour, marker=marker, label=words)
        for words, colour, marker in STATES.values()
    ]
    marks.append(
        Line2D(
            [],
            [],
            color='grey',
            marker='o',
            markerfacecolor='white',
            linestyle='',
            label='hollow: the same parts of nano, as new',
        )
    )
    figure.legend(handles=marks, loc='outside upper center', ncols=4, fontsize=8)
    figure.savefig(options.out, dpi=130)


if __name__ == '__main__':
    main()
