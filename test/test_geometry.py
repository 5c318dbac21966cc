import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    BevGrid,
    box_corners,
    inverse_rigid,
    points_in_box,
    project_points,
    quaternion_to_rotation,
    rigid_transform,
    rotation_to_quaternion,
    rotation_z,
    transform_points,
    wrap_angle,
)


def test_quaternions_equal_scipy_both_ways():
    for rotation in Rotation.random(100, rng=0):
        quaternion = rotation.as_quat()
        np.testing.assert_allclose(
            quaternion_to_rotation(*quaternion), rotation.as_matrix(), atol=1e-12
        )
        back = rotation_to_quaternion(rotation.as_matrix())
        np.testing.assert_allclose(
            Rotation.from_quat(back).as_matrix(), rotation.as_matrix(), atol=1e-12
        )


@pytest.mark.parametrize('quaternion', [(0, 0, 0, 0), (np.nan, 0, 0, 1), (0, 0, 0, 1.5)])
def test_a_quaternion_that_is_no_rotation_is_refused(quaternion):
    with pytest.raises(ConfigError):
        quaternion_to_rotation(*quaternion)


def test_projection_equals_opencv():
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -2, 1], [3, 2, 20], (50, 3))
    intrinsics = np.array([[700.0, 0, 320], [0, 710, 240], [0, 0, 1]])
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), intrinsics, None)
    pixels, depth = project_points(intrinsics, points)
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-9)
    np.testing.assert_array_equal(depth, points[:, 2])


def test_inverse_transform_undoes_the_transform():
    pose = rigid_transform(Rotation.random(rng=1).as_matrix(), [1, -2, 3])
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(
        transform_points(inverse_rigid(pose), transform_points(pose, points)), points, atol=1e-12
    )


def test_grid_rows_are_y_and_columns_are_x():
    grid = BevGrid(0.0, 4.0, -1.0, 1.0, 0.5)
    assert grid.shape == (4, 8)
    assert grid.cell_index(np.array([3.9, -0.9])) == 7
    assert grid.cell_index(np.array([0.1, 0.9])) == 24
    assert grid.cell_index(np.array([4.0, 0.0])) == -1
    index = grid.cell_index(grid.centres().reshape(-1, 2))
    np.testing.assert_array_equal(index, np.arange(32))


def test_box_corners_are_inside_and_just_outside_of_their_box():
    box = np.array([[1.0, 2, 0.5, 4, 2, 1.5, 0.6]])
    corners, centre = box_corners(box)[0], box[0, :3]
    assert points_in_box(centre + (corners - centre) * 0.999, box[0]).all()
    assert not points_in_box(centre + (corners - centre) * 1.001, box[0]).any()
    front_left = rotation_z(0.6) @ np.array([2.0, 1.0, -0.75]) + centre
    np.testing.assert_allclose(corners[0], front_left)


def test_wrapped_angles_lie_in_the_half_open_interval():
    angles = np.linspace(-20, 20, 401)
    wrapped = wrap_angle(angles)
    assert ((wrapped >= -np.pi) & (wrapped < np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles), atol=1e-12)
