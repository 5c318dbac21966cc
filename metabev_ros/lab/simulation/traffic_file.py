"""Files of recorded traffic: a scene's map, the way of its ego vehicle, and all its tracks.

One NumPy archive (`.npz`) without pickled objects. Nothing in it is believed before it is checked.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError, clean_text

PERIOD = 0.1  # seconds between frames
LICENCE = 'CC BY-NC-SA 4.0'  # of the recordings
ATTRIBUTION = 'nuScenes (Caesar et al., CVPR 2020), Motional; excerpt of MetaDrive'
EVALUATION_ONLY = (
    f'recorded traffic ({LICENCE}, not commercial): for evaluation only, not to be trained on'
)
_MOST_BYTES = 256 * 2**20  # of all arrays, unpacked
_MOST_FRAMES, _MOST_TRACKS, _MOST_LINES, _MOST_POINTS = 6000, 3000, 50_000, 2_000_000
_FARTHEST = 1e6  # metres from the city's origin
_LARGEST = 60.0  # metres of a box
_FASTEST = 60.0  # m/s of the ego
_REMEDY = 'use a scene as data/nuscenes_mini_traffic has them'
# name: kind of its values, and its shape; a letter is a size that is the same everywhere.
_ARRAYS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    'location': ('U', ()),
    'stamps': ('f', ('T',)),
    'ego_position': ('f', ('T', 3)),
    'ego_yaw': ('f', ('T',)),
    'track_category': ('U', ('N',)),
    'track_position': ('f', ('N', 'T', 3)),
    'track_yaw': ('f', ('N', 'T')),
    'track_valid': ('b', ('N', 'T')),
    'track_size': ('f', ('N', 'T', 3)),
    'map_type': ('U', ('L',)),
    'map_polyline': ('f', ('P', 2)),
    'map_polyline_count': ('iu', ('L',)),
    'map_polygon': ('f', ('Q', 2)),
    'map_polygon_count': ('iu', ('L',)),
}
_LIMITS = {
    'T': (2, _MOST_FRAMES),
    'N': (0, _MOST_TRACKS),
    'L': (0, _MOST_LINES),
    'P': (0, _MOST_POINTS),
    'Q': (0, _MOST_POINTS),
}


@dataclass(frozen=True, eq=False)
class TrafficScene:
    """A recorded scene in the city's frame.

    Attributes:
        location: name of the place.
        ego: (T, 3) float64 x, y in metres and heading in radians (unwrapped), every PERIOD.
        categories: (N,) names as the data set has them.
        tracks: (N, T, 3) float64 x, y, yaw; valid: (N, T) bool where they hold.
        sizes: (N, 3) float64 length, width, height in metres.
        lines: type, (M, 2) polyline and (K, 2) polygon of each element of the map; either may be
            empty.
    """

    location: str
    ego: np.ndarray
    categories: tuple[str, ...]
    tracks: np.ndarray
    valid: np.ndarray
    sizes: np.ndarray
    lines: tuple[tuple[str, np.ndarray, np.ndarray], ...]

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return PERIOD * (len(self.ego) - 1)


def read_traffic(path: Path) -> TrafficScene:
    """Read a scene.

    Raises:
        ConfigError: where the file is missing, damaged, too large, or contradicts itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > _MOST_BYTES:
            raise _error(path, f'at most {_MOST_BYTES} bytes', f'{unpacked} bytes')
        with np.load(path, allow_pickle=False) as file:
            missing = sorted(set(_ARRAYS) - set(file.files))
            if missing:
                raise _error(path, 'all arrays of a scene', f'without {missing}')
            arrays = {name: np.asarray(file[name]) for name in _ARRAYS}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as e:
        raise _error(path, 'a scene', clean_text(f'{type(e).__name__}: {e}')) from e
    _check_shapes(path, arrays)
    _check_values(path, arrays)
    return _scene_of(arrays)


def _error(path: Path, expected: str, got: str) -> ConfigError:
    return ConfigError(str(path), expected, got, _REMEDY)


def _check_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Kinds and shapes of all arrays fit each other.

    Raises:
        ConfigError
    """
    sizes: dict[str, int] = {}
    for name, (kinds, shape) in _ARRAYS.items():
        array = arrays[name]
        found = f'{name}: {array.dtype} {array.shape}'
        if array.dtype.kind not in kinds or array.ndim != len(shape):
            raise _error(path, f'{name} of kind {kinds} and shape {shape}', found)
        for size, wanted in zip(array.shape, shape, strict=True):
            if isinstance(wanted, int):
                low = high = wanted
            else:
                low, high = _LIMITS[wanted]
                low = high = (
                    sizes[wanted] if wanted in sizes else size if low <= size <= high else -1
                )
                sizes.setdefault(wanted, size)
            if not low <= size <= high:
                raise _error(path, f'{name} of shape {shape}, {_LIMITS}', found)


def _check_values(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Numbers are finite and possible, and counts add up.

    Raises:
        ConfigError
    """
    for name, array in arrays.items():
        if array.dtype.kind == 'f' and not np.all(np.abs(array) < _FARTHEST):
            raise _error(path, f'{name} below {_FARTHEST:g}', 'other numbers')
    steps = np.diff(arrays['stamps'])
    if not np.allclose(steps, PERIOD, atol=1e-3):
        raise _error(path, f'a stamp every {PERIOD} s', f'{steps.min():g} to {steps.max():g} s')
    jumps = np.hypot(*np.diff(arrays['ego_position'][:, :2], axis=0).T)
    if jumps.max() > _FASTEST * PERIOD:
        raise _error(path, f'an ego of at most {_FASTEST:g} m/s', f'{jumps.max() / PERIOD:g} m/s')
    valid = arrays['track_valid']
    size = arrays['track_size'][valid]
    if len(size) and not (size.min() > 0 and size.max() <= _LARGEST):
        raise _error(path, f'sizes of 0 to {_LARGEST:g} m', f'{size.min():g} to {size.max():g} m')
    for name in ('map_polyline', 'map_polygon'):
        count = arrays[f'{name}_count']
        if np.any(count < 0) or int(count.sum()) != len(arrays[name]):
            raise _error(
                path, f'{name}_count that adds up to {len(arrays[name])}', str(count.sum())
            )


def _scene_of(arrays: dict[str, np.ndarray]) -> TrafficScene:
    """The scene of checked arrays; tracks that are never valid are left out."""
    valid = arrays['track_valid']
    seen = np.flatnonzero(valid.any(axis=1))
    first = valid[seen].argmax(axis=1)
    tracks = np.concatenate(
        [arrays['track_position'][..., :2], arrays['track_yaw'][..., None]], axis=-1
    )
    ego = np.column_stack([arrays['ego_position'][:, :2], np.unwrap(arrays['ego_yaw'])])
    lines = zip(
        arrays['map_type'].tolist(),
        _split(arrays['map_polyline'], arrays['map_polyline_count']),
        _split(arrays['map_polygon'], arrays['map_polygon_count']),
        strict=True,
    )
    return TrafficScene(
        str(arrays['location']),
        ego.astype(np.float64),
        tuple(arrays['track_category'][seen].tolist()),
        tracks[seen].astype(np.float64),
        valid[seen],
        arrays['track_size'][seen, first].astype(np.float64),
        tuple(lines),
    )


def _split(points: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Pieces of (P, 2) points."""
    return np.split(points.astype(np.float64), np.cumsum(counts)[:-1]) if len(counts) else []
