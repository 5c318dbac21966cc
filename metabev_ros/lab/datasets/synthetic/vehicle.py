"""A drive as a vehicle's sensors give it: each at its own rate and phase, in motion.

Everything is a pure function of the rig, the configuration, the seed and an event, so that
several processes may render one drive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.camera import Drawing, draw, expose
from metabev_ros.lab.datasets.synthetic.city import build_city
from metabev_ros.lab.datasets.synthetic.faces import Scene
from metabev_ros.lab.datasets.synthetic.lens import LensMap, is_ideal, lens_map
from metabev_ros.lab.datasets.synthetic.mounts import Mounts, place_sensors
from metabev_ros.lab.datasets.synthetic.odometry import Odometry
from metabev_ros.lab.datasets.synthetic.spinning import Instants, Sweep, spin
from metabev_ros.lab.datasets.synthetic.timing import (
    Event,
    Kind,
    SensorTiming,
    TimingConfig,
    schedule,
    source_rng,
)
from metabev_ros.lab.datasets.synthetic.vehicle_config import VehicleConfig
from metabev_ros.lab.datasets.synthetic.world import TRUTH_RANGE, World
from metabev_ros.structures import CameraCalibration

START_NS = 1_700_000_000_000_000_000
BANDS = 8  # of a picture with a rolling shutter


@dataclass(frozen=True)
class View:
    """One image, and whom it shows.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        owner: (H, W) int32 track id of each pixel, -1 elsewhere.
        seen: track id -> (pixels that show the actor, pixels it would cover alone).
    """

    pixels: np.ndarray
    owner: np.ndarray
    seen: dict[int, tuple[int, int]]


class VehicleDrive:
    """A drive of a rig through the city.

    Args:
        rig: the sensors.
        seed: of everything random, not negative.
        seconds: how long it lasts.
        config, timing: how it drives, and when the sensors measure.
        start_ns: the clock at the start.

    Attributes:
        events: all measurements in the order of their arrival.
        mounts: where the sensors sit.
        truth_source: the sensor at whose stamps there is truth.
    """

    def __init__(
        self,
        rig: RigConfig,
        seed: int,
        seconds: float,
        config: VehicleConfig | None = None,
        timing: TimingConfig | None = None,
        start_ns: int = START_NS,
    ) -> None:
        require(seed >= 0, 'drive.seed', 'a whole number that is not negative', seed)
        require(0.1 <= seconds <= 3600, 'drive.seconds', '0.1..3600', seconds)
        self.rig, self.seed, self.seconds, self.start_ns = rig, int(seed), seconds, start_ns
        self.config, self.timing = config or VehicleConfig(), timing or TimingConfig()
        self.mounts: Mounts = place_sensors(rig, self.config)
        self.events: list[Event] = schedule(
            rig,
            self.timing,
            {name: _bearing(camera) for name, camera in self.mounts.cameras.items()},
            {name: spinner.last for name, spinner in self.mounts.lidars.items()},
            self.seed,
            seconds,
            start_ns,
        )
        self.truth_source = (*rig.lidars, *rig.cameras)[0].name
        self.world: World = build_city(
            self.seed, seconds, self.config.cruise, self.config.turn_radius, self.config.weather
        )
        self.odometry = Odometry(self.world.ego, self.config.odometry, self.seed)
        self._lenses: dict[str, LensMap] = {}
        self._rates = {sensor.name: sensor.rate_hz for sensor in rig.sensors}

    def view(self, event: Event) -> View:
        """The image of an event."""
        require(event.kind is Kind.IMAGE, 'drive.view', 'the event of a camera', event)
        camera = self.mounts.cameras[event.source]
        readout = self.timing.of(event.source, self.timing.cameras).readout
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
        t, spinner = event.time_ns * 1e-9, self.mounts.lidars[event.source]
        scene, boxes, tracks = self.scene(t)
        instants = self._instants(t, self._period(event.source), spinner.azimuths, scene, boxes,
                                  tracks)  # fmt: skip
        rng = source_rng(self.seed, 9, event.source, event.index)
        sweep = spin(spinner, scene, self.world.ground, instants, rng)
        counts = np.bincount(sweep.owner[sweep.owner >= 0], minlength=len(tracks))
        return sweep, {int(tracks[k]): int(counts[k]) for k in np.flatnonzero(counts)}

    def _period(self, name: str) -> float:
        own: SensorTiming = self.timing.of(name, self.timing.lidars)
        return 1 / (own.rate_hz or self._rates[name])

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

    def truth(
        self, event: Event, points: Mapping[int, int], views: Mapping[str, View] | None = None
    ) -> GroundTruth:
        """The truth at the time of an event.

        Args:
            points: track id -> points on it, as `sweep` gives them.
            views: the newest image of each camera; without them nobody counts as seen.
        """
        seen = [view.seen for view in (views or {}).values()]
        return with_visibility(self.bare_truth(event, points), seen)

    def bare_truth(self, event: Event, points: Mapping[int, int]) -> GroundTruth:
        """The same without what the cameras saw."""
        scene, boxes, tracks = self.scene(event.time_ns * 1e-9)
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < TRUTH_RANGE
        boxes, tracks = boxes[near].astype(np.float32), tracks[near].astype(np.int64)
        return GroundTruth(
            boxes,
            self.world.population.labels[tracks].astype(np.int64),
            np.array([points.get(int(track), 0) for track in tracks], dtype=np.int64),
            np.zeros(len(boxes), dtype=np.float32),
            tracks,
            self.world.map_layers(scene.world_from_ego),
        )


def with_visibility(truth: GroundTruth, seen: list[dict[int, tuple[int, int]]]) -> GroundTruth:
    """The truth with the share of each box that these images show."""
    pairs = np.array(
        [
            np.sum([one.get(int(track), (0, 0)) for one in seen] or [(0, 0)], axis=0)
            for track in truth.track_ids
        ],
        dtype=np.float64,
    ).reshape(-1, 2)
    share = np.where(pairs[:, 1] > 0, pairs[:, 0] / np.maximum(pairs[:, 1], 1), 0.0)
    return GroundTruth(
        truth.boxes,
        truth.labels,
        truth.num_lidar_pts,
        np.clip(share, 0, 1).astype(np.float32),
        truth.track_ids,
        truth.map_layers,
    )


def _bearing(camera: CameraCalibration) -> float:
    """Radians of a camera's axis in the ego frame."""
    return float(np.arctan2(camera.ego_from_camera[1, 2], camera.ego_from_camera[0, 2]))
