"""Samples of drives through simulated streets as records: a `Source` for training.

The vehicle's motion is taken out of points and cameras by the functions that do it on the vehicle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.config.yaml import require
from metabev_ros.geometry import inverse_rigid
from metabev_ros.lab.datasets.point_packing import STEPS
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceInfo
from metabev_ros.lab.simulation.bodies.own_vehicle import own_vehicle
from metabev_ros.lab.simulation.building import build_street
from metabev_ros.lab.simulation.cameras.light import draw_light
from metabev_ros.lab.simulation.cameras.render import Shot, Shutter, render
from metabev_ros.lab.simulation.rays import RayMesh
from metabev_ros.lab.simulation.rigs import RigForm, draw_rig
from metabev_ros.lab.simulation.scanning import OWN, scan
from metabev_ros.lab.simulation.street import Instant, Street
from metabev_ros.lab.simulation.worlds import STREETS_NAME
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.sensing.sweeps import SweepHistory, points_in_ego
from metabev_ros.structures import DETECTION_CLASSES, CameraCalibration

TRUTH_RANGE = 60.0  # metres around the ego
START_NS = 1_700_000_000_000_000_000
_KEEP_RANGE = 62.0  # metres: what is farther never enters a network
FIRST = 0.25  # seconds after the start, so that earlier sweeps are there
_DRIFT = 0.012  # metres by which odometry is wrong over a sweep at most, one deviation


@dataclass(frozen=True)
class StreetDrives:
    """Drives to render; a `Source`.

    Attributes:
        first_seed: of the first world; the others follow.
        worlds: number of seeds, one drive each.
        frames_per_world: samples of each drive, `spacing` seconds apart.
        cameras: whether there are pictures.
        form: what all rigs have in common; None: rigs are drawn.
    """

    first_seed: int = 1_000_000
    worlds: int = 2000
    frames_per_world: int = 6
    spacing: float = 1.5
    cameras: bool = True
    form: RigForm | None = None

    def __post_init__(self) -> None:
        for name, least in (('first_seed', 0), ('worlds', 1), ('frames_per_world', 1)):
            value = getattr(self, name)
            require(value >= least, f'streets.{name}', f'at least {least}', value)
        require(0.1 <= self.spacing <= 60, 'streets.spacing', '0.1..60 s', self.spacing)

    def __len__(self) -> int:
        return self.worlds * self.frames_per_world

    @property
    def name(self) -> str:
        """Name of a folder of these."""
        kind = 'streets' if self.cameras else 'streets_lidar'
        name = f'{kind}_{self.first_seed}_{self.worlds}x{self.frames_per_world}_{self.spacing:g}s'
        return name if self.form is None else f'{name}_{self.form.name}'

    @property
    def info(self) -> SourceInfo:
        """Name, licence and classes: ours, and free."""
        return SourceInfo(
            f'{STREETS_NAME} {self.first_seed}..{self.first_seed + self.worlds - 1}, '
            f'{self.frames_per_world} frames, {self.spacing:g} s apart'
            + ('' if self.cameras else ', LiDAR only')
            + ('' if self.form is None else f', rigs of {self.form}'),
            'Apache-2.0',
            True,
            'the authors of metabev_ros',
            {name: name for name in DETECTION_CLASSES},
        )

    def scenes(self) -> dict[str, int]:
        """Seed -> number of frames."""
        seeds = range(self.first_seed, self.first_seed + self.worlds)
        return {f'{seed:07d}': self.frames_per_world for seed in seeds}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of one world, but for the tokens that are done."""
        times = FIRST + self.spacing * np.arange(self.frames_per_world)
        missing = missing_frames(scene, times, done)
        if not missing:
            return
        seconds = FIRST + self.frames_per_world * self.spacing
        drive = drive_of(int(scene), seconds, maker.model, scene, self.form)
        for index, t in missing.items():
            yield drive.record(index, t, self.cameras)


def drive_of(
    seed: int, seconds: float, model: ModelConfig, scene: str, form: RigForm | None = None
) -> StreetDrive:
    """The drive of a seed, so many seconds long; every fourth one meets every class."""
    street = build_street(seed, seconds, every_class=seed % 4 == 0)
    return StreetDrive(seed, street, model, scene, form)


def token_of(scene: str, index: int) -> str:
    """Name of a frame of a drive."""
    return f'{scene}_{index:03d}'


def missing_frames(scene: str, times: np.ndarray, done: frozenset[str]) -> dict[int, float]:
    """Index -> seconds of the frames of a drive whose tokens are not done."""
    return {k: t for k, t in enumerate(times.tolist()) if token_of(scene, k) not in done}


