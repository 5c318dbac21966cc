"""Untrusted parts of a message that are not data yet: stamps, frames, byte buffers."""

from __future__ import annotations

import array
from typing import cast

import numpy as np

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.messages import Header


def header_stamp_ns(header: Header) -> int:
    """Integer nanoseconds of a std_msgs/Header.

    Raises:
        SensorDataError: 'stamp' if it is zero, negative, or its nanoseconds are out of range.
    """
    sec, nanosec = int(header.stamp.sec), int(header.stamp.nanosec)
    if sec < 0 or not 0 <= nanosec < 10**9 or sec + nanosec == 0:
        raise SensorDataError('stamp', 'header.stamp', 'a positive time', f'{sec} s {nanosec} ns')
    return sec * 10**9 + nanosec


def read_frame(header: Header) -> str:
    """The frame_id without a leading slash."""
    return str(header.frame_id).lstrip('/')


def byte_view(data: object, where: str) -> np.ndarray:
    """(n,) uint8 view of a message's data; nothing is copied or modified.

    Raises:
        SensorDataError: 'data' if it is no byte buffer.
    """
    kind = type(data).__name__
    if isinstance(data, np.ndarray) and cast(np.ndarray, data).dtype == np.uint8:
        return cast(np.ndarray, data).reshape(-1)
    if isinstance(data, (bytes, bytearray, memoryview)) or (
        isinstance(data, array.array) and cast('array.array[int]', data).itemsize == 1
    ):
        return np.frombuffer(cast(bytes, data), dtype=np.uint8)
    raise SensorDataError('data', f'{where}.data', 'a byte buffer', kind)
