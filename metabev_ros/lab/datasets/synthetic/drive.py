"""A drive: a sequence of frames, each a pure function of seed, configuration and index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    points_in_box,
    rigid_transform,
    rotation_z,
    transform_points,
    wrap_angle,
)
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.actors import SpeedProfile
from metabev_ros.lab.datasets.synthetic.camera import Shot, render
from metabev_ros.lab.datasets.synthetic.config import DriveConfig
from metabev_ros.lab.datasets.synthetic.faces import Scene, cuboid_corners
from metabev_ros.lab.datasets.synthetic.ground import paint_ground
from metabev_ros.lab.datasets.synthetic.lidar import scan
from metabev_ros.lab.datasets.synthetic.light import draw_light
from metabev_ros.lab.datasets.synthetic.models import Cuboids, build_parts
from metabev_ros.lab.datasets.synthetic.population import populate
from metabev_ros.lab.datasets.synthetic.rig import EGO_BOX, camera_calibrations, ego_from_lidar
from metabev_ros.lab.datasets.synthetic.roads import build_roads
from metabev_ros.lab.datasets.synthetic.scenery import build_scenery, place_car_parks
from metabev_ros.structures import CameraCalibration

_TRUTH_RANGE = 60.0
_SIGHT = 95.0


@dataclass(frozen=True)
class DriveFrame:
    """Everything the sensors gave at one instant, and the truth about it.

    Attributes:
        images: camera name -> (H, W, 3) uint8 RGB.
        points: (P, 5) float32 POINT_COLUMNS in the LiDAR frame.
        odom_from_ego: (4, 4) float64; the drive starts at the origin of odom.
        ego_velocity: (3,) float64 vx, vy in m/s and yaw rate in rad/s, in the ego frame.
    """

    stamp_ns: int
    images: dict[str, np.ndarray]
    calibrations: dict[str, CameraCalibration]
    points: np.ndarray
    ego_from_lidar: np.ndarray
    odom_from_ego: np.ndarray
    ego_velocity: np.ndarray
    ground_truth: GroundTruth


class SyntheticDrive:
    """A sequence of `DriveFrame`; equal seeds and configurations give equal frames."""

    def __init__(self, seed: int, config: DriveConfig | None = None) -> None:
        self.seed, self.config = int(seed), config or DriveConfig()
        rng = np.random.default_rng([self.seed, 1])
        self._ego_profile = SpeedProfile(
            rng.uniform(3.5, 11.5),
            rng.uniform(0, 0.2),
            rng.uniform(0.1, 0.4),
            rng.uniform(0, 6.28),
        )
        duration = self.config.duration_s
        length = max(self._ego_profile.distance(duration), 1.0)
        self._roads = build_roads(rng, length)
        ego_lane = int(rng.integers(self._roads.lanes_right))
        self._ego_d = -(ego_lane + 0.5) * self._roads.lane_width
        car_parks = place_car_parks(rng, self._roads)
        self._ground = paint_ground(rng, self._roads, car_parks)
        self._pyramid = _pyramid(self._ground.texture)
        self._scenery = build_scenery(rng, self._roads, self._ground)
        self._population = populate(
            rng, self._roads, car_parks, ego_lane, self._ego_profile, duration
        )
        self._light = draw_light(np.random.default_rng([self.seed, 2]), self.config.weather)
        self._calibrations = camera_calibrations(self.config)
        self._odom_from_world = inverse_rigid(self._world_from_ego(0.0))

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[DriveFrame]:
        return (self[index] for index in range(len(self)))

    def time_s(self, index: int) -> float:
        """Seconds from frame 0 to a frame."""
        return self.stamp_ns(index) * 1e-9 - self.config.start_ns * 1e-9

    def stamp_ns(self, index: int) -> int:
        """Stamp of a frame, nanoseconds."""
        return self.config.start_ns + round(index * 1e9 / self.config.rate_hz)

    def __getitem__(self, index: int) -> DriveFrame:
        if not 0 <= index < len(self):
            raise IndexError(f'frame {index} of a drive of {len(self)}')
        t = round(index * 1e9 / self.config.rate_hz) * 1e-9
        rng = np.random.default_rng([self.seed, 3, index])
        world_from_ego = self._world_from_ego(t)
        boxes, tracks = self._actors(t, world_from_ego)
        scene = self._scene(boxes, tracks, world_from_ego)
        points = scan(scene, self._ground, self.config.lidar_azimuths, rng)
        shots = {
            name: render(scene, self._ground, self._pyramid, camera, self._light, rng)
            for name, camera in self._calibrations.items()
        }
        lidar = ego_from_lidar()
        truth = self._truth(boxes, tracks, points, lidar, shots, world_from_ego)
        return DriveFrame(
            self.stamp_ns(index),
            {name: shot.pixels for name, shot in shots.items()},
            dict(self._calibrations),
            points,
            lidar,
            self._odom_from_world @ world_from_ego,
            self._ego_velocity(t),
            truth,
        )

    def _world_from_ego(self, t: float) -> np.ndarray:
        x, y, heading, _ = self._roads.main.pose(self._ego_profile.distance(t), self._ego_d)
        return rigid_transform(rotation_z(float(heading)), (float(x), float(y), 0.0))

    def _ego_velocity(self, t: float) -> np.ndarray:
        curvature = self._roads.main.pose(self._ego_profile.distance(t), self._ego_d)[3]
        rate = self._ego_profile.speed(t)
        return np.array([rate * (1 - curvature * self._ego_d), 0.0, rate * curvature])

    def _actors(self, t: float, world_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (M, 9) in the ego frame of everybody in sight, and their track ids."""
        world, exists = self._population.at(t)
        yaw = np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0])
        ego_from_world = inverse_rigid(world_from_ego)
        boxes = world.copy()
        boxes[:, :3] = transform_points(ego_from_world, world[:, :3])
        boxes[:, 6] = wrap_angle(world[:, 6] - yaw)
        boxes[:, 7:9] = world[:, 7:9] @ ego_from_world[:2, :2].T
        near = exists & (np.hypot(boxes[:, 0], boxes[:, 1]) < _SIGHT)
        tracks = np.flatnonzero(near)
        keep = without_overlap(boxes[tracks])
        return boxes[tracks[keep]], tracks[keep]

    def _scene(self, boxes: np.ndarray, tracks: np.ndarray, world_from_ego: np.ndarray) -> Scene:
        parts = build_parts(
            boxes, self._population.labels[tracks], self._population.colours[tracks]
        )
        ego_from_world = inverse_rigid(world_from_ego)
        still = self._scenery
        centre = transform_points(ego_from_world, still.centre)
        near = np.flatnonzero(np.hypot(centre[:, 0], centre[:, 1]) < 140.0)
        yaw = still.yaw - np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0])
        moved = Cuboids(
            centre, still.size, yaw, still.colour, still.reflectivity, still.owner, still.facade
        ).take(near)
        cuboids = Cuboids.join(parts, moved)
        return Scene(
            cuboids,
            cuboid_corners(cuboids),
            _shadow_polygons(boxes, self._light.sun, world_from_ego),
            world_from_ego,
            len(boxes),
        )

    def _truth(
        self,
        boxes: np.ndarray,
        tracks: np.ndarray,
        points: np.ndarray,
        lidar: np.ndarray,
        shots: Mapping[str, Shot],
        world_from_ego: np.ndarray,
    ) -> GroundTruth:
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < _TRUTH_RANGE
        cloud = transform_points(lidar, points[:, :3].astype(np.float64))
        visible, alone = np.zeros(len(boxes)), np.zeros(len(boxes))
        for shot in shots.values():
            visible += np.bincount(shot.owner[shot.owner >= 0], minlength=len(boxes))
            alone += shot.covered
        centres = NUSCENES_MAP_GRID.centres()
        world = centres @ world_from_ego[:2, :2].T + world_from_ego[:2, 3]
        truth = boxes[near].astype(np.float32)
        share = np.where(alone > 0, visible / np.maximum(alone, 1), 0.0)
        return GroundTruth(
            truth,
            self._population.labels[tracks[near]].astype(np.int64),
            count_points(cloud, truth),
            np.clip(share[near], 0, 1).astype(np.float32),
            tracks[near].astype(np.int64),
            self._ground.map_layers(world),
            {name: shot.depth for name, shot in shots.items()},
        )


