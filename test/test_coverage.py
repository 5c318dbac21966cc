"""What counts as looked at: a camera's cone by projection, a LiDAR's sectors by its returns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from metabev_ros.coverage import seen_cells
from metabev_ros.geometry import BevGrid, inverse_rigid, project_points, transform_points
from metabev_ros.structures import CameraCalibration, CameraImage, Modality, Sample, Sweep

GRID = BevGrid(-20.0, 20.0, -20.0, 20.0, 0.5)
WIDTH, HEIGHT, FOCAL = 64, 48, 40.0
FORWARD = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0.2], [0, -1, 0, 1.6], [0, 0, 0, 1]])


def camera(ego_from_camera: np.ndarray = FORWARD) -> CameraImage:
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])
    calibration = CameraCalibration(WIDTH, HEIGHT, intrinsics, ego_from_camera)
    return CameraImage(0, np.zeros((HEIGHT, WIDTH, 3), np.uint8), calibration)


def returns(azimuths: np.ndarray, distance: float) -> Sweep:
    """One return in each of these directions (degrees), from the ego's origin."""
    turn = np.radians(azimuths)
    points = np.zeros((len(turn), 5), np.float32)
    points[:, 0], points[:, 1] = distance * np.cos(turn), distance * np.sin(turn)
    return Sweep(0, points, np.eye(4))


def sample(cameras: dict[str, CameraImage | None], sweep: Sweep | None) -> Sample:
    has_camera = any(image is not None for image in cameras.values())
    return Sample(0, cameras, sweep, Modality.from_presence(has_camera, sweep is not None))


def projected(image: CameraImage, reach: float) -> np.ndarray:
    """The same by projecting every middle, one by one."""
    calibration = image.calibration
    middles = np.concatenate([GRID.centres(), np.zeros((*GRID.shape, 1))], axis=-1)
    points = transform_points(inverse_rigid(calibration.ego_from_camera), middles)
    pixels, depth = project_points(calibration.intrinsics, points)
    inside = (pixels >= -0.5).all(-1) & (pixels[..., 0] <= WIDTH - 0.5)
    return inside & (pixels[..., 1] <= HEIGHT - 0.5) & (depth >= 0.1) & (depth <= reach)


@pytest.mark.parametrize('yaw', [0.0, 1.0, 3.0])
def test_a_camera_sees_the_ground_that_lies_in_its_picture(yaw: float) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    image = camera(turn @ FORWARD)
    seen = seen_cells(sample({'front': image}, None), GRID, 15.0)
    assert 200 < seen.sum() < seen.size / 2
    assert np.array_equal(seen, projected(image, 15.0))


def test_a_dead_camera_sees_nothing_and_the_others_still_do() -> None:
    behind = FORWARD.copy()
    behind[:2, :3] *= -1
    both = seen_cells(sample({'front': camera(), 'back': camera(behind)}, None), GRID, 15.0)
    front = seen_cells(sample({'front': camera(), 'back': None}, None), GRID, 15.0)
    assert front.sum() < both.sum() and not (front & ~both).any()
    assert not front[:, :40].any() and both[:, :40].any()


def test_a_lidar_sees_as_far_as_its_returns_and_only_in_their_sectors() -> None:
    sweep = returns(np.arange(-60, 60, 0.25) + 0.1, 12.0)
    seen = seen_cells(sample({}, sweep), GRID, 15.0)
    x, y = GRID.centres()[..., 0], GRID.centres()[..., 1]
    distance, azimuth = np.hypot(x, y), np.degrees(np.arctan2(y, x))
    inside = (distance < 11.9) & (azimuth > -59) & (azimuth < 59)
    outside = (distance > 12.1) | (azimuth < -61) | (azimuth > 61)
    assert seen[inside].all() and not seen[outside].any() and inside.sum() > 500


def test_the_pose_of_the_lidar_counts() -> None:
    sweep = returns(np.arange(-60, 60, 0.25), 12.0)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    seen = seen_cells(sample({}, dataclasses.replace(sweep, ego_from_lidar=turned)), GRID, 15.0)
    assert seen[:, :40].any() and not seen[40, 42:].any()


def test_a_sensor_that_the_branch_does_not_use_has_not_looked() -> None:
    sweep = returns(np.arange(0, 360, 0.25), 30.0)
    both = Sample(0, {'front': camera()}, sweep, Modality.FUSED)
    assert seen_cells(both, GRID, 15.0).all()
    alone = dataclasses.replace(both, modality=Modality.CAMERA)
    assert np.array_equal(seen_cells(alone, GRID, 15.0), projected(camera(), 15.0))
