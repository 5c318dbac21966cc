"""A spinning LiDAR on a moving vehicle: every column of a sweep has a time and a place.

Each ray starts where the sensor is at its own time and meets the solids where they are then.
Points are given in the LiDAR's frame of that time, as a real sensor sends them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.faces import Scene
from metabev_ros.lab.datasets.synthetic.ground import MATERIAL_REFLECTIVITY, Ground
from metabev_ros.lab.datasets.synthetic.lidar import RANGE_NOISE, in_ego, returned
from metabev_ros.lab.datasets.synthetic.measured import Sweep

_MIN_RANGE = 1.5


@dataclass(frozen=True)
class Spinner:
    """A LiDAR that stands upright.

    Attributes:
        elevations: (B,) radians, rising; beam 0 is ring 0.
        azimuths: columns of one revolution.
        last: azimuth of the last column, radians in the ego frame; it turns clockwise.
        position: (3,) metres in the ego frame; yaw: of its x axis, radians.
        reach: metres.
    """

    elevations: np.ndarray
    azimuths: int
    last: float
    position: np.ndarray
    yaw: float
    reach: float


@dataclass(frozen=True)
class Instants:
    """The vehicle over a sweep, in the ego frame at its stamp.

    Attributes:
        lag: (N,) seconds of each column, 0 for the stamp, negative before it.
        pose: (N, 3) x, y, yaw of the ego at the columns.
        velocity: (C, 3) vx, vy and yaw rate of each cuboid; `Scene` has it at the stamp.
        pivot: (C, 2) what they turn about: the centres of their actors.
    """

    lag: np.ndarray
    pose: np.ndarray
    velocity: np.ndarray
    pivot: np.ndarray


def spin(
    spinner: Spinner, scene: Scene, ground: Ground, instants: Instants, rng: np.random.Generator
) -> Sweep:
    """One sweep, in the order of its columns."""
    rays = _Rays(spinner, instants, rng.uniform())
    flat, hit = _cast(spinner, scene, instants, rays)
    cosine = np.cos(spinner.elevations)
    column, beam = np.nonzero((flat / cosine[:, None] < spinner.reach).T)
    distance = flat[beam, column] / cosine[beam]
    cuboid = hit[beam, column]
    away = flat[beam, column, None] * rays.direction[column]
    place = rays.origin[column] + away
    world = place @ scene.world_from_ego[:2, :2].T + scene.world_from_ego[:2, 3]
    is_ground = cuboid < 0
    base = np.where(
        is_ground,
        MATERIAL_REFLECTIVITY[ground.sample(ground.material, world)],
        np.append(scene.cuboids.reflectivity, 0)[cuboid],
    )
    sine = np.sin(spinner.elevations)[beam]
    slant = np.where(is_ground, np.abs(sine), 0.8)
    keep = rng.uniform(size=len(distance)) < returned(distance, base, slant)
    # Where the ray met it, seen from the vehicle at that time.
    angle = rays.azimuth[column]
    aside = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * flat[beam, column, None]
    height = sine * distance
    body = np.concatenate([aside, height[:, None]], axis=-1) + spinner.position
    keep &= (distance > _MIN_RANGE) & ~in_ego(body)
    noisy = distance + rng.normal(0, RANGE_NOISE, len(distance))
    intensity = base * rng.normal(1.0, 0.12, len(base)) + rng.normal(0, 1.5, len(base))
    level, own = np.cos(spinner.elevations)[beam] * noisy, angle - spinner.yaw
    xyz = np.stack([level * np.cos(own), level * np.sin(own), sine * noisy], axis=-1)
    owner = np.append(scene.cuboids.owner, -1)[cuboid]
    return Sweep(
        xyz[keep].astype(np.float32),
        np.clip(intensity, 0, 255)[keep].astype(np.float32),
        instants.lag[column[keep]].astype(np.float32),
        beam[keep].astype(np.uint16),
        owner[keep],
    )


class _Rays:
    """The columns of a sweep, seen from above in the ego frame at the stamp.

    Attributes:
        azimuth: (N,) radians in the ego frame of each column's own time.
        bearing: (N,) radians; origin: (N, 2) metres; direction: (N, 2).
        step: radians between columns.
    """

    def __init__(self, spinner: Spinner, instants: Instants, part: float) -> None:
        count = spinner.azimuths
        self.step = 2 * np.pi / count
        self.first = spinner.last + self.step * part  # of the last column
        self.azimuth = self.first + self.step * np.arange(count - 1, -1, -1)
        self.bearing = self.azimuth + instants.pose[:, 2]
        c, s = np.cos(instants.pose[:, 2]), np.sin(instants.pose[:, 2])
        x, y = spinner.position[:2]
        self.origin = instants.pose[:, :2] + np.stack([c * x - s * y, s * x + c * y], axis=-1)
        self.direction = np.stack([np.cos(self.bearing), np.sin(self.bearing)], axis=-1)


def _cast(
    spinner: Spinner, scene: Scene, instants: Instants, rays: _Rays
) -> tuple[np.ndarray, np.ndarray]:
    """(B, N) horizontal distance of the nearest hit and its cuboid, -1 for the ground."""
    tangent = np.tan(spinner.elevations)
    below = np.where(tangent < 0, spinner.position[2] / np.maximum(-tangent, 1e-9), np.inf)
    flat = np.repeat(below[:, None], spinner.azimuths, axis=1)
    hit = np.full(flat.size, -1, dtype=np.int32)
    low, high, beams = _windows(spinner, scene, instants, rays, tangent)
    k = np.flatnonzero((beams[0] < beams[1]) & (low <= high))
    cuboid, column = _spans(k, low[k], high[k] + 1)
    column %= spinner.azimuths
    enter, leave = _crossed(scene, instants, rays, cuboid, column)
    met = np.flatnonzero((enter <= leave) & (leave > 0))
    pair, beam = _spans(met, beams[0][cuboid[met]], beams[1][cuboid[met]])
    half = scene.cuboids.size[:, 2] / 2
    height = scene.cuboids.centre[:, 2] - spinner.position[2]
    owner = cuboid[pair]
    with np.errstate(divide='ignore', invalid='ignore'):
        z0 = (height - half)[owner] / tangent[beam]
        z1 = (height + half)[owner] / tangent[beam]
    begin = np.maximum(enter[pair], np.minimum(z0, z1))
    end = np.minimum(leave[pair], np.maximum(z0, z1))
    place = beam * spinner.azimuths + column[pair]
    nearest = flat.reshape(-1)
    good = np.flatnonzero((begin <= end) & (begin > 0) & (begin < nearest[place]))
    np.minimum.at(nearest, place[good], begin[good])
    good = good[begin[good] == nearest[place[good]]]
    hit[place[good]] = owner[good]
    return flat, hit.reshape(flat.shape)


def _spans(
    names: np.ndarray, first: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T,) each: every name with every whole number from its `first` to before its `stop`."""
    counts = np.maximum(stop - first, 0)
    begins = np.cumsum(counts) - counts
    return np.repeat(names, counts), np.arange(counts.sum()) - np.repeat(begins - first, counts)


