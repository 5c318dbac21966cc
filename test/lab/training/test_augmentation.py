"""Whatever moves, camera, LiDAR, boxes and map stay aligned."""

import cv2
import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    BevGrid,
    box_corners,
    points_in_box,
    project_points,
    transform_points,
)
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.training.augmentation import (
    AugmentationConfig,
    move_boxes,
    move_camera,
    move_depth,
    move_image,
    move_map,
)
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.structures import CameraCalibration

SCENE = AugmentationConfig(
    turn=0.5, rotation=45, scale=(0.9, 1.1), translation=0.5, flip_x=0.5, flip_y=0.5
)
IMAGE = AugmentationConfig(image_scale=(0.8, 1.2), image_flip=0.5, image_rotation=5.4)


@pytest.fixture(scope='module')
def record(tiny_records):
    return read_record(tiny_records[0].paths[0])


@pytest.mark.parametrize('seed', range(8))
def test_points_stay_in_their_boxes_and_boxes_project_to_the_same_pixels(record, seed):
    new_from_old = SCENE.draw_scene(np.random.default_rng(seed))
    boxes = record.boxes.astype(float)
    moved = move_boxes(boxes, new_from_old)
    old = transform_points(record.ego_from_lidar, record.points[:, :3].astype(float))
    new = transform_points(
        new_from_old @ record.ego_from_lidar, record.points[:, :3].astype(float)
    )
    held = 0
    for before, after in zip(boxes, moved, strict=True):
        inside = points_in_box(old, before)
        # Mirrors and rounding may move a point that lies on a face.
        assert np.sum(points_in_box(new, after) != inside) <= 1
        held += inside.sum()
    assert held > 50
    for k, pose in zip(record.intrinsics, record.ego_from_camera, strict=True):
        a, _ = project_points(
            k, transform_points(np.linalg.inv(new_from_old @ pose), moved[:, :3])
        )
        b, _ = project_points(k, transform_points(np.linalg.inv(pose), boxes[:, :3]))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize('seed', range(4))
def test_a_box_moves_as_its_corners_and_its_velocity_as_its_way(record, seed):
    new_from_old = SCENE.draw_scene(np.random.default_rng(seed))
    boxes = record.boxes.astype(float)
    moved = move_boxes(boxes, new_from_old)
    a = transform_points(new_from_old, box_corners(boxes))
    b = box_corners(moved)
    for before, after in zip(a, b, strict=True):  # a mirror changes the order of the corners
        for corner in after:
            assert np.abs(before - corner).sum(1).min() < 1e-6
    later = boxes.copy()
    later[:, :2] += boxes[:, 7:9]
    np.testing.assert_allclose(
        move_boxes(later, new_from_old)[:, :2], moved[:, :2] + moved[:, 7:9], atol=1e-9
    )
    # The front face stays the front.
    front = boxes.copy()
    front[:, :2] += np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], 1)
    heading = move_boxes(front, new_from_old)[:, :2] - moved[:, :2]
    np.testing.assert_allclose(np.arctan2(heading[:, 1], heading[:, 0]), moved[:, 6], atol=1e-9)


