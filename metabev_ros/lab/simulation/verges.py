"""Grass between kerbs and walkways, and bulbs at the ends of streets that lead nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.sites import Roadway, Site
from metabev_ros.lab.simulation.style import Style

_SHARES = {
    Style.RESIDENTIAL: 0.4,
    Style.ARTERIAL: 0.35,
    Style.DOWNTOWN: 0.1,
    Style.INDUSTRIAL: 0.3,
}
_NARROWEST = 1.1  # metres that are left to walk on
_BULB = (6.5, 9.5)  # metres: radius of a turning place
_WORLD_STREET = 84.0  # metres: a shorter street may end there, a longer one goes on


def with_verges(rng: np.random.Generator, site: Site) -> Site:
    """The site with verges along some of its roads, and bulbs at ends of streets."""
    areas: list[Area] = []
    roadways: list[Roadway] = []
    for road in site.roadways:
        widest = road.network.walkway - _NARROWEST
        if rng.uniform() < _SHARES.get(site.style, 0.0) and widest > 0.4:
            verge = float(rng.uniform(0.4, min(widest, 2.5)))
            areas += _verges(road, verge)
            road = replace(road, verge=verge)
        roadways.append(road)
        if site.style is Style.RESIDENTIAL:
            areas += _bulbs(rng, road)
    return replace(site, roadways=tuple(roadways), areas=(*areas, *site.areas))


def _verges(road: Roadway, width: float) -> list[Area]:
    """Strips behind the kerbs, where no street and no crossing is."""
    roads, areas = road.network, []
    for side in road.sides:
        near = roads.edge(side) + 0.3  # the kerb stays
        for s0, s1 in roads.clear_intervals(roads.main.start, roads.main.end, margin=8.0):
            strip = roads.main.ribbon(s0, s1, side * near, side * (near + width))
            areas.append(Area(strip, Surface.VERGE))
    return areas


def _bulbs(rng: np.random.Generator, road: Roadway) -> list[Area]:
    """Turning places, each with a walkway around it."""
    areas = []
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for street in road.network.streets:
        if not street.mouth + 25.0 < street.length < _WORLD_STREET or rng.uniform() > 0.7:
            continue
        radius = rng.uniform(*_BULB)
        x, y = street.path.pose(street.length, 0.0)[:2]
        middle = np.array([float(x), float(y)])
        areas.append(Area(middle + (radius + 2.2) * circle, Surface.WALKWAY))
        # The street itself goes on through the walkway that surrounds the bulb.
        near, half = street.length - radius - 4.0, street.half_width
        areas.append(Area(street.path.ribbon(near, street.length, -half, half), Surface.ROAD))
        areas.append(Area(middle + radius * circle, Surface.ROAD))
    return areas
