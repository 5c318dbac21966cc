"""An evaluation as Markdown, JSON, pictures and result records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metabev_ros.drawing import CLASS_COLOURS
from metabev_ros.errors import MissingDependencyError
from metabev_ros.lab.evaluation.detection import (
    DISTANCES_M,
    RECALL_POINTS,
    TP_DISTANCE_M,
    TP_ERRORS,
)
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
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
# What the project asks of the shipped model on held-out synthetic samples.
TARGETS = {
    (Modality.FUSED, 'map'): '>= 0.35',
    (Modality.FUSED, 'miou'): '>= 0.45',
    (Modality.CAMERA, 'map'): '>= 0.10',
}


def write_report(evaluation: Evaluation, folder: Path | str) -> Path:
    """Write report.md, metrics.json and three pictures; returns report.md.

    Raises:
        MissingDependencyError: without matplotlib.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / 'metrics.json', json.dumps(evaluation.to_plain(), indent=1) + '\n')
    plot_bars(evaluation, folder / 'average_precision.png', 'detection')
    plot_bars(evaluation, folder / 'map_iou.png', 'map')
    plot_curves(evaluation, folder / 'precision_recall.png')
    _write(folder / 'report.md', markdown(evaluation))
    return folder / 'report.md'


def evaluation_records(evaluation: Evaluation, command: str) -> list[ResultRecord]:
    """The figures for docs/results: mAP, NDS, mIoU, mIoU at 0.5 of every modality."""
    records = []
    for modality, result in evaluation.modalities.items():
        for name, value, unit in (
            ('map', result.detection.mean_ap, 'mAP'),
            ('nds', result.detection.nds, 'NDS'),
            ('miou', result.map.mean_iou, 'mIoU'),
            ('miou_at_half', result.map.mean_iou_at_half, 'mIoU@0.5'),
        ):
            records.append(
                make_record(
                    f'evaluation.{modality.name.lower()}.{name}',
                    value,
                    unit,
                    command,
                    evaluation.samples,
                    TARGETS.get((modality, name)),
                )
            )
    return records


def markdown(evaluation: Evaluation) -> str:
    """The report's text."""
    lines = [
        '# Evaluation',
        '',
        f'- model: `{evaluation.model}` ({evaluation.model_hash[:12]}), {evaluation.backend}',
        f'- samples: {evaluation.samples}, {evaluation.source}',
        '- detection: nuScenes `detection_cvpr_2019` (10 classes, 4 distances); no attribute '
        'is annotated, AAE is the share of wrong moving / standing states (0.2 m/s)',
        '- map: BEVFusion IoU (best of 7 thresholds per class), and IoU at 0.5',
        '',
        '## All modalities',
        '',
        *_summary_table(evaluation),
        '',
        '## Average precision per class',
        '',
        '![AP](average_precision.png)',
        '',
        *_class_table(evaluation),
        '',
        '![precision and recall](precision_recall.png)',
        '',
        '## Map IoU per class',
        '',
        '![IoU](map_iou.png)',
        '',
        *_map_table(evaluation),
        *_detail_tables(evaluation),
    ]
    return '\n'.join(lines) + '\n'


def _summary_table(evaluation: Evaluation) -> list[str]:
    """One row a modality: the means over classes, and the latency."""
    header = [
        'modality',
        'mAP',
        'NDS',
        *(f'm{error}' for error in TP_ERRORS),
        'mIoU',
        'mIoU@0.5',
        'latency ms',
    ]
    rows = []
    for modality, result in evaluation.modalities.items():
        rows.append(
            [
                modality.name,
                *_numbers(
                    result.detection.mean_ap,
                    result.detection.nds,
                    *result.detection.mean_errors.values(),
                    result.map.mean_iou,
                    result.map.mean_iou_at_half,
                ),
                f'{result.latency_ms:.1f}',
            ]
        )
    return _table(header, rows)


def _detail_tables(evaluation: Evaluation) -> list[str]:
    """One table a modality: average precisions and errors of every class."""
    lines: list[str] = []
    for modality, result in evaluation.modalities.items():
        lines += ['', f'## {modality.name}: detection in detail', '']
        rows = [
            [name, *_numbers(*result.detection.ap[k], *result.detection.errors[k])]
            for k, name in enumerate(DETECTION_CLASSES)
        ]
        lines += _table(['class', *(f'AP@{d:g} m' for d in DISTANCES_M), *TP_ERRORS], rows)
    return lines


def _class_table(evaluation: Evaluation) -> list[str]:
    first = next(iter(evaluation.modalities.values())).detection
    rows = []
    for k, name in enumerate(DETECTION_CLASSES):
        scores = [r.detection.class_ap[name] for r in evaluation.modalities.values()]
        rows.append([name, str(first.truth_count[k]), *_numbers(*scores)])
    return _table(['class', 'truth boxes', *(m.name for m in evaluation.modalities)], rows)


def _map_table(evaluation: Evaluation) -> list[str]:
    results = list(evaluation.modalities.values())
    rows = [
        [
            name,
            *_numbers(
                *(
                    value
                    for r in results
                    for value in (r.map.class_iou[name], r.map.class_iou_at_half[name])
                )
            ),
        ]
        for name in results[0].map.class_names
    ]
    header = [text for m in evaluation.modalities for text in (m.name, f'{m.name} @0.5')]
    return _table(['class', *header], rows)


def _numbers(*values: float) -> list[str]:
    return ['-' if np.isnan(value) else f'{value:.3f}' for value in values]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f'| {" | ".join(row)} |' for row in (header, ['---'] * len(header), *rows)]


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
    part = path.with_name(f'.{path.name}.part')
    figure.savefig(part, format='png', dpi=110)
    os.replace(part, path)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f'.{path.name}.part')
    part.write_text(text, encoding='utf-8')
    os.replace(part, path)
