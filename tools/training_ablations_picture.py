"""Draw docs/images/robustness/ablations.png: each variant's gain or loss beside `base`.

.venv/bin/metabev-env python tools/training_ablations_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metabev_ros.lab.evaluation.records import read_records

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {
    'no_switching': 'all sensors only',
    'thirds': 'a third each',
    'per_iteration': 'one draw a batch',
    'no_curriculum': 'no curriculum',
    'moe_hard': 'HM2oE',
    'moe_routed': 'RM2oE',
    'points_8': '8 points',
    'layers_1_1': '1 cross + 1 self layer',
    'layers_2_0': '2 + 0 layers',
    'layers_3_1': '3 + 1 layers',
}
SETTINGS = {
    'clean.0': 'clean',
    'lf.120': 'LiDAR field',
    'mo.1': 'objects',
    'br.4': '4 beams',
    'vd.6': 'black',
    'vn.6': 'noise',
    'oo.1': 'occlusion',
    'mc.1': 'no camera',
    'ml.1': 'no LiDAR',
}
FIGURES = {'nds': 'NDS', 'miou': 'mIoU'}
FULL_COLOUR = 0.05  # a change that has the darkest colour


def changes(figure: str) -> np.ndarray:
    """(variants, settings): each value less that of `base`."""
    records = read_records(ROOT / 'docs/results/robustness.json')
    values = {record.id: record.value for record in records}

    def row(variant: str) -> np.ndarray:
        return np.array(
            [values[f'robustness.abl_{variant}.{setting}.{figure}'] for setting in SETTINGS]
        )

    return np.stack([row(variant) - row('base') for variant in VARIANTS])


def main() -> None:
    figure = Figure(figsize=(11, 4.6), layout='constrained')
    FigureCanvasAgg(figure)
    for axis, (name, title) in zip(
        figure.subplots(1, 2, sharey=True), FIGURES.items(), strict=True
    ):
        table = changes(name)
        axis.imshow(table, cmap='RdBu', vmin=-FULL_COLOUR, vmax=FULL_COLOUR, aspect='auto')
        for (row, column), value in np.ndenumerate(table):
            axis.text(
                column,
                row,
                f'{value * 1000:+.0f}',
                ha='center',
                va='center',
                fontsize=7,
                color='white' if abs(value) > 0.7 * FULL_COLOUR else 'black',
            )
        axis.set_xticks(
            range(len(SETTINGS)), SETTINGS.values(), rotation=40, ha='right', fontsize=8
        )
        axis.set_yticks(range(len(VARIANTS)), VARIANTS.values(), fontsize=8)
        axis.set_title(f'{title}, thousandths more (blue) or less (red) than base', fontsize=9)
    figure.savefig(ROOT / 'docs/images/robustness/ablations.png', dpi=110)


if __name__ == '__main__':
    main()
