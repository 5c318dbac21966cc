"""Two roads that meet at a roundabout, and the ego's way through it."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.motion import Driving, RouteMotion
from metabev_ros.lab.simulation.junctions import Ring, arms_of, draw_ways, way_through
from metabev_ros.lab.simulation.roadways import HABITS, draw_network, draw_path, draw_section
from metabev_ros.lab.simulation.routes import path_along
from metabev_ros.lab.simulation.sites import Roadway, Site
from metabev_ros.lab.simulation.style import Style


def draw_roundabout(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """A roundabout before the ego."""
    cruise = float(rng.uniform(*np.minimum(HABITS[style].speed, 10.0)))
    outer = rng.uniform(13.0, 21.0)
    at = outer + rng.uniform(8.0, 12.0 + 0.6 * cruise * seconds)
    (first, first_parks), (second, second_parks) = (draw_section(rng, style) for _ in range(2))
    main = draw_path(rng, style, np.zeros(2), rng.uniform(-np.pi, np.pi), at, (at,))
    x, y, ahead, _ = (float(v) for v in main.pose(at, 0.0))
    middle = np.array([x, y])
    angle = np.deg2rad(np.clip(rng.normal(90, 10), 70, 110))
    leg = draw_path(rng, style, middle, ahead + angle, 0.0, (0.0,))
    roads = draw_network(rng, style, main, at, first, ((at, outer),), (leg.xy,))
    lines = [main.xy, *(street.path.xy for street in roads.streets)]
    others = draw_network(rng, style, leg, 0.0, second, ((0.0, outer),), lines)
    ring = Ring(middle, outer, outer - rng.uniform(5.0, 6.5))
    arms = [*arms_of(main, at, first), *arms_of(leg, 0.0, second)]
    coming = next(arm for arm in arms if arm.path is main and arm.sign < 0)
    exits = [arm for arm in arms if arm.lanes(False) > 0 and arm is not coming]
    going = exits[int(rng.integers(len(exits)))]
    lane = first.lanes_right - 1
    reach = outer + 4.0
    line = way_through(coming, going, (lane, going.lanes(False) - 1), reach, ring)
    lead = -main.start
    ego = RouteMotion(line, lead, Driving(cruise, rng.uniform(1.8, 3.0), 1.4, 1.8))
    around = (2.0, max(4.0, 1.2 * cruise))
    return Site(
        style,
        (
            Roadway(roads, first_parks, False, ((at, outer),), around),
            Roadway(others, second_parks, False, ((0.0, outer),), around),
        ),
        ((), ()),
        ego,
        ego,
        lane,
        path_along(line, -lead),
        ring.areas(),
        draw_ways(rng, arms, 4, reach, ring),
    )
