"""One drive of nuScenes: its files and annotations as labelled instants."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.geometry import NUSCENES_MAP_GRID, transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sources.frame import SourceFrame, SourceImage, SourceSweep
from metabev_ros.lab.datasets.sources.json_rows import AGAIN, missing_file
from metabev_ros.lab.datasets.sources.nuscenes_map import map_file, read_city
from metabev_ros.lab.datasets.sources.nuscenes_poses import PoseLine
from metabev_ros.lab.datasets.sources.nuscenes_rows import LIDAR, Sample, Scene, SensorData
from metabev_ros.lab.datasets.sources.nuscenes_truth import TruthMaker
from metabev_ros.lab.datasets.sources.plausibility import require_points_in_boxes
from metabev_ros.sensing.image_files import file_size
from metabev_ros.sensing.point_clouds import MAX_POINTS
from metabev_ros.structures import MAP_CLASSES, CameraCalibration

CAMERAS = (  # in this order; others after them
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_BACK_RIGHT',
    'CAM_BACK',
    'CAM_BACK_LEFT',
    'CAM_FRONT_LEFT',
)
# A Renault Zoe: 4.08 m long, 1.73 m wide, 0.65 m of it behind the rear axle.
OWN_VEHICLE = np.array([-0.65, 3.43, -0.865, 0.865])
_POINT_BYTES = 20  # five float32: x y z intensity ring
_IMAGE_BYTES = 64 << 20


class Drive:
    """One drive.

    Args:
        folder: of the data set.
        truth: of the tables of a version.
        remove_close: as in `NuScenes`.
        token: of its scene.
    """

    def __init__(
        self, folder: Path, truth: TruthMaker, remove_close: bool, token: str, scene: Scene
    ) -> None:
        self._folder, self._truth, self._remove_close = folder, truth, remove_close
        self._token, self._scene = token, scene
        self._where, self._tables = truth.where, truth.tables
        tables = self._tables
        data = tables.of_scene.get(token, [])
        calibration = tables.calibrations
        self._key_frames = {
            (d.sample, calibration.find(d.calibration).channel): d for d in data if d.is_key_frame
        }
        # At equal stamps the pose is that of the sweep.
        data = sorted(data, key=lambda d: calibration.find(d.calibration).channel == LIDAR)
        self._poses = PoseLine({d.stamp_us * 1000: tables.poses.find(d.pose) for d in data})
        channels = {c.channel for c in calibration.values() if c.modality == 'camera'}
        self._cameras = [c for c in CAMERAS if c in channels] + sorted(channels - {*CAMERAS})

    def samples(self) -> list[Sample]:
        """Its key frames, in order.

        Raises:
            ConfigError: where the chain of samples is not what the scene says, or goes back.
        """
        found: list[Sample] = []
        token = self._scene.first
        while token and len(found) <= self._scene.samples:
            sample = self._tables.samples.find(token)
            if sample.scene != self._token or (found and sample.stamp_us <= found[-1].stamp_us):
                raise ConfigError(
                    f'{self._where}: sample {token}',
                    f'the next one of {self._scene.name}, later than the last',
                    f'stamp {sample.stamp_us}',
                    AGAIN,
                )
            found.append(sample)
            token = sample.following
        if len(found) != self._scene.samples:
            raise ConfigError(
                f'{self._where}: {self._scene.name}',
                f'{self._scene.samples} samples',
                f'{len(found)} or more',
                AGAIN,
            )
        return found

    def frame(self, sample: Sample, sweeps: int) -> SourceFrame:
        """A key frame with the sweeps before it.

        Raises:
            ConfigError: for what is missing, damaged or contradicts something else.
        """
        newest = self._key_frame(sample, LIDAR)
        stamp_ns = newest.stamp_us * 1000
        world_from_ego = self._tables.poses.find(newest.pose).matrix()
        layers, known = self._map_layers(world_from_ego)
        chain = self._chain(newest, sweeps)
        clouds = tuple(self._sweep(data, is_newest=data is newest) for data in chain)
        truth = self._truth.make(sample.token, world_from_ego, layers, known)
        self._require_fit(sample.token, clouds[0], truth)
        return SourceFrame(
            token=sample.token,
            scene=self._scene.name,
            stamp_ns=stamp_ns,
            images=tuple(self._image(self._key_frame(sample, name)) for name in self._cameras),
            sweeps=clouds,
            motion=self._poses.motion,
            world_from_ego=world_from_ego,
            truth=truth,
            own_vehicle=OWN_VEHICLE,
        )

    def _require_fit(self, token: str, sweep: SourceSweep, truth: GroundTruth) -> None:
        """Stop where points and boxes cannot be of one moment."""
        points = transform_points(sweep.ego_from_lidar, sweep.points[:, :3].astype(np.float64))
        seen = truth.boxes[self._truth.lidar_points(token) > 0]
        require_points_in_boxes(f'{self._where}: sample {token}', points, seen)

    def _key_frame(self, sample: Sample, channel: str) -> SensorData:
        found = self._key_frames.get((sample.token, channel))
        if found is None:
            raise ConfigError(
                f'{self._where}: sample {sample.token}',
                f'a key frame of {channel}',
                'none',
                AGAIN,
            )
        return found

    def _chain(self, newest: SensorData, count: int) -> list[SensorData]:
        """The sweep and those before it, newest first."""
        found = [newest]
        while len(found) < count and found[-1].previous:
            before = self._tables.data.find(found[-1].previous)
            channel = self._tables.calibrations.find(before.calibration).channel
            if channel != LIDAR or before.stamp_us >= found[-1].stamp_us:
                raise ConfigError(
                    f'{self._where}: sample_data {before.token}',
                    f'a sweep of {LIDAR} before that of {found[-1].stamp_us}',
                    f'{channel} at {before.stamp_us}',
                    AGAIN,
                )
            found.append(before)
        return found

    def _image(self, data: SensorData) -> SourceImage:
        calibration = self._tables.calibrations.find(data.calibration)
        assert calibration.intrinsics is not None  # every camera has them
        lens = CameraCalibration(
            data.width, data.height, calibration.intrinsics, calibration.ego_from_sensor
        )
        content = _read(self._folder, data.file, _IMAGE_BYTES)
        try:
            width, height, _ = file_size(np.frombuffer(content, np.uint8))
        except SensorDataError as error:
            raise ConfigError(
                clean_text(self._folder / data.file, 300), error.expected, error.got, AGAIN
            ) from error
        if (width, height) != (data.width, data.height):
            raise ConfigError(
                clean_text(self._folder / data.file, 300),
                f'{data.width} x {data.height} pixels, as in sample_data',
                f'{width} x {height}',
                AGAIN,
            )
        return SourceImage(calibration.channel, data.stamp_us * 1000, content, lens)

    def _sweep(self, data: SensorData, *, is_newest: bool) -> SourceSweep:
        calibration = self._tables.calibrations.find(data.calibration)
        points = read_points(self._folder, data.file)
        if self._remove_close and not is_newest:
            points = points[(np.abs(points[:, :2]) >= 1.0).any(axis=1)]
        return SourceSweep(data.stamp_us * 1000, points, None, calibration.ego_from_sensor)

    def _map_layers(self, world_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Layers and where they are known, None for everywhere."""
        path = map_file(self._folder, self._scene.location)
        if path.is_file():
            return read_city(path).draw(world_from_ego), None
        nothing = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), bool)
        return nothing, nothing


