"""A drive through a street as a vehicle's sensors give it: any rig, any lens, any pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.measured import Sweep, View
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.sensor_drive import START_NS, SensorDrive, truth_of
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind, TimingConfig, source_rng
from metabev_ros.lab.datasets.synthetic.vehicle_config import LidarMount, VehicleConfig
from metabev_ros.lab.datasets.synthetic.world import TRUTH_RANGE
from metabev_ros.lab.simulation.building import build_recorded_street, build_street
from metabev_ros.lab.simulation.cameras.light import draw_light
from metabev_ros.lab.simulation.cameras.render import Shutter, render
from metabev_ros.lab.simulation.carrier import carrier_mesh
from metabev_ros.lab.simulation.lidar_models import LidarModel
from metabev_ros.lab.simulation.rays import RayMesh
from metabev_ros.lab.simulation.scanning import Mounted, scan
from metabev_ros.lab.simulation.street import Instant, Street
from metabev_ros.lab.simulation.traffic_file import EVALUATION_ONLY

_STREAM = 51  # of the random numbers
_RAYS = 3  # of a pixel at edges and fine patterns


@dataclass(frozen=True)
class StreetMotion:
    """Motion of the vehicle through a street; `velocity` and `planar` are those in the plane."""

    street: Street

    def world_from_ego(self, t: float) -> np.ndarray:
        """(4, 4) pose at `t` seconds: on the ground, tilted with it."""
        return self.street.ego_poses(np.array([t]))[0]

    def velocity(self, t: float) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame."""
        return self.street.layout.ego.velocity(t)

    def planar(self, t: np.ndarray) -> np.ndarray:
        """(N, 3) x, y in metres and heading in radians (unwrapped) at (N,) seconds."""
        return self.street.layout.ego.planar(t)


class StreetVehicleDrive(SensorDrive):
    """A drive of a rig through a street; pose and terrain make it a way in space.

    Args:
        traffic: a recorded scene to drive again, for evaluation and never for training; a street
            of the seed unless given.

    Raises:
        ConfigError: as `SensorDrive`, for a file that is no recording, and for a drive that is
            longer than it.
    """

    def __init__(
        self,
        rig: RigConfig,
        seed: int,
        seconds: float,
        config: VehicleConfig | None = None,
        timing: TimingConfig | None = None,
        start_ns: int = START_NS,
        traffic: Path | None = None,
    ) -> None:
        super().__init__(rig, seed, seconds, config, timing, start_ns)
        self.traffic = traffic
        if traffic is None:
            self.street = build_street(self.seed, seconds)
        else:
            self.street, lasts = build_recorded_street(self.seed, traffic)
            limit = f'at most {lasts:.1f}, as long as {traffic} lasts'
            require(seconds <= lasts + 1e-6, 'drive.seconds', limit, seconds)
        rng = np.random.default_rng([self.seed, _STREAM])
        self.light = draw_light(rng, self.config.weather)
        self._own = RayMesh(carrier_mesh(rig.ego_box, self.mounts.poses, rng))
        self._lidars = {
            name: _mounted(
                mount, self.mounts.poses[name], self.period(name) if self.timing.spin else 0.0
            )
            for name, mount in self.mounts.lidars.items()
        }
        self._last: Instant | None = None

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Say what it is made of: that is what travels to other processes."""
        kind, made_of = super().__reduce__()
        return kind, (*made_of, self.traffic)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, one sentence each."""
        notes, usual = super().notes, VehicleConfig()
        if (self.config.cruise, self.config.turn_radius) != (usual.cruise, usual.turn_radius):
            notes += ('cruise and turn_radius are not used: the street says how it is driven',)
        return notes if self.traffic is None else (*notes, EVALUATION_ONLY)

    @property
    def ego(self) -> EgoMotion:
        """The true motion of the vehicle: on the ground, tilted with it."""
        return StreetMotion(self.street)

    def instant(self, event: Event) -> Instant:
        """The objects in sight at an event; the last one asked for is kept."""
        t = event.time_ns * 1e-9
        if self._last is None or self._last.time != t:
            self._last = self.street.instant(t)
        return self._last

    def view(self, event: Event) -> View:
        """The image of an event; its middle row looks at the event's time."""
        camera = self.camera_of(event)
        instant, rng = self.instant(event), source_rng(self.seed, 8, event.source, event.index)
        shutters = [Shutter(0.0, self.readout(event.source))]
        (shot,) = render(self.street, instant, [camera], self.light, rng, _RAYS, shutters)
        tracks = instant.tracks
        visible = np.bincount(shot.owner[shot.owner >= 0], minlength=len(tracks))
        seen = {
            int(tracks[k]): (int(visible[k]), int(shot.alone[k]))
            for k in np.flatnonzero(shot.alone)
        }
        return View(shot.pixels, np.append(tracks, -1)[shot.owner].astype(np.int32), seen)

    def sweep(self, event: Event) -> tuple[Sweep, dict[int, int]]:
        """The sweep that ends at an event, and track id -> points on the actor."""
        require(event.kind is Kind.SWEEP, 'drive.sweep', 'the event of a LiDAR', event)
        instant, rng = self.instant(event), source_rng(self.seed, 9, event.source, event.index)
        found = scan(
            self.street, instant, self._lidars[event.source], self._own, self.light.rain, rng
        )
        sweep = Sweep(found.xyz, found.intensity, found.lag, found.ring, found.mover)
        return sweep, sweep.counts(instant.tracks)

    def bare_truth(self, event: Event, points: Mapping[int, int]) -> GroundTruth:
        """The truth at the time of an event without what the cameras saw."""
        instant = self.instant(event)
        near = np.hypot(instant.boxes[:, 0], instant.boxes[:, 1]) < TRUTH_RANGE
        layers = self.street.map_layers(instant.world_from_ego)
        return truth_of(
            instant.boxes[near], instant.labels[near], instant.tracks[near], points, layers
        )


def _mounted(mount: LidarMount, pose: np.ndarray, period: float) -> Mounted:
    """The LiDAR of a mount; a sweep ends where it does in the ego frame, however it is tilted."""
    model = LidarModel(
        mount.name,
        tuple(np.linspace(mount.lowest, mount.highest, mount.beams).tolist()),
        mount.azimuths,
        reach=mount.reach,
    )
    end = np.deg2rad(mount.last)
    x, y, _ = pose[:3, :3].T @ np.array([np.cos(end), np.sin(end), 0.0])
    return Mounted(model, pose, float(np.arctan2(y, x)), period)