class StreetDrive:
    """One world, one rig, one weather.

    Args:
        seed: of rig, weather and noise.
        street: the world.
        model: gives size of the images, stride of the features and number of sweeps.
        scene: what its frames are called after.
        form: of the rig; None: drawn.
    """

    def __init__(
        self,
        seed: int,
        street: Street,
        model: ModelConfig,
        scene: str,
        form: RigForm | None = None,
    ) -> None:
        self.seed, self.street, self.scene, self._model = seed, street, scene, model
        rng = np.random.default_rng([seed, 31])
        self.rig, self.light = draw_rig(rng), draw_light(rng)
        if form is not None:  # in the same light as without it
            self.rig = draw_rig(np.random.default_rng([seed, 31]), form)
        self._own = RayMesh(own_vehicle(self.rig.own_box, rng))
        self._keeps_own = rng.uniform() < 0.5  # a rig file need not say where the vehicle is
        self._drift = rng.uniform(0, _DRIFT)
        self._fitted = _fitted(self.rig.cameras, Preprocessor(model))

    def record(self, index: int, t: float, cameras: bool) -> SampleRecord:
        """The sample at `t` seconds."""
        rng = np.random.default_rng([self.seed, 32, index])
        instant = self.street.instant(t)
        points, counts = self._points(t, instant, rng)
        views = self._views(t, instant, rng) if cameras else []
        near = np.hypot(instant.boxes[:, 0], instant.boxes[:, 1]) < TRUTH_RANGE
        return SampleRecord(
            token=token_of(self.scene, index),
            scene=self.scene,
            stamp_ns=_stamp(t),
            cameras=tuple(self._fitted) if cameras else (),
            **self._pictures(t, views),
            points=points,
            ego_from_lidar=np.eye(4),
            lidar_mount=self.rig.lidar.ego_from_lidar,
            own_vehicle=np.array(self.rig.own_box[:4]),
            world_from_ego=instant.world_from_ego,
            boxes=instant.boxes[near].astype(np.float32),
            labels=instant.labels[near],
            num_lidar_pts=counts[near],
            visibility=_visibility(views, len(near))[near],
            track_ids=instant.tracks[near].astype(np.int64),
            map_layers=self.street.map_layers(instant.world_from_ego),
            ignored=np.zeros((0, 7), np.float32),
            ignored_labels=np.zeros(0, np.int64),
        )

    def _points(
        self, t: float, instant: Instant, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(P, 5) points of all sweeps in the ego frame, and how many of the newest each owns."""
        lidar, sweeps = self.rig.lidar, self._model.lidar.sweeps
        history = SweepHistory(sweeps)
        counts = np.zeros(len(instant.tracks), np.int64)
        for back in range(sweeps - 1, -1, -1):
            at = t - back * lidar.period
            then = instant if back == 0 else self.street.instant(at)
            returns = scan(self.street, then, lidar, self._own, self.light.rain, rng)
            if not self._keeps_own:
                returns = returns.take(np.flatnonzero(returns.mover != OWN))
            raw = np.zeros((len(returns.xyz), 5), np.float32)
            raw[:, :3], raw[:, 3] = returns.xyz, returns.intensity
            points, _ = points_in_ego(
                raw, returns.lag, _stamp(at), lidar.ego_from_lidar, self._motion
            )
            if back == 0:
                owned = returns.mover[returns.mover >= 0]
                counts = np.bincount(owned, minlength=len(counts)).astype(np.int64)
            else:
                points[:, :3] += rng.normal(0, self._drift, 3).astype(np.float32)
            history.add(_stamp(at), points)
        merged, _ = history.merged(_stamp(t), self._motion)
        merged = merged[np.hypot(merged[:, 0], merged[:, 1]) < _KEEP_RANGE]
        merged[:, :3] = np.rint(merged[:, :3] * np.float32(STEPS)) / np.float32(STEPS)
        return merged, counts

    def _motion(self, target_ns: int, source_ns: int) -> np.ndarray:
        """ego(target)_from_ego(source)."""
        times = (np.array([target_ns, source_ns]) - START_NS) * 1e-9
        target, source = self.street.ego_poses(times)
        return inverse_rigid(target) @ source

    def _views(self, t: float, instant: Instant, rng: np.random.Generator) -> list[Shot]:
        """Pictures of all cameras, each at the time of its exposure."""
        shutters = [Shutter(-self.rig.exposures[name]) for name in self._fitted]
        return render(
            self.street, instant, list(self._fitted.values()), self.light, rng, 2, shutters
        )

    def _pictures(self, t: float, views: list[Shot]) -> dict[str, np.ndarray]:
        """The fields of a record that cameras fill."""
        camera = self._model.camera
        half, step = camera.stride // 2, camera.stride
        fitted = list(self._fitted.items()) if views else []
        ages = np.array([round(self.rig.exposures[name] * 1e9) for name, _ in fitted], np.int64)
        poses = [
            self._motion(_stamp(t), _stamp(t) - int(age)) @ calibration.ego_from_camera
            for age, (_, calibration) in zip(ages, fitted, strict=True)
        ]
        size, cells = (len(views), camera.height, camera.width, 3), camera.feature_shape
        return {
            'pixels': np.array([view.pixels for view in views], np.uint8).reshape(size),
            'intrinsics': np.array([c.intrinsics for _, c in fitted]).reshape(-1, 3, 3),
            'ego_from_camera': np.array(poses).reshape(-1, 4, 4),
            'camera_ages_ns': ages,
            'depth': np.array(
                [view.depth[half::step, half::step] for view in views], np.float32
            ).reshape(len(views), *cells),
        }


def _stamp(t: float) -> int:
    return START_NS + round(t * 1e9)


def _fitted(
    cameras: dict[str, CameraCalibration], preprocessor: Preprocessor
) -> dict[str, CameraCalibration]:
    """The cameras at the network's size: pictures are rendered as they are fitted."""
    return {
        name: preprocessor.prepare_image(
            np.zeros((camera.height, camera.width, 3), np.uint8), camera
        )[1]
        for name, camera in cameras.items()
    }


def _visibility(views: list[Shot], count: int) -> np.ndarray:
    """(M,) float32 share of each object's pixels that is not hidden; NaN without cameras."""
    if not views:
        return np.full(count, np.nan, np.float32)
    seen, alone = np.zeros(count), np.zeros(count)
    for view in views:
        seen += np.bincount(view.owner[view.owner >= 0], minlength=count)
        alone += view.alone
    return np.where(alone > 0, np.clip(seen / np.maximum(alone, 1), 0, 1), 0).astype(np.float32)
