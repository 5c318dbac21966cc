"""Roads with a median: motorways and some arterials."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.motion import LaneMotion
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, STEP, Path, Section
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.plans import SpeedPlan
from metabev_ros.lab.simulation.roadways import HABITS, draw_network, draw_path, draw_section
from metabev_ros.lab.simulation.routes import path_along
from metabev_ros.lab.simulation.sites import Roadway, Site, ego_plan, speeds_around
from metabev_ros.lab.simulation.style import Style


def draw_divided(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """Two carriageways with a median between them."""
    speed = float(rng.uniform(*HABITS[style].speed))
    if style is Style.MOTORWAY and rng.uniform() < 0.12:
        speed = rng.uniform(0.5, 8.0)  # a jam
    length = max(20.0, speed * (seconds + 1))
    middle = draw_path(rng, style, np.zeros(2), rng.uniform(-np.pi, np.pi), length)
    section, parks = draw_section(rng, style)
    median = rng.uniform(2.5, 9.0) if style is Style.MOTORWAY else rng.uniform(1.2, 5.0)
    section = Section(
        section.lane_width, max(2, section.lanes_right), 0, section.strip, section.walkway
    )
    offset = median / 2 + section.strip
    near = offset_path(middle, -offset)
    far = reversed_path(offset_path(middle, offset))
    lane = int(rng.integers(section.lanes_right))
    profile = ego_plan(rng, speed, seconds)
    if style is Style.MOTORWAY and rng.uniform() < 0.7:
        profile = SpeedPlan.steady(speed)
    roads = []
    for path in (near, far):
        network = draw_network(rng, style, path, length, section, sides=(-1,))
        own = speed if path is near else float(rng.uniform(*HABITS[style].speed))
        around = speeds_around(own)
        roads.append(Roadway(network, parks, True, (), around, sides=(-1,)))
    ego = LaneMotion(near, -(lane + 0.5) * section.lane_width, profile)
    island = middle.ribbon(middle.start, middle.end, -median / 2, median / 2)
    areas = (Area(island, Surface.ISLAND),)
    return Site(style, tuple(roads), ((), ()), ego, profile, lane, None, areas)


def offset_path(path: Path, d: float) -> Path:
    """The curve `d` metres to the left, with the same parameter: not its own arc length."""
    s = path.start + STEP * np.arange(len(path.xy))
    x, y, heading, _ = path.pose(s, d)
    line = np.stack([x, y, heading], axis=-1)
    moved = path_along(line, path.start)
    before = int(np.argmin(np.hypot(*(moved.xy - path.pose(0.0, d)[:2]).T)))
    return Path(-STEP * before, moved.xy, moved.heading)


def reversed_path(path: Path) -> Path:
    """The same curve driven the other way."""
    return Path(-MARGIN, path.xy[::-1].copy(), path.heading[::-1] + np.pi)