@pytest.mark.parametrize('seed', range(6))
def test_the_map_moves_with_the_scene_and_knows_where_it_ends(record, seed):
    new_from_old = SCENE.draw_scene(np.random.default_rng(seed))
    layers = record.map_layers
    moved, known = move_map(layers, NUSCENES_MAP_GRID, new_from_old)
    centres = np.concatenate([NUSCENES_MAP_GRID.centres(), np.zeros((200, 200, 1))], -1)
    old = transform_points(np.linalg.inv(new_from_old), centres)[..., :2]
    inside = (np.abs(old) < 50).all(-1)
    if known is None:
        known = np.ones((200, 200), bool)
    np.testing.assert_array_equal(known.reshape(inside.shape), inside)
    rng = np.random.default_rng(seed)
    for row, column in rng.integers(0, 200, (300, 2)):
        x, y = old[row, column]
        truth = layers[:, int((y + 50) // 0.5), int((x + 50) // 0.5)] if inside[row, column] else 0
        assert (moved[:, row, column] == truth).all()


def test_a_half_turn_is_exact_and_knows_everything(record):
    moved, known = move_map(record.map_layers, NUSCENES_MAP_GRID, np.diag([-1.0, -1, 1, 1]))
    assert known is None
    np.testing.assert_array_equal(moved, record.map_layers[:, ::-1, ::-1])


@pytest.mark.parametrize('seed', range(8))
def test_projection_through_the_moved_camera_finds_the_moved_pixel(record, seed):
    affine, mirrored = IMAGE.draw_image(96, 32, np.random.default_rng(seed))
    k, pose = record.intrinsics[0], record.ego_from_camera[0]
    new_k, new_pose = move_camera(k, pose, affine, mirrored)
    CameraCalibration(96, 32, new_k, new_pose)  # is accepted: focal lengths are positive
    points = transform_points(pose, np.random.default_rng(seed).uniform(1, 30, (50, 3)))
    old, depth = project_points(k, transform_points(np.linalg.inv(pose), points))
    new, new_depth = project_points(new_k, transform_points(np.linalg.inv(new_pose), points))
    np.testing.assert_allclose(new, old @ affine[:2, :2].T + affine[:2, 2], atol=1e-6)
    np.testing.assert_allclose(new_depth, depth, atol=1e-9)


def test_image_content_moves_as_the_affine_map_says():
    pixels = np.zeros((64, 192, 3), np.uint8)
    spots = np.array([[60.0, 20], [100, 40], [130, 30]])
    for u, v in spots.astype(int):
        cv2.circle(pixels, (int(u), int(v)), 3, (255, 255, 255), -1, cv2.LINE_AA)
    for seed in range(6):
        affine, _ = IMAGE.draw_image(192, 64, np.random.default_rng(seed))
        moved = move_image(pixels, affine)[..., 0].astype(float)
        for spot in spots @ affine[:2, :2].T + affine[:2, 2]:
            v, u = np.mgrid[:64, :192]
            near = np.hypot(u - spot[0], v - spot[1]) < 8
            if near.sum() < 190:  # cut by the border
                continue
            weight = moved * near
            centre = np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()
            np.testing.assert_allclose(centre, spot, atol=0.15)


def test_a_lifted_pixel_lands_where_it_did_before_the_image_moved():
    """The lift-splat tables take the general intrinsics: same content, same BEV cells."""
    from support.tiny import TINY

    grid = BevGrid(-25.6, 25.6, -25.6, 25.6, 0.2)
    tables = LiftSplatTables(TINY.camera, grid)
    k = np.array([[61.0, 0, 46.9], [0, 61, 15.2], [0, 0, 1]])
    pose = np.array([[0.0, 0, 1, 0.03], [-1, 0, 0, 0.05], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    mirror = np.array([[-1.0, 0, 95], [0, 1, 0], [0, 0, 1]])
    old = tables.view_cells(CameraCalibration(96, 32, k, pose)).reshape(-1, 4, 12)
    new = tables.view_cells(CameraCalibration(96, 32, *move_camera(k, pose, mirror, True)))
    np.testing.assert_array_equal(new.reshape(-1, 4, 12)[..., ::-1], old)
    shift = np.array([[1.0, 0, 8], [0, 1, 0], [0, 0, 1]])  # one feature pixel to the right
    new = tables.view_cells(CameraCalibration(96, 32, *move_camera(k, pose, shift, False)))
    np.testing.assert_array_equal(new.reshape(-1, 4, 12)[..., 1:], old[..., :-1])


def test_depth_moves_with_the_image():
    depth = np.arange(48, dtype=np.float32).reshape(4, 12) + 1
    mirror = np.array([[-1.0, 0, 95], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(move_depth(depth, mirror, 8), depth[:, ::-1])
    shift = np.array([[1.0, 0, 8], [0, 1, 0], [0, 0, 1]])
    moved = move_depth(depth, shift, 8)
    np.testing.assert_array_equal(moved[:, 1:], depth[:, :-1])
    assert np.isinf(moved[:, 0]).all()


def test_zooming_keeps_the_bottom_edge():
    config = AugmentationConfig(image_scale=(1.2, 1.2))
    affine, _ = config.draw_image(96, 32, np.random.default_rng(0))
    bottom = affine @ [10, 31.5, 1]  # the lower border of the last row
    assert bottom[1] == pytest.approx(31.5)


def test_the_default_leaves_images_and_the_caches_of_tables_alone():
    assert not AugmentationConfig().moves_images
    scenes = {
        AugmentationConfig().draw_scene(np.random.default_rng(s)).tobytes() for s in range(30)
    }
    assert scenes == {np.eye(4).tobytes(), np.diag([-1.0, -1, 1, 1]).tobytes()}


@pytest.mark.parametrize(
    'wrong', [{'turn': 2.0}, {'scale': (1.1, 0.9)}, {'rotation': -1.0}, {'image_scale': (1.0,)}]
)
def test_an_impossible_range_is_refused(wrong):
    with pytest.raises(ConfigError, match='augmentation'):
        AugmentationConfig(**wrong)
