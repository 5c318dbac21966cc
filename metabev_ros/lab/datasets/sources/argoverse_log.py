"""One drive of Argoverse 2: frames with their sweeps, nearest pictures, velocities and map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import NUSCENES_MAP_GRID, transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sources.argoverse_files import (
    EGO_FROM_AXLE,
    OWN_VEHICLE,
    RING_CAMERAS,
    Annotations,
    Poses,
    read_annotations,
    read_cameras,
    read_poses,
    read_sweep,
    stamped_files,
)
from metabev_ros.lab.datasets.sources.argoverse_map import KNOWN_LAYERS, VectorMap, read_map
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.frame import SourceFrame, SourceImage, SourceSweep
from metabev_ros.lab.datasets.sources.plausibility import require_points_in_boxes
from metabev_ros.lab.datasets.sources.tracks import track_velocities
from metabev_ros.structures import MAP_CLASSES, CameraCalibration

LIDAR_FOLDER = 'sensors/lidar'
NEAREST_IMAGE_NS = 60_000_000  # cameras run at 20 Hz
MOST_MISSING = 0.1  # share of samples without a camera's picture; more is half a download
MAX_IMAGE_BYTES = 32 << 20


class ArgoverseLog:
    """One drive; each of its files is read when it is asked for."""

    def __init__(self, folder: Path, classes: ClassMap) -> None:
        self._folder, self._classes = folder, classes
        self._sweeps = stamped_files(folder / LIDAR_FOLDER, 'feather')
        self._sweep_stamps = list(self._sweeps)

    @cached_property
    def stamps(self) -> list[int]:
        """Stamps of the annotated sweeps."""
        stamps = sorted(set(self._annotations.stamps_ns.tolist()))
        missing = [stamp for stamp in stamps if stamp not in self._sweeps]
        if missing:
            raise ConfigError(
                str(self._folder / LIDAR_FOLDER),
                f'a sweep for each of {len(stamps)} annotated stamps',
                f'none for {len(missing)}, the first {missing[0]}',
                'load the whole drive',
            )
        return stamps

    @cached_property
    def map(self) -> VectorMap:
        """The drive's map."""
        return read_map(self._folder)

    @cached_property
    def _poses(self) -> Poses:
        return read_poses(self._folder)

    @cached_property
    def _annotations(self) -> Annotations:
        return read_annotations(self._folder)

    @cached_property
    def _cameras(self) -> dict[str, CameraCalibration]:
        return read_cameras(self._folder)

    @cached_property
    def _images(self) -> dict[str, dict[int, tuple[int, Path]]]:
        """Camera -> stamp of a sample -> stamp and file of its nearest picture, where one is."""
        found: dict[str, dict[int, tuple[int, Path]]] = {}
        for name in RING_CAMERAS:
            folder = self._folder / 'sensors/cameras' / name
            files = stamped_files(folder, 'jpg')
            known = np.array(list(files), np.int64)
            nearest: dict[int, tuple[int, Path]] = {}
            for stamp in self.stamps:
                taken = int(known[np.argmin(np.abs(known - stamp))])
                if abs(taken - stamp) <= NEAREST_IMAGE_NS:
                    nearest[stamp] = taken, files[taken]
            if len(nearest) < (1 - MOST_MISSING) * len(self.stamps):
                raise ConfigError(
                    str(folder),
                    f'a picture near each of {len(self.stamps)} samples',
                    f'{len(nearest)}',
                    'load the whole drive',
                )
            found[name] = nearest
        return found

    @cached_property
    def _velocities(self) -> np.ndarray:
        """(N, 3) of all annotations in the city's frame."""
        labels = self._annotations
        centres = np.empty((len(labels.stamps_ns), 3))
        for stamp in self.stamps:
            rows = labels.stamps_ns == stamp
            centres[rows] = transform_points(self.pose(stamp), labels.boxes[rows, :3])
        return track_velocities(labels.stamps_ns, labels.tracks, centres)

    def token(self, stamp_ns: int) -> str:
        """Name of a frame, unique in the data set."""
        return f'{self._folder.name}_{stamp_ns}'

    def pose(self, stamp_ns: int) -> np.ndarray:
        """(4, 4) world_from_ego at a stamp of a sample.

        Raises:
            ConfigError: where no pose is near.
        """
        pose = self._poses.at(stamp_ns)
        if pose is None:
            raise ConfigError(
                str(self._folder / 'city_SE3_egovehicle.feather'),
                f'a pose at {stamp_ns}',
                'none near it',
                'load the file anew',
            )
        return pose

    def frame(self, stamp_ns: int, sweeps: int) -> SourceFrame:
        """One frame with at most so many sweeps."""
        if stamp_ns not in self.stamps:
            raise ConfigError(self._folder.name, 'the stamp of an annotated sweep', str(stamp_ns))
        at = self._sweep_stamps.index(stamp_ns)
        used = self._sweep_stamps[max(at - sweeps + 1, 0) : at + 1][::-1]
        clouds = [SourceSweep(s, read_sweep(self._sweeps[s]), None, EGO_FROM_AXLE) for s in used]
        return SourceFrame(
            self.token(stamp_ns),
            self._folder.name,
            stamp_ns,
            tuple(self._pictures(stamp_ns)),
            tuple(clouds),
            self._poses.motion,
            self.pose(stamp_ns),
            self._truth(stamp_ns, clouds[0].points),
            OWN_VEHICLE,
        )

    def _pictures(self, stamp_ns: int) -> Iterator[SourceImage]:
        for name, nearest in self._images.items():
            if stamp_ns in nearest:
                taken_ns, path = nearest[stamp_ns]
                if path.stat().st_size > MAX_IMAGE_BYTES:
                    raise ConfigError(str(path), f'at most {MAX_IMAGE_BYTES} bytes', 'more')
                yield SourceImage(name, taken_ns, path.read_bytes(), self._cameras[name])

    def _truth(self, stamp_ns: int, points: np.ndarray) -> GroundTruth:
        labels, pose = self._annotations, self.pose(stamp_ns)
        rows = np.flatnonzero(labels.stamps_ns == stamp_ns)
        velocity = self._velocities[rows] @ pose[:3, :3]  # into ego axes
        boxes = np.column_stack([labels.boxes[rows], velocity[:, :2]])
        cloud = transform_points(EGO_FROM_AXLE, points[:, :3].astype(np.float64))
        where = f'{self._folder / "annotations.feather"}, {stamp_ns}'
        require_points_in_boxes(where, cloud, boxes[labels.points[rows] > 0])
        split = self._classes.split(boxes, labels.categories[rows].tolist())
        known = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), bool)
        known[[MAP_CLASSES.index(name) for name in KNOWN_LAYERS]] = True
        return GroundTruth(
            boxes=boxes[split.kept].astype(np.float32),
            labels=split.labels,
            num_lidar_pts=labels.points[rows][split.kept],
            visibility=np.full(len(split.kept), np.nan, np.float32),
            track_ids=labels.tracks[rows][split.kept],
            map_layers=self.map.layers(pose),
            map_known=known,
            ignored=split.ignored,
            ignored_labels=split.ignored_labels,
        )
