"""Objects cut out of a folder of records: their boxes, points and pictures, for GT-paste.

    RECORDS/.objects/table.npz     one row an object, one row a picture of one
    RECORDS/.objects/points.bin    float32 rows `POINT_COLUMNS` in the ego frame
    RECORDS/.objects/pictures.bin  uint8 RGB, picture after picture

It is built once, beside the manifest, and appears as a whole. The two long files are mapped into
memory, so that many loaders share them.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import MANIFEST

FOLDER = '.objects'
VERSION = 1


@dataclass(frozen=True, eq=False)
class Picture:
    """Part of a camera's picture that shows an object.

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
    """Fingerprint of what a database was built from, and how; another one is not used."""
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return f'{VERSION} {digest}'


def _mapped(path: Path, kind: type[np.generic]) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, kind)
    return np.memmap(path, kind, 'r')
