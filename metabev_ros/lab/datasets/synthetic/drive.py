"""A drive: a sequence of frames, each a pure function of seed, configuration and index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.actors import SpeedProfile
from metabev_ros.lab.datasets.synthetic.camera import Shot, render
from metabev_ros.lab.datasets.synthetic.config import DriveConfig
from metabev_ros.lab.datasets.synthetic.ground import paint_ground
from metabev_ros.lab.datasets.synthetic.lidar import scan
from metabev_ros.lab.datasets.synthetic.light import draw_light
from metabev_ros.lab.datasets.synthetic.motion import LaneMotion
from metabev_ros.lab.datasets.synthetic.population import populate
from metabev_ros.lab.datasets.synthetic.rig import camera_calibrations, ego_from_lidar
from metabev_ros.lab.datasets.synthetic.roads import build_roads
from metabev_ros.lab.datasets.synthetic.scenery import build_scenery, place_car_parks
from metabev_ros.lab.datasets.synthetic.world import (
    TRUTH_RANGE,
    World,
    count_points,
    texture_pyramid,
)
from metabev_ros.structures import CameraCalibration


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
        self._world = _lane_world(self.seed, self.config)
        self._calibrations = camera_calibrations(self.config)
        self._odom_from_world = inverse_rigid(self._world.ego.world_from_ego(0.0))

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
        world_from_ego = self._world.ego.world_from_ego(t)
        boxes, tracks = self._world.actors(t, world_from_ego)
        scene = self._world.scene(boxes, tracks, world_from_ego)
        ground, pyramid = self._world.ground, self._world.pyramid
        points = scan(scene, ground, self.config.lidar_azimuths, rng)
        shots = {
            name: render(scene, ground, pyramid, camera, self._world.light, rng)
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
            self._world.ego.velocity(t),
            truth,
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
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < TRUTH_RANGE
        cloud = transform_points(lidar, points[:, :3].astype(np.float64))
        visible, alone = np.zeros(len(boxes)), np.zeros(len(boxes))
        for shot in shots.values():
            visible += np.bincount(shot.owner[shot.owner >= 0], minlength=len(boxes))
            alone += shot.covered
        truth = boxes[near].astype(np.float32)
        share = np.where(alone > 0, visible / np.maximum(alone, 1), 0.0)
        return GroundTruth(
            truth,
            self._world.population.labels[tracks[near]].astype(np.int64),
            count_points(cloud, truth),
            np.clip(share[near], 0, 1).astype(np.float32),
            tracks[near].astype(np.int64),
            self._world.map_layers(world_from_ego),
            {name: shot.depth for name, shot in shots.items()},
        )


def _lane_world(seed: int, config: DriveConfig) -> World:
    """One main street, driven along in one lane."""
    rng = np.random.default_rng([seed, 1])
    profile = SpeedProfile(
        rng.uniform(3.5, 11.5),
        rng.uniform(0, 0.2),
        rng.uniform(0.1, 0.4),
        rng.uniform(0, 6.28),
    )
    roads = build_roads(rng, max(profile.distance(config.duration_s), 1.0))
    lane = int(rng.integers(roads.lanes_right))
    car_parks = place_car_parks(rng, roads)
    ground = paint_ground(rng, roads, car_parks)
    scenery = build_scenery(rng, roads, ground)
    population = populate(rng, roads, car_parks, lane, profile, config.duration_s)
    light = draw_light(np.random.default_rng([seed, 2]), config.weather)
    ego = LaneMotion(roads.main, -(lane + 0.5) * roads.lane_width, profile)
    return World(ego, ground, texture_pyramid(ground.texture), scenery, population, light)
