"""Draws docs/images/reliability.png from docs/results/reliability.json.

    .venv/bin/metabev-env python tools/reliability_picture.py docs/images/reliability.png

Left, of every figure with an upper bound, how much of the bound it takes. Right, how soon each
type of fault is noticed, and how soon the real node's first right output is there after a death.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = Path(__file__).resolve().parent.parent / 'docs' / 'results' / 'reliability.json'
CAMERA, LIDAR, MET, MISSED = '#2980b9', '#2c7a4b', '#7f8c8d', '#c0392b'
SOURCES = ('one_camera', 'all_cameras', 'lidar')


def draw_bounds(axes, records: list[dict]) -> None:
    """Value over bound; those of zero take nothing of it."""
    bounded = sorted(
        (
            r
            for r in records
            if (r['target'] or '').startswith('<') and not r['id'].startswith('checks.')
        ),
        key=lambda r: r['id'],
    )
    shares = [max(0.0, r['value'] / float(r['target'].split()[1])) for r in bounded]
    axes.barh(range(len(bounded)), shares, color=[MET if r['met'] else MISSED for r in bounded])
    for line, (record, share) in enumerate(zip(bounded, shares, strict=True)):
        text = f'{record["value"]:.3g} of {record["target"].split()[1]} {record["unit"]}'
        axes.annotate(text, (max(share, 1) + 0.03, line), va='center', fontsize=7)
    axes.axvline(1, color='black', lw=0.8)
    axes.set_yticks(range(len(bounded)), [r['id'].replace('_', ' ') for r in bounded], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.9)
    axes.set_xlabel('share of the bound')
    axes.set_title('figures with an upper bound', fontsize=9, loc='left')


def draw_faults(axes, value: dict[str, float]) -> None:
    """Worst delay from the first harmed message of a fault to an output that says so."""
    faults = dict.fromkeys(name.split('.')[2] for name in value if name.endswith('.worst_delay'))
    for line, fault in enumerate(faults):
        for shift, sensor, colour in ((-0.2, 'camera', CAMERA), (0.2, 'lidar', LIDAR)):
            delay = value.get(f'reliability.{sensor}.{fault}.worst_delay')
            if delay is not None:
                axes.plot(delay, line + shift, 'o', color=colour, markersize=5)
    axes.set_yticks(range(len(faults)), [fault.replace('_', ' ') for fault in faults], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(-5, 105)
    axes.set_xlabel('ms, clock made up; the latency of the pipeline comes on top')
    axes.set_title('longest time to the output that says so', fontsize=9, loc='left')
    axes.grid(axis='x', lw=0.4)
    axes.legend(
        [plt.Line2D([], [], color=c, marker='o', lw=0) for c in (CAMERA, LIDAR)],
        ['a camera', 'the LiDAR'],
        fontsize=8,
        loc='lower right',
    )


def draw_deaths(axes, value: dict[str, float]) -> None:
    """The real node: median and worst of each kind of source."""
    for line, source in enumerate(SOURCES):
        median, worst = (
            value[f'f1.live.{source}.missing_message_to_output_{name}']
            for name in ('p50', 'worst')
        )
        axes.plot([median, worst], [line, line], color=MET, lw=3)
        axes.plot(median, line, 'o', color='black', markersize=5)
    axes.set_yticks(
        range(len(SOURCES)), [f'{source.replace("_", " ")} dead' for source in SOURCES], fontsize=7
    )
    axes.set_ylim(len(SOURCES) - 0.5, -0.5)
    axes.set_xlim(0, None)
    axes.grid(axis='x', lw=0.4)
    axes.set_xlabel('ms from the first missing message, median to worst')
    axes.set_title(
        'real node, two cores: arrival of the first right output', fontsize=9, loc='left'
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('picture', type=Path)
    options = parser.parse_args()
    records = json.loads(RESULTS.read_text(encoding='utf-8'))
    value = {record['id']: record['value'] for record in records}
    figure, axes = plt.subplot_mosaic(
        [['bounds', 'faults'], ['bounds', 'deaths']], figsize=(13, 7), height_ratios=(3, 1)
    )
    draw_bounds(axes['bounds'], records)
    draw_faults(axes['faults'], value)
    draw_deaths(axes['deaths'], value)
    figure.tight_layout()
    figure.savefig(options.picture, dpi=80)
    return 0


if __name__ == '__main__':
    sys.exit(main())
