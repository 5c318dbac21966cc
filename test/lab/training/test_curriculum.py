"""Every failure kind does what it says, as often as the ramp says, to what the sample has."""

import dataclasses

import numpy as np
import pytest
from support.made_records import made_record

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    inverse_rigid,
    points_in_box,
    rigid_transform,
    rotation_z,
    transform_points,
)
from metabev_ros.lab.training.curriculum import (
    OF_CAMERA,
    OF_LIDAR,
    CurriculumConfig,
    FailureKind,
    fail_images,
    fail_points,
    jitter_pose,
    lost_views,
)
from metabev_ros.structures import Modality

ON = CurriculumConfig(probability=1.0)


def record(rng):
    points = rng.uniform(-40, 40, (4000, 5)).astype(np.float32)
    points[:, 2] = rng.uniform(-2, 3, 4000)
    box = np.array([[10.0, 5, 1, 8, 6, 4, 0.4, 0, 0]], np.float32)
    return made_record(box, points=points)


def test_no_curriculum_draws_nothing():
    rng = np.random.default_rng(0)
    assert all(CurriculumConfig().draw(9999, Modality.FUSED, rng) == () for _ in range(50))


def test_the_chance_rises_over_the_ramp_and_stays():
    config = CurriculumConfig(probability=0.6, ramp_start=100, ramp_steps=200)
    assert [config.chance(s) for s in (0, 99, 199, 299, 5000)] == pytest.approx(
        [0, 0, 0.3, 0.6, 0.6]
    )


def test_the_drawn_share_is_the_chance():
    config = CurriculumConfig(probability=0.5, ramp_steps=100)
    rng = np.random.default_rng(1)
    hits = [bool(config.draw(49, Modality.FUSED, rng)) for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ('modality', 'never'),
    [
        (Modality.CAMERA, OF_LIDAR),
        (Modality.LIDAR, (*OF_CAMERA, FailureKind.OBJECT_POINTS)),
        (Modality.FUSED, ()),
    ],
)
def test_only_sensors_that_a_sample_has_fail(modality, never):
    rng = np.random.default_rng(2)
    drawn = {k for _ in range(800) for k in ON.draw(0, modality, rng)}
    assert drawn == set(FailureKind) - set(never)


def test_a_weight_of_zero_switches_a_kind_off_and_weights_set_the_shares():
    config = CurriculumConfig(
        probability=1, beams=0, lidar_sector=3, point_drop=1, object_points=0, calibration=0
    )
    rng = np.random.default_rng(3)
    drawn = [config.draw(0, Modality.LIDAR, rng)[0] for _ in range(2000)]
    assert set(drawn) == {FailureKind.LIDAR_SECTOR, FailureKind.POINT_DROP}
    assert np.mean([k is FailureKind.LIDAR_SECTOR for k in drawn]) == pytest.approx(0.75, abs=0.04)


def test_a_second_failure_differs_from_the_first():
    config = CurriculumConfig(probability=1, second=1)
    rng = np.random.default_rng(4)
    assert all(len(set(config.draw(0, Modality.FUSED, rng))) == 2 for _ in range(200))


def test_a_lost_sector_is_one_contiguous_hole():
    rng = np.random.default_rng(5)
    for _ in range(10):
        left = fail_points(record(rng), (FailureKind.LIDAR_SECTOR,), ON, rng)
        angles = np.sort(np.rad2deg(np.arctan2(left[:, 0], left[:, 1])))
        gaps = np.diff(np.concatenate([angles, [angles[0] + 360]]))
        assert gaps.max() > 55 and np.sort(gaps)[-2] < 5


