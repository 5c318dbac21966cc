"""Pictures of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metabev_ros.drawing import CLASS_COLOURS
from metabev_ros.errors import MissingDependencyError
from metabev_ros.files import replacing
from metabev_ros.lab.evaluation.detection import DISTANCES_M, RECALL_POINTS, TP_DISTANCE_M
from metabev_ros.lab.evaluation.run import Evaluation
from metabev_ros.structures import DETECTION_CLASSES, Modality

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR_COLOURS = {
    Modality.FUSED: '#2ea05a',
    Modality.LIDAR: '#2e6ec8',
    Modality.CAMERA: '#cd8c1e',
    Modality.NONE: '#c83232',
}


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Figure and axes without pyplot's global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'evaluation report', 'matplotlib', 'not installed', 'pip install matplotlib'
        ) from error
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def plot_bars(evaluation: Evaluation, path: Path, task: str) -> None:
    """One group of bars per class, one bar per modality; task 'detection' or 'map'."""
    figure, axes = _figure(1, 1, (10, 4.2))
    axis, count = axes[0, 0], len(evaluation.modalities)
    names: list[str] = []
    for index, (modality, result) in enumerate(evaluation.modalities.items()):
        scores = result.detection.class_ap if task == 'detection' else result.map.class_iou
        mean = result.detection.mean_ap if task == 'detection' else result.map.mean_iou
        names = [*scores, 'mean']
        place = np.arange(len(names)) + (index - (count - 1) / 2) * 0.8 / count
        axis.bar(
            place,
            [*scores.values(), mean],
            0.8 / count,
            color=BAR_COLOURS[modality],
            label=f'{modality.name} ({mean:.3f})',
        )
    axis.set_xticks(range(len(names)), [name.replace('_', '\n') for name in names], fontsize=8)
    axis.set_ylim(0, 1)
    axis.set_ylabel('AP (mean over 4 distances)' if task == 'detection' else 'IoU')
    axis.axvline(len(names) - 1.5, color='#999999', linewidth=0.8)
    axis.grid(axis='y', alpha=0.3)
    figure.legend(loc='outside upper center', ncols=count)
    _save(figure, path)


def plot_curves(evaluation: Evaluation, path: Path) -> None:
    """Precision over recall at 2 m, one picture per modality, one line per class."""
    count = len(evaluation.modalities)
    figure, axes = _figure(1, count, (4.4 * count, 4.8))
    recall = np.linspace(0, 1, RECALL_POINTS)
    for axis, (modality, result) in zip(axes[0], evaluation.modalities.items(), strict=True):
        column = DISTANCES_M.index(TP_DISTANCE_M)
        for k, name in enumerate(DETECTION_CLASSES):
            axis.plot(
                recall,
                result.detection.precision[k, column],
                linewidth=1.4,
                label=name,
                color=np.array(CLASS_COLOURS[name]) / 255,
            )
        axis.set(
            title=f'{modality.name}, {TP_DISTANCE_M:g} m',
            xlabel='recall',
            ylabel='precision',
            xlim=(0, 1),
            ylim=(0, 1.02),
        )
        axis.grid(alpha=0.3)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=5, fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format='png', dpi=110)
