"""Messages beyond their budget are refused before anything of them is parsed."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from support import rig_messages

from metabev_ros import wire
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.decoding import MAX_PIXELS
from metabev_ros.sensing.point_clouds import MAX_POINTS
from metabev_ros.sensing.topics import rig_topics
from metabev_ros.wire import cdr
from metabev_ros.wire.budget import MAX_BYTES, MAX_POINT_FIELDS, MAX_TRANSFORMS

TF, CLOUD = rig_messages.TF_TYPE, rig_messages.CLOUD_TYPE


@pytest.fixture
def no_parser(monkeypatch):
    """A parser that must not be asked."""

    def parse(*arguments):
        raise AssertionError('parsed')

    cdr.typestore()
    monkeypatch.setattr(type(cdr.typestore()), 'deserialize_cdr', parse)


def reason_of(data: bytes, msgtype: str) -> str:
    with pytest.raises(SensorDataError) as caught:
        wire.deserialize(data, msgtype)
    return caught.value.reason


def transforms(count: int) -> bytes:
    message = wire.deserialize(rig_messages.static_transforms(1), TF)
    message.transforms = [message.transforms[0]] * count
    return wire.serialize(message, TF)


def cloud_with_fields(announced: int, padding: int = 0, order: str = '<') -> bytes:
    """A cloud that says it has so many fields, and zeros in their place."""
    frame = struct.pack(f'{order}I', 6) + b'lidar\0' + bytes(2)
    head = bytes(8) + frame + struct.pack(f'{order}III', 1, 1, announced)
    return bytes([0, order == '<', 0, 0]) + head + bytes(padding)


@pytest.mark.parametrize('msgtype', sorted(MAX_BYTES))
def test_a_message_of_too_many_bytes_is_not_parsed(no_parser, msgtype):
    assert reason_of(b'\0\1\0\0' + bytes(MAX_BYTES[msgtype]), msgtype) == 'size'


def test_every_topic_of_a_rig_has_a_budget():
    assert {topic.msgtype for topic in rig_topics(rig_messages.rig()).values()} <= set(MAX_BYTES)


def test_what_the_decoders_take_fits_into_the_budget():
    assert MAX_POINTS * 16 < MAX_BYTES[CLOUD]
    assert MAX_PIXELS * 2 < MAX_BYTES['sensor_msgs/msg/Image']


def test_a_list_of_transforms_is_read_up_to_its_limit_and_no_further():
    assert len(wire.deserialize(transforms(MAX_TRANSFORMS), TF).transforms) == MAX_TRANSFORMS
    assert reason_of(transforms(MAX_TRANSFORMS + 1), TF) == 'elements'


@pytest.mark.parametrize('order', ['<', '>'])
def test_a_cloud_of_a_million_fields_is_refused_at_once(no_parser, order):
    data = cloud_with_fields(1_000_000, 20_000_000, order)
    before = time.monotonic()
    assert reason_of(data, CLOUD) == 'elements'
    assert time.monotonic() - before < 1.0  # parsed, it takes far more: one object a field


@pytest.mark.parametrize(
    ('data', 'msgtype'),
    [
        (cloud_with_fields(MAX_POINT_FIELDS, 100), CLOUD),
        (cloud_with_fields(2**32 - 1), CLOUD),
        (b'\0\1\0\0' + struct.pack('<I', 900) + bytes(800), TF),
        (b'\0\1\0\0', TF),
        (b'\0\1\0\0' + bytes(10), CLOUD),
        (b'\0\1\0\0' + bytes(8) + struct.pack('<I', 2**32 - 1), CLOUD),
        (b'', CLOUD),
    ],
)
def test_a_list_that_its_bytes_cannot_hold_is_no_message(data, msgtype):
    assert reason_of(data, msgtype) == 'cdr'


def test_large_messages_are_read_in_place():
    """The parser copies bytes that it is not given as a view."""
    data = rig_messages.cloud(0, 1, points=10_000)
    points = wire.deserialize(data, CLOUD).data
    assert points.size == 160_000
    assert np.shares_memory(points, np.frombuffer(data, np.uint8))
