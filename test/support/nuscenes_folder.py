"""Folders in the schema of nuScenes v1.0, made from one key frame.

More key frames and sweeps than one are invented: the vehicle drives on, the world stands still but
for the objects, which go on at their velocities.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.geometry import (
    inverse_rigid,
    rigid_transform,
    rotation_to_quaternion,
    rotation_z,
    transform_points,
)
from support.nuscenes_keyframes import ATTRIBUTES, CATEGORIES, OTHERS, Keyframe, Plan, token_of

VERSION = 'v1.0-mini'
LOCATION = 'singapore-onenorth'
SWEEP_US = 50_000


def _pose(matrix: np.ndarray) -> dict:
    x, y, z, w = rotation_to_quaternion(matrix[:3, :3]).tolist()
    return {'translation': matrix[:3, 3].tolist(), 'rotation': [w, x, y, z]}


def _linked(rows: list[dict]) -> None:
    """Give rows their neighbours, in place."""
    for before, after in zip(rows[:-1], rows[1:], strict=True):
        before['next'], after['prev'] = after['token'], before['token']


class _Writer:
    """Collects the rows of all tables and writes the files that they name."""

    def __init__(self, folder: Path, keyframe: Keyframe, plan: Plan) -> None:
        self.folder, self.keyframe, self.plan = folder, keyframe, plan
        self.tables: dict[str, list[dict]] = {
            'attribute': _described(ATTRIBUTES),
            'category': _described((*CATEGORIES.values(), *OTHERS)),
            'visibility': [
                {'token': str(i + 1), 'level': level, 'description': ''}
                for i, level in enumerate(('v0-40', 'v40-60', 'v60-80', 'v80-100'))
            ],
            'map': [
                {
                    'token': token_of('map'),
                    'log_tokens': [],
                    'category': 'semantic_prior',
                    'filename': 'maps/made.png',
                }
            ],
        }

    def add(self, table: str, **row) -> dict:
        self.tables.setdefault(table, []).append(row)
        return row

    def add_scene(self, index: int, name: str) -> None:
        log = self.add(
            'log',
            token=token_of(f'log {name}'),
            logfile='n015-2018-07-24-11-22-45+0800',
            vehicle='n015',
            date_captured='2018-07-24',
            location=LOCATION,
        )
        self.tables['map'][0]['log_tokens'].append(log['token'])
        shift_us, samples = index * 1_000_000_000, []
        for k in range(self.plan.keyframes):
            given = index == k == 0
            samples.append(
                self.add(
                    'sample',
                    token=self.keyframe.token if given else token_of(f'sample {name} {k}'),
                    timestamp=self.keyframe.stamp_us + shift_us + k * self.plan.period_us,
                    prev='',
                    next='',
                    scene_token=token_of(f'scene {name}'),
                )
            )
        _linked(samples)
        self.add(
            'scene',
            token=token_of(f'scene {name}'),
            log_token=log['token'],
            nbr_samples=len(samples),
            first_sample_token=samples[0]['token'],
            last_sample_token=samples[-1]['token'],
            name=name,
            description='made for tests',
        )
        self._add_sensors(name, samples, shift_us)
        self._add_objects(name, samples)

    def _add_sensors(self, name: str, samples: list[dict], shift_us: int) -> None:
        frame, plan = self.keyframe, self.plan
        mounts = {'LIDAR_TOP': ('lidar', frame.ego_from_lidar, [])}
        for channel, camera in frame.cameras.items():
            mounts[channel] = ('camera', camera.ego_from_camera, camera.intrinsics.tolist())
        if plan.radar:
            mounts['RADAR_FRONT'] = ('radar', np.eye(4), [])
        for channel, (modality, mount, intrinsics) in mounts.items():
            if not any(s['channel'] == channel for s in self.tables.get('sensor', [])):
                self.add('sensor', token=token_of(channel), channel=channel, modality=modality)
            self.add(
                'calibrated_sensor',
                token=token_of(f'{channel} {name}'),
                sensor_token=token_of(channel),
                **_pose(mount),
                camera_intrinsic=intrinsics,
            )
            rows = []
            for k, sample in enumerate(samples):
                offset_us = k * plan.period_us
                for i in range(plan.sweeps if modality == 'lidar' else 0, 0, -1):
                    before_us = offset_us - i * SWEEP_US
                    rows.append(self._data(channel, name, sample, before_us, shift_us, False))
                rows.append(self._data(channel, name, sample, offset_us, shift_us, True))
            _linked(rows)

    def _data(self, channel, name, sample, offset_us, shift_us, is_key_frame) -> dict:
        frame, moved = self.keyframe, self.plan.moved(offset_us)
        camera = frame.cameras.get(channel)
        stamp_us, world_from_ego, content = frame.stamp_us, frame.world_from_ego @ moved, b'radar'
        kind, ending = 'pcd', 'pcd'
        if camera is not None:
            stamp_us, content, kind, ending = camera.stamp_us, camera.jpeg, 'jpg', 'jpg'
            world_from_ego = camera.world_from_ego @ moved
        elif channel == 'LIDAR_TOP':
            content, ending = self._sweep(moved), 'pcd.bin'
        stamp_us += shift_us + offset_us
        file = f'{"samples" if is_key_frame else "sweeps"}/{channel}/{name}__{stamp_us}.{ending}'
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_bytes(content)
        token = token_of(f'{channel} {name} {stamp_us}')
        self.add('ego_pose', token=token, timestamp=stamp_us, **_pose(world_from_ego))
        return self.add(
            'sample_data',
            token=token,
            sample_token=sample['token'],
            ego_pose_token=token,
            calibrated_sensor_token=token_of(f'{channel} {name}'),
            timestamp=stamp_us,
            fileformat=kind,
            is_key_frame=is_key_frame,
            height=camera.size[1] if camera else 0,
            width=camera.size[0] if camera else 0,
            filename=file,
            prev='',
            next='',
        )

    def _sweep(self, moved: np.ndarray) -> bytes:
        points, mount = self.keyframe.points, self.keyframe.ego_from_lidar
        if not np.array_equal(moved, np.eye(4)):
            points = points.copy()
            later_from_now = inverse_rigid(moved @ mount) @ mount
            points[:, :3] = transform_points(later_from_now, points[:, :3].astype(np.float64))
        return points.astype('<f4').tobytes()

    def _add_objects(self, name: str, samples: list[dict]) -> None:
        frame = self.keyframe
        world_from_lidar = frame.world_from_ego @ frame.ego_from_lidar
        for i, thing in enumerate(frame.objects):
            is_still_there = np.isfinite(thing.velocity).all()
            velocity = world_from_lidar[:3, :3] @ [*np.nan_to_num(thing.velocity), 0.0]
            forward = world_from_lidar[:3, :3] @ rotation_z(thing.box[6])[:, 0]
            upright = rotation_z(float(np.arctan2(forward[1], forward[0])))
            centre = transform_points(world_from_lidar, thing.box[:3])
            rows = []
            for k, sample in enumerate(samples if is_still_there else samples[:1]):
                seconds = k * self.plan.period_us / 1e6
                placed = centre + velocity * [seconds, seconds, 0]
                length, width, height = thing.box[3:6].tolist()
                rows.append(
                    self.add(
                        'sample_annotation',
                        token=token_of(f'annotation {name} {i} {k}'),
                        sample_token=sample['token'],
                        instance_token=token_of(f'instance {name} {i}'),
                        visibility_token=thing.visibility,
                        attribute_tokens=[token_of(thing.attribute)] if thing.attribute else [],
                        **_pose(rigid_transform(upright, placed)),
                        size=[width, length, height],
                        prev='',
                        next='',
                        num_lidar_pts=thing.lidar_points,
                        num_radar_pts=thing.radar_points,
                    )
                )
            _linked(rows)
            self.add(
                'instance',
                token=token_of(f'instance {name} {i}'),
                category_token=token_of(thing.category),
                nbr_annotations=len(rows),
                first_annotation_token=rows[0]['token'],
                last_annotation_token=rows[-1]['token'],
            )


def _described(names: Iterable[str]) -> list[dict]:
    return [{'token': token_of(name), 'name': name, 'description': ''} for name in names]


def write_folder(folder: Path, keyframe: Keyframe, plan: Plan | None = None) -> Path:
    """Write all tables and files; the map expansion is written by `write_map`."""
    writer = _Writer(folder, keyframe, plan or Plan())
    for index, name in enumerate(writer.plan.scenes):
        writer.add_scene(index, name)
    (folder / 'maps').mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / 'maps' / 'made.png'), np.zeros((4, 4), np.uint8))
    (folder / VERSION).mkdir()
    for table, rows in writer.tables.items():
        text = json.dumps(rows, indent=0)
        (folder / VERSION / f'{table}.json').write_text(text, encoding='utf-8')
    return folder


def rows_of(folder: Path, table: str) -> list[dict]:
    """The rows of a table."""
    return json.loads((folder / VERSION / f'{table}.json').read_text())


def write_rows(folder: Path, table: str, rows: object) -> None:
    """Replace a table."""
    (folder / VERSION / f'{table}.json').write_text(json.dumps(rows))
