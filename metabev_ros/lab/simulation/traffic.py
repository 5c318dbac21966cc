"""Recorded real traffic as a layout to be driven again with simulated sensors.

For evaluation only: what is recorded must never train the weights that are given away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.nuscenes_truth import CLASSES
from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, STEP, RoadNetwork
from metabev_ros.lab.datasets.synthetic.roads import Path as RoadPath
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.cast import Actors, Cast, Role
from metabev_ros.lab.simulation.layout import Layout
from metabev_ros.lab.simulation.plans import SpeedPlan
from metabev_ros.lab.simulation.routes import path_along
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.traffic_file import PERIOD, TrafficScene, read_traffic
from metabev_ros.lab.simulation.traffic_map import paint_traffic
from metabev_ros.structures import DETECTION_CLASSES

_STREAM = 43
_SMOOTH = 2.0  # frames: standard deviation of the ego's smoothing
_HALF_PLACE = 2.0  # metres around somebody where nothing is built
_STANDS = 0.3  # m/s below which something stands
_STYLES = {
    'boston-seaport': Style.DOWNTOWN,
    'singapore-onenorth': Style.DOWNTOWN,
    'singapore-queenstown': Style.ARTERIAL,
    'singapore-hollandvillage': Style.RESIDENTIAL,
}


@dataclass(frozen=True)
class RecordedMotion:
    """A way through poses at equal intervals, by cubic curves; it stands still after the last.

    Attributes:
        poses: (T, 3) x, y and heading (unwrapped), every PERIOD from t = 0.
    """

    poses: np.ndarray

    def _curve(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) poses and their changes in a second."""
        slopes = np.gradient(self.poses, axis=0)
        place = np.clip(np.asarray(t) / PERIOD, 0.0, len(self.poses) - 1.0)
        k = np.minimum(place.astype(np.int64), len(self.poses) - 2)
        u = (place - k)[:, None]
        p, q, a, b = self.poses[k], self.poses[k + 1], slopes[k], slopes[k + 1]
        value = (
            (2 * u**3 - 3 * u**2 + 1) * p
            + (u**3 - 2 * u**2 + u) * a
            + (3 * u**2 - 2 * u**3) * q
            + (u**3 - u**2) * b
        )
        rate = (
            (6 * u**2 - 6 * u) * (p - q) + (3 * u**2 - 4 * u + 1) * a + (3 * u**2 - 2 * u) * b
        ) / PERIOD
        inside = (np.asarray(t) / PERIOD == place)[:, None]
        return value, np.where(inside, rate, 0.0)

    def planar(self, t: np.ndarray) -> np.ndarray:
        """(N, 3) x, y in metres and heading in radians (unwrapped) at (N,) seconds."""
        return self._curve(t)[0]

    def world_from_ego(self, t: float) -> np.ndarray:
        """(4, 4) pose at `t` seconds."""
        x, y, heading = self.planar(np.array([t]))[0]
        return rigid_transform(rotation_z(float(heading)), (float(x), float(y), 0.0))

    def velocity(self, t: float) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame."""
        pose, rate = self._curve(np.array([t]))
        c, s = np.cos(pose[0, 2]), np.sin(pose[0, 2])
        vx, vy, turn = rate[0]
        return np.array([c * vx + s * vy, c * vy - s * vx, turn])


def read_evaluation_layout(path: Path, seed: int = 0) -> tuple[Layout, float]:
    """Read a recorded scene as a layout; for evaluation only, never for training.

    The world's origin is where the ego starts. Roads, lines and lanes are those of the map, the
    outline of the roads is their kerb. The map knows no walkways, crossings and car parks: a
    walkway runs along all kerbs, and where vehicles stand off the roads the ground is a car park.

    Args:
        path: as `read_traffic` takes it.
        seed: of the colours.

    Returns:
        The layout, and the seconds that it lasts.

    Raises:
        ConfigError: as `read_traffic`, and for a category that is not known.
    """
    scene = read_traffic(path)
    origin = scene.ego[0, :2].copy()
    ego = RecordedMotion(_smoothed(scene.ego - np.array([*origin, 0.0])))
    population = _population(scene, origin, seed)
    ground = paint_traffic(scene, origin, population, seed)
    guide = _guide(ego.poses)
    style = _STYLES.get(scene.location, Style.DOWNTOWN)
    areas = _taken(population, ground, scene.seconds)
    layout = Layout(style, (guide,), ((),), ego, population, areas, ground)
    return layout, scene.seconds


def _taken(population: Actors, ground: Ground, seconds: float) -> tuple[Area, ...]:
    """Squares where somebody is at any time, off everything that is mapped."""
    places = []
    for t in np.arange(0.0, seconds, 1.0):
        boxes, exists = population.at(float(t))
        off = ground.sample(ground.labels, boxes[:, :2]) == 0
        places.append(np.rint(boxes[exists & off, :2]))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _HALF_PLACE
    every = np.unique(np.concatenate(places), axis=0)
    return tuple(Area(place + corners, Surface.DRIVEWAY) for place in every)


def _smoothed(poses: np.ndarray) -> np.ndarray:
    """Recorded poses jump by up to a metre between frames: no vehicle moves like that."""
    reach = int(4 * _SMOOTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
    kernel /= kernel.sum()
    # Mirrored at a point, so that the first and last speed stay as they are.
    first = 2 * poses[0] - poses[1 : reach + 1][::-1]
    last = 2 * poses[-1] - poses[-reach - 1 : -1][::-1]
    padded = np.concatenate([first, poses, last])
    return np.stack([np.convolve(padded[:, k], kernel, 'valid') for k in range(3)], axis=-1)


def _population(scene: TrafficScene, origin: np.ndarray, seed: int) -> Actors:
    """All tracks of our classes, each on a path whose parameter is time."""
    classes = ClassMap(CLASSES)
    cast = Cast(np.random.default_rng([seed, _STREAM]))
    clock = cast.add_profile(SpeedPlan.steady(STEP / PERIOD))
    for category, track, valid, size in zip(
        scene.categories, scene.tracks, scene.valid, scene.sizes, strict=True
    ):
        name = classes.target(category)
        if name not in DETECTION_CLASSES:
            continue
        frames = np.flatnonzero(valid)
        first, last = int(frames[0]), int(frames[-1])
        every = np.arange(first, max(last, first + 1) + 1)
        yaw = np.unwrap(track[frames, 2])
        xy = [np.interp(every, frames, track[frames, k] - origin[k]) for k in range(2)]
        heading = np.interp(every, frames, yaw)
        path = RoadPath(first * STEP, np.stack(xy, axis=-1), heading)
        window = (first * STEP - 1e-6, last * STEP + 1e-6)
        role = _role(name, path)
        cast.move(
            name, cast.add_path(path), 0.0, profile=clock, window=window, role=role, size=size
        )
    return cast.actors()


def _role(name: str, path: RoadPath) -> Role:
    """Role of a track, by its class and its fastest second."""
    steps = path.xy[10:] - path.xy[:-10] if len(path.xy) > 10 else path.xy[-1:] - path.xy[:1]
    moves = float(np.hypot(*steps.T).max()) > _STANDS * 3
    if name in ('barrier', 'traffic_cone'):
        return Role.THING
    if name == 'pedestrian':
        return Role.WALKING if moves else Role.STANDING
    if name in ('bicycle', 'motorcycle'):
        return Role.RIDING if moves else Role.PARKED
    return Role.DRIVING if moves else Role.PARKED


def _guide(poses: np.ndarray) -> RoadNetwork:
    """A road where the ego drove: it says only along what the surroundings stand."""
    moves = np.concatenate([[True], np.hypot(*np.diff(poses[:, :2], axis=0).T) > 0.02])
    line = poses[moves]
    ahead = np.array([[np.cos(h), np.sin(h), 0.0] for h in (line[0, 2], line[-1, 2])])
    line = np.concatenate([line[:1] - MARGIN * ahead[0], line, line[-1:] + MARGIN * ahead[1]])
    main = path_along(line, -MARGIN)
    length = main.end - MARGIN
    return RoadNetwork(main, length, 2, 2, 3.5, 0.3, 3.0, (), ())
