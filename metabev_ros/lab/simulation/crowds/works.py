"""Work zones: cones in tapers, rows of barriers, machines and workers inside."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import Path
from metabev_ros.lab.simulation.cast import Cast, Role


def barrier_row(
    cast: Cast, path: Path, s0: float, s1: float, d0: float, d1: float, pitch: float
) -> None:
    """Barriers end to end along a road, from one offset to another.

    Args:
        pitch: metres from one barrier to the next beyond its own width.
    """
    rng = cast.rng
    size = cast.size('barrier')
    count = max(1, int((s1 - s0) / (size[1] + pitch)))
    for k in range(count):
        share = (k + 0.5) / count
        d = d0 + share * (d1 - d0) + rng.normal(0, 0.05)
        x, y, heading, _ = path.pose(s0 + share * (s1 - s0), d)
        slope = np.arctan2(d1 - d0, s1 - s0)
        yaw = float(heading) + slope + np.pi / 2 + rng.normal(0, 0.03)
        cast.stand('barrier', (float(x), float(y)), yaw, Role.THING, size)


def cone_row(
    cast: Cast, path: Path, s0: float, s1: float, d0: float, d1: float, pitch: float
) -> None:
    """Cones along a line between two places of a road."""
    rng = cast.rng
    count = max(2, int(np.hypot(s1 - s0, d1 - d0) / pitch) + 1)
    for share in np.linspace(0, 1, count):
        d = d0 + share * (d1 - d0) + rng.normal(0, 0.12)
        x, y, _, _ = path.pose(s0 + share * (s1 - s0) + rng.normal(0, 0.15), d)
        cast.stand('traffic_cone', (float(x), float(y)), rng.uniform(-np.pi, np.pi), Role.THING)


def work_zone(
    cast: Cast, path: Path, s0: float, length: float, kerb: float, inner: float
) -> tuple[float, float]:
    """A closed stretch beside a kerb.

    Args:
        s0: where its taper begins, metres.
        kerb, inner: metres to the left of the path: the closed part lies between them.

    Returns:
        Arc lengths of both ends.
    """
    rng = cast.rng
    taper = min(rng.uniform(6, 16), length / 3)
    cone_row(cast, path, s0, s0 + taper, kerb, inner, rng.uniform(1.2, 2.5))
    first, last = s0 + taper + 1.5, s0 + length - 2.0
    if rng.uniform() < 0.45:
        barrier_row(cast, path, first, last, inner, inner, rng.choice([0.03, 0.03, 0.6, 1.5]))
    else:
        cone_row(cast, path, first, last, inner, inner, rng.uniform(1.6, 4.0))
    cone_row(cast, path, last + 1, s0 + length + 1, inner, kerb, rng.uniform(1.2, 2.4))
    _machines(cast, path, first, last, kerb, inner)
    for _ in range(int(rng.poisson(1.4))):
        x, y, _, _ = path.pose(
            rng.uniform(first, last), rng.uniform(min(kerb, inner), max(kerb, inner))
        )
        yaw = rng.uniform(-np.pi, np.pi)
        cast.stand('pedestrian', (float(x), float(y)), yaw, Role.WORKING)
    return s0, s0 + length


def construction_site(
    cast: Cast, path: Path, s0: float, length: float, front: float, depth: float
) -> np.ndarray:
    """A site beside the road, shut off by barriers, with machines, trucks and workers.

    Args:
        front: metres to the left of the path of its edge towards the road.
        depth: metres.

    Returns:
        (N, 2) its ground.
    """
    rng, side = cast.rng, np.sign(front)
    if rng.uniform() < 0.6:
        barrier_row(cast, path, s0, s0 + length, front, front, rng.choice([0.03, 0.4]))
    for _ in range(int(rng.integers(2, 5)) + int(cast.seldom(0.3))):
        name = 'construction_vehicle'
        if rng.uniform() < 0.3:
            name = str(rng.choice(['truck', 'trailer', 'car'], p=[0.5, 0.25, 0.25]))
        d = front + side * rng.uniform(4.0, depth - 3.0)
        x, y, heading, _ = path.pose(rng.uniform(s0 + 4, s0 + length - 4), d)
        yaw = float(heading) + rng.uniform(-np.pi, np.pi)
        cast.stand(name, (float(x), float(y)), yaw, Role.PARKED)
    for _ in range(int(rng.poisson(2.0))):
        d = front + side * rng.uniform(0.8, depth - 1.0)
        x, y, _, _ = path.pose(rng.uniform(s0, s0 + length), d)
        cast.stand('pedestrian', (float(x), float(y)), rng.uniform(-np.pi, np.pi), Role.WORKING)
    return path.ribbon(s0, s0 + length, front, front + side * depth)


def _machines(
    cast: Cast, path: Path, first: float, last: float, kerb: float, inner: float
) -> None:
    """Construction vehicles, or a truck."""
    rng, side = cast.rng, np.sign(kerb)
    middle, room = (kerb + inner) / 2, abs(kerb - inner)
    s = first + rng.uniform(3.5, 8.0)
    while s < last - 3.0:
        if cast.seldom(0.8):
            name = 'construction_vehicle' if rng.uniform() < 0.75 else 'truck'
            size = cast.size(name)
            # A wide one stands partly on the walkway rather than in the traffic.
            d = middle + side * max(0.0, size[1] / 2 + 0.35 - room / 2)
            x, y, heading, _ = path.pose(s, d)
            yaw = float(heading) + rng.choice([0.0, np.pi]) + rng.normal(0, 0.12)
            cast.stand(name, (float(x), float(y)), yaw, Role.PARKED, size)
        s += rng.uniform(9, 16)
