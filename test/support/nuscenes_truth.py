"""Records as nuScenes tables, as far as the devkit's evaluator reads them, and its answer.

The samples lie in scenes of the split `mini_val`. A true velocity is said as the devkit reads it:
each moving object has a second annotation half a second later, in a scene of the other split.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.geometry import rotation_to_quaternion, rotation_z, transform_points
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES, NO_ATTRIBUTE
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.structures import DETECTION_CLASSES

VERSION, SPLIT = 'v1.0-mini', 'mini_val'
RACK = 'static_object.bicycle_rack'
CATEGORIES = {
    'car': 'vehicle.car',
    'truck': 'vehicle.truck',
    'construction_vehicle': 'vehicle.construction',
    'bus': 'vehicle.bus.rigid',
    'trailer': 'vehicle.trailer',
    'barrier': 'movable_object.barrier',
    'motorcycle': 'vehicle.motorcycle',
    'bicycle': 'vehicle.bicycle',
    'pedestrian': 'human.pedestrian.adult',
    'traffic_cone': 'movable_object.trafficcone',
}
TABLES = (
    'category attribute visibility instance sensor calibrated_sensor ego_pose log scene sample '
    'sample_data sample_annotation map'
).split()
LATER_US = 500_000
DEVKIT = """
import json, sys
import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.evaluate import DetectionEval

