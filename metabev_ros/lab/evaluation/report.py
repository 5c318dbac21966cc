"""An evaluation as Markdown, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metabev_ros.files import write_text
from metabev_ros.lab.evaluation.detection import DISTANCES_M, TP_ERRORS
from metabev_ros.lab.evaluation.report_plots import plot_bars, plot_curves
from metabev_ros.lab.evaluation.run import Evaluation
from metabev_ros.structures import DETECTION_CLASSES

SHOWN_CLASSES = ('car', 'pedestrian')


def write_report(evaluation: Evaluation, folder: Path | str) -> Path:
    """Write report.md, metrics.json and three pictures; returns report.md.

    Raises:
        MissingDependencyError: without matplotlib.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / 'metrics.json', json.dumps(evaluation.to_plain(), indent=1) + '\n')
    plot_bars(evaluation, folder / 'average_precision.png', 'detection')
    if _has_map(evaluation):
        plot_bars(evaluation, folder / 'map_iou.png', 'map')
    plot_curves(evaluation, folder / 'precision_recall.png')
    write_text(folder / 'report.md', markdown(evaluation))
    return folder / 'report.md'


def _has_map(evaluation: Evaluation) -> bool:
    return any(not np.isnan(result.map.mean_iou) for result in evaluation.modalities.values())


def markdown(evaluation: Evaluation) -> str:
    """The report's text."""
    lines = [
        '# Evaluation',
        '',
        f'- model: `{evaluation.model}` ({evaluation.model_hash[:12]}), {evaluation.backend}',
        _scores_line(evaluation),
        f'- samples: {evaluation.samples}, {evaluation.source}',
        '- detection: nuScenes `detection_cvpr_2019` (10 classes, 4 distances)',
        '- map: BEVFusion IoU (best of 7 thresholds per class), and IoU at 0.5',
        *(f'- {note}' for note in (*evaluation.notes, *_missing_truth(evaluation))),
        '',
        '## All modalities',
        '',
        *_summary_table(evaluation),
        *_own_tables(evaluation),
        '',
        '## Car and pedestrian',
        '',
        *_shown_table(evaluation),
        '',
        '## Average precision per class',
        '',
        '![AP](average_precision.png)',
        '',
        *_class_table(evaluation),
        '',
        '![precision and recall](precision_recall.png)',
    ]
    if _has_map(evaluation):
        lines += ['', '## Map IoU per class', '', '![IoU](map_iou.png)', '']
        lines += _map_table(evaluation)
    lines += _calibration_table(evaluation)
    return '\n'.join([*lines, *_detail_tables(evaluation)]) + '\n'


def _scores_line(evaluation: Evaluation) -> str:
    """Words on what a score means."""
    if evaluation.calibrated_on:
        return f'- scores: calibrated on {evaluation.calibrated_on}'
    return '- scores: not calibrated, published as the network gives them'


def _calibration_table(evaluation: Evaluation) -> list[str]:
    """One row a modality: calibration errors of raw and of published scores."""
    measured = {m: r.ece for m, r in evaluation.modalities.items() if r.ece is not None}
    if not measured:
        return []
    rows = [
        [m.name, *_numbers(e.raw_detection, e.detection, e.raw_map, e.map)]
        for m, e in measured.items()
    ]
    header = ['modality', 'boxes, raw', 'boxes, published', 'map, raw', 'map, published']
    about = (
        'Expected calibration error of the same boxes and maps (15 bins, mean over classes): how '
        'far a score is from the share that is right. With few boxes of a class chance alone '
        'gives some.'
    )
    return ['', '## Calibration of scores', '', about, '', *_table(header, rows)]


def _missing_truth(evaluation: Evaluation) -> list[str]:
    """Figures that do not exist as their truth is not known, and samples that were left out."""
    notes: list[str] = []
    for modality, result in evaluation.modalities.items():
        if result.left_out:
            notes.append(
                f'{modality.name}: {result.left_out} samples lack its sensors and are left out'
            )
    first = next(iter(evaluation.modalities.values()))
    unknown = first.map.unknown
    if unknown:
        named = 'every map layer' if len(unknown) == len(first.map.class_names) else unknown
        named = named if isinstance(named, str) else ', '.join(named)
        notes.append(f'map: no truth is known of {named}; what is not known is in no mean')
    undefined = [n for n, value in first.detection.mean_errors.items() if np.isnan(value)]
    if undefined:
        notes.append(f'no truth is known for {" and ".join(undefined)}: there is no NDS')
    return notes


def _shown_table(evaluation: Evaluation) -> list[str]:
    """One row a modality and shown class: truth, detections, AP at every distance."""
    rows: list[list[str]] = []
    for name in SHOWN_CLASSES:
        k = DETECTION_CLASSES.index(name)
        for modality, result in evaluation.modalities.items():
            found = result.detection
            counts = [str(int(found.truth_count[k])), str(int(found.detection_count[k]))]
            rows.append([name, modality.name, *counts, *_numbers(*found.ap[k])])
    header = ['class', 'modality', 'truth boxes', 'found boxes']
    return _table([*header, *(f'AP@{d:g} m' for d in DISTANCES_M)], rows)


def _own_tables(evaluation: Evaluation) -> list[str]:
    """One table a metric of the data set's own."""
    lines: list[str] = []
    for metric, results in evaluation.own.items():
        names = list(dict.fromkeys(name for figures in results.values() for name in figures))
        rows = [
            [name, *_numbers(*(figures.get(name, np.nan) for figures in results.values()))]
            for name in names
        ]
        lines += ['', f'## {metric}', '']
        lines += _table(['figure', *(modality.name for modality in results)], rows)
    return lines


def _summary_table(evaluation: Evaluation) -> list[str]:
    """One row a modality: the means over classes, samples and the latency."""
    header = [
        'modality',
        'mAP',
        'NDS',
        *(f'm{error}' for error in TP_ERRORS),
        'mIoU',
        'mIoU@0.5',
        'samples',
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
                str(result.detection.samples),
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
