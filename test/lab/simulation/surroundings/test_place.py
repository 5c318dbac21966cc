"""What stands beside the roads of every style."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.lab.datasets.synthetic.ground import DRIVABLE, paint_networks
from metabev_ros.lab.datasets.synthetic.roads import build_roads
from metabev_ros.lab.datasets.synthetic.scenery import place_car_parks
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.surroundings import build_surroundings


@pytest.fixture(scope='module')
def town():
    rng = np.random.default_rng([4, 11])
    roads = build_roads(rng, 60.0)
    return (roads,), paint_networks(rng, ((roads, place_car_parks(rng, roads)),))


def hills(xy):
    return 0.8 * np.sin(xy[..., 0] / 40.0) + 0.6 * np.cos(xy[..., 1] / 55.0)


def build(town, style, seed=1):
    networks, ground = town
    return build_surroundings(np.random.default_rng([seed, 7]), style, networks, ground, hills)


@pytest.mark.parametrize('style', Style)
def test_nothing_stands_on_the_road_below_four_metres(town, style):
    mesh = build(town, style)
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    inner = [corners.mean(1), *(corners[:, k] for k in range(3))]
    points = np.concatenate([*inner, *((corners[:, k] + corners[:, k - 1]) / 2 for k in range(3))])
    ground = town[1]
    on_road = ground.sample(ground.labels, points[:, :2]) & DRIVABLE > 0
    low = points[:, 2] - hills(points[:, :2]) < 4.0
    assert not (on_road & low).any(), points[on_road & low][:5]


def test_equal_seeds_give_equal_bytes_and_others_do_not(town):
    first, again, other = (build(town, Style.RESIDENTIAL, seed) for seed in (1, 1, 2))
    assert first.vertices.tobytes() == again.vertices.tobytes()
    assert first.colour.tobytes() == again.colour.tobytes()
    assert first.vertices.tobytes() != other.vertices.tobytes()
