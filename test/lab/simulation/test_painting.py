"""The painted ground of a layout."""

from __future__ import annotations

import dataclasses

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    ASPHALT,
    CARPARK,
    DRIVABLE,
    GRASS,
    PARKING,
    PAVING,
    WALKWAY,
    paint_networks,
)
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.layout import draw_layout
from metabev_ros.lab.simulation.painting import paint_layout
from metabev_ros.lab.simulation.style import Style

LAYOUT = draw_layout(1, 3.0, Style.RURAL)
SQUARE = np.array([[-4.0, -4.0], [4.0, -4.0], [4.0, 4.0], [-4.0, 4.0]])


def painted(surface: Surface, middle: np.ndarray) -> tuple[int, int]:
    """Material and labels in the middle of a square of some surface."""
    areas = (Area(SQUARE + middle, surface),)
    ground = paint_layout(np.random.default_rng(0), dataclasses.replace(LAYOUT, areas=areas))
    place = middle[None]
    return (
        int(ground.sample(ground.material, place)[0]),
        int(ground.sample(ground.labels, place)[0]),
    )


def test_areas_are_painted_over_the_roads():
    road = np.array([float(v) for v in LAYOUT.networks[0].main.pose(10.0, 1.0)[:2]])
    assert painted(Surface.ISLAND, road) == (GRASS, 0)
    assert painted(Surface.LOT, road) == (PARKING, CARPARK)
    assert painted(Surface.WALKWAY, road) == (PAVING, WALKWAY)
    material, labels = painted(Surface.DRIVEWAY, road)
    assert labels & DRIVABLE  # a road is no driveway
    beside = road + 40.0
    assert painted(Surface.ROAD, beside) == (ASPHALT, DRIVABLE)
    assert painted(Surface.DRIVEWAY, beside) == (PAVING, 0)


def test_without_areas_it_is_the_ground_of_the_networks():
    bare = dataclasses.replace(LAYOUT, areas=())
    ground = paint_layout(np.random.default_rng(0), bare)
    networks = list(zip(bare.networks, bare.car_parks, strict=True))
    assert np.array_equal(
        ground.texture, paint_networks(np.random.default_rng(0), networks).texture
    )


def test_an_area_outside_of_the_ground_is_left_alone():
    far = dataclasses.replace(LAYOUT, areas=(Area(SQUARE + 1e4, Surface.ROAD),))
    bare = dataclasses.replace(LAYOUT, areas=())
    first, second = (paint_layout(np.random.default_rng(0), layout) for layout in (far, bare))
    assert np.array_equal(first.labels, second.labels)
