"""Messages read by the definition of a bag: as rosbags reads them, and hostile ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from metabev_ros import wire
from metabev_ros.errors import SensorDataError

KIND = 'a_msgs/msg/Thing'
TEXT = """
std_msgs/Header header
bool flag
uint8 small
float64 big
string name
int16[3] three
float32[] numbers
uint8[] data
string[] words
a_msgs/Part[] parts
a_msgs/Part[2] pair
================================================================================
MSG: a_msgs/Part
uint8 CONSTANT=3
int64 id
string text
geometry_msgs/Point place
"""


@pytest.fixture(scope='module')
def store():
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(TEXT, KIND))
    return types


def thing(store, rng):
    types = store.types

    def part():
        point = types['geometry_msgs/msg/Point'](*rng.normal(size=3).tolist())
        return types['a_msgs/msg/Part'](int(rng.integers(-9, 9)), 'x' * rng.integers(9), point)

    stamp = types['builtin_interfaces/msg/Time'](7, 9)
    return types[KIND](
        header=types['std_msgs/msg/Header'](stamp, 'é' * int(rng.integers(5))),
        flag=True,
        small=200,
        big=float(rng.normal()),
        name='n' * int(rng.integers(9)),
        three=rng.integers(-9, 9, 3).astype(np.int16),
        numbers=rng.normal(size=rng.integers(5)).astype(np.float32),
        data=rng.integers(0, 255, rng.integers(5)).astype(np.uint8),
        words=['w' * int(rng.integers(4)) for _ in range(rng.integers(4))],
        parts=[part() for _ in range(rng.integers(3))],
        pair=[part(), part()],
    )


def plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    fields = getattr(value, '__dict__', None)
    if fields is None:
        return value
    constant = ('__msgtype__', 'CONSTANT')
    return {name: plain(item) for name, item in fields.items() if name not in constant}


@pytest.mark.parametrize('is_little', [True, False])
def test_a_message_is_read_as_rosbags_reads_it(store, is_little):
    foreign, rng = wire.ForeignType(KIND, TEXT), np.random.default_rng(3)
    for _ in range(50):
        cdr = bytes(store.serialize_cdr(thing(store, rng), KIND, little_endian=is_little))
        read = foreign.read(cdr)
        assert isinstance(read, SimpleNamespace)
        assert plain(read) == plain(store.deserialize_cdr(cdr, KIND))


def test_fields_are_found_through_lists_and_types_of_ros():
    foreign = wire.ForeignType(KIND, TEXT)
    assert foreign.has('parts.place.x') and foreign.has('header.stamp.sec')
    assert not foreign.has('parts.size') and not foreign.has('name.x')


def test_damaged_bytes_are_a_message_that_cannot_be_used(store):
    foreign, rng = wire.ForeignType(KIND, TEXT), np.random.default_rng(4)
    cdr = bytes(store.serialize_cdr(thing(store, rng), KIND))
    refused = 0
    for _ in range(2000):
        damaged = bytearray(cdr[: rng.integers(len(cdr))])
        for at in rng.integers(0, max(len(damaged), 1), 2):
            if len(damaged):
                damaged[at] = rng.integers(256)
        try:
            foreign.read(bytes(damaged))
        except SensorDataError as error:
            refused += error.reason == 'cdr'
    assert refused > 1000


@pytest.mark.parametrize(
    ('text', 'tail'),
    [
        ('float64[] values', (2**32 - 1).to_bytes(4, 'little')),
        ('string[] values', (2**32 - 1).to_bytes(4, 'little')),
        ('string value', (2**31).to_bytes(4, 'little')),
        ('float64[1000000000] values', b'0' * 64),
        ('a_msgs/Thing[1] own', b'0' * 64),
        ('a_msgs/Missing one', b'0' * 64),
    ],
)
def test_what_announces_more_than_there_is_costs_nothing(text, tail):
    with pytest.raises(SensorDataError):
        wire.ForeignType(KIND, text).read(b'\0\1\0\0' + tail)


def test_a_list_of_millions_of_messages_is_refused():
    text = f'a_msgs/Part[] parts\n{"=" * 80}\nMSG: a_msgs/Part\nuint8 a\nuint8 b\n'
    count = 400_000
    cdr = b'\0\1\0\0' + count.to_bytes(4, 'little') + bytes(2 * count)
    with pytest.raises(SensorDataError, match='values'):
        wire.ForeignType(KIND, text).read(cdr)
    with pytest.raises(SensorDataError, match='MB'):
        wire.ForeignType(KIND, text).read(bytes(2**24 + 1))


@pytest.mark.parametrize('text', ['][', 'x' * 200_000, 'string', 'MSG: a\nstring b'])
def test_what_is_no_definition_is_refused(text):
    with pytest.raises(SensorDataError, match='text of a .msg file'):
        wire.ForeignType(KIND, text)
