"""The tables of nuScenes v1.0 (https://www.nuscenes.org/nuscenes#data-format), as far as needed.

All drives of a version are read at once, in pieces, and kept small: of the sample data only the
sweeps of the LiDAR and the images of the key frames, of the poses those of these. A process reads
them once.
"""

from __future__ import annotations

import functools
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, TypeVar

import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.lab.datasets.sources.json_rows import (
    AGAIN,
    numbers,
    read_rows,
    text,
    texts,
    whole,
)
from metabev_ros.lab.datasets.sources.nuscenes_rows import (
    LIDAR,
    Annotation,
    Calibration,
    Named,
    Sample,
    Scene,
    SensorData,
    rigid_of,
    turn_of,
)
from metabev_ros.sensing.pose_track import Pose

TABLES = (
    'attribute',
    'calibrated_sensor',
    'category',
    'ego_pose',
    'instance',
    'log',
    'map',
    'sample',
    'sample_annotation',
    'sample_data',
    'scene',
    'sensor',
    'visibility',
)
_LEVEL = re.compile(r'v(\d{1,3})-(\d{1,3})')
Row = dict[str, Any]
T = TypeVar('T')


@dataclass(frozen=True, eq=False)
class Tables:
    """The content of the tables of a version.

    Attributes:
        instances: category of every object, by row of `Annotation.instance`.
        attributes, shares: token -> name of the attribute; share of the object that is seen.
        data: key frames of the cameras, and all sweeps of the LiDAR.
        of_scene: scene token -> its sensor data; of_sample: sample token -> its annotations.
    """

    samples: Named[Sample]
    data: Named[SensorData]
    calibrations: Named[Calibration]
    poses: Named[Pose]
    annotations: Named[Annotation]
    attributes: Named[str]
    shares: Named[float]
    instances: list[str]
    of_scene: dict[str, list[SensorData]] = field(default_factory=dict[str, list[SensorData]])
    of_sample: dict[str, list[Annotation]] = field(default_factory=dict[str, list[Annotation]])


def read_tables(folder: Path) -> Tables:
    """The tables of a version; read once by each process as long as the files stay the same.

    Raises:
        ConfigError: for tables that are missing, damaged, of another schema or contradict each
            other.
    """
    return _read_tables(
        folder, tuple((p.stat().st_mtime_ns, p.stat().st_size) for p in paths(folder))
    )


def paths(folder: Path) -> list[Path]:
    """Paths of the tables.

    Raises:
        ConfigError: where one is missing.
    """
    found = [folder / f'{name}.json' for name in TABLES]
    if missing := [path.name for path in found if not path.is_file()]:
        raise ConfigError(
            clean_text(folder, 300),
            f'the {len(TABLES)} tables of nuScenes v1.0',
            f'no {", ".join(missing)}',
            'unpack the metadata of nuScenes (v1.0-*_meta.tgz) there',
        )
    return found


def read_scenes(folder: Path) -> dict[str, tuple[str, Scene]]:
    """Name of each drive -> its token and what the tables say of it, in their order.

    Raises:
        ConfigError: as `read_tables`.
    """
    paths(folder)
    logs = Named[str](str(folder / 'log.json'))
    for token, location in _parsed(folder, 'log', lambda row: text(row['location'])):
        logs.put(token, location)
    found: dict[str, tuple[str, Scene]] = {}
    for token, (scene, log) in _parsed(folder, 'scene', _scene):
        if scene.name in found:
            raise ConfigError(
                str(folder / 'scene.json'), 'names that differ', f'{scene.name} twice'
            )
        found[scene.name] = token, scene._replace(location=logs.find(log))
    return found


@functools.lru_cache(maxsize=1)
def _read_tables(folder: Path, _stamps: tuple[tuple[int, int], ...]) -> Tables:
    tables = Tables(
        samples=_named(folder, 'sample', _sample),
        data=Named(str(folder / 'sample_data.json')),
        calibrations=_calibrations(folder),
        poses=Named(str(folder / 'ego_pose.json')),
        annotations=Named(str(folder / 'sample_annotation.json')),
        attributes=_named(folder, 'attribute', lambda row: intern(text(row['name']))),
        shares=_named(folder, 'visibility', _share),
        instances=[],
    )
    _add_data(folder, tables)
    _add_poses(folder, tables)
    _add_annotations(folder, tables)
    return tables


def _named(folder: Path, table: str, parse: Callable[[Row], T]) -> Named[T]:
    found = Named[T](str(folder / f'{table}.json'))
    for token, row in _parsed(folder, table, parse):
        found.put(token, row)
    return found


def _parsed(folder: Path, table: str, parse: Callable[[Row], T]) -> Iterator[tuple[str, T]]:
    """Tokens and rows of a table."""
    path = folder / f'{table}.json'
    for index, row in enumerate(read_rows(path)):
        try:
            yield intern(text(row['token'])), parse(row)
        except (KeyError, ValueError, ConfigError) as error:
            kind = 'no column' if isinstance(error, KeyError) else 'wrong:'
            raise ConfigError(
                f'{clean_text(path, 300)}: row {index}',
                'a row of nuScenes v1.0',
                f'{kind} {clean_text(error, 200)}',
                AGAIN,
            ) from error


