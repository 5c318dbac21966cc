"""What comes from a message and is not data yet: strings, stamps, byte buffers."""

from __future__ import annotations

import array

import numpy as np

from metabev_ros.errors import SensorDataError

MAX_TEXT = 64


def sanitise(text) -> str:
    """A string that is safe in a log or a status: control characters escaped, 64 at most."""
    text = str(text)[: MAX_TEXT + 1]
    safe = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return safe if len(safe) <= MAX_TEXT else safe[: MAX_TEXT - 3] + '...'


def read_stamp(header) -> int:
    """Integer nanoseconds of a std_msgs/Header.

    Raises:
        SensorDataError: 'stamp' if it is zero, negative, or its nanoseconds are out of range.
    """
    sec, nanosec = int(header.stamp.sec), int(header.stamp.nanosec)
    if sec < 0 or not 0 <= nanosec < 10**9 or sec + nanosec == 0:
        raise SensorDataError('stamp', 'header.stamp', 'a positive time', f'{sec} s {nanosec} ns')
    return sec * 10**9 + nanosec


def read_frame(header) -> str:
    """The frame_id without a leading slash."""
    return str(header.frame_id).lstrip('/')


def byte_view(data, where: str) -> np.ndarray:
    """(n,) uint8 view of a message's data; nothing is copied or modified.

    Raises:
        SensorDataError: 'data' if it is no byte buffer.
    """
    if isinstance(data, np.ndarray) and data.dtype == np.uint8:
        return data.reshape(-1)
    if isinstance(data, (bytes, bytearray, memoryview)) or (
        isinstance(data, array.array) and data.itemsize == 1
    ):
        return np.frombuffer(data, dtype=np.uint8)
    raise SensorDataError('data', f'{where}.data', 'a byte buffer', type(data).__name__)
