"""Samples of simulated streets: points, pictures and truth agree with one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, points_in_box, transform_points
from metabev_ros.lab.datasets.point_packing import pack_points
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.simulation.building import build_street
from metabev_ros.lab.simulation.records import StreetDrive, StreetDrives

MODEL = dataclasses.replace(
    ModelConfig(), lidar=dataclasses.replace(ModelConfig().lidar, sweeps=2)
)
SEED, AT = 3, 1.0


@cache
def drive() -> StreetDrive:
    return StreetDrive(SEED, build_street(SEED, 3.0), MODEL, '0000003')


@cache
def record() -> SampleRecord:
    return drive().record(1, AT, True)


def test_a_sample_is_a_function_of_its_seed_and_index():
    street = build_street(SEED, 3.0)
    again = StreetDrive(SEED, street, MODEL, '0000003').record(1, AT, True)
    for field in dataclasses.fields(SampleRecord):
        mine, other = getattr(record(), field.name), getattr(again, field.name)
        np.testing.assert_array_equal(mine, other, err_msg=field.name)


def test_points_of_the_newest_sweep_in_a_box_are_those_counted_for_it():
    made = record()
    newest = made.points[made.points[:, 4] == 0][:, :3].astype(np.float64)
    standing = np.hypot(made.boxes[:, 7], made.boxes[:, 8]) < 0.1
    asked = np.flatnonzero(standing & (made.num_lidar_pts >= 20))
    assert len(asked) >= 3
    for k in asked:
        box = made.boxes[k].astype(np.float64)
        box[3:6] += 0.15  # noise of the range, and slopes that a box does not say
        inside = int(points_in_box(newest, box).sum())
        assert inside >= 0.9 * made.num_lidar_pts[k]


def test_earlier_sweeps_say_how_old_they_are_and_lie_on_the_same_world():
    points = record().points
    lags = np.unique(points[:, 4])
    assert len(lags) == 2
    assert lags[0] == 0
    period = drive().rig.lidar.period
    assert lags[1] == pytest.approx(period, abs=1e-6)


def test_points_are_on_steps_that_pack_without_loss():
    assert pack_points(record().points) is not None


def test_objects_are_seen_where_their_boxes_project_to():
    made = record()
    seen = 0
    for k in np.flatnonzero(made.visibility > 0.8):
        for pose, matrix in zip(made.ego_from_camera, made.intrinsics, strict=True):
            place = transform_points(inverse_rigid(pose), made.boxes[k : k + 1, :3])[0]
            if place[2] < 3:
                continue
            u, v = (matrix @ (place / place[2]))[:2]
            seen += (0 <= u < 352) and (0 <= v < 128)
    assert seen >= 3


def test_depth_of_the_pictures_agrees_with_the_lidar():
    made = record()
    newest = made.points[made.points[:, 4] == 0][:, :3].astype(np.float64)
    errors: list[np.ndarray] = []
    for pose, matrix, depth in zip(made.ego_from_camera, made.intrinsics, made.depth, strict=True):
        seen = transform_points(inverse_rigid(pose), newest)
        seen = seen[(seen[:, 2] > 2) & (seen[:, 2] < 25)]
        pixel = (seen @ matrix.T)[:, :2] / seen[:, 2:]
        cell = np.floor(pixel / 8).astype(int)
        middle = np.abs(pixel - (cell * 8 + 4)).max(1) < 1.0
        inside = (cell >= 0).all(1) & (cell[:, 0] < 44) & (cell[:, 1] < 16) & middle
        there = depth[cell[inside, 1], cell[inside, 0]]
        errors.append(np.abs(there - seen[inside, 2]) / seen[inside, 2])
    apart = np.concatenate(errors)
    assert len(apart) > 100
    assert np.median(apart) < 0.02


def test_truth_reaches_sixty_metres_and_the_classes_are_those_of_the_boxes():
    made = record()
    assert np.hypot(made.boxes[:, 0], made.boxes[:, 1]).max() < 60
    cars = made.boxes[made.labels == 0]
    assert len(cars) > 0
    assert ((cars[:, 3] > 2.5) & (cars[:, 3] < 7)).all()


def test_records_that_are_there_are_not_made_again():
    source = StreetDrives(first_seed=SEED, worlds=1, frames_per_world=2, cameras=False)
    done = frozenset({'0000003_000'})
    made = list(source.records('0000003', RecordMaker(MODEL), done))
    assert [one.token for one in made] == ['0000003_001']
    assert made[0].cameras == ()
    assert np.isnan(made[0].visibility).all()
    assert len(source) == 2


@pytest.mark.parametrize(
    ('field', 'make'),
    [
        ('first_seed', lambda: StreetDrives(first_seed=-1)),
        ('worlds', lambda: StreetDrives(worlds=0)),
        ('frames_per_world', lambda: StreetDrives(frames_per_world=0)),
        ('spacing', lambda: StreetDrives(spacing=0.0)),
    ],
)
def test_drives_that_cannot_be_are_refused(field: str, make: Callable[[], StreetDrives]):
    with pytest.raises(ConfigError, match=f'streets.{field}'):
        make()
