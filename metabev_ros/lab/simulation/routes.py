"""Ways through junctions: curves that lead from one lane into another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import STEP, Path

_HITCH = 0.4  # metres from a truck's rear to the point that its trailer turns about
_GAP = 1.2  # metres between a truck and its trailer when both go straight
_AXLE = 0.76  # place of a trailer's axle as a share of its length


def lane_line(path: Path, s0: float, s1: float, d: float) -> np.ndarray:
    """(N, 3) x, y and heading along a lane from s0 to s1; backwards where s1 < s0."""
    s = np.linspace(s0, s1, max(2, int(abs(s1 - s0) / STEP) + 1))
    x, y, heading, _ = path.pose(s, d)
    return np.stack([x, y, heading + (np.pi if s1 < s0 else 0.0)], axis=-1)


def join_lines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, 3) a line, a smooth curve from its end to the start of another one, and that one.

    The heading of the second line is unwrapped, so that it goes on from the curve's.
    """
    a, b = first[-1], second[0]
    chord = float(np.hypot(*(b[:2] - a[:2])))
    turn = (b[2] - a[2] + np.pi) % (2 * np.pi) - np.pi
    reach = chord * (0.36 + 0.05 * abs(turn))
    ahead = reach * np.array([np.cos(a[2]), np.sin(a[2])])
    after = reach * np.array([np.cos(b[2]), np.sin(b[2])])
    u = np.linspace(0, 1, max(4, int(chord / 0.25)))[:, None]
    xy = (
        (1 - u) ** 3 * a[:2]
        + 3 * u * (1 - u) ** 2 * (a[:2] + ahead)
        + 3 * u**2 * (1 - u) * (b[:2] - after)
        + u**3 * b[:2]
    )
    slope = np.gradient(xy, axis=0)
    heading = np.unwrap(np.arctan2(slope[:, 1], slope[:, 0]))
    heading += a[2] - heading[0]
    heading[-1] = a[2] + turn
    curve = np.column_stack([xy, heading])
    onward = second.copy()
    onward[:, 2] += a[2] + turn - b[2]
    return np.concatenate([first[:-1], curve, onward[1:]])


def path_along(line: np.ndarray, start: float = 0.0) -> Path:
    """The path by arc length along (N, 3) x, y and heading, `start` at its first point."""
    steps = np.hypot(*np.diff(line[:, :2], axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    keep = np.concatenate([[True], steps > 1e-9])
    s = np.arange(0.0, max(way[-1], STEP) + STEP / 2, STEP)
    columns = [np.interp(s, way[keep], line[keep, k]) for k in range(3)]
    return Path(start, np.stack(columns[:2], axis=-1), columns[2])


def trailer_path(truck: Path, truck_length: float, trailer_length: float) -> Path:
    """Places of a trailer's middle, by the place of its truck's middle on `truck`.

    The axle follows the hitch like a tractrix: it cuts corners.
    """
    ahead = np.stack([np.cos(truck.heading), np.sin(truck.heading)], axis=-1)
    hitch = truck.xy - (truck_length / 2 + _HITCH) * ahead
    front = _GAP - _HITCH
    to_axle = front + _AXLE * trailer_length
    x, y = hitch[0] - to_axle * ahead[0]
    places = []
    for hx, hy in hitch.tolist():
        share = to_axle / math.hypot(hx - x, hy - y)
        x, y = hx - (hx - x) * share, hy - (hy - y) * share
        places.append((x, y))
    axle = np.array(places)
    along = (hitch - axle) / to_axle
    heading = np.unwrap(np.arctan2(along[:, 1], along[:, 0]))
    return Path(truck.start, hitch - (front + trailer_length / 2) * along, heading)


def hitch_points(truck: np.ndarray, trailer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 2) the hitch by the box of the truck and by that of its trailer; both (M, >=7)."""
    points: list[np.ndarray] = []
    for box, reach in ((truck, -(truck[:, 3] / 2 + _HITCH)), (trailer, trailer[:, 3] / 2)):
        extra = 0.0 if box is truck else _GAP - _HITCH
        far = reach + extra
        ahead = np.stack([np.cos(box[:, 6]), np.sin(box[:, 6])], axis=-1)
        points.append(box[:, :2] + far[:, None] * ahead)
    return points[0], points[1]


def convoy_length(sizes: Sequence[np.ndarray]) -> float:
    """Metres from the first bumper to the last."""
    return float(sum(size[0] for size in sizes)) + _GAP * (len(sizes) - 1)
