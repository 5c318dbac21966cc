"""A spinning LiDAR in a street: places, times, echoes, our own vehicle."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from metabev_ros.geometry import inverse_rigid, points_in_box, rigid_transform, transform_points
from metabev_ros.lab.simulation.building import build_street
from metabev_ros.lab.simulation.lidar_models import LIDAR_MODELS, LidarModel
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.rays import RayMesh
from metabev_ros.lab.simulation.scanning import OWN, Mounted, Returns, scan
from metabev_ros.lab.simulation.street import Street
from metabev_ros.lab.simulation.style import Style

MODEL = dataclasses.replace(LIDAR_MODELS[1], azimuths=720)
AT = 1.0


@cache
def street() -> Street:
    return build_street(5, 3.0, Style.ARTERIAL)


def mounted(model: LidarModel = MODEL, period: float = 0.1, height: float = 1.9) -> Mounted:
    return Mounted(model, rigid_transform(np.eye(3), (0.9, 0.0, height)), 0.3, period)


def swept(lidar: Mounted, rain: float = 0.0, seed: int = 0, own: RayMesh | None = None) -> Returns:
    world = street()
    nothing = RayMesh(Mesh.join([]))
    rng = np.random.default_rng(seed)
    return scan(world, world.instant(AT), lidar, own or nothing, rain, rng)


def in_world(returns: Returns, lidar: Mounted) -> np.ndarray:
    """(P, 3) places where the points were measured."""
    lags, row = np.unique(returns.lag, return_inverse=True)
    poses = street().ego_poses(AT + lags.astype(np.float64)) @ lidar.ego_from_lidar
    return np.einsum('pij,pj->pi', poses[row, :3, :3], returns.xyz) + poses[row, :3, 3]


def test_equal_seeds_give_equal_points_and_others_do_not():
    first, again, other = swept(mounted()), swept(mounted()), swept(mounted(), seed=1)
    np.testing.assert_array_equal(first.xyz, again.xyz)
    np.testing.assert_array_equal(first.intensity, again.intensity)
    assert len(first.xyz) != len(other.xyz) or not np.array_equal(first.xyz, other.xyz)


def test_columns_come_clockwise_and_end_at_the_stamp():
    returns = swept(mounted())
    assert returns.lag.max() <= 0
    assert returns.lag.min() > -0.1
    assert (np.diff(returns.lag) >= 0).all()
    azimuth = np.unwrap(np.arctan2(returns.xyz[:, 1], returns.xyz[:, 0]))
    assert azimuth[-1] < azimuth[0] - 5.5  # about one turn to the right


def test_points_on_the_ground_lie_on_the_terrain_though_the_vehicle_moves():
    lidar = mounted()
    returns = swept(lidar)
    world = in_world(returns, lidar)
    off = world[:, 2] - street().floor.terrain.height(world[:, :2])
    low = (returns.mover == -1) & (np.abs(off) < 0.3) & (np.hypot(*returns.xyz[:, :2].T) < 15)
    assert low.sum() > 1000
    assert np.median(np.abs(off[low])) < 0.02


def test_points_of_an_object_lie_in_its_box_at_their_own_time():
    lidar = mounted()
    returns = swept(lidar)
    instant = street().instant(AT)
    world = in_world(returns, lidar)
    moving = np.flatnonzero(np.hypot(*instant.movers.velocity[:, :2].T) > 3)
    checked = 0
    for k in moving:
        own = returns.mover == k
        if own.sum() < 20:
            continue
        then = world[own] - returns.lag[own, None] * instant.movers.velocity[k]
        box = np.concatenate([[0, 0, 0], np.linalg.norm(instant.movers.world_from_box[k, :3, :3],
                                                        axis=0), [0]])  # fmt: skip
        pose = instant.movers.world_from_box[k].copy()
        pose[:3, :3] /= np.linalg.norm(pose[:3, :3], axis=0)
        local = transform_points(inverse_rigid(pose), then)
        grown = box + np.array([0, 0, 0, 0.25, 0.25, 0.25, 0])
        assert points_in_box(local, grown).mean() > 0.97
        checked += 1
    assert checked >= 2


def test_our_own_vehicle_hides_what_is_behind_it_and_says_so():
    low, high = np.array([-1.0, -0.95, 0.2]), np.array([3.6, 0.95, 1.5])
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
    quads = np.array([[4, 5, 7, 6]])
    roof = Mesh.of(
        low + corners * (high - low),
        np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]),
        Material.CAR_PAINT,
    )
    bare, covered = swept(mounted()), swept(mounted(), own=RayMesh(roof))
    assert not (bare.mover == OWN).any()
    own = covered.xyz[covered.mover == OWN]
    assert len(own) > 100
    np.testing.assert_allclose(own[:, 2], 1.5 - 1.9, atol=0.12)


def test_cars_are_dark_for_a_lidar_and_signs_are_bright():
    returns = swept(mounted(LIDAR_MODELS[6]))
    labels = street().instant(AT).labels
    on_car = (returns.mover >= 0) & (labels[np.maximum(returns.mover, 0)] == 0)
    assert 1 <= np.median(returns.intensity[on_car]) <= 12  # 4 on real ones
    assert returns.intensity.max() > 100
    assert (returns.intensity == np.rint(returns.intensity)).all()


def test_rain_takes_far_points_and_adds_near_ones():
    dry, wet = swept(mounted()), swept(mounted(), rain=1.0)
    reach = [np.linalg.norm(r.xyz, axis=1) for r in (dry, wet)]
    assert (reach[1] > 35).sum() < 0.8 * (reach[0] > 35).sum()
    above = [(r.xyz[:, 2] > 0.3) & (d < 4) for r, d in zip((dry, wet), reach, strict=True)]
    assert above[1].sum() > above[0].sum()


@pytest.mark.parametrize('model', LIDAR_MODELS, ids=lambda model: model.name)
def test_every_kind_of_lidar_gives_its_rings_and_no_more(model: LidarModel):
    few = dataclasses.replace(model, azimuths=90)
    returns = swept(mounted(few, period=0.0))
    assert returns.ring.max() < few.beams
    assert len(returns.xyz) <= 90 * few.beams
    elevation = np.arcsin(returns.xyz[:, 2] / np.linalg.norm(returns.xyz, axis=1))
    told = np.deg2rad(np.array(few.elevations))[returns.ring]
    assert np.abs(elevation - told).max() < np.deg2rad(0.15)
    assert (returns.lag == 0).all()


def test_gain_and_falloff_of_a_unit_change_intensities_and_no_place():
    plain = swept(mounted())
    strong = swept(mounted(dataclasses.replace(MODEL, gain=2.0)))
    fading = swept(mounted(dataclasses.replace(MODEL, falloff=0.6)))
    np.testing.assert_array_equal(strong.xyz, plain.xyz)
    middle = (plain.intensity >= 10) & (plain.intensity <= 100)
    assert np.median(strong.intensity[middle] / plain.intensity[middle]) == pytest.approx(
        2, rel=0.05
    )
    away = np.linalg.norm(plain.xyz, axis=1)
    ratio = fading.intensity / np.maximum(plain.intensity, 1)
    assert np.median(ratio[middle & (away > 30)]) < 0.75
    assert np.median(ratio[middle & (away < 7)]) > 1.2
