"""Inputs of the comparison with Argoverse 2's own evaluation, and its answers to them.

Run in an environment that has av2 0.3.6 to renew the stored answers:

    python test/support/av2_cases.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name('av2_golden.json')
CLASSES = ('car', 'truck', 'bus', 'pedestrian', 'bicycle')
AXLE_HEIGHT = 0.33  # of Argoverse's origin above ours
CASES = (
    'random',
    'many_samples',
    'duplicates',
    'no_truth_class',
    'no_predictions',
    'empty_samples',
    'low_recall',
    'yaw_wrap',
    'range_edge',
    'no_points',
    'more_than_100',
    'perfect',
    'one_box',
    'height_apart',
)


def _boxes(rng, count: int, reach: float) -> np.ndarray:
    """(count, 9) boxes in ego."""
    return np.concatenate(
        [
            rng.uniform(-reach, reach, (count, 2)),
            rng.uniform(0, 2, (count, 1)),
            rng.uniform(0.4, 6.0, (count, 3)),
            rng.uniform(-np.pi, np.pi, (count, 1)),
            rng.normal(0, 2, (count, 2)),
        ],
        axis=1,
    )


def _found(rng, truth: dict, recall: float, extra: int, reach: float) -> dict:
    keep = rng.random_sample(len(truth['boxes'])) < recall
    boxes = truth['boxes'][keep].copy()
    shape = boxes.shape[0]
    boxes[:, :2] += rng.normal(0, 0.7, (shape, 2))
    boxes[:, 2] += rng.normal(0, 0.2, shape)
    boxes[:, 3:6] *= np.exp(rng.normal(0, 0.2, (shape, 3)))
    boxes[:, 6] += rng.normal(0, 0.5, shape)
    return {
        'boxes': np.concatenate([boxes, _boxes(rng, extra, reach)]),
        'labels': np.concatenate([truth['labels'][keep], rng.randint(0, len(CLASSES), extra)]),
        'scores': np.concatenate([rng.uniform(0.2, 1, shape), rng.uniform(0, 0.7, extra)]),
    }


def make_case(name: str) -> list[tuple[dict, dict]]:
    """The case's samples: (detections {boxes, labels, scores}, truth {boxes, labels, points}).

    Labels index CLASSES. All values are rounded to float32; no two scores are equal.
    """
    rng = np.random.RandomState(2021 + CASES.index(name))  # its stream is frozen (NEP 19)
    samples = []
    for index in range(12 if name == 'many_samples' else 4):
        reach = 120.0 if name == 'range_edge' else 60.0
        count = 300 if name == 'more_than_100' else 60
        truth = {
            'boxes': _boxes(rng, count, reach),
            'labels': rng.randint(0, len(CLASSES), count),
            'points': rng.randint(0, 6, count),
        }
        found = _found(rng, truth, 0.15 if name == 'low_recall' else 0.8, 30, reach)
        if name == 'more_than_100':
            found['labels'][:] = 0
            truth['labels'] = truth['labels'] % 2
        if name == 'duplicates':
            found = {key: np.concatenate([value, value]) for key, value in found.items()}
            found['scores'] = rng.permutation(len(found['scores'])) / len(found['scores'])
        if name == 'no_truth_class':
            truth['labels'] = truth['labels'] % 3
        if name == 'no_predictions' or (name == 'empty_samples' and index % 2):
            found = {key: value[:0] for key, value in found.items()}
        if name == 'empty_samples' and index == 0:
            truth = {key: value[:0] for key, value in truth.items()}
        if name == 'yaw_wrap':
            found['boxes'][:, 6] = np.round(found['boxes'][:, 6] / np.pi * 8) * np.pi / 8 + 7
            truth['boxes'][:, 6] = np.round(truth['boxes'][:, 6] / np.pi * 8) * np.pi / 8 - 2
        if name == 'no_points':
            truth['points'] = truth['points'] % 2
        if name == 'perfect':
            found = {
                'boxes': truth['boxes'].copy(),
                'labels': truth['labels'],
                'scores': rng.uniform(0.3, 1, len(truth['boxes'])),
            }
        if name == 'one_box':
            truth = {key: value[: int(index == 1)] for key, value in truth.items()}
            truth['points'] = truth['points'] * 0 + 1
            found = {
                'boxes': truth['boxes'] + [[0.3, 0, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1]],
                'labels': truth['labels'],
                'scores': np.full(len(truth['boxes']), 0.7),
            }
        if name == 'height_apart':  # distances are measured in space
            found['boxes'][:, 2] += rng.uniform(-3, 3, len(found['boxes']))
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


def _table(samples: list[tuple[dict, dict]], part: int):
    import pandas

    rows = []
    for index, sample in enumerate(samples):
        plain = sample[part]
        for row, box in enumerate(plain['boxes'].astype(np.float64)):
            last = 'scores' if part == 0 else 'points'
            rows.append(
                {
                    'log_id': 'log',
                    'timestamp_ns': index,
                    'category': CLASSES[int(plain['labels'][row])],
                    'tx_m': box[0],
                    'ty_m': box[1],
                    'tz_m': box[2] - AXLE_HEIGHT,
                    'length_m': box[3],
                    'width_m': box[4],
                    'height_m': box[5],
                    'qw': np.cos(box[6] / 2),
                    'qx': 0.0,
                    'qy': 0.0,
                    'qz': np.sin(box[6] / 2),
                    'score' if part == 0 else 'num_interior_pts': float(plain[last][row]),
                }
            )
    columns = list(rows[0]) if rows else []
    return pandas.DataFrame(rows, columns=columns or _columns(part))


def _columns(part: int) -> list[str]:
    from av2.structures.cuboid import ORDERED_CUBOID_COL_NAMES

    names = ['log_id', 'timestamp_ns', 'category', *ORDERED_CUBOID_COL_NAMES]
    return [*names, 'score' if part == 0 else 'num_interior_pts']


def region_case() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Drivable areas (N, 3) in the city, (4, 4) city_from_axle, and (M, 9) boxes in ego."""
    rng = np.random.RandomState(7)
    areas = [
        np.array([[0, 0], [90, 5], [92, 20], [40, 16], [38, 70], [20, 72], [24, 15], [-5, 14]]),
        np.array([[-60, -50], [-30, -52], [-33, -20], [-58, -24]]),
    ]
    offset = np.array([1500.0, -320.0])
    areas = [np.column_stack([area + offset, np.full(len(area), 20.0)]) for area in areas]
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]]
    pose[:3, 3] = 1510.0, -310.0, 20.3
    boxes = _boxes(rng, 600, 100.0)
    boxes[:, 3:6] = rng.uniform(0.3, 5, (600, 3))
    return areas, pose, boxes


