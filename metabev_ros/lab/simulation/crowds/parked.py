"""Vehicles that stand: at kerbs, half on the walkway, double, in driveways and in car parks."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Mix
from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork
from metabev_ros.lab.simulation.cast import Cast, Role
from metabev_ros.lab.simulation.routes import convoy_length
from metabev_ros.lab.simulation.style import Style

_MIX: dict[Style, Mix] = {
    Style.INDUSTRIAL: (
        ('car', 0.45), ('truck', 0.3), ('trailer', 0.15), ('bus', 0.015),
        ('construction_vehicle', 0.02),
    ),
}  # fmt: skip
_COMMON: Mix = (
    ('car', 0.8), ('truck', 0.13), ('cycles', 0.012), ('bus', 0.012), ('trailer', 0.022),
    ('construction_vehicle', 0.004),
)  # fmt: skip


def park_along(
    cast: Cast,
    style: Style,
    path: Path,
    index: int,
    interval: tuple[float, float],
    kerb: float,
    share: float,
) -> None:
    """A row of vehicles beside a kerb.

    Args:
        index: of the path in the cast.
        interval: arc lengths.
        kerb: metres to the left of the path; below 0 the traffic goes along the path.
        share: of the places that are taken.
    """
    rng, side = cast.rng, int(np.sign(kerb))
    mix = tuple(
        (name, share * (1.0 if name == 'car' else cast.rare))
        for name, share in _MIX.get(style, _COMMON)
    )
    angled = rng.uniform() < 0.06
    cursor, end = interval
    cursor += rng.uniform(0, 4)
    taken = True
    while cursor < end - 4:
        # Those who park do so side by side: places are taken in runs.
        taken = taken if rng.uniform() < 0.6 else rng.uniform() < share
        if not taken:
            cursor += 5.5
            continue
        name = cast.choose(mix)
        if name == 'cycles':
            cursor += _cycle_row(cast, path, cursor, kerb, int(rng.integers(2, 7)))
            continue
        size = cast.size(name)
        room = size[0] + float(np.clip(rng.gamma(2.5, 0.5), 0.4, 4.0))
        if cursor + room > end:
            break
        curvature = float(path.pose(cursor + room / 2, 0.0)[3])
        stretch = 1 / max(0.4, 1 - max(0.0, curvature * kerb))
        d, turn = _beside_kerb(rng, kerb, float(size[1]))
        if angled and name == 'car':
            turn += side * rng.choice([-1, 1]) * 0.2
        place = cursor + room * stretch / 2
        cast.move(name, index, place, d, turn, role=Role.PARKED, size=size)
        cursor += room * stretch


def _beside_kerb(rng: np.random.Generator, kerb: float, width: float) -> tuple[float, float]:
    """Place to the left of the path, and heading against it, of somebody who parked at a kerb."""
    side = int(np.sign(kerb))
    inward = width / 2 + rng.uniform(0.05, 0.35)
    if rng.uniform() < 0.06:  # half on the walkway
        inward -= rng.uniform(0.4, 1.1)
    turn = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.025)
    if rng.uniform() < 0.08:
        turn += np.pi
    return kerb - side * inward, turn


def _cycle_row(cast: Cast, path: Path, cursor: float, kerb: float, count: int) -> float:
    """Cycles side by side across the strip; the metres that they take."""
    rng, side = cast.rng, np.sign(kerb)
    name = 'motorcycle' if rng.uniform() < 0.55 else 'bicycle'
    slant = rng.normal(0, 0.25)
    pitch = rng.uniform(0.75, 1.2)
    for k in range(count):
        x, y, heading, _ = path.pose(cursor + 0.6 + pitch * k, kerb - side * 1.2)
        yaw = float(heading) + side * np.pi / 2 + slant + rng.normal(0, 0.06)
        cast.stand(name, (float(x), float(y)), yaw, Role.PARKED)
    return pitch * count + 0.8


def double_park(cast: Cast, path: Path, index: int, s: float, d: float, direction: int) -> None:
    """A van or a car that stands in the lane."""
    name = 'truck' if cast.chance(0.4) else 'car'
    turn = 0.0 if direction > 0 else np.pi
    cast.move(name, index, s, d, turn + cast.rng.normal(0, 0.03), role=Role.PARKED)


def fill_driveways(
    cast: Cast, path: Path, interval: tuple[float, float], side: int, back: float
) -> list[np.ndarray]:
    """Cars on private ground behind the walkway; returns the paved places, (4, 2) metres each.

    Args:
        back: metres from the path to the walkway's back.
    """
    rng, places = cast.rng, []
    cursor = interval[0] + rng.uniform(2, 12)
    while cursor < interval[1] - 4:
        width, depth = rng.choice([3.0, 5.6], p=[0.6, 0.4]), rng.uniform(5.5, 9.0)
        places.append(
            path.ribbon(cursor, cursor + width, side * (back - 0.2), side * (back + depth))
        )
        for k in range(int(width // 2.7)):
            if rng.uniform() < 0.6:
                size = cast.size('car')
                d = side * (back + depth - size[0] / 2 - rng.uniform(0.2, 0.9))
                x, y, heading, _ = path.pose(cursor + 1.5 + 2.7 * k, d)
                yaw = float(heading) + rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.05)
                cast.stand('car', (float(x), float(y)), yaw, Role.PARKED, size)
        cursor += width + rng.uniform(7, 24)
    return places


def fill_car_park(cast: Cast, style: Style, roads: RoadNetwork, park: CarPark) -> None:
    """Rows of vehicles at the two long edges, and pairs of rows with aisles in a deep one."""
    rng = cast.rng
    near = roads.edge(park.side) + roads.walkway
    share = rng.uniform(0.2, 0.9)
    slant = 0.0 if rng.uniform() < 0.7 else rng.uniform(0.3, 0.8)
    for row in bay_rows(park):
        _fill_row(cast, style, roads.main, park, near, row, share, slant)


def bay_rows(park: CarPark) -> tuple[tuple[float, int], ...]:
    """(metres behind the walkway of the row's middle, heading of a car that drove in: +-1)."""
    rows = [(2.8, -1)]
    at, heads = 2.8 + 2.6 + 6.4 + 2.6, 1
    while at + 2.6 <= park.depth:
        rows.append((at, heads))
        at += 5.2 if heads > 0 else 11.6
        heads = -heads
    return tuple(rows)


def _fill_row(
    cast: Cast,
    style: Style,
    path: Path,
    park: CarPark,
    near: float,
    row: tuple[float, int],
    share: float,
    slant: float,
) -> None:
    rng, (at, heads) = cast.rng, row
    gate = (park.s0 + park.s1) / 2
    for s in np.arange(park.s0 + 1.9, park.s1 - 1.3, 2.8 / np.cos(slant)):
        if rng.uniform() > share or (abs(s - gate) < 4.5 and at < 4):
            continue
        long_ones = style is Style.INDUSTRIAL and rng.uniform() < 0.2
        name = 'truck' if long_ones or rng.uniform() < 0.035 else 'car'
        x, y, heading, _ = path.pose(
            s + rng.normal(0, 0.12), park.side * (near + at + rng.normal(0, 0.25))
        )
        yaw = float(heading) + park.side * heads * (np.pi / 2 - slant) + rng.normal(0, 0.035)
        if rng.uniform() < 0.25:  # backed in
            yaw += np.pi
        cast.stand(name, (float(x), float(y)), yaw, Role.PARKED)


def fill_yard(cast: Cast, path: Path, park: CarPark, near: float) -> None:
    """Trailers and trucks side by side in an industrial yard, some coupled."""
    rng = cast.rng
    s = park.s0 + 3.0
    while s < park.s1 - 3.0:
        size = cast.size('trailer')
        d = park.side * (near + park.depth - 1.0 - size[0] / 2 - rng.uniform(0, 0.8))
        drawn = rng.uniform()
        if drawn < 0.65:
            _back_in(cast, path, s, d, park.side, size, coupled=drawn < 0.2)
        elif drawn < 0.8:
            x, y, heading, _ = path.pose(s, d)
            yaw = float(heading) - park.side * np.pi / 2 + rng.normal(0, 0.03)
            cast.stand('truck', (float(x), float(y)), yaw, Role.PARKED)
        s += rng.uniform(3.6, 4.6)


def _back_in(
    cast: Cast, path: Path, s: float, d: float, side: int, size: np.ndarray, coupled: bool
) -> None:
    """A trailer with its rear to the back of the yard, and its truck where it has one."""
    x, y, heading, _ = path.pose(s, d)
    yaw = float(heading) - side * np.pi / 2 + cast.rng.normal(0, 0.02)
    row = -1
    if coupled:
        truck = cast.size('truck')
        reach = convoy_length((size, truck)) - size[0] / 2 - truck[0] / 2
        at = (float(x) + reach * np.cos(yaw), float(y) + reach * np.sin(yaw))
        row = cast.stand('truck', at, yaw, Role.PARKED, truck)
    cast.move('trailer', 0, float(x), float(y), yaw, role=Role.PARKED, size=size, tractor=row)