def read_points(folder: Path, name: str) -> np.ndarray:
    """(P, 5) float32 `POINT_COLUMNS` of a `.pcd.bin` file: without its ring, time lag 0.

    Points that are not finite are left out.

    Raises:
        ConfigError: for a file that is missing, empty or of another size.
    """
    content = _read(folder, name, _POINT_BYTES * MAX_POINTS)
    if not content or len(content) % _POINT_BYTES:
        raise ConfigError(
            clean_text(folder / name, 300),
            f'points of {_POINT_BYTES} bytes',
            f'{len(content)} bytes',
            AGAIN,
        )
    points = np.frombuffer(content, '<f4').reshape(-1, 5).astype(np.float32)
    points[:, 4] = 0
    return points[np.isfinite(points).all(axis=1)]


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The content of a file that a table names.

    Links are followed: many keep `samples` and `sweeps` on another disk.

    Raises:
        ConfigError: for one that is outside of the folder, missing or too large.
    """
    inner = PurePosixPath(name)
    if inner.is_absolute() or '..' in inner.parts or not name or '\0' in name:
        raise ConfigError(
            clean_text(folder, 300),
            'files inside of it',
            repr(clean_text(name)),
            'do not trust it',
        )
    path = folder / inner
    if not path.is_file():
        raise missing_file(path)
    try:
        with open(path, 'rb') as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(
            clean_text(path, 300), 'a file that can be read', clean_text(error)
        ) from error
    if len(content) > limit:
        raise ConfigError(clean_text(path, 300), f'at most {limit} bytes', 'more')
    return content