def _scene(row: Row) -> tuple[Scene, str]:
    scene = Scene(
        text(row['name']), '', whole(row['nbr_samples']), text(row['first_sample_token'])
    )
    return scene, text(row['log_token'])


def _sample(row: Row) -> Sample:
    return Sample(
        intern(text(row['token'])),
        whole(row['timestamp']),
        intern(text(row['scene_token'])),
        intern(text(row['next'])),
    )


def _share(row: Row) -> float:
    """The middle of a visibility's range, 0..1."""
    match = _LEVEL.fullmatch(text(row['level']))
    if match is None:
        raise ValueError(f'level {clean_text(row["level"])}, not like v40-60')
    return (int(match[1]) + int(match[2])) / 200


def _calibrations(folder: Path) -> Named[Calibration]:
    """Calibrations of the LiDAR and of the cameras."""
    sensors = _named(folder, 'sensor', lambda row: (text(row['channel']), text(row['modality'])))
    found = Named[Calibration](str(folder / 'calibrated_sensor.json'))

    def parse(row: Row) -> Calibration:
        channel, modality = sensors.find(text(row['sensor_token']))
        intrinsics = None
        if modality == 'camera':
            rows = row['camera_intrinsic']
            if not isinstance(rows, list) or len(rows) != 3:
                raise ValueError('camera_intrinsic is no 3 x 3 matrix')
            intrinsics = np.array([numbers(line, 3) for line in rows])
            if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
                raise ValueError(f'focal lengths {intrinsics[0, 0]}, {intrinsics[1, 1]}')
        pose = rigid_of(row['translation'], row['rotation'])
        return Calibration(channel, modality, pose, intrinsics)

    for token, calibration in _parsed(folder, 'calibrated_sensor', parse):
        found.put(token, calibration)
    return found


def _add_data(folder: Path, tables: Tables) -> None:
    def parse(row: Row) -> SensorData | None:
        calibration = tables.calibrations.find(text(row['calibrated_sensor_token']))
        is_key_frame = row['is_key_frame'] is True
        if calibration.channel != LIDAR and not (
            is_key_frame and calibration.modality == 'camera'
        ):
            return None
        is_camera = calibration.modality == 'camera'
        size = (whole(row['width']), whole(row['height'])) if is_camera else (0, 0)
        if is_camera and min(size) < 1:
            raise ValueError(f'an image of {size[0]} x {size[1]}')
        return SensorData(
            intern(text(row['token'])),
            intern(text(row['sample_token'])),
            whole(row['timestamp']),
            intern(text(row['calibrated_sensor_token'])),
            intern(text(row['ego_pose_token'])),
            text(row['filename']),
            is_key_frame,
            *size,
            intern(text(row['prev'])),
        )

    for token, data in _parsed(folder, 'sample_data', parse):
        if data is not None:
            tables.data.put(token, data)
            scene = tables.samples.find(data.sample).scene
            tables.of_scene.setdefault(scene, []).append(data)


def _add_poses(folder: Path, tables: Tables) -> None:
    wanted = {data.pose for data in tables.data.values()}

    def parse(row: Row) -> Pose | None:
        if text(row['token']) not in wanted:
            return None
        qw, qx, qy, qz = turn_of(row['rotation'])
        x, y, z = numbers(row['translation'], 3)
        return Pose(x, y, z, qx, qy, qz, qw)

    for token, pose in _parsed(folder, 'ego_pose', parse):
        if pose is not None:
            tables.poses.put(token, pose)


def _add_annotations(folder: Path, tables: Tables) -> None:
    categories = _named(folder, 'category', lambda row: intern(text(row['name'])))
    rows: Named[int] = Named(str(folder / 'instance.json'))
    for token, category in _parsed(folder, 'instance', lambda row: text(row['category_token'])):
        rows.put(token, len(tables.instances))
        tables.instances.append(categories.find(category))

    def parse(row: Row) -> Annotation:
        size = numbers(row['size'], 3)
        if min(size) <= 0:
            raise ValueError(f'size {size}')
        turn = turn_of(row['rotation'])
        return Annotation(
            intern(text(row['token'])),
            intern(text(row['sample_token'])),
            rows.find(text(row['instance_token'])),
            tuple(intern(token) for token in texts(row['attribute_tokens'])),
            intern(text(row['visibility_token'])),
            array('d', (*numbers(row['translation'], 3), *size, *turn)),
            whole(row['num_lidar_pts']),
            whole(row['num_radar_pts']),
            intern(text(row['prev'])),
            intern(text(row['next'])),
        )

    for token, annotation in _parsed(folder, 'sample_annotation', parse):
        tables.annotations.put(token, annotation)
        tables.of_sample.setdefault(annotation.sample, []).append(annotation)
