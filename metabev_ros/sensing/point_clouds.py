"""Point cloud messages to arrays; every length is checked before an array is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.config import EgoBox, PointTime, TimeUnit
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.sensing.messages import PointCloud2, PointField, Stamp
from metabev_ros.sensing.untrusted import byte_view

MAX_POINTS = 1_500_000
MAX_FIELDS = 64
_MAX_POINT_STEP = 4096
_FARTHEST = 1000.0  # metres; no LiDAR sees farther, and larger numbers overflow downstream
_LATEST = 1.0  # seconds between a point and its stamp; no sweep takes longer
_FIELD_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_PER_SECOND = {
    TimeUnit.SECONDS: 1,
    TimeUnit.MICROSECONDS: 1_000_000,
    TimeUnit.NANOSECONDS: 1_000_000_000,
}

Place = tuple[int, str]  # offset in a point, numpy type


def decode_point_cloud(
    message: PointCloud2, point_time: PointTime | None = None, intensity_scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """sensor_msgs/PointCloud2 -> points, the time of each, and what is wrong with the times.

    Any field order, type, padding and endianness. `x`, `y`, `z` are required; without
    `intensity` (or `i`) that column is zero, as in a cloud of a sensor that measures none.
    Fields that are not used may be anything. Points that are not finite or farther than 1 km on
    an axis are left out. The message is not modified.

    Args:
        message: the cloud.
        point_time: the field of each point's own time; None for none.
        intensity_scale: what the intensities are multiplied by, to lie in 0..255.

    Returns:
        (P, 5) float32 `structures.POINT_COLUMNS`, `time_lag` zero;
        (P,) float32 seconds from the message's stamp, negative before it, or None;
        '', or why there are none although `point_time` is given.

    Raises:
        SensorDataError: 'fields', 'layout', 'dimensions', 'size' or 'data'.
    """
    width, height = int(message.width), int(message.height)
    if width < 0 or height < 0 or width * height > MAX_POINTS:
        raise SensorDataError(
            'dimensions', 'PointCloud2', f'at most {MAX_POINTS} points', f'{width} x {height}'
        )
    places = _find_fields(message)
    data = _checked_bytes(message)
    points = _read_points(message, data, places)
    seconds, timing = None, None
    if point_time is not None:
        timing = _find_time(message, point_time.field)
    if point_time is not None and timing is not None:
        seconds = _seconds(_column(message, data, timing), point_time, message.header.stamp)
    with np.errstate(over='ignore', invalid='ignore'):
        if intensity_scale != 1:
            points[:, 3] *= np.float32(intensity_scale)
        points, seconds = _without_absurd(points, seconds)
    if point_time is None:
        return points, None, ''
    return points, *_plausible(seconds, point_time)


def _read_points(
    message: PointCloud2, data: np.ndarray, places: Sequence[Place | None]
) -> np.ndarray:
    """(P, 5) float32; columns without a place are zero."""
    width, height = int(message.width), int(message.height)
    points = np.zeros((height * width, 5), dtype=np.float32)
    grid = points.reshape(height, width, 5)
    with np.errstate(over='ignore', invalid='ignore'):
        for column, place in enumerate(places):
            if place is not None and grid.size:
                grid[..., column] = _column(message, data, place)
    return points


def _column(message: PointCloud2, data: np.ndarray, place: Place) -> np.ndarray:
    """(height, width) view of one field of a cloud that has points."""
    order = '>' if message.is_bigendian else '<'
    shape = (int(message.height), int(message.width))
    if not shape[0] * shape[1]:
        return np.zeros(shape, order + place[1])
    steps = (int(message.row_step), int(message.point_step))
    return np.ndarray(shape, order + place[1], data.data, place[0], steps)


def _without_absurd(
    points: np.ndarray, seconds: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Leave out points that are not finite or too far, and their times."""
    good = np.isfinite(points[:, 3])
    for axis in range(3):  # column by column is ten times as fast; NaN is not <= anything
        good &= np.abs(points[:, axis]) <= _FARTHEST
    if good.all():
        return points, seconds
    return _chosen(points, seconds, good)


