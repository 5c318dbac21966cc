"""Layouts: roads of a kind of place, the ego's way through them, and everybody who is there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark, Ground
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork
from metabev_ros.lab.simulation.areas import Area
from metabev_ros.lab.simulation.cast import Actors, Cast
from metabev_ros.lab.simulation.crowds.places import HABITS
from metabev_ros.lab.simulation.crowds.streets import populate
from metabev_ros.lab.simulation.divided import draw_divided
from metabev_ros.lab.simulation.lots import draw_lot, place_lots
from metabev_ros.lab.simulation.roundabouts import draw_roundabout
from metabev_ros.lab.simulation.settling import settle
from metabev_ros.lab.simulation.sites import Site, draw_streets
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.verges import with_verges

_STREAM = 41  # of the random numbers
_RARE = 2.5  # how much more frequent the rare classes are with `every_class`
# Share of the drives that meet a roundabout; the way beyond it is short.
_ROUNDABOUTS = {Style.RESIDENTIAL: 0.1, Style.ARTERIAL: 0.08, Style.DOWNTOWN: 0.05}
_LONG = 14.0  # seconds
_SHARES = {
    Style.DOWNTOWN: 0.3,
    Style.RESIDENTIAL: 0.18,
    Style.ARTERIAL: 0.2,
    Style.INDUSTRIAL: 0.12,
    Style.RURAL: 0.06,
    Style.MOTORWAY: 0.06,
    Style.CAR_PARK: 0.08,
}


@dataclass(frozen=True)
class Layout:
    """Roads and who is on them.

    Attributes:
        style: the kind of place.
        networks: roads, which may cross.
        car_parks: those of each network, as `paint_networks` takes them.
        ego: way of the ego vehicle in the plane.
        population: actors; row = track id.
        areas: ground beside and on the roads that the networks do not describe, in the order of
            painting. Nothing is built on any of it.
        ground: what is there already where the roads are those of a real map; None: to be painted.
    """

    style: Style
    networks: tuple[RoadNetwork, ...]
    car_parks: tuple[tuple[CarPark, ...], ...]
    ego: EgoMotion
    population: Actors
    areas: tuple[Area, ...] = field(default=())
    ground: Ground | None = None


def draw_layout(
    seed: int, seconds: float, style: Style | None = None, every_class: bool = False
) -> Layout:
    """Draw a layout; equal arguments give equal ones.

    Args:
        seconds: how long the ego drives, from t = 0.
        style: the kind of place; drawn where it is None.
        every_class: rare classes are more frequent than in real traffic.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if style is None:
        style = tuple(_SHARES)[int(rng.choice(len(_SHARES), p=list(_SHARES.values())))]
    site = with_verges(rng, _with_lots(rng, _draw_site(rng, style, seconds)))
    cast = Cast(rng, _RARE if every_class else 1.0)
    areas = populate(cast, site, seconds)
    return Layout(
        style,
        tuple(road.network for road in site.roadways),
        site.car_parks,
        site.ego,
        settle(cast.actors(), site.ego, seconds),
        (*site.areas, *areas),
    )


def _draw_site(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    if style is Style.CAR_PARK:
        return draw_lot(rng, seconds)
    if style is Style.MOTORWAY or (style is Style.ARTERIAL and rng.uniform() < 0.35):
        return draw_divided(rng, style, seconds)
    if style in _ROUNDABOUTS and seconds < _LONG and rng.uniform() < _ROUNDABOUTS[style]:
        return draw_roundabout(rng, style, seconds)
    return draw_streets(rng, style, seconds)


def _with_lots(rng: np.random.Generator, site: Site) -> Site:
    """The site with car parks where there is room."""
    share = HABITS[site.style].lots
    if share == 0 or any(site.car_parks):
        return site
    lines = [road.network.main.xy for road in site.roadways]
    streets = [[street.path.xy for street in road.network.streets] for road in site.roadways]
    lots: list[tuple[CarPark, ...]] = []
    for k, road in enumerate(site.roadways):
        others = [line for j, line in enumerate(lines) if j != k]
        others += [xy for j, paths in enumerate(streets) if j != k for xy in paths]
        crossed = len(site.roadways) > 1
        share_here = share * (0.5 if crossed else 1.0)
        lots.append(place_lots(rng, site.style, road.network, share_here, road.sides, others))
    return replace(site, car_parks=tuple(lots))