def _crossed(
    scene: Scene, instants: Instants, rays: _Rays, cuboid: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(T,) horizontal distances at which columns enter and leave cuboids seen from above.

    A cuboid is where it is at the time of the column; enter > leave is a miss.
    """
    lag, velocity = instants.lag[column], instants.velocity[cuboid]
    turned = velocity[:, 2] * lag
    pivot = instants.pivot[cuboid]
    x, y = (scene.cuboids.centre[cuboid, :2] - pivot).T
    c, s = np.cos(turned), np.sin(turned)
    start = pivot - rays.origin[column] + velocity[:, :2] * lag[:, None]
    dx, dy = c * x - s * y + start[:, 0], s * x + c * y + start[:, 1]
    yaw = scene.cuboids.yaw[cuboid] + turned
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = c * dx + s * dy, c * dy - s * dx
    relative = rays.bearing[column] - yaw
    half = scene.cuboids.size[cuboid] / 2
    with np.errstate(divide='ignore', invalid='ignore'):
        ux, uy = 1 / np.cos(relative), 1 / np.sin(relative)
    x0, x1 = (x - half[:, 0]) * ux, (x + half[:, 0]) * ux
    y0, y1 = (y - half[:, 1]) * uy, (y + half[:, 1]) * uy
    enter = np.maximum(np.minimum(x0, x1), np.minimum(y0, y1))
    return enter, np.minimum(np.maximum(x0, x1), np.maximum(y0, y1))


def _windows(
    spinner: Spinner, scene: Scene, instants: Instants, rays: _Rays, tangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Columns and beams that can meet each cuboid, from where all are at three times."""
    cuboids = scene.cuboids
    half = cuboids.size / 2
    radius = np.hypot(half[:, 0], half[:, 1])
    count = len(instants.lag)
    bearings, nearest, farthest = [], np.full(len(radius), np.inf), np.zeros(len(radius))
    middle = np.zeros(len(radius))
    for column in (count // 2, 0, count - 1):
        shift = instants.velocity[:, :2] * instants.lag[column] - rays.origin[column]
        away = np.hypot(*(cuboids.centre[:, :2] + shift).T)
        corners = scene.corners[:, :4, :2] + shift[:, None]
        angle = np.arctan2(corners[..., 1], corners[..., 0]) - instants.pose[column, 2]
        if column == count // 2:
            centre = cuboids.centre[:, :2] + shift
            middle = np.arctan2(centre[:, 1], centre[:, 0]) - instants.pose[column, 2]
        bearings.append((angle - middle[:, None] + np.pi) % (2 * np.pi) - np.pi)
        nearest, farthest = np.minimum(nearest, away), np.maximum(farthest, away)
    spread = np.stack(bearings)
    # Between the three times a bearing bends by less than this.
    slack = 2 * rays.step + 0.02 * (spread.max((0, 2)) - spread.min((0, 2)))
    first, last = spread.min((0, 2)) + middle - slack, spread.max((0, 2)) + middle + slack
    # Columns run against the azimuth.
    low = np.floor(count - 1 - (last - rays.first) / rays.step).astype(int)
    high = np.ceil(count - 1 - (first - rays.first) / rays.step).astype(int)
    around = (nearest <= radius + 0.3) | (high - low >= count)
    low, high = np.where(around, 0, low), np.where(around, count - 1, high)
    near, far = np.maximum(nearest - radius, 0.05), farthest + radius
    top = cuboids.centre[:, 2] + half[:, 2] - spinner.position[2]
    bottom = cuboids.centre[:, 2] - half[:, 2] - spinner.position[2]
    first_beam = np.searchsorted(tangent, np.minimum(bottom / near, bottom / far))
    last_beam = np.searchsorted(tangent, np.maximum(top / near, top / far))
    last_beam = np.where(nearest - radius < spinner.reach, last_beam, 0)
    return low, high, (first_beam, last_beam)
