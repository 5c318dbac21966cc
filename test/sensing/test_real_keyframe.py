"""One real nuScenes keyframe through the whole front end, and the figures measured on it."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.keyframe_rig import keyframe_rig

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.geometry import inverse_rigid, points_in_box, project_points, transform_points
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.image_reader import ImageSize
from metabev_ros.structures import Modality, SensorState

highlevel = pytest.importorskip('rosbags.highlevel')
typesys = pytest.importorskip('rosbags.typesys')


@pytest.fixture(scope='module')
def keyframe(shared_data) -> dict:
    return pickle.loads(next((shared_data / 'nuscenes_keyframe').glob('*.pkl')).read_bytes())[
        'data_list'
    ][0]


@pytest.fixture(scope='module')
def messages(shared_data) -> list:
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    path = Path(shared_data / 'bags' / 'nuscenes_keyframe')
    with highlevel.AnyReader([path], default_typestore=store) as reader:
        return [
            (connection.topic, reader.deserialize(raw, connection.msgtype), time)
            for connection, time, raw in reader.messages()
        ]


@pytest.fixture(scope='module')
def rig() -> RigConfig:
    # What is published counts the vehicle's own.
    return dataclasses.replace(keyframe_rig(), ego_box=None)


def samples_of(rig, messages, **options):
    end = SensorFrontEnd(rig, SensingConfig(), lambda p, c: (p, c), **options)
    samples = [s for topic, message, time in messages for s in end.push(topic, message, time)]
    samples += end.poll(messages[-1][2] + 10**9)
    return end, samples


@pytest.fixture(scope='module')
def sample(rig, messages):
    _, (sample,) = samples_of(rig, messages)
    return sample


def test_the_bag_makes_one_fused_sample_of_seven_sensors(rig, messages):
    end, samples = samples_of(rig, messages)
    assert len(samples) == 1
    assert samples[0].modality is Modality.FUSED and samples[0].stamp_ns == 1532402927647951000
    assert samples[0].used_sensors == rig.sensor_names
    assert {r.state for r in samples[0].sensors} == {SensorState.OK}
    assert end.rejected_other == 0 and all(r.rejected == 0 for r in samples[0].sensors)


def test_the_order_in_which_its_messages_arrive_does_not_matter(rig, messages):
    last = messages[-1][2]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(messages))
        shuffled = [(*messages[i][:2], last + k) for k, i in enumerate(order)]
        _, samples = samples_of(rig, shuffled)
        assert [s.used_sensors for s in samples] == [rig.sensor_names], order


def test_the_pixels_are_those_of_the_jpeg_files(sample, shared_data):
    for name, picture in sample.cameras.items():
        path = next((shared_data / 'nuscenes_keyframe').glob(f'*__{name}__*.jpg'))
        reference = cv2.imread(str(path))[..., ::-1]
        assert np.array_equal(picture.pixels, reference), name


def test_the_points_are_those_of_the_binary_file(sample, shared_data):
    path = next((shared_data / 'nuscenes_keyframe').glob('*.bin'))
    reference = np.fromfile(path, np.float32).reshape(-1, 5)
    assert np.array_equal(sample.sweep.points[:, :4], reference[:, :4])
    assert not sample.sweep.points[:, 4].any() and len(reference) == 34688


def test_decoding_at_a_quarter_shows_the_same_picture(rig, messages, sample):
    _, (quarter,) = samples_of(rig, messages, image_size=ImageSize(128, 352))
    for name, picture in quarter.cameras.items():
        assert picture.pixels.shape == (225, 400, 3)
        # The calibration is that of the whole picture: `prepare_image` knows what to make of it.
        assert (picture.calibration.width, picture.calibration.height) == (1600, 900)
        area = cv2.resize(sample.cameras[name].pixels, (400, 225), interpolation=cv2.INTER_AREA)
        apart = np.abs(picture.pixels.astype(int) - area)
        assert apart.mean() < 2


def test_the_vehicles_own_returns_are_left_out(messages, sample):
    boxed = keyframe_rig()
    _, (found,) = samples_of(boxed, messages)
    points = transform_points(
        sample.sweep.ego_from_lidar, sample.sweep.points[:, :3].astype(np.float64)
    )
    box = boxed.ego_box
    low, high = [box.x_min, box.y_min, box.z_min], [box.x_max, box.y_max, box.z_max]
    own = ((points >= low) & (points <= high)).all(axis=1)
    assert own.sum() > 1000 and len(found.sweep.points) == len(points) - own.sum()
    # Nor is a box in there reported.
    assert found.own_vehicle.tolist() == [box.x_min, box.x_max, box.y_min, box.y_max]
    assert sample.own_vehicle is None


def test_the_poses_are_those_of_the_dataset(sample, keyframe):
    assert np.allclose(
        sample.sweep.ego_from_lidar, keyframe['lidar_points']['lidar2ego'], atol=1e-6
    )
    for name, picture in sample.cameras.items():
        assert np.allclose(
            picture.calibration.ego_from_camera, keyframe['images'][name]['cam2ego'], atol=1e-6
        )
        assert np.allclose(picture.calibration.intrinsics, keyframe['images'][name]['cam2img'])


def test_all_camera_instances_project_to_their_annotated_centre(keyframe):
    # Camera instances give the 3D box in the camera frame, with the centre of its gravity.
    errors = []
    for name, instances in keyframe['cam_instances'].items():
        intrinsics = np.array(keyframe['images'][name]['cam2img'])
        for instance in instances:
            pixel, depth = project_points(intrinsics, np.array(instance['bbox_3d'][:3]))
            errors.append(np.abs(pixel - instance['center_2d']).max())
            assert depth == pytest.approx(instance['depth'], abs=1e-4)
    assert len(errors) == 84 and max(errors) < 1e-3


def boxes_of(keyframe) -> np.ndarray:
    return np.array([instance['bbox_3d'] for instance in keyframe['instances']])


def test_points_inside_boxes_are_as_many_as_annotated(sample, keyframe):
    counts = [int(points_in_box(sample.sweep.points, box).sum()) for box in boxes_of(keyframe)]
    annotated = [instance['num_lidar_pts'] for instance in keyframe['instances']]
    assert len(counts) == 69 and np.equal(counts, annotated).sum() >= 61


def test_points_and_boxes_agree_in_the_ego_frame_too(sample, keyframe):
    pose = sample.sweep.ego_from_lidar
    points = transform_points(pose, sample.sweep.points[:, :3].astype(float))
    boxes = boxes_of(keyframe)
    boxes[:, :3] = transform_points(pose, boxes[:, :3])
    boxes[:, 6] += np.arctan2(pose[1, 0], pose[0, 0])
    counts = [int(points_in_box(points, box).sum()) for box in boxes]
    annotated = [instance['num_lidar_pts'] for instance in keyframe['instances']]
    assert np.equal(counts, annotated).sum() >= 55  # the sensor is tilted a little


def test_lidar_boxes_land_on_the_cameras_that_annotate_them(sample, keyframe):
    # Across calibrations: LiDAR -> ego -> camera, without the ego motion between the stamps.
    centres = transform_points(sample.sweep.ego_from_lidar, boxes_of(keyframe)[:, :3])
    near = 0
    for name, instances in keyframe['cam_instances'].items():
        calibration = sample.cameras[name].calibration
        camera_points = transform_points(inverse_rigid(calibration.ego_from_camera), centres)
        pixels, depth = project_points(calibration.intrinsics, camera_points)
        for instance in instances:
            distance = np.linalg.norm(pixels[depth > 0] - instance['center_2d'], axis=1)
            near += distance.min() < 25
    assert near >= 80


@pytest.mark.parametrize(
    'cell,low,high,in_range,voxels',
    [
        ((0.075, 0.075, 0.2), (-54, -54, -5), (54, 54, 3), 32330, 17509),
        ((0.1, 0.1, 0.2), (-51.2, -51.2, -5), (51.2, 51.2, 3), 32264, 15307),
        ((0.2, 0.2, 8.0), (-51.2, -51.2, -5), (51.2, 51.2, 3), 32264, 7896),
    ],
)
def test_the_sweep_has_the_known_number_of_points_and_voxels(
    sample, cell, low, high, in_range, voxels
):
    points = sample.sweep.points[:, :3]
    low, high, cell = (np.array(values, np.float32) for values in (low, high, cell))
    inside = points[((points >= low) & (points < high)).all(axis=1)]
    index = np.floor((inside - low) / cell).astype(np.int64)
    assert (len(inside), len(np.unique(index, axis=0))) == (in_range, voxels)


def test_a_bag_of_malformed_messages_is_survived_and_counted(shared_data, rig):
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    end = SensorFrontEnd(rig, SensingConfig(), lambda p, c: (p, c))
    topics = {kind: topic for topic, kind in reversed(end.subscriptions().items())}
    topics['sensor_msgs/msg/Image'] = topics['sensor_msgs/msg/CompressedImage']
    pushed = 0
    with highlevel.AnyReader(
        [shared_data / 'bags' / 'malformed'], default_typestore=store
    ) as reader:
        for connection, time, raw in reader.messages():
            if connection.msgtype in topics:
                message = reader.deserialize(raw, connection.msgtype)
                assert end.push(topics[connection.msgtype], message, time) == []
                pushed += 1
    assert pushed >= 10
    assert sum(r.rejected for r in end.reports(time)) >= 5
    assert not any(r.used for r in end.reports(time))


def test_every_pair_of_lost_sensors_still_makes_a_sample(rig, messages):
    for lost in itertools.combinations(rig.sensor_names, 2):
        kept = [m for m in messages if m[0].split('/')[1] not in lost]
        _, samples = samples_of(rig, kept)
        end_time = kept[-1][2]
        assert all(s.used_sensors and not set(lost) & set(s.used_sensors) for s in samples)
        if rig.lidars[0].name not in lost:
            assert len(samples) == 1 and samples[0].stamp_ns <= end_time
