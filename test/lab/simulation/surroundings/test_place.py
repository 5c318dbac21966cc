"""What stands beside the roads of every style."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from metabev_ros.lab.datasets.synthetic.ground import DRIVABLE, paint_networks
from metabev_ros.lab.datasets.synthetic.roads import build_roads
from metabev_ros.lab.datasets.synthetic.scenery import place_car_parks
from metabev_ros.lab.simulation.layout import draw_layout
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.painting import paint_layout
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.surroundings import build_surroundings
from metabev_ros.lab.simulation.surroundings.busy import busy_places

# What a place of each style has for certain, by material.
_HAS = {
    Style.DOWNTOWN: (Material.WINDOW, Material.SIGN, Material.BRICK, Material.CLOTH),
    Style.RESIDENTIAL: (Material.WINDOW, Material.ROOF, Material.WOOD, Material.LEAF),
    Style.ARTERIAL: (Material.WINDOW, Material.LAMP, Material.SIGN, Material.LEAF),
    Style.INDUSTRIAL: (Material.STEEL, Material.CONCRETE, Material.SIGN, Material.LEAF),
    Style.RURAL: (Material.BARK, Material.LEAF, Material.RETRO, Material.WOOD),
    Style.MOTORWAY: (Material.STEEL, Material.LEAF, Material.SIGN, Material.RETRO),
    Style.CAR_PARK: (Material.WINDOW, Material.LAMP, Material.LEAF, Material.SIGN),
}


@functools.cache
def town():
    rng = np.random.default_rng([4, 11])
    roads = build_roads(rng, 60.0)
    return (roads,), paint_networks(rng, ((roads, place_car_parks(rng, roads)),))


def hills(xy):
    return 0.8 * np.sin(xy[..., 0] / 40.0) + 0.6 * np.cos(xy[..., 1] / 55.0)


def build(style, seed=1):
    networks, ground = town()
    return build_surroundings(np.random.default_rng([seed, 7]), style, networks, ground, hills)


@functools.cache
def built(style):
    return build(style)


@pytest.mark.parametrize('style', Style)
def test_nothing_stands_on_the_road_below_four_metres(style):
    mesh = built(style)
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    inner = [corners.mean(1), *(corners[:, k] for k in range(3))]
    points = np.concatenate([*inner, *((corners[:, k] + corners[:, k - 1]) / 2 for k in range(3))])
    ground = town()[1]
    on_road = ground.sample(ground.labels, points[:, :2]) & DRIVABLE > 0
    low = points[:, 2] - hills(points[:, :2]) < 4.0
    assert not (on_road & low).any(), points[on_road & low][:5]


@pytest.mark.parametrize('style', Style)
def test_every_style_has_its_things_and_keeps_its_budget(style):
    mesh = built(style)
    area = np.prod(np.array(town()[1].labels.shape) * town()[1].cell)
    assert 60_000 < len(mesh.triangles) < 350_000 * max(1.0, area / 120_000)
    assert set(_HAS[style]) <= set(Material(int(m)) for m in np.unique(mesh.material))
    assert (mesh.slot == 0).all(), 'colours are final'
    assert np.isfinite(mesh.vertices).all()


@pytest.mark.parametrize('style', (Style.DOWNTOWN, Style.RESIDENTIAL, Style.RURAL))
def test_much_stands_near_the_road_at_the_height_of_vehicles(style):
    mesh = built(style)
    middle = mesh.vertices[mesh.triangles].mean(1)
    rise = middle[:, 2] - hills(middle[:, :2])
    roads = town()[0][0]
    main = roads.main.xy[::4]
    near = np.linalg.norm(middle[:, None, :2] - main[None, ::4], axis=-1).min(axis=1) < 25
    assert ((rise > 0.3) & (rise < 2.0) & near).sum() > 4000


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    first, again, other = (build(Style.RESIDENTIAL, seed) for seed in (1, 1, 2))
    assert first.vertices.tobytes() == again.vertices.tobytes()
    assert first.colour.tobytes() == again.colour.tobytes()
    assert first.vertices.tobytes() != other.vertices.tobytes()


def test_nothing_stands_in_the_objects():
    layout = draw_layout(3, 4.0, Style.RESIDENTIAL)
    ground = paint_layout(np.random.default_rng(1), layout)
    mesh = build_surroundings(
        np.random.default_rng(2),
        layout.style,
        layout.networks,
        ground,
        lambda xy: np.zeros(xy.shape[:-1]),
        busy_places(layout, 4.0),
    )
    middle = mesh.vertices[mesh.triangles].mean(1)
    middle = middle[(middle[:, 2] > 0.25) & (middle[:, 2] < 1.5)]
    for t in (0.0, 3.0):
        boxes, exists = layout.population.at(t)
        assert exists.sum() > 20
        for x, y, _, length, width, _, yaw, *_ in boxes[exists]:
            away = middle[:, :2] - (x, y)
            along = away @ (np.cos(yaw), np.sin(yaw))
            across = away @ (-np.sin(yaw), np.cos(yaw))
            assert not ((abs(along) < length / 2) & (abs(across) < width / 2)).any(), (x, y)
