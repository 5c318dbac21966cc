"""Static scenery beside the road: buildings, trees, poles and car parks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark, Ground
from metabev_ros.lab.datasets.synthetic.models import Cuboids
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, Path, RoadNetwork, SideStreet

_WALLS = np.array(
    [
        [168, 130, 104],
        [196, 186, 168],
        [142, 146, 152],
        [150, 92, 76],
        [120, 112, 100],
        [208, 200, 190],
        [96, 104, 116],
    ],
    dtype=np.float32,
)
_LEAVES = np.array([[52, 88, 40], [70, 104, 46], [88, 104, 40], [44, 74, 44]], dtype=np.float32)
_BARK, _POLE = (82, 62, 46), (92, 96, 98)
# Centre, size, yaw, colour, reflectivity, whether it is a facade.
Row = tuple[Sequence[float], Sequence[float], float, Sequence[float], float, bool]


def place_car_parks(rng: np.random.Generator, roads: RoadNetwork) -> tuple[CarPark, ...]:
    """Paved rectangles between the junctions, never on a bend that would fold them."""
    parks = []
    for side in (1, -1):
        for s0, s1 in roads.clear_intervals(-MARGIN, roads.length + MARGIN, margin=10.0):
            length = min(rng.uniform(22, 42), s1 - s0)
            if length < 14 or rng.uniform() > 0.9:
                continue
            start = s0 + rng.uniform() * (s1 - s0 - length)
            curvature = roads.main.pose(np.linspace(start, start + length, 9), 0.0)[3]
            if np.abs(curvature).max() < 0.012:
                parks.append(CarPark(start, start + length, side, 17.0))
    return tuple(parks)


def build_scenery(rng: np.random.Generator, roads: RoadNetwork, ground: Ground) -> Cuboids:
    """World-frame solids, none of them on a mapped surface, except trees and poles at kerbs."""
    return line_networks(rng, (roads,), ground)


def line_networks(
    rng: np.random.Generator, networks: Sequence[RoadNetwork], ground: Ground
) -> Cuboids:
    """The same along several networks."""
    rows: list[Row] = []
    for roads in networks:
        _line_main_street(rng, rows, roads, ground)
        for street in roads.streets:
            _line_side_street(rng, rows, roads, street, ground)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    centre, size, yaw, colour, reflectivity, facade = columns
    return Cuboids(
        centre,
        size,
        yaw,
        colour.astype(np.float32),
        reflectivity.astype(np.float32),
        np.full(len(rows), -1),
        facade,
    )


def _line_main_street(
    rng: np.random.Generator, rows: list[Row], roads: RoadNetwork, ground: Ground
) -> None:
    """Buildings and trees on both sides of the main street."""
    for side in (1, -1):
        near = roads.edge(side) + roads.walkway
        cursor = -MARGIN
        while cursor < roads.length + MARGIN:
            width, depth = rng.uniform(9, 24), rng.uniform(8, 16)
            _building(
                rng,
                rows,
                roads.main,
                ground,
                cursor + width / 2,
                side * (near + rng.uniform(1.5, 7) + depth / 2),
                width,
                depth,
            )
            cursor += width + (rng.uniform(0, 3) if rng.uniform() < 0.6 else rng.uniform(6, 22))
        _trees(rng, rows, roads, ground, side, near)


def _line_side_street(
    rng: np.random.Generator,
    rows: list[Row],
    roads: RoadNetwork,
    street: SideStreet,
    ground: Ground,
) -> None:
    """Buildings on both sides of a side street."""
    for side in (1, -1):
        cursor = street.mouth + roads.walkway + 6
        while cursor < street.length + 10:
            width, depth = rng.uniform(9, 20), rng.uniform(8, 14)
            _building(
                rng,
                rows,
                street.path,
                ground,
                cursor + width / 2,
                side * (street.half_width + 4.5 + depth / 2),
                width,
                depth,
            )
            cursor += width + rng.uniform(0, 8)


def _building(
    rng: np.random.Generator,
    rows: list[Row],
    path: Path,
    ground: Ground,
    s: float,
    d: float,
    width: float,
    depth: float,
) -> None:
    x, y, heading, _ = (float(value) for value in path.pose(s, d))
    along, across = np.meshgrid(
        np.linspace(-0.5, 0.5, 6) * (width + 2), np.linspace(-0.5, 0.5, 6) * (depth + 2)
    )
    c, sn = np.cos(heading), np.sin(heading)
    corners = np.stack([x + c * along - sn * across, y + sn * along + c * across], axis=-1)
    if ground.sample(ground.labels, corners).any() or _meets(rows, corners):
        return
    height = rng.uniform(4, 9) if rng.uniform() < 0.5 else rng.uniform(9, 24)
    wall = _WALLS[rng.integers(len(_WALLS))] + rng.uniform(-12, 12, 3)
    rows.append(((x, y, height / 2), (width, depth, height), heading, wall, 40.0, True))


def _meets(rows: list[Row], corners: np.ndarray) -> bool:
    for (cx, cy, _), (length, width, _), yaw, _, _, facade in rows:
        if facade:
            dx, dy = corners[..., 0] - cx, corners[..., 1] - cy
            c, s = np.cos(yaw), np.sin(yaw)
            if (
                (np.abs(c * dx + s * dy) < length / 2) & (np.abs(c * dy - s * dx) < width / 2)
            ).any():
                return True
    return False


def _trees(
    rng: np.random.Generator,
    rows: list[Row],
    roads: RoadNetwork,
    ground: Ground,
    side: int,
    near: float,
) -> None:
    cursor = -MARGIN + rng.uniform(0, 12)
    while cursor < roads.length + MARGIN:
        offset = near + rng.uniform(0.5, 1.1)
        x, y, heading, _ = (float(v) for v in roads.main.pose(cursor, side * offset))
        free = not ground.sample(ground.labels, np.array([[x, y]])).any()
        if free and rng.uniform() < 0.6:
            _tree(rng, rows, x, y)
        elif free:
            height = rng.uniform(5, 8)
            rows.append(((x, y, height / 2), (0.18, 0.18, height), heading, _POLE, 80.0, False))
            reach = near + 0.8 - roads.edge(side) + 1.0
            c, s = np.cos(heading + side * np.pi / 2), np.sin(heading + side * np.pi / 2)
            arm = (x - c * reach / 2, y - s * reach / 2, height)
            rows.append((arm, (0.14, reach, 0.14), heading, _POLE, 80.0, False))
        cursor += rng.uniform(6, 18)


def _tree(rng: np.random.Generator, rows: list[Row], x: float, y: float) -> None:
    """Trunk and two layers of leaves."""
    trunk, crown = rng.uniform(1.8, 2.8), rng.uniform(2.2, 4.2)
    leaves = _LEAVES[rng.integers(len(_LEAVES))] + rng.uniform(-10, 10, 3)
    yaw = rng.uniform(-np.pi, np.pi)
    rows.append(((x, y, trunk / 2), (0.32, 0.32, trunk), yaw, _BARK, 25.0, False))
    rows.append(
        (
            (x, y, trunk + crown * 0.4),
            (crown, crown, crown * 0.8),
            yaw,
            leaves,
            45.0,
            False,
        )
    )
    rows.append(
        (
            (x, y, trunk + crown * 0.8),
            (crown * 0.62,) * 3,
            yaw + 0.6,
            leaves * 1.12,
            45.0,
            False,
        )
    )
