"""Cutting objects out of a folder of records: the making of an `ObjectDatabase`."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metabev_ros.geometry import points_in_box, transform_points
from metabev_ros.lab.datasets.ground_truth import NO_ATTRIBUTE
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.training.object_database import FOLDER, fingerprint
from metabev_ros.lab.training.outlines import outline_of

MIN_VISIBILITY = 0.4  # of an object whose picture is taken; where nobody said, it is
MIN_SIDE = 4  # pixels of a picture
Progress = Callable[[int, int], object]


def has_objects(folder: Path) -> bool:
    """Tell whether the objects of a folder of records were cut out."""
    table = folder / FOLDER / 'table.npz'
    try:
        with np.load(table, allow_pickle=False) as file:
            return str(file['fingerprint']) == fingerprint(folder)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


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
                    outline.frame,
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
