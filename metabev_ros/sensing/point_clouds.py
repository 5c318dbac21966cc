"""Point cloud messages to arrays; every length is checked before an array is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.messages import PointCloud2, PointField
from metabev_ros.sensing.untrusted import byte_view

MAX_POINTS = 2_000_000
MAX_FIELDS = 64
_MAX_POINT_STEP = 4096
_FARTHEST = 1000.0  # metres; no LiDAR sees farther, and larger numbers overflow downstream
_FIELD_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}


def decode_point_cloud(message: PointCloud2) -> np.ndarray:
    """sensor_msgs/PointCloud2 -> (P, 5) float32 `structures.POINT_COLUMNS`.

    Any field order, type, padding and endianness. `x`, `y`, `z` are required; without
    `intensity` (or `i`) that column is zero, as in a cloud of a sensor that measures none;
    `time_lag` is zero: this is the reference sweep. Points that are not finite or farther than
    1 km on an axis are left out. The message is not modified.

    Raises:
        SensorDataError: 'fields', 'layout', 'dimensions', 'size' or 'data'.
    """
    width, height = int(message.width), int(message.height)
    point_step, row_step = int(message.point_step), int(message.row_step)
    if width < 0 or height < 0 or width * height > MAX_POINTS:
        raise SensorDataError(
            'dimensions', 'PointCloud2', f'at most {MAX_POINTS} points', f'{width} x {height}'
        )
    fields = _chosen_fields(_check_fields(message.fields, point_step))
    data = _checked_bytes(message)
    order = '>' if message.is_bigendian else '<'
    points = np.zeros((height * width, 5), dtype=np.float32)
    if not len(points):
        return points
    grid = points.reshape(height, width, 5)
    with np.errstate(over='ignore', invalid='ignore'):
        for column, (offset, kind) in enumerate(fields):
            if kind is not None:
                grid[..., column] = np.ndarray(
                    (height, width), order + kind, data.data, offset, (row_step, point_step)
                )
        # The maximum of a column with a NaN is NaN, which is not <= anything.
        if np.abs(points[:, :3]).max() <= _FARTHEST and np.isfinite(points[:, 3]).all():
            return points
        good = (np.abs(points[:, :3]) <= _FARTHEST).all(axis=1) & np.isfinite(points[:, 3])
    return points[good]


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


def _check_fields(
    fields: Sequence[PointField], point_step: int
) -> dict[str, tuple[int, str, int]]:
    """Name -> (offset, numpy type, count) of fields that lie side by side in a point.

    Raises:
        SensorDataError: 'fields' or 'layout'.
    """
    if len(fields) > MAX_FIELDS:
        raise SensorDataError(
            'fields', 'PointCloud2.fields', f'at most {MAX_FIELDS}', str(len(fields))
        )
    if not 1 <= point_step <= _MAX_POINT_STEP:
        raise SensorDataError(
            'layout', 'PointCloud2.point_step', f'1..{_MAX_POINT_STEP}', str(point_step)
        )
    found: dict[str, tuple[int, str, int]] = {}
    spans: list[tuple[int, int]] = []
    for field in fields:
        name, offset, count = str(field.name), int(field.offset), int(field.count)
        kind = _FIELD_TYPES.get(int(field.datatype))
        if kind is None or count < 1 or name in found:
            raise SensorDataError(
                'fields',
                'PointCloud2.fields',
                'distinct names, datatype 1..8, count >= 1',
                f'{clean_text(name)}: type {field.datatype}, count {count}',
            )
        found[name] = (offset, kind, count)
        spans.append((offset, offset + int(kind[1]) * count))
    spans.sort()
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
    return found


def _chosen_fields(
    found: dict[str, tuple[int, str, int]],
) -> list[tuple[int, str | None]]:
    """(offset, numpy type) of x, y, z and intensity; type None where intensity is absent.

    Raises:
        SensorDataError: 'fields'.
    """
    if 'intensity' not in found and 'i' in found:
        found['intensity'] = found['i']
    chosen = [found.get(name, (0, None, 1)) for name in ('x', 'y', 'z', 'intensity')]
    if any(kind is None for _, kind, _ in chosen[:3]) or any(n != 1 for _, _, n in chosen):
        raise SensorDataError(
            'fields',
            'PointCloud2.fields',
            'x, y, z of one value each',
            clean_text(', '.join(name[:20] for name in found)),
        )
    return [(offset, kind) for offset, kind, _ in chosen]