def _chosen(
    points: np.ndarray, seconds: np.ndarray | None, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """The points that are kept and their times; np.compress takes rows four times as fast."""
    return np.compress(keep, points, axis=0), None if seconds is None else seconds[keep]


# ----------------------------------------------------------------------------- per-point time
def _seconds(values: np.ndarray, point_time: PointTime, stamp: Stamp) -> np.ndarray:
    """(P,) float32 or float64 seconds from the stamp.

    A float64 holds a time since 1970 to 0.2 microseconds or better, and the whole seconds of the
    stamp exactly in any unit; their difference loses nothing. A float32 would lose a minute.
    """
    per_second = _PER_SECOND[point_time.unit]
    with np.errstate(invalid='ignore', over='ignore'):
        if point_time.absolute:
            whole = float(int(stamp.sec) * per_second)
            since = values.astype(np.float64) - whole
            return (since / per_second - int(stamp.nanosec) * 1e-9).reshape(-1)
        kind = (
            np.float32 if values.dtype.itemsize == 4 and values.dtype.kind == 'f' else np.float64
        )
        return (values.astype(kind) * kind(1 / per_second)).reshape(-1)


def _plausible(seconds: np.ndarray | None, point_time: PointTime) -> tuple[np.ndarray | None, str]:
    """The times as float32 if all of them can be true; else None and what is wrong."""
    name = clean_text(point_time.field, 20)
    if seconds is None:
        return None, f'no per-point time: no field {name!r} of one number'
    if len(seconds):
        farthest = float(np.maximum(seconds.max(), -seconds.min()))
        if not farthest <= _LATEST:  # NaN is not <= anything
            return None, f'no per-point time: {name!r} is {farthest:.3g} s from the stamp'
    return seconds.astype(np.float32, copy=False), ''


# --------------------------------------------------------------------------- own-vehicle box
def without_box(
    points: np.ndarray, seconds: np.ndarray | None, box: EgoBox, ego_from_lidar: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Leave out the returns from the vehicle itself.

    Args:
        points: (P, 5) float32 in the LiDAR frame.
        seconds: (P,) of the same points, or None.
        box: around the vehicle, in the ego frame; its surface belongs to it.
        ego_from_lidar: (4, 4) float64.

    Returns:
        the rest of both; the same arrays where nothing lies in the box.
    """
    low = np.array([box.x_min, box.y_min, box.z_min])
    high = np.array([box.x_max, box.y_max, box.z_max])
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, 8).T
    seen = transform_points(inverse_rigid(ego_from_lidar), corners)
    near = np.arange(0)
    for axis in range(3):  # first the box's bounds in the LiDAR frame: most points lie outside
        values = points[:, 0].copy() if axis == 0 else points[near, axis]
        # A little wider, for the rounding of float32.
        within = (values >= seen[:, axis].min() - 1e-3) & (values <= seen[:, axis].max() + 1e-3)
        near = np.flatnonzero(within) if axis == 0 else near[within]
    placed = transform_points(ego_from_lidar, points[near, :3].astype(np.float64))
    own = near[((placed >= low) & (placed <= high)).all(axis=1)]
    if not len(own):
        return points, seconds
    keep = np.ones(len(points), bool)
    keep[own] = False
    return _chosen(points, seconds, keep)


# ------------------------------------------------------------------------------------- layout
def _checked_bytes(message: PointCloud2) -> np.ndarray:
    """Bytes of a cloud, as many as its sizes say.

    Raises:
        SensorDataError: 'layout' or 'size'.
    """
    row, row_step = int(message.width) * int(message.point_step), int(message.row_step)
    if row_step < row or row_step > 2 * row + 65536:
        raise SensorDataError(
            'layout',
            'PointCloud2.row_step',
            f'width * point_step = {row} or a little more',
            str(row_step),
        )
    data, size = byte_view(message.data, 'PointCloud2'), row_step * int(message.height)
    if data.size != size:
        raise SensorDataError(
            'size', 'PointCloud2.data', f'row_step * height = {size} bytes', str(data.size)
        )
    return data


def _find_fields(message: PointCloud2) -> tuple[Place | None, ...]:
    """Places of x, y, z and intensity in a point; None for an absent intensity.

    Only fields that are used must be sound: drivers pad with fields of the same name, of no
    values, or over others (rgb and rgba).

    Raises:
        SensorDataError: 'fields' or 'layout'.
    """
    fields, point_step = message.fields, int(message.point_step)
    if len(fields) > MAX_FIELDS:
        raise SensorDataError(
            'fields', 'PointCloud2.fields', f'at most {MAX_FIELDS}', str(len(fields))
        )
    if not 1 <= point_step <= _MAX_POINT_STEP:
        raise SensorDataError(
            'layout', 'PointCloud2.point_step', f'1..{_MAX_POINT_STEP}', str(point_step)
        )
    names = [str(field.name) for field in fields]
    wanted = ('x', 'y', 'z', 'intensity' if 'intensity' in names else 'i')
    used = {name: _place(fields, names, name) for name in wanted if name in names}
    if not {'x', 'y', 'z'} <= set(used):
        given = clean_text(', '.join(name[:20] for name in names))
        raise SensorDataError('fields', 'PointCloud2.fields', 'x, y, z', given)
    _check_spans(used, point_step)
    return tuple(used.get(name) for name in wanted)


def _find_time(message: PointCloud2, name: str) -> Place | None:
    """Place of the time in a point; None where there is no such field of one number."""
    found = [field for field in message.fields if str(field.name) == name]
    kind = _FIELD_TYPES.get(int(found[0].datatype)) if len(found) == 1 else None
    if kind is None or int(found[0].count) != 1:
        return None
    offset = int(found[0].offset)
    return (offset, kind) if 0 <= offset <= int(message.point_step) - int(kind[1]) else None


def _place(fields: Sequence[PointField], names: list[str], name: str) -> Place:
    field = fields[names.index(name)]
    kind = _FIELD_TYPES.get(int(field.datatype))
    if kind is None or int(field.count) != 1 or names.count(name) > 1:
        raise SensorDataError(
            'fields',
            'PointCloud2.fields',
            f'one {clean_text(name, 20)} of datatype 1..8 and one value',
            f'type {field.datatype}, count {field.count}, {names.count(name)} times',
        )
    return int(field.offset), kind


def _check_spans(used: dict[str, Place], point_step: int) -> None:
    """Refuse used fields that overlap or reach out of the point."""
    spans = sorted((offset, offset + int(kind[1])) for offset, kind in used.values())
    ends = [0, *(end for _, end in spans)]
    if any(start < end for (start, _), end in zip(spans, ends, strict=False)) or (
        ends[-1] > point_step
    ):
        raise SensorDataError(
            'layout',
            'PointCloud2.fields',
            f'fields that do not overlap, inside {point_step} bytes',
            str(spans[:4]),
        )
