"""Readers of KITTI's text and binary files, object and tracking alike.

KITTI's development kit is MATLAB and C++; no maintained Python library reads these files, so the
readers are our own. All of them are bounded by the size of the file and run nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError, clean_text

DONT_CARE = 'DontCare'
MAX_TEXT_BYTES = 16 << 20
MAX_SWEEP_BYTES = 16 * 1_500_000
MAX_IMAGE_BYTES = 32 << 20
LARGEST = 1e9  # of any number in a text file
INTENSITY_SCALE = 255.0  # KITTI's reflectance is 0..1
_LABEL_COLUMNS = 14  # after the type; a fifteenth would be a score


@dataclass(frozen=True, eq=False)
class KittiLabels:
    """Labels of one frame, as they stand in the file: M objects, DontCare regions among them.

    Attributes:
        kinds: type of each.
        tracks: (M,) int64; -1 in the object benchmark and for DontCare.
        truncation: (M,) float64, 0..1 in the object benchmark, levels 0..2 in tracking.
        occlusion: (M,) int64 0 visible, 1 partly, 2 largely occluded, 3 unknown; -1 DontCare.
        image_boxes: (M, 4) float64 left, top, right, bottom, pixels.
        sizes: (M, 3) float64 height, width, length, metres.
        bottoms: (M, 3) float64 centre of the bottom face in the rectified camera frame.
        turns: (M,) float64 rotation_y, radians about that frame's y.
    """

    kinds: tuple[str, ...]
    tracks: np.ndarray
    truncation: np.ndarray
    occlusion: np.ndarray
    image_boxes: np.ndarray
    sizes: np.ndarray
    bottoms: np.ndarray
    turns: np.ndarray

    def rows(self, kept: np.ndarray) -> KittiLabels:
        """Some of them; (M,) bool."""
        return KittiLabels(
            tuple(kind for kind, keep in zip(self.kinds, kept, strict=True) if keep),
            self.tracks[kept],
            self.truncation[kept],
            self.occlusion[kept],
            self.image_boxes[kept],
            self.sizes[kept],
            self.bottoms[kept],
            self.turns[kept],
        )

    @property
    def is_dont_care(self) -> np.ndarray:
        """(M,) bool."""
        return np.array([kind == DONT_CARE for kind in self.kinds], bool)


def read_bytes(path: Path, most: int) -> bytes:
    """Content of a file.

    Raises:
        ConfigError: where it is missing, cannot be read, or is larger than `most` bytes.
    """
    try:
        if path.stat().st_size > most:
            raise ConfigError(str(path), f'at most {most} bytes', str(path.stat().st_size))
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            str(path), 'a file of the data set', 'no such file', 'unpack the whole data set'
        ) from error
    except OSError as error:
        raise ConfigError(str(path), 'a file that can be read', str(error.strerror)) from error


def read_lines(path: Path) -> list[list[str]]:
    """Words of every line that is not empty.

    Raises:
        ConfigError: for a file that is missing, too large or no text.
    """
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode('ascii')
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), 'text', 'other bytes', 'load it anew') from error
    return [line.split() for line in text.splitlines() if line.strip()]


def numbers(where: str, words: list[str], count: int) -> np.ndarray:
    """(count,) float64.

    Raises:
        ConfigError: for another count, or words that are no finite numbers of a sane size.
    """
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise ConfigError(where, 'numbers', clean_text(' '.join(words)), 'load it anew') from error
    if len(values) != count or not (np.abs(values) < LARGEST).all():
        raise ConfigError(
            where, f'{count} finite numbers', clean_text(' '.join(words) or 'none'), 'load it anew'
        )
    return values


def read_points(path: Path) -> np.ndarray:
    """(P, 5) float32 `POINT_COLUMNS` of a `velodyne/*.bin`; intensity is reflectance times 255.

    Raises:
        ConfigError: for a file that is missing, cut off, empty, or holds what is no sweep.
    """
    data = read_bytes(path, MAX_SWEEP_BYTES)
    if not data or len(data) % 16:
        raise ConfigError(
            str(path),
            'points of 16 bytes (x y z reflectance)',
            f'{len(data)} bytes',
            'load it anew',
        )
    points = np.frombuffer(data, '<f4').reshape(-1, 4)
    reflectance = points[:, 3]
    if not np.isfinite(points).all() or reflectance.min() < 0 or reflectance.max() > 1:
        raise ConfigError(
            str(path), 'finite points with a reflectance of 0..1', 'others', 'load it anew'
        )
    result = np.zeros((len(points), 5), np.float32)
    result[:, :3] = points[:, :3]
    result[:, 3] = reflectance * np.float32(INTENSITY_SCALE)
    return result


def read_image(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A PNG as it is, and its (width, height).

    Raises:
        ConfigError: for a file that is missing or no PNG.
    """
    data = read_bytes(path, MAX_IMAGE_BYTES)
    if len(data) < 24 or data[:8] != b'\x89PNG\r\n\x1a\n' or data[12:16] != b'IHDR':
        raise ConfigError(str(path), 'a PNG', 'something else', 'load it anew')
    return data, (int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big'))


def read_labels(path: Path) -> KittiLabels:
    """Labels of a frame of the object benchmark, `label_2/000000.txt`.

    Raises:
        ConfigError: for a file that is missing or damaged.
    """
    return _labels(str(path), [['-1', *words] for words in read_lines(path)])


def read_tracked_labels(path: Path) -> dict[int, KittiLabels]:
    """Labels of a sequence of the tracking benchmark, `label_02/0000.txt`: frame -> labels.

    Raises:
        ConfigError: for a file that is missing or damaged.
    """
    frames: dict[int, list[list[str]]] = {}
    for words in read_lines(path):
        if len(words) < 2 or not words[0].isdecimal():
            raise ConfigError(str(path), 'frame, track, type ...', clean_text(' '.join(words)))
        frames.setdefault(int(words[0]), []).append(words[1:])
    return {frame: _labels(f'{path}, frame {frame}', lines) for frame, lines in frames.items()}


def no_labels() -> KittiLabels:
    """Labels of a frame without objects."""
    return _labels('no labels', [])


def _labels(where: str, lines: list[list[str]]) -> KittiLabels:
    """Labels of lines `track type truncated occluded alpha ...`."""
    for words in lines:
        if len(words) < 2 + _LABEL_COLUMNS or words[1].lstrip('-').replace('.', '').isdecimal():
            raise ConfigError(
                where,
                f'a type and {_LABEL_COLUMNS} numbers a line',
                clean_text(' '.join(words)),
                'load the labels anew',
            )
    rows = np.array(
        [
            numbers(where, [words[0], *words[2 : 2 + _LABEL_COLUMNS]], 1 + _LABEL_COLUMNS)
            for words in lines
        ]
    ).reshape(-1, 1 + _LABEL_COLUMNS)
    return KittiLabels(
        tuple(words[1] for words in lines),
        rows[:, 0].astype(np.int64),
        rows[:, 1],
        rows[:, 2].astype(np.int64),
        rows[:, 4:8],
        rows[:, 8:11],
        rows[:, 11:14],
        rows[:, 14],
    )
