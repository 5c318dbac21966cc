"""An evaluation as records for docs/results."""

from __future__ import annotations

import re

import numpy as np

from metabev_ros.lab.evaluation.detection import DISTANCES_M
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.report import SHOWN_CLASSES
from metabev_ros.lab.evaluation.run import Evaluation, ModalityResult
from metabev_ros.structures import DETECTION_CLASSES, Modality

# What the project asks of the shipped model on held-out synthetic samples.
TARGETS = {
    (Modality.FUSED, 'map'): '>= 0.35',
    (Modality.FUSED, 'miou'): '>= 0.45',
    (Modality.CAMERA, 'map'): '>= 0.10',
}


def evaluation_records(
    evaluation: Evaluation, command: str, topic: str = 'evaluation'
) -> list[ResultRecord]:
    """The figures for docs/results: mAP, NDS, mIoU, mIoU at 0.5, ECE of every modality.

    Args:
        topic: how the ids begin; only those of the synthetic evaluation have targets.
    """
    records = []
    for modality, result in evaluation.modalities.items():
        errors = result.ece
        for name, value, unit in (
            ('map', result.detection.mean_ap, 'mAP'),
            ('nds', result.detection.nds, 'NDS'),
            ('miou', result.map.mean_iou, 'mIoU'),
            ('miou_at_half', result.map.mean_iou_at_half, 'mIoU@0.5'),
            ('detection_ece', np.nan if errors is None else errors.detection, 'ECE'),
            ('map_ece', np.nan if errors is None else errors.map, 'ECE'),
            *_raw_errors(evaluation, result),
        ):
            if np.isnan(value):
                continue
            target = TARGETS.get((modality, name)) if topic == 'evaluation' else None
            records.append(
                make_record(
                    f'{topic}.{modality.name.lower()}.{name}',
                    value,
                    unit,
                    command,
                    result.detection.samples,
                    target,
                )
            )
    return records


def _raw_errors(evaluation: Evaluation, result: ModalityResult) -> list[tuple[str, float, str]]:
    """Calibration errors had the scores been published raw, where that is another figure."""
    if result.ece is None or not evaluation.calibrated_on:
        return []
    return [
        ('raw_detection_ece', result.ece.raw_detection, 'ECE'),
        ('raw_map_ece', result.ece.raw_map, 'ECE'),
    ]


def class_records(evaluation: Evaluation, command: str, topic: str) -> list[ResultRecord]:
    """AP of the shown classes at every distance, IoU of known map layers, the data set's own.

    Ids: <topic>.<modality>.<class>.ap_<distance>, n: true objects; <topic>.<modality>.iou.<layer>
    and <topic>.<modality>.own.<metric>.<figure>.
    """
    figures: list[tuple[str, float, str, int]] = []
    for modality, result in evaluation.modalities.items():
        start, samples = f'{topic}.{modality.name.lower()}', result.detection.samples
        for name in SHOWN_CLASSES:
            k = DETECTION_CLASSES.index(name)
            count = int(result.detection.truth_count[k])
            figures += [
                (f'{start}.{name}.ap_{slug(f"{d:g}")}', result.detection.ap[k, i], 'AP', count)
                for i, d in enumerate(DISTANCES_M)
            ]
        for layer, value in result.map.class_iou.items():
            figures.append((f'{start}.iou.{layer}', value, 'IoU', samples))
        for metric, results in evaluation.own.items():
            figures += [
                (f'{start}.own.{slug(metric)}.{slug(name)}', value, '', samples)
                for name, value in results.get(modality, {}).items()
            ]
    return [
        make_record(record_id, value, unit, command, count)
        for record_id, value, unit, count in figures
        if not np.isnan(value)
    ]


def slug(text: str) -> str:
    """A part of an id made of words: small letters, digits and underscores."""
    return re.sub('[^a-z0-9]+', '_', text.lower()).strip('_')
