"""People: alone, in pairs and groups, on walkways, at crossings, stops and cars."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import Path
from metabev_ros.lab.simulation.cast import Cast, Role
from metabev_ros.lab.simulation.plans import SpeedPlan
from metabev_ros.lab.simulation.routes import path_along


def stroll(
    cast: Cast,
    path: Path,
    index: int,
    interval: tuple[float, float],
    band: tuple[float, float],
    density: float,
) -> None:
    """People who walk along a road, each way, and some who stand there.

    Args:
        interval: arc lengths.
        band: metres to the left of the path between which they walk.
        density: people on 10 m.
    """
    rng, (low, high) = cast.rng, sorted(band)
    room = high - low
    if room < 0.5:
        return
    groups = rng.poisson(density * (interval[1] - interval[0]) / 10 / 1.5)
    for _ in range(int(groups)):
        s = float(rng.uniform(*interval))
        count = int(rng.choice([1, 2, 3, 4], p=[0.66, 0.23, 0.07, 0.04]))
        if rng.uniform() < 0.22:
            _standing_group(cast, path, s, (low, high), count)
        else:
            _walking_group(cast, index, s, (low, high), count)


def _walking_group(
    cast: Cast, index: int, s: float, band: tuple[float, float], count: int
) -> None:
    rng = cast.rng
    direction = int(rng.choice([-1, 1]))
    speed = float(np.clip(rng.normal(1.35, 0.25), 0.5, 2.2))
    if rng.uniform() < 0.03:
        speed = rng.uniform(2.4, 3.4)  # runs
    profile = cast.add_profile(SpeedPlan.steady(speed))
    turn = 0.0 if direction > 0 else np.pi
    d = rng.uniform(band[0] + 0.35, max(band[1] - 0.35, band[0] + 0.36))
    for k in range(count):
        beside = d + (k % 2) * rng.uniform(0.65, 0.9) * (1 if d < np.mean(band) else -1)
        place = s - direction * ((k // 2) * 1.1 + rng.uniform(0, 0.3))
        cast.move(
            'pedestrian', index, place, beside, turn + rng.normal(0, 0.06), profile, direction,
            role=Role.WALKING,
        )  # fmt: skip


def _standing_group(
    cast: Cast, path: Path, s: float, band: tuple[float, float], count: int
) -> None:
    rng = cast.rng
    d = rng.uniform(*band)
    x, y, heading, _ = path.pose(s, d)
    if count == 1:
        facing = float(heading) + rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.4)
        _sit_or_stand(cast, (float(x), float(y)), facing)
        return
    phase = rng.uniform(0, 2 * np.pi)
    for k in range(count):  # in a ring, face to face
        angle = phase + 2 * np.pi * k / count
        at = (float(x) + 0.6 * np.cos(angle), float(y) + 0.6 * np.sin(angle))
        yaw = angle + np.pi + rng.normal(0, 0.2)
        cast.stand('pedestrian', at, yaw, Role.STANDING)


def _sit_or_stand(cast: Cast, xy: tuple[float, float], yaw: float) -> None:
    if cast.chance(0.2):
        sit(cast, xy, yaw)
    else:
        cast.stand('pedestrian', xy, yaw, Role.STANDING)


def sit(cast: Cast, xy: tuple[float, float], yaw: float) -> None:
    """Somebody who sits: not so high, and longer."""
    size = cast.size('pedestrian') * np.array([1.15, 1.0, 0.74])
    cast.stand('pedestrian', xy, yaw, Role.SITTING, size)


def cross_road(
    cast: Cast, path: Path, s: float, d0: float, d1: float, count: int, seconds: float
) -> None:
    """People who cross from one kerb to the other, those who wait to do so, and stragglers."""
    rng = cast.rng
    for _ in range(count):
        start, stop = (d0, d1) if rng.uniform() < 0.5 else (d1, d0)
        outward = np.sign(start - stop)
        line = _across(path, s + rng.normal(0, 0.9), start + 0.8 * outward, stop - 0.8 * outward)
        length = float(np.hypot(*(line[-1, :2] - line[0, :2])))
        speed = float(np.clip(rng.normal(1.4, 0.2), 0.8, 2.4))
        begin = rng.uniform(-length / speed, 0.8 * seconds)
        profile = cast.add_profile(SpeedPlan.walk(speed, length, begin))
        road = path_along(line)
        gone = SpeedPlan.walk(speed, length, begin).distance(-60.0)
        cast.move('pedestrian', cast.add_path(road), -gone, profile=profile, role=Role.WALKING)


def _across(path: Path, s: float, d0: float, d1: float) -> np.ndarray:
    """(N, 3) the straight line across a road from one offset to another."""
    d = np.linspace(d0, d1, max(3, int(abs(d1 - d0) / 0.5)))
    x, y, heading, _ = path.pose(np.full(len(d), s), d)
    return np.stack([x, y, heading + np.sign(d1 - d0) * np.pi / 2], axis=-1)


def wait_at_kerb(cast: Cast, path: Path, s: float, kerb: float, count: int) -> None:
    """People side by side at a kerb, facing the road, or at a bus stop."""
    rng, side = cast.rng, np.sign(kerb)
    for k in range(count):
        x, y, heading, _ = path.pose(
            s + 0.8 * (k - count / 2) + rng.normal(0, 0.15),
            kerb + side * (rng.uniform(0.5, 0.9) + 0.8 * (k % 2) * (count > 4)),
        )
        yaw = float(heading) - side * np.pi / 2 + rng.normal(0, 0.3)
        _sit_or_stand(cast, (float(x), float(y)), yaw)


def board_cars(cast: Cast, share: float) -> None:
    """People beside parked cars that were added before: at a door, or at the boot."""
    rng = cast.rng
    cars = [row for row in cast.rows if row[0] == 0 and row[10] == Role.PARKED]
    for row in cars:
        if rng.uniform() >= share:
            continue
        size, path, s, d, turn = row[1], cast.paths[row[3]], row[4], row[5], row[6]
        x, y, heading, _ = path.pose(s, d)
        yaw = float(heading) + turn
        ahead, left = rng.uniform(-0.1, 0.2) * size[0], rng.choice([-1, 1])
        aside = left * (size[1] / 2 + rng.uniform(0.42, 0.7))
        if rng.uniform() < 0.2:
            ahead, aside = -size[0] / 2 - rng.uniform(0.42, 0.7), rng.uniform(-0.5, 0.5)
        at = (
            float(x) + ahead * np.cos(yaw) - aside * np.sin(yaw),
            float(y) + ahead * np.sin(yaw) + aside * np.cos(yaw),
        )
        facing = yaw - left * np.pi / 2 + rng.normal(0, 0.5)
        cast.stand('pedestrian', at, facing, Role.STANDING)


def wander(cast: Cast, low: np.ndarray, high: np.ndarray, frame: Path, count: int) -> None:
    """People who walk anywhere in a rectangle of a path's (s, d), as in a car park."""
    rng = cast.rng
    for _ in range(count):
        s, d = rng.uniform(low, high)
        x, y, heading, _ = frame.pose(s, d)
        yaw = float(heading) + rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.25)
        if rng.uniform() < 0.3:
            cast.stand('pedestrian', (float(x), float(y)), yaw, Role.STANDING)
            continue
        line = np.array([[x, y, yaw], [x + np.cos(yaw), y + np.sin(yaw), yaw]], dtype=float)
        profile = cast.add_profile(SpeedPlan.steady(float(rng.uniform(0.7, 1.7))))
        path = cast.add_path(path_along(line))
        cast.move('pedestrian', path, 0.0, profile=profile, role=Role.WALKING)
