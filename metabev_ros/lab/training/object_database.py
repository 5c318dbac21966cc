"""Objects cut out of a folder of records: their boxes, points and pictures, for GT-paste.

    RECORDS/.objects/table.npz     one row an object, one row a picture of one
    RECORDS/.objects/points.bin    float32 rows `POINT_COLUMNS` in the ego frame
    RECORDS/.objects/pictures.bin  uint8 RGB, picture after picture

It is built once, beside the manifest, and appears as a whole. The two long files are mapped into
memory, so that many loaders share them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import points_in_box, transform_points
from metabev_ros.lab.datasets.ground_truth import NO_ATTRIBUTE
from metabev_ros.lab.datasets.record_folder import MANIFEST, RecordFolder
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.training.outlines import Outline, outline_of

FOLDER = '.objects'
VERSION = 1
MIN_VISIBILITY = 0.4  # of an object whose picture is taken; where nobody said, it is
MIN_SIDE = 4  # pixels of a picture
Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Picture:
    """Picture of an object by one camera.

    Attributes:
        camera: name.
        corner: (2,) column and row of its first pixel in the record's picture.
        pixels: (h, w, 3) uint8 RGB.
        frame: (4,) left, top, right, bottom of the box's outline there, which may reach out of
            the picture.
    """

    camera: str
    corner: np.ndarray
    pixels: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True, eq=False)
class StoredObject:
    """One object.

    Attributes:
        box: (9,) float32 in the ego frame of its own record.
        points: (P, 5) float32 in the same frame, of all sweeps.
        seen: points of the newest sweep, as the record counts them.
        attribute: as in `GroundTruth`.
    """

    box: np.ndarray
    label: int
    points: np.ndarray
    seen: int
    attribute: int
    pictures: tuple[Picture, ...]


class ObjectDatabase:
    """The objects of some drives of a folder of records.

    Args:
        folder: of the records.
        scenes: drives to take objects from; None: all.

    Raises:
        ConfigError: when it is used and was not built, or for other records.
    """

    def __init__(self, folder: Path, scenes: Iterable[str] | None = None) -> None:
        self.folder = Path(folder)
        self.scenes = None if scenes is None else tuple(sorted(set(scenes)))

    def __reduce__(self) -> tuple[type[ObjectDatabase], tuple[Any, ...]]:
        """Only the names go to another process: it maps the files itself."""
        return ObjectDatabase, (self.folder, self.scenes)

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        path = self.folder / FOLDER / 'table.npz'
        try:
            with np.load(path, allow_pickle=False) as file:
                table = {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(
                str(path), 'a database of objects', type(error).__name__, 'delete its folder'
            ) from error
        if str(table.get('fingerprint')) != fingerprint(self.folder):
            raise ConfigError(str(path), 'objects of these records', 'others', 'delete its folder')
        return table

    @cached_property
    def _points(self) -> np.ndarray:
        return _mapped(self.folder / FOLDER / 'points.bin', np.float32).reshape(-1, 5)

    @cached_property
    def _pixels(self) -> np.ndarray:
        return _mapped(self.folder / FOLDER / 'pictures.bin', np.uint8)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 of all objects of the folder."""
        return self._table['labels']

    @property
    def point_counts(self) -> np.ndarray:
        """(N,) int64 points of each, of all sweeps."""
        return np.diff(self._table['point_rows'])

    @cached_property
    def usable(self) -> np.ndarray:
        """(N,) bool: the objects of the drives that were asked for."""
        if self.scenes is None:
            return np.ones(len(self.labels), bool)
        wanted = np.isin(self._table['scene_names'], self.scenes)
        return wanted[self._table['scenes']]

    def box(self, row: int) -> np.ndarray:
        """(9,) float32 of one object."""
        return self._table['boxes'][row]

    def __getitem__(self, row: int) -> StoredObject:
        table = self._table
        first, last = table['point_rows'][row : row + 2]
        return StoredObject(
            table['boxes'][row],
            int(table['labels'][row]),
            np.array(self._points[first:last]),
            int(table['seen'][row]),
            int(table['attributes'][row]),
            tuple(self._pictures(row)),
        )

    def _pictures(self, row: int) -> Iterator[Picture]:
        table = self._table
        first, last = np.searchsorted(table['picture_owner'], (row, row + 1))
        for i in range(first, last):
            width, height = table['picture_size'][i]
            start = table['picture_start'][i]
            flat = self._pixels[start : start + 3 * width * height]
            yield Picture(
                str(table['camera_names'][table['picture_camera'][i]]),
                table['picture_corner'][i],
                np.array(flat).reshape(height, width, 3),
                table['picture_frame'][i],
            )


def fingerprint(folder: Path) -> str:
    """Origin of a database and how it was built; another one is not used."""
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return f'{VERSION} {digest}'


