"""Traffic in lanes: platoons that keep their gaps, queues, and those who turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Mix, Profile
from metabev_ros.lab.datasets.synthetic.roads import Path
from metabev_ros.lab.simulation.cast import Cast, Role
from metabev_ros.lab.simulation.plans import SpeedPlan, distances
from metabev_ros.lab.simulation.routes import (
    convoy_length,
    path_along,
    trailer_path,
)
from metabev_ros.lab.simulation.style import Style

_MIX: dict[Style, Mix] = {
    Style.DOWNTOWN: (
        ('car', 0.76), ('truck', 0.15), ('bus', 0.06), ('articulated', 0.03),
        ('motorcycle', 0.03), ('bicycle', 0.025), ('construction_vehicle', 0.005),
    ),
    Style.RESIDENTIAL: (
        ('car', 0.83), ('truck', 0.12), ('bus', 0.02), ('motorcycle', 0.03), ('bicycle', 0.03),
        ('construction_vehicle', 0.003),
    ),
    Style.ARTERIAL: (
        ('car', 0.76), ('truck', 0.16), ('bus', 0.06), ('articulated', 0.09),
        ('motorcycle', 0.03), ('bicycle', 0.01), ('construction_vehicle', 0.005),
    ),
    Style.INDUSTRIAL: (
        ('car', 0.52), ('truck', 0.22), ('bus', 0.015), ('articulated', 0.19),
        ('motorcycle', 0.015), ('bicycle', 0.01), ('construction_vehicle', 0.03),
    ),
    Style.RURAL: (
        ('car', 0.73), ('truck', 0.12), ('bus', 0.025), ('articulated', 0.06),
        ('motorcycle', 0.03), ('bicycle', 0.02), ('construction_vehicle', 0.02),
    ),
    Style.MOTORWAY: (
        ('car', 0.72), ('truck', 0.13), ('bus', 0.025), ('articulated', 0.13),
        ('motorcycle', 0.01),
    ),
    Style.CAR_PARK: (('car', 0.9), ('truck', 0.06), ('motorcycle', 0.03), ('bicycle', 0.02)),
}  # fmt: skip
_CYCLES = ('bicycle', 'motorcycle')


@dataclass(frozen=True)
class Lane:
    """One lane, or a way through a junction.

    Attributes:
        path: arc length along it; index: its place in the cast.
        d: metres to the left of the path; direction: +1 when its traffic goes along the path.
        low, high: arc lengths between which vehicles exist.
        enters: whether more come in where it begins; otherwise it begins inside the world, and
            nobody may appear there.
    """

    path: Path
    index: int
    d: float
    direction: int
    low: float
    high: float
    enters: bool = True

    @property
    def span(self) -> tuple[float, float]:
        """First and last place in the direction of the traffic, metres."""
        ends = (self.direction * self.low, self.direction * self.high)
        return min(ends), max(ends)


@dataclass(frozen=True)
class Flow:
    """Traffic of a lane.

    Attributes:
        speed: m/s, lowest and highest of a platoon.
        gap: metres between vehicles beyond the safe ones, mean.
        seconds: of the drive.
    """

    speed: tuple[float, float]
    gap: float
    seconds: float


def mix_of(cast: Cast, style: Style) -> Mix:
    """The vehicles of a kind of place; the rare ones as frequent as the cast asks."""
    often = {'car': 1.0, 'truck': (1.0 + cast.rare) / 2}
    return tuple((name, share * often.get(name, cast.rare)) for name, share in _MIX[style])


def fill_lane(
    cast: Cast, style: Style, lane: Lane, flow: Flow, ego: tuple[float, Profile] | None = None
) -> None:
    """Vehicles before and behind the ego, or before and behind somebody.

    Args:
        ego: place of the ego in this lane at t = 0 in the direction of the traffic, and its way.
    """
    rng, (first, last) = cast.rng, lane.span
    if ego is None:
        profile: Profile = _draw_plan(rng, flow)
        middle = float(rng.uniform(first, last))
        half = 1.0
    else:
        middle, profile = ego
        half = 4.5
    for ahead in (1, -1):
        _fill_side(cast, style, lane, flow, middle, half, profile, ahead)


def _fill_side(
    cast: Cast,
    style: Style,
    lane: Lane,
    flow: Flow,
    middle: float,
    half: float,
    profile: Profile,
    ahead: int,
) -> None:
    """Vehicles before (1) or behind (-1) a place, each at a safe distance from the last one."""
    rng, mix = cast.rng, mix_of(cast, style)
    times = np.linspace(-1.2, flow.seconds + 1.0, 24)
    way, index = distances(profile, times), cast.add_profile(profile)
    first, last = lane.span
    fastest = flow.speed[1] + 2.0
    travel = fastest * (flow.seconds + 1.2) if lane.enters else -1.2 * fastest
    cursor = middle + ahead * half
    while first - travel < cursor < last + flow.speed[1]:
        if rng.uniform() < 0.45:  # another platoon
            profile = _draw_plan(rng, flow)
            other = distances(profile, times)
            closing = float(np.max(ahead * (way - other)))
            way, index = other, cast.add_profile(profile)
            cursor += ahead * (max(closing, 0.0) + rng.exponential(flow.gap))
        safe = 2.0 + 0.9 * max(profile.speed(0.0), 0.0)
        cursor += ahead * (safe + rng.exponential(flow.gap))
        names = cast.choose(mix)
        length = add_vehicle(cast, lane, names, cursor, ahead, index)
        cursor += ahead * length


def _draw_plan(rng: np.random.Generator, flow: Flow) -> SpeedPlan:
    """Steady, or with a change of speed."""
    speed = rng.uniform(*flow.speed)
    if rng.uniform() < 0.6:
        return SpeedPlan.steady(speed)
    begin = rng.uniform(-1, 0.7 * flow.seconds)
    other = float(np.clip(speed + rng.normal(0, 3), 0.3 * flow.speed[0], flow.speed[1]))
    return SpeedPlan((begin, begin + abs(other - speed) / 1.4 + 0.5), (speed, other))


def add_vehicle(
    cast: Cast,
    lane: Lane,
    name: str,
    cursor: float,
    ahead: int,
    profile: int,
    role: Role = Role.DRIVING,
) -> float:
    """Add a vehicle whose bumper is at `cursor` and which lies ahead of it (1) or behind (-1).

    Returns:
        Its length, metres.
    """
    if name == 'articulated':
        return _add_articulated(cast, lane, cursor, ahead, profile, role)
    size, rng = cast.size(name), cast.rng
    place = lane.direction * (cursor + ahead * size[0] / 2)
    d, wander = lane.d, 0.18
    if name in _CYCLES:
        role = Role.RIDING
        wander = 0.5
        if name == 'bicycle':
            d -= lane.direction * 0.9
    d += float(np.clip(rng.normal(0, wander), -2 * wander, 2 * wander))
    turn = 0.0 if lane.direction > 0 else np.pi
    window = (lane.low, lane.high)
    cast.move(name, lane.index, place, d, turn, profile, lane.direction, window, role, size)
    return float(size[0])


def _add_articulated(
    cast: Cast, lane: Lane, cursor: float, ahead: int, profile: int, role: Role
) -> float:
    """Add a truck and the trailer that it draws; on a path of their own."""
    truck, trailer = cast.size('truck'), cast.size('trailer')
    length = convoy_length((truck, trailer))
    front = cursor + (length if ahead > 0 else 0.0)
    along = lane_path(lane)
    way = cast.add_path(along)
    behind = cast.add_path(trailer_path(along, float(truck[0]), float(trailer[0])))
    place = front - truck[0] / 2
    window = lane.span
    row = cast.move('truck', way, place, profile=profile, window=window, role=role, size=truck)
    cast.move(
        'trailer', behind, place, profile=profile, window=window, role=role, size=trailer,
        tractor=row,
    )  # fmt: skip
    return length


def lane_path(lane: Lane) -> Path:
    """The lane as a path of its own in the direction of the traffic; `s` as in `Lane.span`."""
    path = lane.path
    s = path.start + 0.5 * np.arange(len(path.xy))
    x, y, heading, _ = path.pose(s, lane.d)
    xy = np.stack([x, y], axis=-1)
    if lane.direction > 0:
        return Path(path.start, xy, heading)
    return Path(-path.end, xy[::-1].copy(), heading[::-1] + np.pi)


def queue(
    cast: Cast,
    style: Style,
    lane: Lane,
    stop: float,
    count: int,
    start: tuple[float, float] | None = None,
    ego: tuple[float, Profile] | None = None,
) -> None:
    """Vehicles that wait before a line.

    Args:
        stop: place of the line in the direction of the traffic, metres.
        start: when the first one starts (seconds), and the speed that all reach (m/s).
        ego: as in `fill_lane`; it waits in this queue.
    """
    rng, mix = cast.rng, mix_of(cast, style)
    cursor = stop - rng.uniform(0.2, 2.0)
    for k in range(count):
        if ego is not None and cursor < ego[0] + 4.6 + 8.5 and cursor > ego[0] - 3.0:
            cursor = ego[0] - 1.0 - rng.uniform(1.2, 3.0)
            continue
        plan = 0
        if start is not None:
            begin = start[0] + 1.1 * k + rng.uniform(0, 0.5)
            plan = cast.add_profile(SpeedPlan.start(start[1], rng.uniform(1.2, 2.0), begin))
        name = cast.choose(mix)
        cursor -= add_vehicle(cast, lane, name, cursor, -1, plan, Role.WAITING)
        cursor -= rng.uniform(1.0, 3.0)
    if rng.uniform() < 0.5:  # one comes up to it
        speed = rng.uniform(3.0, 10.0)
        brake, begin = rng.uniform(1.2, 2.2), rng.uniform(-1.5, 2.0)
        plan = SpeedPlan.stop(speed, brake, begin)
        left = plan.distance(begin + speed / brake + 1.0)
        add_vehicle(cast, lane, 'car', cursor - left, -1, cast.add_profile(plan))


def turn_into(
    cast: Cast, style: Style, line: np.ndarray, speed: tuple[float, float], count: int
) -> None:
    """Vehicles that turn at a junction, along (N, 3) x, y and heading of their way."""
    rng = cast.rng
    path = path_along(line)
    lane = Lane(path, cast.add_path(path), 0.0, 1, -1e3, 1e3)
    cursor = float(rng.uniform(5.0, path.end - 10.0))
    plan = cast.add_profile(SpeedPlan.steady(rng.uniform(*speed)))
    for _ in range(count):
        if cursor < 4.0:
            break
        cursor -= add_vehicle(cast, lane, cast.choose(mix_of(cast, style)), cursor, -1, plan)
        cursor -= rng.uniform(4.0, 25.0)
