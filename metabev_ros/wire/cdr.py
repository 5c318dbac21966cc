"""CDR bytes into message objects and back, without ROS; bytes are treated as hostile.

Types are those of ROS 2 Jazzy, this package's `msg/*.msg` and those of `definitions`.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any, Protocol

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.resources import resource_path
from metabev_ros.wire.budget import check_budget
from metabev_ros.wire.definitions import DEFINITIONS

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict  # exists for type checkers only

PACKAGE = 'metabev_ros'


class TimeMessage(Protocol):
    """builtin_interfaces/Time, of rosbags or of rclpy."""

    sec: int
    nanosec: int


@functools.cache
def typestore() -> Typestore:
    """The message types this package can read and write."""
    store = get_typestore(Stores.ROS2_JAZZY)
    definitions: Typesdict = {}
    for path in sorted(resource_path('msg').glob('*.msg')):
        text = path.read_text(encoding='utf-8')
        definitions.update(get_types_from_msg(text, f'{PACKAGE}/msg/{path.stem}'))
    for msgtype, text in DEFINITIONS.items():
        definitions.update(get_types_from_msg(text, msgtype))
    store.register(definitions)
    return store


def knows_type(msgtype: str) -> bool:
    """Tell whether `deserialize` and `serialize` can handle this type."""
    return msgtype in typestore().types


def type_definition(msgtype: str) -> str:
    """The complete .msg text with its dependencies, as MCAP's `ros2msg` encoding wants it."""
    return typestore().generate_msgdef(msgtype, ros_version=2)[0]


def message_class(msgtype: str) -> type:
    """The class of a message; constructed with all its fields."""
    return typestore().types[msgtype]


def deserialize(cdr: bytes | memoryview, msgtype: str) -> Any:
    """A message object with ROS field names; arrays of numbers are NumPy arrays.

    Raises:
        SensorDataError: reason 'cdr' if the bytes are no such message, 'type' if it is unknown,
            'size' or 'elements' if it is beyond its `budget`.
    """
    if not knows_type(msgtype):
        raise SensorDataError(
            'type', 'wire.deserialize', 'a known message type', clean_text(msgtype)
        )
    check_budget(cdr, msgtype)
    try:
        # A view: the parser would copy bytes before it reads them.
        return typestore().deserialize_cdr(memoryview(cdr), msgtype)
    except Exception as error:  # hostile bytes: whatever the parser trips over, it is the message
        raise SensorDataError(
            'cdr',
            msgtype,
            'a well-formed serialized message',
            f'{len(cdr)} bytes ({clean_text(str(error))})',
        ) from error


def serialize(message: object, msgtype: str) -> bytes:
    """CDR bytes, little endian."""
    return bytes(typestore().serialize_cdr(message, msgtype, little_endian=True))


def stamp_to_ns(stamp: TimeMessage) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def has_header_first(msgtype: str) -> bool:
    """Tell whether a message of this type begins with std_msgs/Header."""
    if not knows_type(msgtype):
        return False
    first = next(iter(typestore().fielddefs[msgtype][1]), None)
    return first is not None and first[1] == (Nodetype.NAME, 'std_msgs/msg/Header')


def read_stamp(cdr: bytes) -> int:
    """Nanoseconds of the header stamp in the bytes of a header-first message."""
    seconds, nanoseconds = struct.unpack_from(_stamp_format(cdr), cdr, 4)
    return seconds * 1_000_000_000 + nanoseconds


def with_stamp(cdr: bytes, stamp_ns: int) -> bytes:
    """The same header-first message with another header stamp; nothing else is touched."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return cdr[:4] + struct.pack(_stamp_format(cdr), seconds, nanoseconds) + cdr[12:]


def _stamp_format(cdr: bytes) -> str:
    return '<iI' if cdr[1] & 1 else '>iI'


def _time(stamp_ns: int) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return message_class('builtin_interfaces/msg/Time')(sec=seconds, nanosec=nanoseconds)


def header(stamp_ns: int, frame: str) -> Any:
    """std_msgs/Header."""
    return message_class('std_msgs/msg/Header')(stamp=_time(stamp_ns), frame_id=frame)
