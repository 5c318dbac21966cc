"""What nuscenes-devkit says of a folder; run with the Python of an environment that has it.

    python test/support/nuscenes_devkit_answers.py FOLDER VERSION ANSWERS

ANSWERS.json gets boxes, velocities, sweeps and splits, ANSWERS.npz the map masks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.map_expansion.map_api import NuScenesMap, NuScenesMapExplorer
from nuscenes.utils import splits
from nuscenes.utils.data_classes import LidarPointCloud
from pyquaternion import Quaternion

SWEEPS = 10
LAYERS = (
    'drivable_area',
    'ped_crossing',
    'walkway',
    'stop_line',
    'carpark_area',
    'road_divider',
    'lane_divider',
)


def draw_pieces(lines, mask):
    """`mask_for_lines` of the devkit, which fails on lines of several pieces with shapely 2."""
    for line in getattr(lines, 'geoms', [lines]):
        coords = np.asarray(list(line.coords), np.int32).reshape((-1, 2))
        cv2.polylines(mask, [coords], False, 1, 2)
    return mask


def boxes_of(nusc: NuScenes, sample: dict, pose: dict) -> list[dict]:
    """Annotations in the ego frame at the sweep."""
    boxes, turn = [], Quaternion(pose['rotation']).inverse
    for token in sample['anns']:
        row, box = nusc.get('sample_annotation', token), nusc.get_box(token)
        box.velocity = nusc.box_velocity(token)
        box.translate(-np.array(pose['translation']))
        box.rotate(turn)
        boxes.append(
            {
                'category': box.name,
                'box': [*box.center, *box.wlh[[1, 0, 2]], quaternion_yaw(box.orientation)],
                'velocity': [None if np.isnan(v) else v for v in box.velocity[:2].tolist()],
                'attributes': [nusc.get('attribute', t)['name'] for t in row['attribute_tokens']],
                'instance': nusc.getind('instance', row['instance_token']),
            }
        )
    return boxes


def sweeps_of(nusc: NuScenes, sample: dict) -> dict:
    """The merged cloud in the ego frame: time lags, numbers of points, and some of the points."""
    cloud, times = LidarPointCloud.from_file_multisweep(
        nusc, sample, 'LIDAR_TOP', 'LIDAR_TOP', nsweeps=SWEEPS, min_distance=0.0
    )
    data = nusc.get('sample_data', sample['data']['LIDAR_TOP'])
    mount = nusc.get('calibrated_sensor', data['calibrated_sensor_token'])
    cloud.rotate(Quaternion(mount['rotation']).rotation_matrix)
    cloud.translate(np.array(mount['translation']))
    lags, first, counts = np.unique(times[0], return_index=True, return_counts=True)
    shown = [
        int(i) for a, n in zip(first, counts, strict=True) for i in (a, a + n // 2, a + n - 1)
    ]
    return {
        'lags': lags.tolist(),
        'counts': counts.tolist(),
        'shown': shown,
        'points': cloud.points[:4, shown].T.tolist(),
    }


def asked_of(nusc: NuScenes, split: str) -> dict[str, list]:
    """What the official evaluation asks for: class and centre in the map's frame."""
    config = config_factory('detection_cvpr_2019')
    boxes = add_center_dist(nusc, load_gt(nusc, split, DetectionBox))
    boxes = filter_eval_boxes(nusc, boxes, config.class_range)
    return {
        token: [[b.detection_name, *b.translation, b.num_pts] for b in boxes[token]]
        for token in boxes.sample_tokens
    }


def main() -> None:
    folder, version, answers = sys.argv[1:]
    nusc = NuScenes(version, folder, verbose=False)
    NuScenesMapExplorer.mask_for_lines = staticmethod(draw_pieces)
    found, masks, maps = {}, {}, {}
    for sample in nusc.sample:
        data = nusc.get('sample_data', sample['data']['LIDAR_TOP'])
        pose = nusc.get('ego_pose', data['ego_pose_token'])
        found[sample['token']] = {
            'boxes': boxes_of(nusc, sample, pose),
            'cloud': sweeps_of(nusc, sample),
        }
        log = nusc.get('log', nusc.get('scene', sample['scene_token'])['log_token'])
        if not (Path(folder) / 'maps' / 'expansion' / f'{log["location"]}.json').is_file():
            continue
        if log['location'] not in maps:
            maps[log['location']] = NuScenesMap(folder, log['location'])
        patch = (*pose['translation'][:2], 100.0, 100.0)
        degrees = quaternion_yaw(Quaternion(pose['rotation'])) / np.pi * 180
        layers = maps[log['location']].get_map_mask(patch, degrees, list(LAYERS), (200, 200))
        divider = layers[5:].any(axis=0, keepdims=True)
        masks[sample['token']] = np.concatenate([layers[:5].astype(bool), divider])
    names = ('train', 'val', 'mini_train', 'mini_val')
    plain = {
        'samples': found,
        'asked': asked_of(nusc, 'mini_val'),
        'splits': {name: sorted(getattr(splits, name)) for name in names},
    }
    Path(f'{answers}.json').write_text(json.dumps(plain, allow_nan=False))
    np.savez(f'{answers}.npz', **masks)


if __name__ == '__main__':
    main()
