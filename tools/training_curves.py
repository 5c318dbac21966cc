"""Draw a run's loss terms: python tools/training_curves.py runs/NAME/log.jsonl PICTURE.png"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np

TERMS = {
    'heatmap': 'heatmap (focal)',
    'boxes': 'boxes (L1)',
    'map_focal': 'map (focal)',
    'map_dice': 'map (Dice)',
    'depth': 'depth (cross-entropy)',
}
WINDOW = 25  # steps of the running median


def main() -> None:
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    by_step = {line['step']: line for line in lines}  # a resumed run repeats some steps
    steps = np.array(sorted(by_step))
    figure, axes = plt.subplots(1, len(TERMS), figsize=(15, 2.8), layout='constrained')
    for axis, (name, title) in zip(axes, TERMS.items(), strict=True):
        values = np.array([by_step[step][name] for step in steps])
        smooth = [np.median(values[max(0, i - WINDOW) : i + WINDOW]) for i in range(len(values))]
        axis.plot(steps, values, color='#c8d4e3', linewidth=0.6)
        axis.plot(steps, smooth, color='#1f5fa8', linewidth=1.6)
        axis.set(title=title, xlabel='step', ylim=(0, np.percentile(values, 98)))
        axis.grid(alpha=0.25)
    figure.savefig(sys.argv[2], dpi=110)


if __name__ == '__main__':
    main()
