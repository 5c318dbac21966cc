"""The height of the ground, and its mesh."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.ground_worlds import ground_world, look_down

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.ground import (
    CROSSING,
    DRIVABLE,
    WALKWAY,
    paint_ground,
)
from metabev_ros.lab.datasets.synthetic.roads import build_roads
from metabev_ros.lab.simulation.ground_mesh import ground_mesh
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surface import draw_surface
from metabev_ros.lab.simulation.terrain import Profile, build_terrain, draw_terrain

SEEDS = (0, 1, 2)


@pytest.mark.parametrize('seed', SEEDS)
def test_the_mesh_is_as_high_as_the_terrain_and_has_no_hole(seed):
    world, rng = ground_world(seed), np.random.default_rng(seed)
    xy = np.concatenate([world.points(rng, 20_000), world.road_points(rng, 20_000)])
    xy = xy.astype(np.float32).astype(np.float64)  # as the rays have them
    height, _ = look_down(world.mesh, xy)
    assert np.isfinite(height).all()
    distance = world.terrain.kerb.at(xy)[:, 0]
    error = np.abs(height - world.terrain.height(xy))
    assert error[np.abs(distance) > 1e-4].max() < 1e-3


@pytest.mark.parametrize('seed', SEEDS)
def test_the_ground_goes_on_beyond_the_raster(seed):
    world = ground_world(seed)
    size = world.ground.cell * np.array(world.ground.labels.shape[::-1])
    turn = np.linspace(0, 2 * np.pi, 400)
    xy = world.ground.origin + size / 2 + 0.7 * size * np.stack([np.cos(turn), np.sin(turn)], -1)
    height, _ = look_down(world.mesh, xy)
    error = np.abs(height - world.terrain.height(xy))
    # A street that the border cuts ends there with a kerb that has no face.
    assert np.quantile(error, 0.95) < 1e-3 and error.max() < world.terrain.profile.kerb + 1e-3


@pytest.mark.parametrize('seed', SEEDS)
def test_kerb_faces_are_upright_as_high_as_drawn_and_look_at_the_road(seed):
    world = ground_world(seed)
    corners = world.mesh.vertices[world.mesh.triangles].astype(np.float64)
    faces = corners[world.mesh.material == Material.KERB]
    normal = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    length = np.linalg.norm(normal, axis=-1)
    some = length > 1e-4
    faces, normal = faces[some], normal[some] / length[some, None]
    assert np.abs(normal[:, 2]).max() < 1e-9
    middle = faces.mean(axis=1)[:, :2]
    front = world.terrain.kerb.at(middle + 0.05 * normal[:, :2])[:, 0]
    behind = world.terrain.kerb.at(middle - 0.05 * normal[:, :2])[:, 0]
    assert (front < behind).all()
    height = world.terrain.height(middle - 0.3 * normal[:, :2]) - world.terrain.height(
        middle + 0.3 * normal[:, :2]
    )
    profile = world.terrain.profile
    assert abs(np.quantile(height, 0.9) - profile.kerb) < 0.02
    assert np.quantile(height, 0.02) < profile.kerb / 2  # lowered somewhere


@pytest.mark.parametrize('seed', SEEDS)
def test_all_triangles_but_kerbs_look_up_and_their_slope_is_bounded(seed):
    world = ground_world(seed)
    flat = world.mesh.material != Material.KERB
    corners = world.mesh.vertices[world.mesh.triangles[flat]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 2] > 0).all()
    large = normal[:, 2] > 0.01
    middle = corners[large].mean(axis=1)[:, :2]
    road = world.ground.sample(world.ground.labels, middle) & DRIVABLE > 0
    unit = normal[large] / np.linalg.norm(normal[large], axis=-1, keepdims=True)
    slope = np.rad2deg(np.arccos(np.clip(unit[road, 2], -1, 1)))
    assert np.quantile(slope, 0.999) < 6.0  # hills of 4 degrees and the road's crown


def test_a_world_has_few_triangles():
    assert max(len(ground_world(seed).mesh.triangles) for seed in SEEDS) < 250_000


def test_walkways_lie_above_the_road_and_are_lowered_at_crossings():
    world = ground_world(0)
    terrain, ground = world.terrain, world.ground
    xy = world.road_points(np.random.default_rng(4), 60_000)
    label = ground.sample(ground.labels, xy)
    distance, rise = terrain.kerb.at(xy).T
    raised = terrain.height(xy) - terrain.base.at(xy)
    walkway = (label & WALKWAY > 0) & (distance > 0.2)
    road = (label & DRIVABLE > 0) & (distance < -0.2)
    assert np.abs(raised[road]).max() == 0
    assert np.median(raised[walkway]) == pytest.approx(terrain.profile.kerb)
    crossing = ground.sample(ground.labels, xy) & CROSSING > 0
    lowered = rise[crossing & (np.abs(distance) < 0.3)]
    assert len(lowered) > 50 and np.quantile(lowered, 0.9) < terrain.profile.lip + 0.01


def test_the_slope_is_that_of_the_hills_in_the_middle_of_a_road():
    world = ground_world(0)
    main = world.roads.main
    xy = np.stack(main.pose(np.linspace(main.start + 20, main.end - 20, 200), 0.0)[:2], axis=-1)
    error = world.terrain.slope(xy) - world.terrain.relief.gradient(xy)
    assert np.abs(error).max() < 0.004
    assert np.abs(world.terrain.relief.gradient(xy)).max() > 0.0005


def test_what_stands_on_the_road_has_its_wheels_on_it():
    world, rng = ground_world(2), np.random.default_rng(5)
    main = world.roads.main
    s = rng.uniform(main.start + 5, main.end - 5, 300)
    x, y, yaw, _ = main.pose(s, -world.roads.lane_width / 2)
    length, width = np.full(300, 4.6), np.full(300, 1.9)
    poses = world.terrain.stand(np.stack([x, y], axis=-1), yaw, length, width)
    rotation = poses[:, :3, :3]
    unit = rotation @ rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    wheels = np.array([[a * 1.38, b * 0.8, 0, 1] for a in (1, -1) for b in (1, -1)])
    feet = np.einsum('nij,kj->nki', poses, wheels)[..., :3]
    assert np.abs(feet[..., 2] - world.terrain.height(feet[..., :2])).max() < 0.02
    np.testing.assert_allclose(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]), wrap(yaw))
    assert np.abs(rotation[:, 2, 0]).max() > 1e-3  # it does tilt


def wrap(angle: np.ndarray) -> np.ndarray:
    return np.arctan2(np.sin(angle), np.cos(angle))


def test_people_stand_upright_where_the_ground_is():
    world = ground_world(2)
    xy = world.road_points(np.random.default_rng(6), 50)
    yaw, size = np.linspace(-3, 3, 50), np.full(50, 0.6)
    poses = world.terrain.stand(xy, yaw, size, size, upright=True)
    np.testing.assert_array_equal(poses[:, :3, 2], np.tile([0.0, 0.0, 1.0], (50, 1)))
    np.testing.assert_array_equal(poses[:, 2, 3], world.terrain.height(xy))


def test_equal_seeds_give_equal_bytes():
    world = ground_world(1)
    again = draw_terrain(np.random.default_rng([1, 2]), world.ground)
    mesh = ground_mesh(again, world.ground)
    for field in dataclasses.fields(mesh):
        assert getattr(mesh, field.name).tobytes() == getattr(world.mesh, field.name).tobytes()
    other = draw_terrain(np.random.default_rng([9, 2]), world.ground)
    assert not np.array_equal(other.base.values, again.base.values)


@pytest.mark.parametrize('raised', [False, True])
def test_a_car_park_is_level_with_the_road_or_the_walkway(raised):
    world = ground_world(0)
    profile = Profile(kerb=0.12, raised_parks=raised)
    terrain = build_terrain(np.random.default_rng(0), world.ground, world.terrain.relief, profile)
    park = world.parks[0]
    d = world.roads.left_edge + world.roads.walkway + park.depth / 2
    xy = np.stack(world.roads.main.pose(np.array([20.0, 30.0]), d)[:2], axis=-1)
    raise_by = terrain.height(xy) - terrain.base.at(xy)
    np.testing.assert_allclose(raise_by, 0.12 if raised else 0.0)


def test_a_kerb_without_height_is_refused():
    with pytest.raises(ConfigError, match=r'Profile\.kerb'):
        Profile(kerb=0.0)


def test_a_road_without_walkways_has_no_kerb_and_grass_begins_on_its_level():
    rng = np.random.default_rng([7, 1])
    roads = dataclasses.replace(build_roads(rng, 40.0), walkway=0.0, streets=(), junctions=())
    ground = paint_ground(rng, roads, ())
    terrain = draw_terrain(rng, ground)
    mesh = ground_mesh(terrain, ground)
    assert not (mesh.material == Material.KERB).any()
    assert terrain.kerb.values[..., 1].max() == 0
    surface = draw_surface(rng, terrain, ground, ((roads, ()),))
    s = np.linspace(0, 40, 50)
    beside = np.stack(roads.main.pose(s, roads.left_edge + 0.1)[:2], axis=-1)
    assert not np.isin(surface.material_at(beside), [Material.KERB, Material.PAVING]).any()