folder, version, split, result, classes = sys.argv[1:]
config = config_factory('detection_cvpr_2019')
tables = NuScenes(version, folder, verbose=False)
evaluation = DetectionEval(tables, config, result, split, folder, verbose=False)
metrics, _ = evaluation.evaluate()
classes = classes.split(',')
print('ANSWER' + json.dumps({
    'ap': [[metrics.get_label_ap(c, d) for d in config.dist_ths] for c in classes],
    'errors': [[metrics.get_label_tp(c, m) for m in TP_METRICS] for c in classes],
    'metrics': list(TP_METRICS),
    'mean_ap': metrics.mean_ap,
    'nds': metrics.nd_score,
    'mean_errors': [metrics.tp_errors[m] for m in TP_METRICS],
    'boxes': [len(evaluation.gt_boxes.all), len(evaluation.pred_boxes.all)],
}))
"""


def devkit_answer(python: str, folder: Path, submission: Path) -> dict[str, Any]:
    """What the devkit's own evaluator says of a result file.

    Args:
        python: of an environment with nuscenes-devkit.
        folder: with the tables.
    """
    arguments = [str(folder), VERSION, SPLIT, str(submission), ','.join(DETECTION_CLASSES)]
    done = subprocess.run(
        [python, '-W', 'ignore', '-c', DEVKIT, *arguments],
        capture_output=True,
        text=True,
        env={'PATH': '/usr/bin:/bin', 'MPLBACKEND': 'agg', 'HOME': str(folder)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.partition('ANSWER')[2])


def write_tables(folder: Path, records: Sequence[SampleRecord]) -> None:
    """Write FOLDER/v1.0-mini/*.json."""
    tables = _Tables()
    for number, record in enumerate(records):
        tables.add(record, number)
    (folder / VERSION).mkdir(parents=True)
    (folder / 'map.png').touch()
    for name in TABLES:
        text = json.dumps(tables.rows[name])
        (folder / VERSION / f'{name}.json').write_text(text, encoding='utf-8')


class _Tables:
    """Rows by the name of their table."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        for name in (*CATEGORIES.values(), RACK):
            self._row('category', name, name=name, description='')
        for name in ATTRIBUTES:
            self._row('attribute', name, name=name, description='')
        self._row('map', 'map', filename='map.png', log_tokens=[], category='')
        self._row('sensor', 'lidar', channel='LIDAR_TOP', modality='lidar')
        still = {'translation': [0.0, 0.0, 0.0], 'rotation': [1.0, 0.0, 0.0, 0.0]}
        self._row('calibrated_sensor', 'lidar', sensor_token='lidar', camera_intrinsic=[], **still)
        for name in ('scene-0103', 'scene-0061'):  # of mini_val and of mini_train
            self._row('scene', name, name=name, description='', log_token='', nbr_samples=0)

    def _row(self, table: str, token: str, **values: Any) -> None:
        self.rows[table].append({'token': token, **values})

    def add(self, record: SampleRecord, number: int) -> None:
        """Add a record's truth."""
        later = f'{record.token}-later'
        for token, scene, us in (
            (record.token, 'scene-0103', 0),
            (later, 'scene-0061', LATER_US),
        ):
            stamp = number * 1_000_000 + us
            self._row('sample', token, timestamp=stamp, scene_token=scene, prev='', next='')
            self._row('ego_pose', token, timestamp=stamp, **_pose(record.world_from_ego))
            self._row(
                'sample_data',
                token,
                sample_token=token,
                ego_pose_token=token,
                calibrated_sensor_token='lidar',
                timestamp=stamp,
                is_key_frame=True,
                fileformat='pcd',
                filename='',
                prev='',
                next='',
            )
        for row in range(len(record.labels)):
            self._object(record, row)
        for place, box in enumerate(np.unique(record.ignored, axis=0)):
            shape = _shape(record.world_from_ego, box.astype(np.float64))
            self._annotation(f'{record.token}-rack{place}', record.token, RACK, 9, [], **shape)

    def _object(self, record: SampleRecord, row: int) -> None:
        box = record.boxes[row].astype(np.float64)
        name, token = DETECTION_CLASSES[record.labels[row]], f'{record.token}-{row}'
        attribute = NO_ATTRIBUTE if record.attributes is None else record.attributes[row]
        attributes = [] if attribute == NO_ATTRIBUTE else [ATTRIBUTES[attribute]]
        points = int(record.num_lidar_pts[row])
        shape = _shape(record.world_from_ego, box)
        moves = not np.isnan(box[7:9]).any()
        self._annotation(
            token,
            record.token,
            CATEGORIES[name],
            points,
            attributes,
            next=f'{token}-later' if moves else '',
            **shape,
        )
        if moves:
            velocity = record.world_from_ego[:3, :3] @ [*box[7:9], 0.0]
            moved = np.array(shape['translation']) + velocity * LATER_US * 1e-6
            shape['translation'] = moved.tolist()
            self._annotation(
                f'{token}-later',
                f'{record.token}-later',
                CATEGORIES[name],
                points,
                attributes,
                prev=token,
                **shape,
            )

    def _annotation(
        self,
        token: str,
        sample: str,
        category: str,
        points: int,
        attributes: list[str],
        prev: str = '',
        next: str = '',
        **shape: Any,
    ) -> None:
        self._row('instance', token, category_token=category, nbr_annotations=1)
        self._row(
            'sample_annotation',
            token,
            sample_token=sample,
            instance_token=token,
            visibility_token='4',
            attribute_tokens=attributes,
            num_lidar_pts=points,
            num_radar_pts=0,
            prev=prev,
            next=next,
            **shape,
        )


def _pose(world_from_ego: np.ndarray) -> dict[str, list[float]]:
    x, y, z, w = rotation_to_quaternion(world_from_ego[:3, :3]).tolist()
    return {'translation': world_from_ego[:3, 3].tolist(), 'rotation': [w, x, y, z]}


def _shape(world_from_ego: np.ndarray, box: np.ndarray) -> dict[str, list[float]]:
    """Centre, size and rotation of a box in the world, as nuScenes writes them."""
    centre = transform_points(world_from_ego, box[None, :3])[0]
    turn = world_from_ego[:3, :3] @ rotation_z(box[6])
    x, y, z, w = rotation_to_quaternion(turn).tolist()
    return {
        'translation': centre.tolist(),
        'size': box[[4, 3, 5]].tolist(),
        'rotation': [w, x, y, z],
    }
