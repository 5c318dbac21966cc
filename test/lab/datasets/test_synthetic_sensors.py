"""Camera and LiDAR on scenes small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.geometry import (
    box_corners,
    inverse_rigid,
    points_in_box,
    project_points,
    transform_points,
)
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive, Weather
from metabev_ros.lab.datasets.synthetic.camera import render
from metabev_ros.lab.datasets.synthetic.faces import Scene, cuboid_corners
from metabev_ros.lab.datasets.synthetic.ground import GRASS, Ground
from metabev_ros.lab.datasets.synthetic.lidar import scan
from metabev_ros.lab.datasets.synthetic.light import draw_light
from metabev_ros.lab.datasets.synthetic.models import MEAN_SIZES, build_parts
from metabev_ros.lab.datasets.synthetic.rig import camera_calibrations, ego_from_lidar
from metabev_ros.structures import DETECTION_CLASSES

CAMERAS = camera_calibrations(DriveConfig(image_width=704, image_height=256))
FIELD = Ground(
    np.array([-200.0, -200.0]),
    2.0,
    np.full((200, 200, 3), 100, np.uint8),
    np.full((200, 200), GRASS, np.uint8),
    np.zeros((200, 200), np.uint8),
)
LIGHT = draw_light(np.random.default_rng(0), Weather.OVERCAST)


def scene_of(boxes: np.ndarray, labels) -> Scene:
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 9)
    labels = np.asarray(labels, dtype=np.int64)
    parts = build_parts(boxes, labels, np.full((len(boxes), 2, 3), 120, np.float32))
    return Scene(parts, cuboid_corners(parts), np.zeros((0, 4, 2)), np.eye(4), len(boxes))


def shoot(scene: Scene, name: str = 'CAM_FRONT', seed: int = 0):
    return render(scene, FIELD, [FIELD.texture], CAMERAS[name], LIGHT, np.random.default_rng(seed))


def box_of(label: int, x: float, y: float, yaw: float) -> np.ndarray:
    length, width, height = MEAN_SIZES[label]
    return np.array([x, y, height / 2, length, width, height, yaw, 0, 0])


def test_empty_ground_has_the_depth_of_a_plane():
    shot = shoot(scene_of(np.zeros((0, 9)), []))
    camera = CAMERAS['CAM_FRONT']
    rows = np.arange(256)
    focal, cy = camera.intrinsics[1, 1], camera.intrinsics[1, 2]
    below = rows > cy + 3
    plane = 1.5 * focal / (rows[below] - cy)
    assert np.allclose(shot.depth[below], plane[:, None], rtol=1e-5)
    assert np.isinf(shot.depth[rows < cy]).all()


@pytest.mark.parametrize('label', range(10), ids=DETECTION_CLASSES)
@pytest.mark.parametrize(
    ('name', 'x', 'y', 'yaw'),
    [
        ('CAM_FRONT', 22, 1.0, 0.4),
        ('CAM_FRONT', 30, -4, -2.0),
        ('CAM_BACK', -18, 2, 1.2),
        ('CAM_FRONT_LEFT', 12, 16, 2.7),
    ],
)
def test_the_projected_box_encloses_the_pixels_tightly(label, name, x, y, yaw):
    box = box_of(label, x, y, yaw)
    shot = shoot(scene_of(box, [label]), name)
    rows, columns = np.nonzero(shot.owner == 0)
    camera = CAMERAS[name]
    corners = transform_points(inverse_rigid(camera.ego_from_camera), box_corners(box[None])[0])
    pixels, depth = project_points(camera.intrinsics, corners)
    low, high = pixels.min(0), pixels.max(0)
    assert columns.min() >= low[0] - 1.5 and columns.max() <= high[0] + 1.5
    assert rows.min() >= low[1] - 1.5 and rows.max() <= high[1] + 1.5
    # Parts are narrower than the box away from its ends: a sixth may stay empty on each side.
    slack = 2 + 0.17 * (high - low)
    assert (columns.min() <= low[0] + slack[0]) and (columns.max() >= high[0] - slack[0])
    assert (rows.min() <= low[1] + slack[1]) and (rows.max() >= min(high[1], 255) - slack[1])
    seen = shot.depth[rows, columns]
    assert seen.min() >= depth.min() - 0.05 and seen.max() <= depth.max() + 0.05
    # Where it stands on the ground, ground pixels win the last half row.
    assert len(rows) <= shot.covered[0] <= 1.06 * len(rows) + 12


def test_the_nearer_box_hides_the_farther():
    near, far = box_of(1, 12, 0, np.pi / 2), box_of(0, 25, 0, 0.0)
    shot = shoot(scene_of([far, near], [0, 1]))
    assert (shot.owner == 1).sum() > 1000
    assert (shot.owner == 0).sum() == 0
    alone = shoot(scene_of(far, [0]))
    assert 0.4 < shot.covered[0] / (alone.owner == 0).sum() < 2.5


def test_a_box_through_the_near_plane_is_clipped_not_lost():
    box = box_of(3, 3.0, 2.2, 0.0)  # a bus beside the front camera, partly behind it
    shot = shoot(scene_of(box, [3]))
    assert (shot.owner == 0).sum() > 5000
    camera = CAMERAS['CAM_FRONT']
    rows, columns = np.nonzero(shot.owner == 0)
    z = shot.depth[rows, columns].astype(np.float64)
    ray = np.stack(
        [
            (columns - camera.intrinsics[0, 2]) / camera.intrinsics[0, 0],
            (rows - camera.intrinsics[1, 2]) / camera.intrinsics[1, 1],
            np.ones(len(rows)),
        ],
        axis=-1,
    )
    point = transform_points(camera.ego_from_camera, ray * z[:, None])
    grown = box.copy()
    grown[3:6] += 0.1
    assert points_in_box(point, grown).mean() > 0.99


@pytest.mark.parametrize('label', range(10), ids=DETECTION_CLASSES)
def test_lidar_returns_of_a_lone_object_lie_in_its_box(label):
    box = box_of(label, 9.0, 3.0, 0.7)
    cloud = scan(scene_of(box, [label]), FIELD, 1080, np.random.default_rng(1))
    points = transform_points(ego_from_lidar(), cloud[:, :3].astype(np.float64))
    above = points[points[:, 2] > 0.12]
    grown = box.copy()
    grown[3:6] += 0.2  # five deviations of the range noise on each side
    assert points_in_box(above, grown).all()
    assert len(above) >= 4
    assert points_in_box(points, box).sum() >= 0.6 * len(above)


def test_lidar_ranges_on_empty_ground_are_those_of_a_plane():
    cloud = scan(scene_of(np.zeros((0, 9)), []), FIELD, 360, np.random.default_rng(2))
    reach = np.linalg.norm(cloud[:, :3], axis=1)
    height = -cloud[:, 2] / reach * reach
    assert len(cloud) > 3000
    assert abs(np.mean(height) - 1.84) < 0.005
    assert reach.max() < 81 and reach.min() > 1.4


def test_the_lidar_frame_has_x_right_and_y_forward():
    ahead = scan(scene_of(box_of(1, 10, 0, 0.0), [1]), FIELD, 720, np.random.default_rng(3))
    high = ahead[ahead[:, 2] > -1.2]
    assert len(high) > 30
    assert (high[:, 1] > 4).all() and (np.abs(high[:, 0]) < 1.6).all()
    left = scan(scene_of(box_of(1, 0, 10, 0.0), [1]), FIELD, 720, np.random.default_rng(3))
    assert (left[left[:, 2] > -1.2][:, 0] < -7).all()


def test_paint_and_kerbs_are_brighter_than_asphalt_for_the_lidar():
    drive = SyntheticDrive(2, DriveConfig(frames=1, image_width=64, image_height=32))
    frame = drive[0]
    points = transform_points(frame.ego_from_lidar, frame.points[:, :3].astype(np.float64))
    low = np.abs(points[:, 2]) < 0.1
    on_road = frame.ground_truth.map_layers[0]
    cell = np.floor((points[:, :2] + 50) / 0.5).astype(int)
    inside = low & ((cell >= 0) & (cell < 200)).all(1)
    road = inside.copy()
    road[inside] = on_road[cell[inside, 1], cell[inside, 0]]
    intensity = frame.points[road, 3]
    assert np.median(intensity) < 20
    assert (intensity > 60).sum() > 20


def test_a_still_scene_is_never_the_same_picture_twice():
    scene = scene_of(box_of(0, 15, 0, 0.2), [0])
    first, second = shoot(scene, seed=1).pixels, shoot(scene, seed=2).pixels
    changed = (first != second).any(-1).mean()
    assert changed > 0.5
    assert np.abs(first.astype(int) - second).mean() < 8
    clouds = [scan(scene, FIELD, 360, np.random.default_rng(k)) for k in (1, 2)]
    assert clouds[0].shape != clouds[1].shape or not np.array_equal(*clouds)