def region_answer() -> list[bool]:
    """Which of the boxes av2 evaluates."""
    from av2.evaluation.detection.utils import compute_objects_in_roi_mask
    from av2.geometry.se3 import SE3
    from av2.map.drivable_area import DrivableArea
    from av2.map.map_api import ArgoverseStaticMap, DrivableAreaMapLayer, RoiMapLayer
    from av2.map.map_primitives import Point

    areas, pose, boxes = region_case()
    drivable = [
        DrivableArea(id=i, area_boundary=[Point(*xyz) for xyz in [*area, area[0]]])
        for i, area in enumerate(areas)
    ]
    layer = DrivableAreaMapLayer.from_vector_data(drivable)
    region = RoiMapLayer.from_drivable_area_layer(layer)
    city = ArgoverseStaticMap('log', {}, {}, {}, layer, region, None)
    zero = np.zeros(len(boxes))
    turns = np.cos(boxes[:, 6] / 2), zero, zero, np.sin(boxes[:, 6] / 2)
    places = boxes[:, :3] - [0, 0, AXLE_HEIGHT]
    cuboids = np.column_stack([places, boxes[:, 3:6], *turns])
    ego = SE3(rotation=pose[:3, :3], translation=pose[:3, 3])
    return compute_objects_in_roi_mask(cuboids, ego, city).tolist()


def av2_answer(samples: list[tuple[dict, dict]]) -> dict:
    """What av2 says, unrounded: its own matching of every sample and its own summary."""
    from av2.evaluation.detection.eval import DTS_COLUMNS, GTS_COLUMNS, summarize_metrics
    from av2.evaluation.detection.utils import DetectionCfg, accumulate

    cfg = DetectionCfg(categories=CLASSES, eval_only_roi_instances=False)
    tables = [_table(samples, part) for part in (0, 1)]
    names = [*cfg.affinity_thresholds_m, 'ATE', 'ASE', 'AOE', 'is_evaluated']
    for table in tables:
        for name in names:
            table[name] = 0.0
    for stamp in range(len(samples)):
        for category in CLASSES:
            rows = [
                table.index[(table['timestamp_ns'] == stamp) & (table['category'] == category)]
                for table in tables
            ]
            arrays = [
                table.loc[row, list(columns)].to_numpy().astype(float)
                for table, row, columns in zip(
                    tables, rows, (DTS_COLUMNS, GTS_COLUMNS), strict=True
                )
            ]
            for table, row, result in zip(tables, rows, accumulate(*arrays, cfg), strict=True):
                table.loc[row, names] = result
    summary = summarize_metrics(*tables, cfg)
    return {
        'classes': summary.to_numpy().tolist(),
        'columns': list(summary.columns),
        'mean': summary.mean().to_numpy().tolist(),
    }


if __name__ == '__main__':
    answers = {
        name: {'inputs': digest(make_case(name)), **av2_answer(make_case(name))} for name in CASES
    }
    answers['region'] = region_answer()
    plain = json.dumps(answers, indent=None)
    GOLDEN.write_text(plain.replace('}, "', '},\n"') + '\n', encoding='utf-8')