def has_objects(folder: Path) -> bool:
    """Tell whether the objects of a folder of records were cut out."""
    table = folder / FOLDER / 'table.npz'
    if not table.is_file():
        return False
    with np.load(table, allow_pickle=False) as file:
        return 'fingerprint' in file.files and str(file['fingerprint']) == fingerprint(folder)


def build_objects(folder: Path, progress: Progress) -> None:
    """Cut the objects out of a folder of records, if that was not done for these.

    Args:
        progress: called with (finished records, all records).

    Raises:
        ConfigError: where the records are not whole.
    """
    if has_objects(folder):
        return
    target = folder / FOLDER
    part = folder / f'{FOLDER}.{os.getpid()}.part'
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        paths = RecordFolder(folder).paths
        with (
            open(part / 'points.bin', 'wb') as points,
            open(part / 'pictures.bin', 'wb') as pixels,
        ):
            cutter = _Cutter(points, pixels)
            for done, path in enumerate(paths, 1):
                cutter.cut(read_record(path))
                progress(done, len(paths))
        with open(part / 'table.npz', 'wb') as file:
            np.savez(file, fingerprint=np.array(fingerprint(folder)), **cutter.table())
        shutil.rmtree(target, ignore_errors=True)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _mapped(path: Path, kind: type[np.generic]) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, kind)
    return np.memmap(path, kind, 'r')


class _Cutter:
    """Collects the rows of the table; points and pixels go to their files at once."""

    def __init__(self, points: BinaryIO, pixels: BinaryIO) -> None:
        self._points, self._pixels = points, pixels
        self._objects: list[tuple[np.ndarray, int, int, int, str]] = []
        self._rows = [0]
        self._pictures: list[tuple[int, str, int, list[int], np.ndarray, np.ndarray]] = []
        self._start = 0

    def cut(self, record: SampleRecord) -> None:
        """Take the objects of a record that a LiDAR point shows."""
        if not len(record.points):
            return
        cloud = record.points.copy()
        places = transform_points(record.ego_from_lidar, cloud[:, :3].astype(np.float64))
        cloud[:, :3] = places
        counted = record.truth.is_asked(record.boxes[:, :3], record.labels)
        for i in np.flatnonzero(counted & (record.num_lidar_pts > 0)):
            box = record.boxes[i].astype(np.float64)
            inside = cloud[points_in_box(places, box)]
            attribute = NO_ATTRIBUTE if record.attributes is None else record.attributes[i]
            self._points.write(inside.astype(np.float32).tobytes())
            self._rows.append(self._rows[-1] + len(inside))
            self._objects.append(
                (
                    record.boxes[i],
                    int(record.labels[i]),
                    int(record.num_lidar_pts[i]),
                    int(attribute),
                    record.scene,
                )
            )
            if not record.visibility[i] < MIN_VISIBILITY:  # NaN: nobody said
                self._take_pictures(record, box)

    def _take_pictures(self, record: SampleRecord, box: np.ndarray) -> None:
        for i, camera in enumerate(record.cameras):
            outline = outline_of(
                box, record.intrinsics[i], record.ego_from_camera[i], record.pixels[i].shape[:2]
            )
            if outline is None:
                continue
            left, top, right, bottom = outline.inside
            if min(right - left, bottom - top) < MIN_SIDE:
                continue
            content = np.ascontiguousarray(record.pixels[i][top:bottom, left:right]).tobytes()
            self._pixels.write(content)
            self._pictures.append(
                (
                    len(self._objects) - 1,
                    camera,
                    self._start,
                    [right - left, bottom - top],
                    np.array([left, top]),
                    frame_of(outline),
                )
            )
            self._start += len(content)

    def table(self) -> dict[str, np.ndarray]:
        """The rows as arrays."""
        boxes, labels, seen, attributes, scenes = _columns(self._objects, 5)
        owner, camera, start, size, corner, frame = _columns(self._pictures, 6)
        scene_names, scene_rows = np.unique(np.array(scenes, dtype=str), return_inverse=True)
        camera_names, camera_rows = np.unique(np.array(camera, dtype=str), return_inverse=True)
        return {
            'boxes': np.array(boxes, np.float32).reshape(-1, 9),
            'labels': np.array(labels, np.int64),
            'seen': np.array(seen, np.int64),
            'attributes': np.array(attributes, np.int64),
            'scene_names': scene_names,
            'scenes': scene_rows,
            'point_rows': np.array(self._rows, np.int64),
            'picture_owner': np.array(owner, np.int64),
            'camera_names': camera_names,
            'picture_camera': camera_rows,
            'picture_start': np.array(start, np.int64),
            'picture_size': np.array(size, np.int64).reshape(-1, 2),
            'picture_corner': np.array(corner, np.int64).reshape(-1, 2),
            'picture_frame': np.array(frame, np.float64).reshape(-1, 4),
        }


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) or [()] * count


def frame_of(outline: Outline) -> np.ndarray:
    """(4,) left, top, right, bottom of a whole outline."""
    return np.concatenate([outline.polygon.min(0), outline.polygon.max(0)])
