"""A drive through the city of solids as a vehicle's sensors give it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.camera import Drawing, draw, expose
from metabev_ros.lab.datasets.synthetic.city import build_city
from metabev_ros.lab.datasets.synthetic.faces import Scene
from metabev_ros.lab.datasets.synthetic.lens import LensMap, is_ideal, lens_map
from metabev_ros.lab.datasets.synthetic.measured import Sweep, View
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.sensor_drive import START_NS, SensorDrive, truth_of
from metabev_ros.lab.datasets.synthetic.spinning import Instants, Spinner, spin
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind, TimingConfig, source_rng
from metabev_ros.lab.datasets.synthetic.vehicle_config import LidarMount, VehicleConfig
from metabev_ros.lab.datasets.synthetic.world import TRUTH_RANGE, World
from metabev_ros.structures import CameraCalibration

BANDS = 8  # of a picture with a rolling shutter


class VehicleDrive(SensorDrive):
    """A drive of a rig through the city; its LiDARs stand upright."""

    def __init__(
        self,
        rig: RigConfig,
        seed: int,
        seconds: float,
        config: VehicleConfig | None = None,
        timing: TimingConfig | None = None,
        start_ns: int = START_NS,
    ) -> None:
        super().__init__(rig, seed, seconds, config, timing, start_ns)
        self._spinners = {
            name: _spinner(name, self.mounts.poses[name], mount)
            for name, mount in self.mounts.lidars.items()
        }
        self.world: World = build_city(
            self.seed, seconds, self.config.cruise, self.config.turn_radius, self.config.weather
        )
        self._lenses: dict[str, LensMap] = {}

    @property
    def ego(self) -> EgoMotion:
        """The true motion of the vehicle, on flat ground."""
        return self.world.ego

    def view(self, event: Event) -> View:
        """The image of an event."""
        camera, readout = self.camera_of(event), self.readout(event.source)
        t = event.time_ns * 1e-9
        seen: dict[int, tuple[int, int]] = {}
        if readout == 0:
            picture, owner = self._picture(event.source, camera, t, seen)
        else:
            picture, owner = self._rolling(event.source, camera, t, readout, seen)
        rng = source_rng(self.seed, 8, event.source, event.index)
        return View(expose(picture, self.world.light, rng), owner, seen)

    def _rolling(
        self,
        name: str,
        camera: CameraCalibration,
        t: float,
        readout: float,
        seen: dict[int, tuple[int, int]],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bands of rows, each at its own time; the middle row at `t`."""
        edges = np.linspace(0, camera.height, BANDS + 1).astype(int)
        pictures, owners = [], []
        for k, (top, bottom) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            then = t + ((k + 0.5) / BANDS - 0.5) * readout
            rows = slice(int(top), int(bottom))
            if is_ideal(camera):
                matrix = camera.intrinsics.copy()
                matrix[1, 2] -= top
                band = CameraCalibration(
                    camera.width, int(bottom - top), matrix, camera.ego_from_camera
                )
                picture, owner = self._picture(name, band, then, seen)
            else:
                picture, owner = self._picture(name, camera, then, seen)
                picture, owner = picture[rows], owner[rows]
            pictures.append(picture)
            owners.append(owner)
        return np.concatenate(pictures), np.concatenate(owners)

    def _picture(
        self, name: str, camera: CameraCalibration, t: float, seen: dict[int, tuple[int, int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) float32 without noise and (H, W) int32 track ids; adds to `seen`."""
        scene, _, tracks = self.scene(t)
        if is_ideal(camera):
            drawings = [self._draw(scene, camera)]
            picture, owner = drawings[0].picture, drawings[0].owner
        else:
            if name not in self._lenses:
                self._lenses[name] = lens_map(camera)
            drawings = [self._draw(scene, face) for face in self._lenses[name].faces]
            picture, owner = self._lenses[name].picture(drawings)
        visible = np.bincount(owner[owner >= 0], minlength=len(tracks))
        alone = np.sum([drawing.covered for drawing in drawings], axis=0)
        for k in np.flatnonzero(alone):
            before = seen.get(int(tracks[k]), (0, 0))
            seen[int(tracks[k])] = before[0] + int(visible[k]), before[1] + int(alone[k])
        return picture, np.append(tracks, -1)[owner].astype(np.int32)

    def _draw(self, scene: Scene, camera: CameraCalibration) -> Drawing:
        return draw(scene, self.world.ground, self.world.pyramid, camera, self.world.light)

    def scene(self, t: float) -> tuple[Scene, np.ndarray, np.ndarray]:
        """The solids at `t` seconds, the (M, 9) boxes of the actors and their track ids."""
        pose = self.world.ego.world_from_ego(t)
        boxes, tracks = self.world.actors(t, pose)
        return self.world.scene(boxes, tracks, pose), boxes, tracks

    def sweep(self, event: Event) -> tuple[Sweep, dict[int, int]]:
        """The sweep of an event, and track id -> points on the actor."""
        require(event.kind is Kind.SWEEP, 'drive.sweep', 'the event of a LiDAR', event)
        t, spinner = event.time_ns * 1e-9, self._spinners[event.source]
        scene, boxes, tracks = self.scene(t)
        instants = self._instants(t, self.period(event.source), spinner.azimuths, scene, boxes,
                                  tracks)  # fmt: skip
        rng = source_rng(self.seed, 9, event.source, event.index)
        sweep = spin(spinner, scene, self.world.ground, instants, rng)
        return sweep, sweep.counts(tracks)

    def _instants(
        self,
        t: float,
        period: float,
        azimuths: int,
        scene: Scene,
        boxes: np.ndarray,
        tracks: np.ndarray,
    ) -> Instants:
        """The vehicle and the actors over the sweep that ends at `t`."""
        share = (np.arange(azimuths) + 1 - azimuths) / azimuths
        lag = share * period if self.timing.spin else np.zeros(azimuths)
        path = self.world.ego.planar(np.append(t + lag, t))
        delta, (c, s) = path[:-1] - path[-1], (np.cos(path[-1, 2]), np.sin(path[-1, 2]))
        x, y = c * delta[:, 0] + s * delta[:, 1], c * delta[:, 1] - s * delta[:, 0]
        # Straight between the ends of the sweep: a millimetre off the way of a car that brakes.
        before = self.world.boxes_of(tracks, t - period, scene.world_from_ego)
        moved = (boxes[:, [0, 1, 6]] - before[:, [0, 1, 6]]) / period
        turned = (boxes[:, 6] - before[:, 6] + np.pi) % (2 * np.pi) - np.pi
        moved[:, 2] = np.where(np.abs(turned) < 0.5, turned / period, 0.0)  # not who turns round
        owner = scene.cuboids.owner
        is_actor = (owner >= 0)[:, None]
        velocity = np.where(is_actor, np.append(moved, np.zeros((1, 3)), axis=0)[owner], 0.0)
        pivot = np.where(is_actor, np.append(boxes[:, :2], np.zeros((1, 2)), axis=0)[owner], 0.0)
        return Instants(lag, np.stack([x, y, delta[:, 2]], axis=-1), velocity, pivot)

    def bare_truth(self, event: Event, points: Mapping[int, int]) -> GroundTruth:
        """The truth at the time of an event without what the cameras saw."""
        scene, boxes, tracks = self.scene(event.time_ns * 1e-9)
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < TRUTH_RANGE
        boxes, tracks = boxes[near], tracks[near]
        labels = self.world.population.labels[tracks]
        layers = self.world.map_layers(scene.world_from_ego)
        return truth_of(boxes, labels, tracks, points, layers)


def _spinner(name: str, pose: np.ndarray, mount: LidarMount) -> Spinner:
    """The LiDAR of a mount.

    Raises:
        ConfigError: if it does not stand upright.
    """
    where = f'rig.lidars.{name}.ego_from_lidar'
    require(pose[2, 2] > 1 - 1e-6, where, 'a LiDAR that stands upright', pose[:3, :3].tolist())
    return Spinner(
        np.deg2rad(np.linspace(mount.lowest, mount.highest, mount.beams)),
        mount.azimuths,
        float(np.deg2rad(mount.last)),
        pose[:3, 3],
        float(np.arctan2(pose[1, 0], pose[0, 0])),
        mount.reach,
    )
