"""Our layouts and bytes against the real packages: their .msg files and their Python classes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_msg
from test_wire_standard import CAR, ERRORS, MEASURED, followed, wide_result

from metabev_ros import wire
from metabev_ros.config import MarkersConfig
from metabev_ros.outputs import result_messages
from metabev_ros.structures import Modality
from metabev_ros.wire.autoware import autoware_tracks

pytestmark = pytest.mark.distribution

TYPES = (wire.VISION, wire.AUTOWARE, wire.AUTOWARE_TRACKS, wire.GRID_MAP, wire.SCENE)
TOPICS = {
    wire.VISION: 'vision_detections',
    wire.AUTOWARE: 'autoware_objects',
    wire.GRID_MAP: 'grid_map',
    wire.SCENE: 'scene',
}


def upstream_fields(msgtype: str) -> dict[str, list[Any]]:
    """Fields of a type and of those of its package in it, from the package's own files."""
    from ament_index_python.packages import get_package_share_directory

    package, _, name = msgtype.split('/')
    text = Path(get_package_share_directory(package), 'msg', f'{name}.msg').read_text()
    fields = list(get_types_from_msg(text, msgtype)[msgtype][1])
    found = {msgtype: fields}
    for _, (kind, value) in fields:
        inner = value[0] if kind in (Nodetype.SEQUENCE, Nodetype.ARRAY) else (kind, value)
        if inner[0] == Nodetype.NAME and inner[1].startswith(f'{package}/'):
            found |= upstream_fields(inner[1])
    return found


@pytest.mark.parametrize('msgtype', TYPES)
def test_every_field_is_that_of_the_package(msgtype: str) -> None:
    pytest.importorskip(msgtype.partition('/')[0])
    ours = wire.typestore().fielddefs
    for name, fields in upstream_fields(msgtype).items():
        assert list(ours[name][1]) == fields, name


def bytes_of(msgtype: str) -> bytes:
    if msgtype == wire.AUTOWARE_TRACKS:
        message = autoware_tracks(
            followed(CAR, dataclasses.replace(CAR, id=7)), MEASURED, 'base_link'
        )
        return wire.serialize(message, msgtype)
    result = wide_result(np.full((6, 200, 200), 0.25, np.float32))
    topics = (TOPICS[msgtype],)
    assert ERRORS[Modality.LIDAR]  # covariances are not all zero
    return result_messages(result, MEASURED, 'base_link', MarkersConfig(), topics)[-1].cdr


def same(ours: Any, theirs: Any, where: str) -> None:
    """Compare two messages field by field; numbers exactly, NaN as a number."""
    if hasattr(theirs, 'get_fields_and_field_types'):
        for name in theirs.get_fields_and_field_types():
            same(getattr(ours, name), getattr(theirs, name), f'{where}.{name}')
    elif isinstance(theirs, (str, bool)):
        assert ours == theirs, where
    elif isinstance(theirs, (int, float)):
        assert ours == theirs or math.isnan(ours) and math.isnan(theirs), where
    elif isinstance(ours, np.ndarray):
        assert np.array_equal(ours, np.asarray(theirs), equal_nan=ours.dtype.kind == 'f'), where
    else:
        assert len(ours) == len(theirs), where
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            same(*pair, f'{where}[{index}]')


@pytest.mark.ros
@pytest.mark.parametrize('msgtype', TYPES)
def test_the_packages_own_class_reads_the_same_values_from_our_bytes(msgtype: str) -> None:
    pytest.importorskip(msgtype.partition('/')[0])
    from rclpy.serialization import deserialize_message

    from metabev_ros.node.ros_support import message_type

    cdr = bytes_of(msgtype)
    theirs = deserialize_message(cdr, message_type(msgtype))
    same(wire.deserialize(cdr, msgtype), theirs, msgtype)