def test_points_in_the_ego_frame_fail_as_their_lidar_sees_them():
    """An imported record: its LiDAR sits 1.8 m up, its x axis to the right; points are in ego."""
    mount = rigid_transform(rotation_z(-np.pi / 2), (0.9, 0.0, 1.8))
    rng = np.random.default_rng(11)
    own = record(rng)
    moved = own.points.copy()
    moved[:, :3] = transform_points(mount, own.points[:, :3].astype(float))
    imported = dataclasses.replace(own, points=moved, lidar_mount=mount)
    for kind in (FailureKind.LIDAR_SECTOR, FailureKind.BEAMS):
        for seed in range(6):
            there = fail_points(imported, (kind,), ON, np.random.default_rng(seed))
            here = fail_points(own, (kind,), ON, np.random.default_rng(seed))
            assert 0 < len(there) < len(moved) and abs(len(there) - len(here)) <= 2
            again = transform_points(inverse_rigid(mount), there[:, :3].astype(float))
            near = np.abs(again[:, None] - here[None, :40, :3]).max(2).min(0)
            assert np.sort(near)[-3] < 1e-4
    front = dataclasses.replace(ON, front_sector=1.0, half_angle=(40.0, 60.0))
    left = fail_points(imported, (FailureKind.LIDAR_SECTOR,), front, rng)
    assert np.abs(np.rad2deg(np.arctan2(left[:, 1], left[:, 0] - 0.9))).max() <= 60.01


def test_object_points_vanish_and_nothing_else():
    rng = np.random.default_rng(6)
    data = record(rng)
    inside = points_in_box(transform_points(np.eye(4), data.points[:, :3]), data.boxes[0])
    counts = {len(fail_points(data, (FailureKind.OBJECT_POINTS,), ON, rng)) for _ in range(20)}
    assert min(counts) <= len(inside) - inside.sum() and max(counts) == len(inside)
    assert min(counts) > len(inside) - 2 * inside.sum()


@pytest.mark.parametrize('kind', [FailureKind.BEAMS, FailureKind.POINT_DROP])
def test_thinned_points_are_a_subset(kind):
    rng = np.random.default_rng(7)
    data = record(rng)
    left = fail_points(data, (kind,), ON, rng)
    assert 0 < len(left) < len(data.points)
    assert set(map(bytes, left)) <= set(map(bytes, data.points))


def test_a_camera_only_sample_keeps_a_view_that_shows_the_scene():
    rng = np.random.default_rng(8)
    kinds = (FailureKind.VIEWS_ZERO, FailureKind.VIEWS_NOISE)
    images = [np.full((8, 8, 3), 77, np.uint8)] * 6
    lost_all = False
    for _ in range(60):
        failed, shows = fail_images(images, kinds, Modality.CAMERA, rng)
        assert shows.any()
        for image, show in zip(failed, shows, strict=True):
            assert (image == 77).all() == show
        lost_all |= not fail_images(images, kinds, Modality.FUSED, rng)[1].any()
    assert lost_all


def test_absent_views_leave_at_least_one():
    rng = np.random.default_rng(9)
    sizes = {len(lost_views((FailureKind.VIEWS_ABSENT,), np.arange(6), rng)) for _ in range(200)}
    assert sizes == {1, 2, 3, 4, 5}


def test_jitter_is_a_small_rigid_error_and_off_without_the_kind():
    rng = np.random.default_rng(10)
    pose = np.eye(4)
    pose[:3, 3] = 1, 2, 3
    assert jitter_pose(pose, (), ON, rng) is pose
    degrees = []
    for _ in range(300):
        error = np.linalg.inv(pose) @ jitter_pose(pose, (FailureKind.CALIBRATION,), ON, rng)
        np.testing.assert_allclose(error[:3, :3] @ error[:3, :3].T, np.eye(3), atol=1e-12)
        degrees.append(np.rad2deg(np.arccos((np.trace(error[:3, :3]) - 1) / 2)))
    # The mean norm of a 3D Gaussian is sigma * sqrt(8 / pi).
    assert np.mean(degrees) == pytest.approx(0.5 * np.sqrt(8 / np.pi), rel=0.1)


@pytest.mark.parametrize(
    'wrong',
    [
        {'probability': 1.5},
        {'beams': -1.0},
        {'half_angle': (90.0,)},
        {'probability': 0.5, **{kind.value: 0.0 for kind in (*OF_LIDAR, FailureKind.CALIBRATION)}},
    ],
)
def test_a_curriculum_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ConfigError, match='curriculum'):
        CurriculumConfig(**wrong)
