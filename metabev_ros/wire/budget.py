"""Budget of a message: bytes and elements of every type that is read.

The limits are far above what sensors send and far below what stalls a process. They hold before
anything is parsed: a list of transforms becomes Python objects, some twenty microseconds and one
kilobyte each.
"""

from __future__ import annotations

import struct

from metabev_ros.errors import SensorDataError

MAX_TRANSFORMS = 1000  # of one TFMessage; a large robot has some hundreds
MAX_POINT_FIELDS = 64  # of one PointCloud2; drivers send four to twelve

# 'package/msg/Name' -> most bytes of one message of it.
MAX_BYTES = {
    # Any picture of 32 million pixels with one or two bytes each, 22 million in colour.
    'sensor_msgs/msg/Image': 64 * 2**20,
    'sensor_msgs/msg/CompressedImage': 24 * 2**20,
    # A million and a half points of 16 bytes, or a sweep of 128 x 4096 of 48.
    'sensor_msgs/msg/PointCloud2': 24 * 2**20,
    'sensor_msgs/msg/CameraInfo': 64 * 2**10,
    # Two lists of 36 numbers and two frame names.
    'nav_msgs/msg/Odometry': 4 * 2**10,
    # Numbers and two frame names of 70 characters.
    'tf2_msgs/msg/TFMessage': MAX_TRANSFORMS * 256,
    'std_msgs/msg/String': 2**10,
}
_TRANSFORMS, _CLOUD = 'tf2_msgs/msg/TFMessage', 'sensor_msgs/msg/PointCloud2'
# Bytes of one with empty names.
_LEAST_TRANSFORM, _LEAST_POINT_FIELD = 74, 17
_BODY = 4  # bytes of the encapsulation header; alignment counts from here


def refusal_by_size(size: int, msgtype: str) -> str:
    """Reason why a message of this many bytes is not read; '' where it is."""
    limit = MAX_BYTES.get(msgtype)
    if limit is None or size <= limit:
        return ''
    return f'size: {_bytes(size)}, at most {_bytes(limit)}'


def check_budget(cdr: bytes | memoryview, msgtype: str) -> None:
    """Refuse what is too large or announces too many elements; nothing is allocated for it.

    Raises:
        SensorDataError: 'size', 'elements', or 'cdr' for more elements than there are bytes.
    """
    if refusal_by_size(len(cdr), msgtype):
        limit = _bytes(MAX_BYTES[msgtype])
        raise SensorDataError('size', msgtype, f'at most {limit}', _bytes(len(cdr)))
    if msgtype == _TRANSFORMS:
        count, limit, least = _unsigned(cdr, _BODY), MAX_TRANSFORMS, _LEAST_TRANSFORM
    elif msgtype == _CLOUD:
        count, limit, least = _point_fields(cdr), MAX_POINT_FIELDS, _LEAST_POINT_FIELD
    else:
        return
    what = 'transforms' if msgtype == _TRANSFORMS else 'fields'
    if count * least > len(cdr):
        raise SensorDataError('cdr', msgtype, f'bytes for {count} {what}', f'{len(cdr)} bytes')
    if count > limit:
        raise SensorDataError('elements', msgtype, f'at most {limit} {what}', str(count))


def _point_fields(cdr: bytes | memoryview) -> int:
    """Length of PointCloud2.fields: behind the stamp, the frame's name, height and width."""
    name = _BODY + 8
    end = name + 4 + _unsigned(cdr, name)
    aligned = _BODY + (end - _BODY + 3 & ~3)
    return _unsigned(cdr, aligned + 8)


def _unsigned(cdr: bytes | memoryview, offset: int) -> int:
    """A number of four bytes; 0 behind the end, which the parser finds out."""
    if offset + 4 > len(cdr):
        return 0
    return struct.unpack_from('<I' if cdr[1] & 1 else '>I', cdr, offset)[0]


def _bytes(size: int) -> str:
    if size < 10_000:
        return f'{size} bytes'
    return f'{size / 1e3:.0f} kB' if size < 1e6 else f'{size / 1e6:.1f} MB'
