"""A drive's frames against independent oracles: OpenCV, finite differences, the other sensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    project_points,
    transform_points,
)
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive, Weather
from metabev_ros.structures import DETECTION_CLASSES

SMALL = DriveConfig(frames=3, rate_hz=10.0, image_width=176, image_height=64, lidar_azimuths=720)


@pytest.fixture(scope='module')
def frames():
    return list(SyntheticDrive(11, SMALL))


@pytest.fixture(scope='module')
def worlds():
    """The truth of the first frame of sixteen worlds."""
    config = DriveConfig(frames=1, image_width=64, image_height=32, lidar_azimuths=36)
    return [SyntheticDrive(seed, config)[0].ground_truth for seed in range(16)]


def world_boxes(frame):
    """track id -> (position and heading in odom, velocity in odom)."""
    truth, odom = frame.ground_truth, frame.odom_from_ego
    position = transform_points(odom, truth.boxes[:, :3].astype(np.float64))
    velocity = truth.boxes[:, 7:9] @ odom[:2, :2].T
    return {int(track): (position[k], velocity[k]) for k, track in enumerate(truth.track_ids)}


def test_equal_seeds_give_equal_frames_in_any_order(frames):
    again = SyntheticDrive(11, SMALL)
    for index in (2, 0):
        frame, other = frames[index], again[index]
        assert frame.stamp_ns == other.stamp_ns
        assert np.array_equal(frame.points, other.points)
        assert np.array_equal(frame.ground_truth.boxes, other.ground_truth.boxes)
        assert np.array_equal(frame.ground_truth.map_layers, other.ground_truth.map_layers)
        for name, image in frame.images.items():
            assert np.array_equal(image, other.images[name]), name
            assert np.array_equal(frame.ground_truth.depth[name], other.ground_truth.depth[name])


def test_other_seeds_give_other_worlds(frames):
    other = SyntheticDrive(12, SMALL)[0]
    assert not np.array_equal(frames[0].ground_truth.map_layers, other.ground_truth.map_layers)
    assert not np.array_equal(frames[0].images['CAM_FRONT'], other.images['CAM_FRONT'])


def test_a_longer_drive_does_not_exist_beyond_its_end():
    with pytest.raises(IndexError):
        SyntheticDrive(11, DriveConfig(frames=1, image_width=64, image_height=32))[1]


def test_stamps_are_a_period_apart():
    drive = SyntheticDrive(1, DriveConfig(frames=4, rate_hz=3.0, image_width=64, image_height=32))
    assert [drive.stamp_ns(k) - drive.stamp_ns(0) for k in range(4)] == [
        0,
        333333333,
        666666667,
        1000000000,
    ]


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('frames', 0),
        ('rate_hz', 0.0),
        ('rate_hz', math.nan),
        ('image_width', 10),
        ('image_height', 2000),
        ('start_ns', 0),
        ('lidar_azimuths', 1),
        ('weather', 'sunny'),
    ],
)
def test_a_wrong_setting_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        DriveConfig(**{field: value})


def test_shapes_and_types_are_those_of_the_structures(frames):
    frame = frames[0]
    truth = frame.ground_truth
    count = len(truth.boxes)
    assert truth.boxes.dtype == np.float32 and truth.boxes.shape == (count, 9)
    assert truth.map_layers.shape == (6, 200, 200) and truth.map_layers.dtype == bool
    assert frame.points.dtype == np.float32 and frame.points.shape[1] == 5
    assert np.isfinite(frame.points).all() and np.isfinite(truth.boxes).all()
    assert (frame.points[:, 4] == 0).all()
    assert frame.points[:, 3].min() >= 0 and frame.points[:, 3].max() <= 255
    assert set(frame.images) == set(frame.calibrations) == set(truth.depth)
    for name, image in frame.images.items():
        assert image.shape == (64, 176, 3) and image.dtype == np.uint8
        assert truth.depth[name].shape == (64, 176) and truth.depth[name].dtype == np.float32
    assert (truth.boxes[:, 6] >= -np.pi).all() and (truth.boxes[:, 6] < np.pi).all()
    assert len(set(truth.track_ids.tolist())) == count


def test_point_counts_equal_an_independent_loop(frames):
    frame = frames[1]
    cloud = transform_points(frame.ego_from_lidar, frame.points[:, :3].astype(np.float64))
    truth = frame.ground_truth
    for k, (x, y, z, length, width, height, yaw) in enumerate(truth.boxes[:, :7].tolist()):
        near = cloud[np.hypot(cloud[:, 0] - x, cloud[:, 1] - y) < 10]
        count = 0
        for px, py, pz in near.tolist():
            along = (px - x) * math.cos(yaw) + (py - y) * math.sin(yaw)
            across = (py - y) * math.cos(yaw) - (px - x) * math.sin(yaw)
            count += (
                abs(along) <= length / 2 and abs(across) <= width / 2 and abs(pz - z) <= height / 2
            )
        assert count == truth.num_lidar_pts[k]
    assert (truth.num_lidar_pts > 0).sum() >= 10


def test_boxes_meet_neither_each_other_nor_the_ego_car():
    for seed in (3, 4, 5, 6):
        config = DriveConfig(
            frames=4, rate_hz=0.7, image_width=64, image_height=32, lidar_azimuths=36
        )
        for frame in SyntheticDrive(seed, config):
            boxes = frame.ground_truth.boxes.astype(np.float64)
            ego = np.array([[1.35, 0, 0.9, 4.7, 1.9, 1.8, 0, 0, 0]])
            rectangles = [
                ((b[0], b[1]), (b[3], b[4]), math.degrees(b[6]))
                for b in np.concatenate([ego, boxes])
            ]
            for i, first in enumerate(rectangles):
                for second in rectangles[i + 1 :]:
                    if math.dist(first[0], second[0]) < 15:
                        kind, _ = cv2.rotatedRectangleIntersection(first, second)
                        assert kind == cv2.INTERSECT_NONE, (seed, first, second)


def test_velocity_is_the_finite_difference_of_the_track(frames):
    before, now, after = (world_boxes(frame) for frame in frames)
    moving = 0
    for track in now.keys() & before.keys() & after.keys():
        difference = (after[track][0] - before[track][0])[:2] / 0.2
        assert np.allclose(now[track][1], difference, atol=0.06), track
        moving += np.linalg.norm(difference) > 0.5
    assert moving >= 10


def test_the_ego_velocity_is_the_finite_difference_of_odometry(frames):
    first, now, last = (frame.odom_from_ego for frame in frames)
    velocity = now[:2, :2].T @ (last - first)[:2, 3] / 0.2
    assert np.allclose(frames[1].ego_velocity[:2], velocity, atol=0.05)
    assert np.allclose(frames[0].odom_from_ego, np.eye(4), atol=1e-9)


def test_moving_cars_face_the_way_they_go(frames):
    truth = frames[0].ground_truth
    speed = np.linalg.norm(truth.boxes[:, 7:9], axis=1)
    fast = speed > 1.0
    heading = np.stack([np.cos(truth.boxes[:, 6]), np.sin(truth.boxes[:, 6])], axis=-1)
    aligned = (heading * truth.boxes[:, 7:9]).sum(1)[fast] / speed[fast]
    assert fast.sum() > 5 and (aligned > 0.99).all()


def test_labels_of_one_place_agree_between_frames_of_a_turning_ego():
    """The grid of one frame, carried by odometry into another, shows the same map."""
    drive = SyntheticDrive(
        9, DriveConfig(frames=2, rate_hz=0.3, image_width=64, image_height=32, lidar_azimuths=36)
    )
    first, second = drive[0], drive[1]
    assert abs(second.odom_from_ego[1, 0]) > 0.3
    centres = NUSCENES_MAP_GRID.centres()
    place = transform_points(
        inverse_rigid(second.odom_from_ego) @ first.odom_from_ego,
        np.concatenate([centres, np.zeros((200, 200, 1))], axis=-1),
    )
    index = NUSCENES_MAP_GRID.cell_index(place[..., :2])
    shared = index >= 0
    assert shared.sum() > 8000
    for layer in (0, 2):
        here = first.ground_truth.map_layers[layer][shared]
        there = second.ground_truth.map_layers[layer].reshape(-1)[index[shared]]
        assert (here == there).mean() > 0.97
        assert (here & there).sum() / (here | there).sum() > 0.8


def test_the_ego_and_moving_cars_drive_on_the_drivable_area(frames):
    layers = frames[0].ground_truth.map_layers
    assert layers[0, 100, 100]
    truth = frames[0].ground_truth
    fast = (np.linalg.norm(truth.boxes[:, 7:9], axis=1) > 2.5) & (truth.labels <= 4)
    index = NUSCENES_MAP_GRID.cell_index(truth.boxes[fast, :2].astype(np.float64))
    assert layers[0].reshape(-1)[index[index >= 0]].all()
    walking = (truth.labels == 8) & (np.linalg.norm(truth.boxes[:, 7:9], axis=1) > 0.7)
    index = NUSCENES_MAP_GRID.cell_index(truth.boxes[walking, :2].astype(np.float64))
    street = (layers[2] | layers[1] | layers[0]).reshape(-1)
    assert street[index[index >= 0]].all()


def test_depth_and_lidar_agree_where_both_look(frames):
    """Two renderers that share no code: z-buffer and ray casting."""
    frame = frames[0]
    cloud = transform_points(frame.ego_from_lidar, frame.points[:, :3].astype(np.float64))
    errors = []
    for name, camera in frame.calibrations.items():
        optical = transform_points(inverse_rigid(camera.ego_from_camera), cloud)
        pixels, depth = project_points(camera.intrinsics, optical)
        u, v = np.rint(pixels[:, 0]), np.rint(pixels[:, 1])
        seen = (depth > 1) & (u >= 0) & (u < 176) & (v >= 0) & (v < 64) & (depth < 25)
        image = frame.ground_truth.depth[name]
        errors.append(image[v[seen].astype(int), u[seen].astype(int)] - depth[seen])
    errors = np.abs(np.concatenate(errors))
    assert len(errors) > 2000
    assert np.median(errors) < 0.12
    assert (errors < 0.6).mean() > 0.85  # the sensors stand apart: edges differ by parallax


def test_every_class_is_frequent_and_sized_like_nuscenes(worlds):
    least = {
        'car': 10,
        'truck': 2,
        'bus': 1,
        'trailer': 1,
        'construction_vehicle': 1.5,
        'barrier': 6,
        'motorcycle': 2,
        'bicycle': 2,
        'pedestrian': 8,
        'traffic_cone': 6,
    }
    mean = {
        'car': (4.63, 1.97, 1.74),
        'bus': (10.5, 2.94, 3.47),
        'barrier': (0.50, 2.53, 0.98),
        'pedestrian': (0.73, 0.67, 1.77),
        'traffic_cone': (0.41, 0.41, 1.07),
    }
    boxes, labels = [], []
    for truth in worlds:
        near = np.hypot(truth.boxes[:, 0], truth.boxes[:, 1]) < 50
        boxes.append(truth.boxes[near])
        labels.append(truth.labels[near])
    boxes, labels = np.concatenate(boxes), np.concatenate(labels)
    for index, name in enumerate(DETECTION_CLASSES):
        of_class = boxes[labels == index]
        assert len(of_class) / len(worlds) >= least[name], name
        if name in mean:
            assert np.allclose(of_class[:, 3:6].mean(0), mean[name], rtol=0.08), name
    assert np.allclose(boxes[:, 2], boxes[:, 5] / 2)


def test_every_map_class_is_drawn(worlds):
    share = np.mean([truth.map_layers.mean((1, 2)) for truth in worlds], axis=0)
    assert (share > (0.1, 0.004, 0.03, 0.0008, 0.005, 0.01)).all(), share


def test_night_is_darker_than_a_sunny_day():
    brightness = {}
    for weather in (Weather.SUNNY, Weather.NIGHT):
        config = DriveConfig(frames=1, image_width=176, image_height=64, weather=weather)
        brightness[weather] = np.mean(list(SyntheticDrive(4, config)[0].images.values()))
    assert brightness[Weather.NIGHT] < 0.6 * brightness[Weather.SUNNY]
