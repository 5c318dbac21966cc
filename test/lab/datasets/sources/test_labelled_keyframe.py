"""A real keyframe's bag with its annotations beside it, as a team would label its own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from support.keyframe_rig import keyframe_rig
from support.labelled_drives import Maker, rewrite
from support.tiny import TINY

from metabev_ros.bags import BagReader
from metabev_ros.config import SensingConfig
from metabev_ros.geometry import inverse_rigid, project_points, rotation_z, transform_points
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.structures import Modality
from metabev_ros.wire.definitions import VISION


@pytest.fixture(scope='module')
def keyframe(shared_data):
    return pickle.loads(next((shared_data / 'nuscenes_keyframe').glob('*.pkl')).read_bytes())[
        'data_list'
    ][0]


@pytest.fixture(scope='module')
def record(shared_data, keyframe, tmp_path_factory):
    source = shared_data / 'bags' / 'nuscenes_keyframe'
    stamp = next(
        int.from_bytes(m.cdr[4:8], 'little') * 10**9 + int.from_bytes(m.cdr[8:12], 'little')
        for m in BagReader(source)
        if m.topic == '/LIDAR_TOP/points'
    )
    maker = Maker()
    found = [
        maker.detection(str(one['bbox_label']), b[:3], b[3:6], rotation_z(b[6]), str(k))
        for k, one in enumerate(keyframe['instances'])
        for b in [np.array(one['bbox_3d'])]
    ]
    labels = ('/annotations', VISION, stamp, maker.detections(stamp, 'LIDAR_TOP', found))
    path = rewrite(source, tmp_path_factory.mktemp('bag') / 'keyframe.mcap', [labels])
    rig = keyframe_rig()
    names = ('car', 'truck', 'trailer', 'bus', 'construction_vehicle', 'bicycle', 'motorcycle',
             'pedestrian', 'traffic_cone', 'barrier')  # fmt: skip
    # What is none of the ten classes shall be counted here as well.
    classes = {'-1': 'barrier'} | {str(k): name for k, name in enumerate(names)}
    source = LabelledBags((path,), rig, SensingConfig(), classes=classes)
    (made,) = source.records('keyframe', RecordMaker(TINY), frozenset())
    return made


def test_it_has_all_sensors_and_all_boxes(record):
    assert record.modality is Modality.FUSED and len(record.cameras) == 6
    assert len(record.points) > 30_000
    assert len(record.boxes) == 69 and record.track_ids.tolist() == list(range(69))
    assert np.isnan(record.boxes[:, 7:]).all(), 'one instant tells no velocity'
    assert np.isfinite(record.world_from_ego).all()


def test_points_inside_boxes_are_as_many_as_annotated(record, keyframe):
    annotated = [instance['num_lidar_pts'] for instance in keyframe['instances']]
    assert np.equal(record.num_lidar_pts, annotated).sum() >= 61


def test_boxes_fall_on_the_pictures_that_annotate_them(record, keyframe):
    near = 0
    for index, name in enumerate(record.cameras):
        image = keyframe['images'][name]
        pose = inverse_rigid(record.ego_from_camera[index])
        seen = transform_points(pose, record.boxes[:, :3].astype(float))
        # Of the whole picture: the record's is a part of it at another size.
        pixels, depth = project_points(np.array(image['cam2img'])[:3, :3], seen)
        for instance in keyframe['cam_instances'][name]:
            away = np.linalg.norm(pixels[depth > 0] - instance['center_2d'], axis=1)
            near += away.min() < 25
    assert near >= 80
