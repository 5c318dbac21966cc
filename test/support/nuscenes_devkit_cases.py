"""Inputs of the comparison with the nuScenes devkit, and the devkit's answer to them.

Run in an environment that has nuscenes-devkit (numpy < 2) to renew the stored answers:

    python test/support/nuscenes_devkit_cases.py

or, with the path of a file behind it, to write them there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name('nuscenes_devkit_golden.json')
CLASSES = (
    'car',
    'truck',
    'construction_vehicle',
    'bus',
    'trailer',
    'barrier',
    'motorcycle',
    'bicycle',
    'pedestrian',
    'traffic_cone',
)
CASES = (
    'random',
    'many_samples',
    'score_ties',
    'duplicates',
    'no_truth_class',
    'no_predictions',
    'empty_samples',
    'low_recall',
    'yaw_wrap',
    'velocity_nan',
    'class_range_edge',
    'zero_scores',
    'perfect',
    'ties_across_samples',
    'one_box',
    'one_score',
    'all_scores_zero',
    'found_velocity_nan',
    'equal_distances',
)


def _truth(rng, count: int, reach: float = 55.0) -> dict:
    boxes = np.concatenate(
        [
            rng.uniform(-reach / 1.4, reach / 1.4, (count, 2)),
            rng.uniform(-1, 2, (count, 1)),
            rng.uniform(0.4, 6.0, (count, 3)),
            rng.uniform(-np.pi, np.pi, (count, 1)),
            rng.normal(0, 2, (count, 2)) * (rng.random_sample((count, 1)) < 0.6),
        ],
        axis=1,
    )
    return {
        'boxes': boxes,
        'labels': rng.randint(0, 10, count),
        'points': rng.randint(0, 6, count),
    }


def _found(rng, truth: dict, noise: float = 1.0, recall: float = 0.8, extra: int = 8) -> dict:
    keep = rng.random_sample(len(truth['boxes'])) < recall
    boxes = truth['boxes'][keep].copy()
    shape = boxes.shape[0]
    boxes[:, :2] += rng.normal(0, 0.7 * noise, (shape, 2))
    boxes[:, 3:6] *= np.exp(rng.normal(0, 0.2 * noise, (shape, 3)))
    boxes[:, 6] += rng.normal(0, 0.5 * noise, shape)
    boxes[:, 7:9] += rng.normal(0, 0.6 * noise, (shape, 2))
    other = _truth(rng, extra)
    return {
        'boxes': np.concatenate([boxes, other['boxes']]),
        'labels': np.concatenate([truth['labels'][keep], other['labels']]),
        'scores': np.concatenate([rng.uniform(0.2, 1, shape), rng.uniform(0, 0.7, extra)]),
    }


def make_case(name: str) -> list[tuple[dict, dict]]:
    """The case's samples: (detections {boxes, labels, scores}, truth {boxes, labels, points}).

    All values are rounded to float32, as the package's structures hold them.
    """
    rng = np.random.RandomState(2019 + CASES.index(name))  # its stream is frozen (NEP 19)
    samples = []
    for index in range(12 if name == 'many_samples' else 4):
        truth = _truth(rng, 120 if name in ('random', 'low_recall') else 45)
        found = _found(rng, truth, recall=0.15 if name == 'low_recall' else 0.8)
        if name == 'score_ties':
            found['scores'] = np.round(found['scores'] * 4) / 4
        if name == 'duplicates':
            found = {key: np.concatenate([value, value]) for key, value in found.items()}
        if name == 'no_truth_class':
            truth['labels'] = truth['labels'] % 6
        if name == 'no_predictions' or (name == 'empty_samples' and index % 2):
            found = {key: value[:0] for key, value in found.items()}
        if name == 'empty_samples' and index == 0:
            truth = {key: value[:0] for key, value in truth.items()}
        if name == 'yaw_wrap':
            found['boxes'][:, 6] = np.round(found['boxes'][:, 6] / np.pi * 2) * np.pi / 2 + 7
            truth['boxes'][:, 6] = np.round(truth['boxes'][:, 6] / np.pi * 2) * np.pi / 2
        if name == 'velocity_nan':
            truth['boxes'][rng.random_sample(len(truth['boxes'])) < 0.4, 7:9] = np.nan
            truth['boxes'][truth['labels'] == 0, 7:9] = np.nan
        if name == 'class_range_edge':
            boxes = found['boxes']
            radius = np.array([30.0, 40.0, 50.0])[np.arange(len(boxes)) % 3]
            angle = rng.uniform(-np.pi, np.pi, len(boxes))
            boxes[:, :2] = np.round(radius)[:, None] * np.stack(
                [np.cos(angle), np.sin(angle)], axis=1
            )
            boxes[::4, :2] = np.stack([radius, 0 * radius], axis=1)[::4]
            truth['boxes'][: len(boxes), :2] = boxes[: len(truth['boxes']), :2]
        if name == 'zero_scores':
            found['scores'][::2] = 0.0
        if name == 'perfect':
            found = {
                'boxes': truth['boxes'].copy(),
                'labels': truth['labels'],
                'scores': rng.uniform(0.3, 1, len(truth['boxes'])),
            }
        if name == 'ties_across_samples':  # every score occurs in every sample
            found['scores'] = np.linspace(1, 0.1, len(found['scores'])).round(1)
        if name == 'one_box':  # one truth and one box in the whole set
            truth = {key: value[: int(index == 1)] for key, value in truth.items()}
            truth['points'] = truth['points'] * 0 + 1
            truth['boxes'][:, :2] = 5.0
            found = {
                'boxes': truth['boxes'] + [[0.3, 0, 0, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1]],
                'labels': truth['labels'],
                'scores': np.full(len(truth['boxes']), 0.7),
            }
        if name == 'one_score':
            found['scores'] = np.full(len(found['scores']), 0.5)
        if name == 'all_scores_zero':
            found['scores'] = np.zeros(len(found['scores']))
        if name == 'found_velocity_nan':
            found['boxes'][rng.random_sample(len(found['boxes'])) < 0.4, 7:9] = np.nan
        if name == 'equal_distances':  # two truths equally near to a box: the first one counts
            truth['boxes'][:, :2] = np.round(truth['boxes'][:, :2] / 4) * 4
            found['boxes'][:, :2] = np.round(found['boxes'][:, :2] / 4) * 4 + 0.5
            truth['labels'], found['labels'] = truth['labels'] % 3, found['labels'] % 3
        for part in (truth, found):
            part['boxes'] = part['boxes'].astype(np.float32)
        found['scores'] = found['scores'].astype(np.float32)
        samples.append((found, truth))
    return samples


def digest(samples: list[tuple[dict, dict]]) -> str:
    """SHA-256 of a case's inputs: stored answers belong to these inputs only."""
    total = hashlib.sha256()
    for found, truth in samples:
        for part, kinds in ((found, ('f4', 'i8', 'f4')), (truth, ('f4', 'i8', 'i8'))):
            for value, kind in zip(part.values(), kinds, strict=True):
                total.update(np.ascontiguousarray(value).astype('<' + kind).tobytes())
    return total.hexdigest()