def count_points(cloud: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(M,) int64 points of (P, 3) in each box; sorting by x spares most tests."""
    order = cloud[np.argsort(cloud[:, 0])]
    reach = np.hypot(boxes[:, 3], boxes[:, 4]) / 2 + 0.01
    first = np.searchsorted(order[:, 0], boxes[:, 0] - reach)
    last = np.searchsorted(order[:, 0], boxes[:, 0] + reach)
    return np.array(
        [
            int(points_in_box(order[a:b], box.astype(np.float64)).sum())
            for box, a, b in zip(boxes, first, last, strict=True)
        ],
        dtype=np.int64,
    )


def without_overlap(boxes: np.ndarray) -> np.ndarray:
    """Rows of (M, >=7) boxes to keep so that none meets another or the ego car.

    Traffic keeps apart by construction; this is the guarantee at tight bends and crossings.
    """
    x0, x1, y0, y1, _ = EGO_BOX
    ego = np.array([[(x0 + x1) / 2, (y0 + y1) / 2, 0, x1 - x0 + 1, y1 - y0 + 0.6, 2, 0]])
    every = np.concatenate([ego, boxes[:, :7]])
    reach = np.hypot(every[:, 3], every[:, 4]) / 2
    gap = np.linalg.norm(every[:, None, :2] - every[None, :, :2], axis=-1)
    first, second = np.nonzero(np.triu(gap < reach[:, None] + reach[None], 1))
    dropped = np.zeros(len(every), dtype=bool)
    for i, j in zip(first, second, strict=True):
        if not dropped[i] and not dropped[j] and _meet(every[i], every[j]):
            dropped[j] = True
    return np.flatnonzero(~dropped[1:])


def _meet(a: np.ndarray, b: np.ndarray, margin: float = 0.02) -> bool:
    """Separating axes of two rectangles."""
    delta = b[:2] - a[:2]
    axes = {}
    for name, box in (('a', a), ('b', b)):
        c, s = np.cos(box[6]), np.sin(box[6])
        axes[name] = (np.array([c, s]), np.array([-s, c]), box[3] / 2, box[4] / 2)
    for axis in (*axes['a'][:2], *axes['b'][:2]):
        reach = sum(abs(axis @ u) * p + abs(axis @ v) * q for u, v, p, q in axes.values())
        if abs(delta @ axis) > reach + margin:
            return False
    return True


def _pyramid(texture: np.ndarray, levels: int = 4) -> list[np.ndarray]:
    pyramid = [texture]
    for _ in range(levels - 1):
        last = pyramid[-1]
        even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        pyramid.append(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return pyramid


def _shadow_polygons(boxes: np.ndarray, sun: np.ndarray, world_from_ego: np.ndarray) -> np.ndarray:
    """(2 M, 4, 2): under each box, and thrown by the sun (its footprint moved half its height)."""
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2.0
    local = signs[None] * boxes[:, None, 3:5]
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    foot = (
        np.stack(
            [c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]], axis=-1
        )
        + boxes[:, None, :2]
    )
    direction = -(world_from_ego[:2, :2].T @ sun[:2]) / max(sun[2], 0.35)
    thrown = foot + (boxes[:, 5] * 0.5)[:, None, None] * direction
    return np.concatenate([foot, thrown])
