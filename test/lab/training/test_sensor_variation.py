"""Variation of points and pictures changes what it names and nothing else."""

import dataclasses

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import box_corners, points_in_box, project_points, transform_points
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.training.augmentation import AugmentationConfig, move_boxes, on_old_ground
from metabev_ros.lab.training.picture_variation import draw_mood, vary_picture
from metabev_ros.lab.training.point_variation import vary_points

TILTED = AugmentationConfig(turn=0, rotation=180, scale=(0.9, 1.1), height=0.3, tilt=2)
STILL = AugmentationConfig(turn=0, brightness=0, view_drop=0)
SEEDS = range(5)


@pytest.fixture(scope='module')
def record(tiny_records):
    record = read_record(tiny_records[0].paths[0])
    points = np.concatenate([record.points] * 3)
    count = len(record.points)
    points[count : 2 * count, 4], points[2 * count :, 4] = 0.1, 0.2
    return dataclasses.replace(record, points=points)


def varied(record, seed=0, **fields):
    config = dataclasses.replace(STILL, **fields)
    return vary_points(record, record.points, config, np.random.default_rng(seed))


# --------------------------------------------------------------------------------------- scene
@pytest.mark.parametrize('seed', SEEDS)
def test_a_tilted_and_lifted_scene_keeps_points_in_boxes_and_boxes_in_the_picture(record, seed):
    new_from_old = TILTED.draw_scene(np.random.default_rng(seed))
    assert 0 < abs(new_from_old[2, 3]) <= 0.3
    lean = np.rad2deg(np.arccos(new_from_old[2, 2] / np.linalg.norm(new_from_old[2, :3])))
    assert 0.01 < lean < 2.9
    boxes = record.boxes.astype(float)
    moved = move_boxes(boxes, new_from_old)
    points = transform_points(record.ego_from_lidar, record.points[:, :3].astype(float))
    shifted = transform_points(new_from_old, points)
    held = 0
    for before, after in zip(boxes, moved, strict=True):
        inside = points_in_box(points, before)
        roomy = after.copy()
        # A box stays upright: half its length times the sine of the lean.
        roomy[3:6] += 2 * np.sin(np.deg2rad(3)) * after[3:6].max()
        assert points_in_box(shifted, roomy)[inside].all()
        held += inside.sum()
    assert held > 50
    corners, upright = transform_points(new_from_old, box_corners(boxes)), box_corners(moved)
    assert np.abs(corners - upright).max() < np.sin(np.deg2rad(3)) * boxes[:, 3:6].max() * 1.1
    for k, pose in zip(record.intrinsics, record.ego_from_camera, strict=True):
        a, _ = project_points(
            k, transform_points(np.linalg.inv(new_from_old @ pose), moved[:, :3])
        )
        b, _ = project_points(k, transform_points(np.linalg.inv(pose), boxes[:, :3]))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize('seed', SEEDS)
def test_the_map_lies_on_the_ground_that_tilts_with_the_scene(seed):
    new_from_old = TILTED.draw_scene(np.random.default_rng(seed))
    ground = np.random.default_rng(seed).uniform(-50, 50, (20, 3)) * [1, 1, 0]
    now = transform_points(new_from_old, ground)
    np.testing.assert_allclose(on_old_ground(now[:, :2], new_from_old), ground[:, :2], atol=1e-9)


# -------------------------------------------------------------------------------------- points
def test_without_variation_points_are_what_they_were(record):
    np.testing.assert_array_equal(varied(record), record.points)


@pytest.mark.parametrize('seed', SEEDS)
def test_lost_sweeps_are_the_oldest_and_the_newest_stays(record, seed):
    lags = np.unique(varied(record, seed, sweeps_lost=1.0)[:, 4])
    assert lags.tolist() in ([0.0], pytest.approx([0.0, 0.1]))


@pytest.mark.parametrize('seed', SEEDS)
def test_lost_intensity_is_one_value_and_places_stay(record, seed):
    points = varied(record, seed, intensity_lost=1.0)
    assert len(np.unique(points[:, 3])) == 1
    np.testing.assert_array_equal(points[:, [0, 1, 2, 4]], record.points[:, [0, 1, 2, 4]])


def test_intensity_keeps_its_order_and_its_range(record):
    points = varied(record, 3, intensity_scale=(0.05, 4.0), intensity_gamma=(0.5, 2.0))
    assert 0 <= points[:, 3].min() and points[:, 3].max() <= 255
    order = np.argsort(record.points[:, 3], kind='stable')
    assert (np.diff(points[order, 3]) >= 0).all()
    assert not np.allclose(points[:, 3], record.points[:, 3])


def test_a_range_limit_loses_what_is_farther_and_nothing_else(record):
    points = varied(record, range_limited=1.0, nearest_limit=15.0)
    distance = np.linalg.norm(record.points[:, :3], axis=1)
    limit = np.linalg.norm(points[:, :3], axis=1).max()
    assert 15 <= np.ceil(limit) < distance.max()
    assert len(points) == np.sum(distance <= limit)


def test_shares_bands_and_false_returns_change_how_many_there_are(record):
    count = len(record.points)
    assert 0.2 < len(varied(record, point_share=(0.3, 0.3))) / count < 0.4
    thinned = varied(record, beams_thinned=1.0)
    assert 0.1 < len(thinned) / count < 0.7
    more = varied(record, 1, noise_points=0.2)
    assert count < len(more) <= 1.2 * count
    np.testing.assert_array_equal(more[:count], record.points)


# ------------------------------------------------------------------------------------ pictures
def picture(seed=0):
    return np.random.default_rng(seed).integers(60, 200, (32, 48, 3), dtype=np.uint8)


def changed(seed=0, **fields):
    config, rng = dataclasses.replace(STILL, **fields), np.random.default_rng(seed)
    return vary_picture(picture(), draw_mood(config, rng), config, rng)


def test_without_variation_a_picture_is_what_it_was():
    np.testing.assert_array_equal(changed(), picture())


@pytest.mark.parametrize(
    'fields',
    [
        {'brightness': 0.3},
        {'contrast': 0.4},
        {'gamma': (0.6, 0.7)},
        {'colour': 0.3},
        {'noise': 12.0},
        {'blur': 1.0},
        {'jpeg': 1.0},
        {'cutout': 1.0},
    ],
)
def test_each_variation_of_a_picture_shows_and_leaves_its_size(fields):
    result = changed(4, **fields)
    assert result.shape == picture().shape and result.dtype == np.uint8
    difference = np.abs(result.astype(int) - picture()).mean()
    assert 1 < difference < 70


def test_a_curve_keeps_the_order_of_levels():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    config = dataclasses.replace(STILL, contrast=0.4, gamma=(0.6, 1.6), brightness=0.3)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        result = vary_picture(ramp, draw_mood(config, rng), config, rng)
        assert (np.diff(result[0].astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize(
    'fields',
    [
        {'tilt': -1.0},
        {'blur': 1.5},
        {'gamma': (2.0, 1.0)},
        {'point_share': (0.5, 1.5)},
        {'intensity_scale': (0.0, 1.0)},
    ],
)
def test_a_wrong_range_is_named(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        AugmentationConfig(**fields)
