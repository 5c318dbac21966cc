"""A bag says what the drive says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive, write_bag
from metabev_ros.resources import resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import MAP_CLASSES, Modality


@pytest.fixture(scope='module')
def drive():
    return SyntheticDrive(
        8, DriveConfig(frames=2, image_width=176, image_height=64, lidar_azimuths=360)
    )


@pytest.fixture(scope='module')
def messages(drive, tmp_path_factory):
    seen = []
    path = write_bag(
        drive,
        tmp_path_factory.mktemp('bag') / 'drive.mcap',
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]
    return [(m.topic, m.log_time_ns, wire.deserialize(m.cdr, m.msgtype)) for m in BagReader(path)]


def of_topic(messages, topic):
    return [(stamp, message) for name, stamp, message in messages if name == topic]


def test_every_sensor_speaks_once_a_frame(drive, messages):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    for topic in [f'/{c.topic}' for c in rig.cameras] + [
        f'/{rig.lidars[0].topic}',
        '/odom',
        '/tf',
    ]:
        assert [stamp for stamp, _ in of_topic(messages, topic)] == [
            drive.stamp_ns(0),
            drive.stamp_ns(1),
        ], topic
    ((_, static),) = of_topic(messages, '/tf_static')
    assert {t.child_frame_id for t in static.transforms} == set(rig.sensor_names)


def test_points_and_pictures_come_back(drive, messages):
    frame = drive[1]
    _, cloud = of_topic(messages, '/LIDAR_TOP/points')[1]
    record = np.dtype(
        {
            'names': [f.name for f in cloud.fields],
            'formats': [{7: '<f4', 4: '<u2'}[f.datatype] for f in cloud.fields],
            'offsets': [f.offset for f in cloud.fields],
            'itemsize': cloud.point_step,
        }
    )
    points = np.frombuffer(cloud.data.tobytes(), dtype=record)
    for column, name in enumerate(('x', 'y', 'z', 'intensity', 'time')):
        assert np.array_equal(points[name], frame.points[:, column]), name
    assert points['ring'].max() <= 31 and len(np.unique(points['ring'])) > 20
    _, image = of_topic(messages, '/CAM_BACK/image_rect/compressed')[1]
    pixels = cv2.cvtColor(cv2.imdecode(image.data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(pixels.astype(int) - frame.images['CAM_BACK']).mean() < 6


def test_the_truth_comes_back(drive, messages):
    truth = drive[0].ground_truth
    _, array = of_topic(messages, '/ground_truth/detections')[0]
    shown = np.flatnonzero((truth.num_lidar_pts > 0) | (truth.visibility > 0))
    assert len(array.detections) == len(shown) > 10
    for k, found in zip(shown, array.detections, strict=True):
        assert found.class_id == truth.labels[k] and found.score == 1.0
        assert np.allclose(
            [found.center.x, found.center.y, found.size.z, found.yaw, found.velocity.x],
            truth.boxes[k, [0, 1, 5, 6, 7]],
        )
    _, bev = of_topic(messages, '/ground_truth/bev_map')[0]
    assert bev.class_names == list(MAP_CLASSES)
    layers = bev.data.reshape(len(MAP_CLASSES), bev.height, bev.width) > 127
    assert np.array_equal(layers, truth.map_layers)


def test_the_front_end_makes_fused_samples_of_it(drive, messages):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    front_end = SensorFrontEnd(rig, SensingConfig(), lambda pixels, camera: (pixels, camera))
    wanted = {topic.lstrip('/') for topic in front_end.subscriptions()}
    samples = []
    for topic, stamp, message in messages:
        if topic.lstrip('/') in wanted:
            samples += front_end.push(topic, message, stamp)
    assert [sample.stamp_ns for sample in samples] == [drive.stamp_ns(0), drive.stamp_ns(1)]
    assert all(sample.modality is Modality.FUSED for sample in samples)
    frame = drive[1]
    for name, image in samples[1].cameras.items():
        assert np.allclose(
            image.calibration.ego_from_camera, frame.calibrations[name].ego_from_camera, atol=1e-6
        )
    assert len(samples[1].sweep.points) == len(frame.points)
