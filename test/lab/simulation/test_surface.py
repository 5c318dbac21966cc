"""What the ground is made of and how it looks."""

from __future__ import annotations

import numpy as np
import pytest
from support.ground_worlds import ground_surface, ground_world

from metabev_ros.lab.datasets.synthetic.ground import (
    ASPHALT,
    GRASS,
    PAINT,
    PARKING,
    PAVING,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surface import draw_surface

SEEDS = (0, 1, 2)
MEANING = {
    GRASS: {Material.GRASS, Material.SOIL},
    ASPHALT: {Material.ASPHALT, Material.ROAD_PAINT},
    PAVING: {Material.PAVING, Material.GRASS, Material.SOIL},
    PARKING: {Material.ASPHALT, Material.PAVING, Material.ROAD_PAINT},
}


@pytest.mark.parametrize('seed', SEEDS)
def test_materials_agree_with_the_rasters_away_from_edges(seed):
    world, surface = ground_world(seed), ground_surface(seed)
    xy = world.road_points(np.random.default_rng(seed), 40_000)
    around = [
        world.ground.sample(world.ground.material, xy + 0.6 * np.array(offset))
        for offset in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, -0.7))
    ]
    inner = np.ptp(around, axis=0) == 0
    code, material = around[0], surface.material_at(xy)
    for number, meaning in MEANING.items():
        rows = inner & (code == number)
        assert rows.sum() > 100
        assert np.isin(material[rows], list(meaning)).mean() > 0.995


@pytest.mark.parametrize('seed', SEEDS)
def test_crossings_and_stop_lines_are_painted_where_the_raster_has_them(seed):
    world, surface = ground_world(seed), ground_surface(seed)
    xy = world.road_points(np.random.default_rng(seed), 200_000)
    painted = surface.material_at(xy) == Material.ROAD_PAINT
    drawn = world.ground.sample(world.ground.material, xy) == PAINT
    assert painted.any()
    # Styles differ in dashes and bars; by area the two are of one size.
    assert 0.3 < painted.sum() / drawn.sum() < 2.0


@pytest.mark.parametrize('seed', SEEDS)
def test_the_faces_of_kerbs_are_kerb_wherever_they_are_hit(seed):
    world, surface = ground_world(seed), ground_surface(seed)
    corners = world.mesh.vertices[world.mesh.triangles].astype(np.float64)
    middle = corners[world.mesh.material == Material.KERB].mean(axis=1)[:, :2]
    assert (surface.material_at(middle) == Material.KERB).mean() > 0.99


def test_colours_are_finite_and_do_not_depend_on_who_else_asks():
    world, surface = ground_world(0), ground_surface(0)
    xy = world.road_points(np.random.default_rng(8), 3000)
    footprint = np.geomspace(0.002, 3.0, 3000).astype(np.float32)
    colour = surface.colour_at(xy, footprint)
    assert colour.dtype == np.float32 and colour.shape == (3000, 3)
    assert np.isfinite(colour).all() and colour.min() >= 0 and colour.max() <= 255
    np.testing.assert_allclose(surface.colour_at(xy[7:300], footprint[7:300]), colour[7:300])


def test_large_pixels_see_the_mean_of_what_small_ones_see():
    """Pixels of half a metre inside the carriageway are as light as the points in them."""
    world, surface = ground_world(1), ground_surface(1)
    rng = np.random.default_rng(9)
    xy = world.road_points(rng, 20_000)
    xy = xy[surface.zones.at(xy)[:, 0] < -0.8][:200]
    inside = xy[:, None] + rng.uniform(-0.25, 0.25, (len(xy), 400, 2))
    small = surface.colour_at(inside.reshape(-1, 2), 0.004).reshape(len(xy), -1, 3).mean(axis=1)
    large = surface.colour_at(xy, 0.5)
    assert abs(small.mean() - large.mean()) < 0.06 * small.mean()
    assert np.median(np.abs(small - large)) < 10


def test_close_up_the_road_has_grain_and_from_afar_it_has_none():
    world, surface = ground_world(0), ground_surface(0)
    x, y = world.roads.main.pose(30.0, -1.0)[:2]
    xy = np.array([float(x), float(y)]) + np.random.default_rng(1).uniform(0, 0.2, (2000, 2))
    near, far = surface.colour_at(xy, 0.003), surface.colour_at(xy, 0.6)
    assert near.mean(axis=1).std() > 3 * far.mean(axis=1).std() > 0


def test_puddles_stand_on_the_road_here_and_there():
    world, surface = ground_world(0), ground_surface(0)
    wet = surface.wetness_at(world.road_points(np.random.default_rng(2), 20_000))
    assert wet.min() == 0 and wet.max() <= 1
    assert 0.01 < (wet > 0.5).mean() < 0.4


def test_equal_seeds_look_equal_and_others_do_not():
    world = ground_world(0)
    xy = world.road_points(np.random.default_rng(3), 2000)
    networks = ((world.roads, world.parks),)

    def colour(seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 3])
        surface = draw_surface(rng, world.terrain, world.ground, networks)
        return surface.colour_at(xy, 0.05)

    assert colour(0).tobytes() == ground_surface(0).colour_at(xy, 0.05).tobytes()
    assert np.abs(colour(4) - colour(0)).mean() > 1


def test_a_world_without_a_network_has_the_markings_of_its_raster():
    world = ground_world(0)
    surface = draw_surface(np.random.default_rng(0), world.terrain, world.ground)
    xy = world.road_points(np.random.default_rng(4), 40_000)
    drawn = world.ground.sample(world.ground.material, xy) == PAINT
    painted = surface.material_at(xy) == Material.ROAD_PAINT
    assert (painted == drawn).mean() > 0.97 and painted.any()
