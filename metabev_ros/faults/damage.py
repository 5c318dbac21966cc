"""GARBAGE and WRONG: one serialized message in, a damaged one out. Deterministic by its dice."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.faults.plan import CLOUD, PlannedFault, What, given
from metabev_ros.sensing.decoding import read_compressed_image

NOWHERE = 'nowhere'  # the frame_id of What.FRAME
_HEAD = 4  # bytes of the CDR encapsulation header


def damage(
    cdr: bytes, msgtype: str, fault: PlannedFault, dice: np.random.Generator, elapsed: float
) -> bytes:
    """The damaged message.

    Args:
        cdr: the true one.
        fault: of type GARBAGE or WRONG, on a topic that its `check_type` has accepted.
        dice: all chance there is.
        elapsed: seconds since the fault began.

    Raises:
        ConfigError: if this message cannot be damaged so (its bytes are broken already, or its
            layout is not one of float32 x, y, z in little endian).
    """
    if fault.what is What.BYTES:
        return cdr[:_HEAD] + dice.bytes(max(0, len(cdr) - _HEAD))
    try:
        if fault.what in (What.STAMP, What.DRIFT):
            offset = given(fault.seconds) * (1.0 if fault.what is What.STAMP else elapsed)
            return wire.with_stamp(cdr, max(0, wire.read_stamp(cdr) + round(offset * 1e9)))
        message = wire.deserialize(cdr, msgtype)
        if fault.what is What.FRAME:
            message.header.frame_id = NOWHERE
        elif fault.what is What.TRUNCATED:
            message.data = message.data[: int(given(fault.share) * len(message.data))]
        elif msgtype == CLOUD:
            _damage_cloud(message, fault, dice)
        else:
            _damage_image(message, msgtype, fault.what, dice)
    except (MetaBevError, struct.error) as error:
        raise ConfigError(
            f'fault {fault.name}',
            f'a sound {msgtype} to damage',
            str(error),
            'choose another fault for this stream',
        ) from error
    return wire.serialize(message, msgtype)


def _damage_image(
    message: Any, msgtype: str, what: What | None, dice: np.random.Generator
) -> None:
    """Change all bytes of an Image, or the pixels of a CompressedImage's file."""
    compressed = msgtype.endswith('CompressedImage')
    if compressed:
        pixels = read_compressed_image(message).decode()[0]
    else:
        pixels = np.array(message.data).reshape(message.height, -1)
    if what is What.NOISE:
        pixels = dice.integers(0, 256, pixels.shape, dtype=np.uint8)
    elif what is What.TORN:
        pixels[len(pixels) // 2 :] = 0
    else:
        pixels[:] = 255 if what is What.WHITE else 0
    if compressed:
        kind = '.png' if bytes(message.data[:4]) == b'\x89PNG' else '.jpg'
        pixels = cv2.imencode(kind, np.ascontiguousarray(pixels[..., ::-1]))[1]
    message.data = np.ascontiguousarray(pixels).reshape(-1)


def _damage_cloud(message: Any, fault: PlannedFault, dice: np.random.Generator) -> None:
    """Take points out of a cloud, or make their coordinates untrue."""
    offsets = _float_offsets(message, fault)
    count = int(message.width) * int(message.height)
    points = np.array(message.data).reshape(count, message.point_step)
    x, y, z = (points[:, at : at + 4].copy().view('<f4').reshape(-1) for at in offsets)
    if fault.what is What.NOT_FINITE:
        x[dice.random(count) < given(fault.share)] = np.nan
    elif fault.what is What.NOISE:
        x, y, z = (dice.uniform(-60, 60, count).astype('<f4') for _ in range(3))
    for at, values in zip(offsets, (x, y, z), strict=True):
        points[:, at : at + 4] = values.reshape(-1, 1).view(np.uint8)
    keep = np.ones(count, bool)
    if fault.what is What.EMPTY:
        keep[:] = False
    elif fault.what is What.SPARSE:
        keep = dice.random(count) < given(fault.share)
    elif fault.what is What.HALF_FIELD:
        keep = y >= 0
    points = points[keep]
    message.height, message.width = 1, len(points)
    message.row_step = len(points) * message.point_step
    message.data = np.ascontiguousarray(points).reshape(-1)


def _float_offsets(message: Any, fault: PlannedFault) -> list[int]:
    """Byte offsets of x, y, z in a point."""
    found = {
        field.name: field.offset
        for field in message.fields
        if field.datatype == 7 and field.offset + 4 <= message.point_step
    }
    if (
        message.is_bigendian
        or not {'x', 'y', 'z'} <= set(found)
        or (
            message.row_step != message.width * message.point_step
            or len(message.data) != message.row_step * message.height
        )
    ):
        raise ConfigError(
            f'fault {fault.name}',
            'float32 x, y, z, little endian, without padding',
            'another layout',
        )
    return [found[name] for name in 'xyz']