def _attribute(name: str, velocity) -> str:
    """The rule of the package's documentation, written with nuScenes' attribute names."""
    speed = float(np.hypot(*velocity))
    if name in ('barrier', 'traffic_cone'):
        return ''
    fast = speed > 0.2
    if name in ('motorcycle', 'bicycle'):
        return 'cycle.with_rider' if fast else 'cycle.without_rider'
    if name == 'pedestrian':
        return 'pedestrian.moving' if fast else 'pedestrian.standing'
    slow = 'vehicle.stopped' if name == 'bus' else 'vehicle.parked'
    return 'vehicle.moving' if fast else slow


def _devkit_boxes(part: dict, token: str, is_truth: bool) -> list:
    from nuscenes.eval.detection.data_classes import DetectionBox

    boxes = []
    for row, box in enumerate(np.asarray(part['boxes'], dtype=np.float64)):
        name = CLASSES[int(part['labels'][row])]
        unknown = is_truth and np.isnan(box[7])
        boxes.append(
            DetectionBox(
                sample_token=token,
                translation=tuple(box[:3]),
                size=(box[4], box[3], box[5]),
                rotation=(np.cos(box[6] / 2), 0.0, 0.0, np.sin(box[6] / 2)),
                velocity=tuple(box[7:9]),
                ego_translation=tuple(box[:3]),
                num_pts=int(part['points'][row]) if is_truth else -1,
                detection_name=name,
                detection_score=-1.0 if is_truth else float(part['scores'][row]),
                attribute_name='' if unknown else _attribute(name, box[7:9]),
            )
        )
    return boxes


def devkit_answer(samples: list[tuple[dict, dict]]) -> dict:
    """What nuscenes-devkit says: filters of `filter_eval_boxes`, then its own evaluation loop."""
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.algo import accumulate, calc_ap, calc_tp
    from nuscenes.eval.detection.constants import TP_METRICS
    from nuscenes.eval.detection.data_classes import DetectionMetrics

    config = config_factory('detection_cvpr_2019')
    truth, found = EvalBoxes(), EvalBoxes()
    for index, (detections, labelled) in enumerate(samples):
        for boxes, part, is_truth in ((truth, labelled, True), (found, detections, False)):
            made = _devkit_boxes(part, f's{index}', is_truth)
            boxes.add_boxes(
                f's{index}',
                [
                    box
                    for box in made
                    if box.ego_dist < config.class_range[box.detection_name] and box.num_pts != 0
                ],
            )
    metrics = DetectionMetrics(config)
    for name in config.class_names:
        for distance in config.dist_ths:
            data = accumulate(truth, found, name, config.dist_fcn_callable, distance)
            metrics.add_label_ap(
                name, distance, calc_ap(data, config.min_recall, config.min_precision)
            )
            if distance != config.dist_th_tp:
                continue
            for metric in TP_METRICS:
                ignored = (
                    name == 'traffic_cone' and metric in ('attr_err', 'vel_err', 'orient_err')
                ) or (name == 'barrier' and metric in ('attr_err', 'vel_err'))
                metrics.add_label_tp(
                    name,
                    metric,
                    float('nan') if ignored else calc_tp(data, config.min_recall, metric),
                )
    return {
        'ap': [[metrics.get_label_ap(name, d) for d in config.dist_ths] for name in CLASSES],
        'errors': [[metrics.get_label_tp(name, m) for m in TP_METRICS] for name in CLASSES],
        'metrics': list(TP_METRICS),
        'mean_ap': metrics.mean_ap,
        'nds': metrics.nd_score,
        'mean_errors': [metrics.tp_errors[m] for m in TP_METRICS],
    }


if __name__ == '__main__':
    answers = {
        name: {'inputs': digest(make_case(name)), **devkit_answer(make_case(name))}
        for name in CASES
    }
    plain = json.dumps(answers, indent=None).replace('NaN', 'null')
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    path.write_text(plain.replace('}, "', '},\n"') + '\n', encoding='utf-8')
