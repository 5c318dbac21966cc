"""Car parks and yards: beside roads, and one that the ego drives through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.motion import Driving, EgoMotion, LaneMotion, RouteMotion
from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork
from metabev_ros.lab.simulation.plans import SpeedPlan
from metabev_ros.lab.simulation.roadways import draw_network, draw_path, draw_section
from metabev_ros.lab.simulation.routes import join_lines, lane_line, path_along
from metabev_ros.lab.simulation.sites import Roadway, Site
from metabev_ros.lab.simulation.style import Style

MODULE = 16.8  # metres of two rows of bays and the aisle between them
BAY = 2.8  # metres along the aisle
_FIRST_AISLE = 8.6  # metres from the edge of a car park to the middle of its first aisle
_ROOM = 16.0  # metres from a car park to the middle of any other road


def place_lots(
    rng: np.random.Generator,
    style: Style,
    roads: RoadNetwork,
    share: float,
    sides: Sequence[int],
    others: Sequence[np.ndarray],
) -> tuple[CarPark, ...]:
    """Car parks, or yards of industry, where there is room beside a road.

    Args:
        share: of the sides of the stretches between junctions that get one.
        others: (N, 2) lines of all other roads.
    """
    parks = []
    lines = np.concatenate(
        [street.path.xy for street in roads.streets] + [*others, np.full((1, 2), 1e6)]
    )
    for side in sides:
        for s0, s1 in roads.clear_intervals(roads.main.start, roads.main.end, margin=9.0):
            yard = style is Style.INDUSTRIAL and rng.uniform() < 0.6
            length = min(rng.uniform(24, 70), s1 - s0)
            depth = rng.uniform(26, 40) if yard else MODULE * int(rng.integers(1, 3)) + 0.2
            if length < 18 or rng.uniform() > share:
                continue
            start = s0 + rng.uniform() * (s1 - s0 - length)
            park = CarPark(start, start + length, side, depth)
            if has_room(roads, park, lines):
                parks.append(park)
    return tuple(parks)


def has_room(roads: RoadNetwork, park: CarPark, lines: np.ndarray) -> bool:
    """Tell whether a car park is on no bend that folds it, and on no other road."""
    s = np.linspace(park.s0, park.s1, 9)
    near = roads.edge(park.side) + roads.walkway
    if np.abs(roads.main.pose(s, 0.0)[3]).max() * (near + park.depth) > 0.25:
        return False
    grid_s, grid_d = np.meshgrid(s, near + np.linspace(0, park.depth, 5))
    x, y, _, _ = roads.main.pose(grid_s.ravel(), park.side * grid_d.ravel())
    places = np.stack([x, y], axis=-1)
    gaps = np.linalg.norm(places[:, None] - lines[None, ::6], axis=-1)
    return bool(gaps.min() > _ROOM)


def aisles(park: CarPark) -> tuple[float, ...]:
    """Metres behind the walkway of the middles of the aisles."""
    return tuple(np.arange(_FIRST_AISLE, park.depth - 6.0, MODULE).tolist())


def draw_lot(rng: np.random.Generator, seconds: float) -> Site:
    """A large car park beside a road; the ego is in it, mostly on its way."""
    style = Style.CAR_PARK
    section, parks = draw_section(rng, style)
    length = 70.0
    main = draw_path(rng, style, np.zeros(2), rng.uniform(-np.pi, np.pi), length)
    side = int(rng.choice([-1, 1]))
    roads = draw_network(rng, style, main, length, section, sides=(-side,))
    middle, span = rng.uniform(20, 50), rng.uniform(56, 100)
    depth = MODULE * int(rng.integers(2, 5)) + 0.2
    park = CarPark(middle - span / 2, middle + span / 2, side, depth)
    near = roads.edge(side) + roads.walkway
    ego, profile = _draw_ego(rng, main, park, near, seconds)
    road = Roadway(roads, parks, True, (), (5.0, 13.0))
    return Site(style, (road,), ((park,),), ego, profile, None)


def _draw_ego(
    rng: np.random.Generator, main: Path, park: CarPark, near: float, seconds: float
) -> tuple[EgoMotion, SpeedPlan | RouteMotion]:
    """Through the aisles, backwards out of a bay, into one, or standing in one."""
    kind = ('drives', 'leaves', 'enters', 'stands')[int(rng.choice(4, p=[0.64, 0.14, 0.12, 0.1]))]
    if kind == 'drives':
        line, lead = _way_through(rng, main, park, near)
        ego = RouteMotion(line, lead, Driving(rng.uniform(1.5, 6.0), 2.0, 1.0, 1.6))
        return ego, ego
    path = _into_bay(rng, main, park, near)
    if kind == 'stands':
        plan = SpeedPlan.steady(0.0)
    elif kind == 'leaves':
        begin, speed = rng.uniform(-2.0, 0.4 * seconds), rng.uniform(0.7, 1.6)
        length = min(path.end - path.start - 8.0, speed * 7)
        plan = SpeedPlan.walk(speed, length, begin)
        plan = SpeedPlan(plan.times, tuple(-v for v in plan.speeds))
    else:
        speed = rng.uniform(1.0, 2.2)
        length = rng.uniform(2.0, 14.0)
        plan = SpeedPlan.walk(speed, length, rng.uniform(-3.0, 0.3 * seconds))
        # It stands in the bay when the plan is done.
        path = Path(path.start + plan.distance(plan.times[-1]), path.xy, path.heading)
    return LaneMotion(path, 0.0, plan), plan


def _way_through(
    rng: np.random.Generator, main: Path, park: CarPark, near: float
) -> tuple[np.ndarray, float]:
    """(N, 3) along one aisle and back along the next, and the metres of it behind the ego."""
    rows = aisles(park)
    first = int(rng.integers(len(rows)))
    onward = first + 1 if first + 1 < len(rows) else first - 1
    low, high = park.s0 + 4.0, park.s1 - 4.0
    forth, back = (low, high) if rng.uniform() < 0.5 else (high, low)
    inside = 9.0 if forth < back else -9.0
    # Right-hand traffic keeps to the right of the aisle's middle.
    right = 0.6 * (-1 if forth < back else 1)
    d = park.side * (near + rows[first]) + right
    line = lane_line(main, forth, back - inside, d)
    if onward >= 0 and onward != first:
        other = park.side * (near + rows[onward]) - right
        line = join_lines(line, lane_line(main, back - inside, forth, other))
    lead = float(rng.uniform(2.0, abs(back - forth) - 12.0))
    return line, lead


def _into_bay(rng: np.random.Generator, main: Path, park: CarPark, near: float) -> Path:
    """The way from an aisle into a bay; arc length 0 where the vehicle stands in it."""
    rows = aisles(park)
    aisle = float(rng.choice(rows))
    outward = int(rng.choice([-1, 1]))
    s = park.s0 + 1.9 + BAY * round(rng.uniform(0.3, 0.7) * (park.s1 - park.s0) / BAY)
    along = int(rng.choice([-1, 1]))
    bay = park.side * (near + aisle + outward * np.array([2.6, 4.7]))
    d = park.side * (near + aisle) - park.side * outward * 1.2
    first = lane_line(main, s - along * 22, s - along * 6.5, d)
    x, y, heading, _ = main.pose(np.array([s, s]), bay)
    yaw = float(heading[0]) + park.side * outward * np.pi / 2
    second = np.stack([x, y, np.full(2, yaw)], axis=-1)
    path = path_along(join_lines(first, second))
    return Path(-(path.end - path.start), path.xy, path.heading)
