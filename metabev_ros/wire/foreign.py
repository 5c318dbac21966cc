"""Messages of types that only a bag defines, read by the definition that it carries.

The definition is parsed and followed, field by field: nothing is made into code. Sizes and counts
are those of hostile bytes, and checked before anything is allocated.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_msg

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.wire.cdr import typestore

DEFINITION_LIMIT = 128 * 2**10  # characters of a definition
MESSAGE_LIMIT = 16 * 2**20  # bytes of a message
_VALUES_LIMIT = 1_000_000  # fields of a message, and sixteenths of its numbers in lists
_DEPTH_LIMIT = 16
_BODY = 4  # bytes of the encapsulation header; alignment counts from here
_FORMATS = {
    'bool': '?', 'byte': 'B', 'char': 'B', 'octet': 'B', 'int8': 'b', 'uint8': 'B', 'int16': 'h',
    'uint16': 'H', 'int32': 'i', 'uint32': 'I', 'int64': 'q', 'uint64': 'Q', 'float32': 'f',
    'float64': 'd',
}  # fmt: skip
_Fields = list[tuple[str, Any]]


class ForeignType:
    """A message type by its definition.

    Args:
        msgtype: 'package/msg/Name'.
        text: its definition with those of the types in it, as MCAP's `ros2msg` has it.

    Raises:
        SensorDataError: reason 'definition' where the text is none.
    """

    def __init__(self, msgtype: str, text: str) -> None:
        self.msgtype = msgtype
        if len(text) > DEFINITION_LIMIT:
            raise self._unusable(f'{len(text)} characters')
        try:
            parsed = get_types_from_msg(text, msgtype)
        except Exception as error:  # the parser raises many kinds
            raise self._unusable(clean_text(error)) from error
        known = typestore().fielddefs
        self._fields: dict[str, _Fields] = {
            name: cast(_Fields, list(fields)) for name, (_, fields) in {**known, **parsed}.items()
        }

    def _unusable(self, got: str) -> SensorDataError:
        where = f'definition of {clean_text(self.msgtype)}'
        return SensorDataError('definition', where, 'the text of a .msg file', got)

    def has(self, path: str) -> bool:
        """Tell whether a field exists, like 'detections.bbox.size'; lists are entered."""
        name = self.msgtype
        for part in path.split('.'):
            node = dict(self._fields.get(name, [])).get(part)
            if node is None:
                return False
            kind, value = node
            if kind in (Nodetype.SEQUENCE, Nodetype.ARRAY):
                kind, value = value[0]
            name = value if kind == Nodetype.NAME else ''
        return True

    def read(self, cdr: bytes) -> Any:
        """An object with the fields of the message; lists of numbers are tuples.

        Raises:
            SensorDataError: 'size', or 'cdr' where the bytes are no such message.
        """
        if len(cdr) > MESSAGE_LIMIT:
            got = f'{len(cdr) / 1e6:.1f} MB'
            limit = f'at most {MESSAGE_LIMIT / 1e6:.1f} MB'
            raise SensorDataError('size', clean_text(self.msgtype), limit, got)
        try:
            return _Cursor(cdr, self._fields).message(self.msgtype, 0)
        except (ValueError, IndexError, KeyError, struct.error) as error:
            raise SensorDataError(
                'cdr',
                clean_text(self.msgtype),
                'a well-formed serialized message',
                f'{len(cdr)} bytes ({clean_text(error)})',
            ) from error


class _Cursor:
    """Reads one message from its beginning to its end."""

    def __init__(self, cdr: bytes, fields: dict[str, _Fields]) -> None:
        self._data, self._fields = memoryview(cdr), fields
        self._order = '<' if cdr[1] & 1 else '>'
        self._at, self._values = _BODY, 0

    def message(self, name: str, depth: int) -> SimpleNamespace:
        if depth > _DEPTH_LIMIT:
            raise ValueError('types within types without an end')
        result = SimpleNamespace()
        for field, (kind, value) in self._fields[name]:
            setattr(result, field, self._field(kind, value, depth))
        return result

    def _field(self, kind: Any, value: Any, depth: int) -> Any:
        self._count(1)
        if kind == Nodetype.NAME:
            return self.message(value, depth + 1)
        if kind == Nodetype.BASE:
            return self._base(value[0])
        (inner, name), limit = value
        count = limit if kind == Nodetype.ARRAY else self._numbers('I', 4, 1)[0]
        if inner == Nodetype.BASE and name[0] in _FORMATS:
            code = _FORMATS[name[0]]
            return self._numbers(code, struct.calcsize(code), count)
        if count > len(self._data) - self._at:
            raise ValueError(f'{count} elements announced')
        return [self._field(inner, name, depth) for _ in range(count)]

    def _base(self, name: str) -> Any:
        if name == 'string':
            return self._text()
        code = _FORMATS[name]
        return self._numbers(code, struct.calcsize(code), 1)[0]

    def _text(self) -> str:
        length = self._numbers('I', 4, 1)[0]
        end = self._at + length
        if end > len(self._data):
            raise ValueError(f'a text of {length} bytes announced')
        raw = bytes(self._data[self._at : end])
        self._at = end
        return raw.rstrip(b'\0').decode('utf-8', errors='replace')

    def _numbers(self, code: str, size: int, count: int) -> tuple[Any, ...]:
        if not count:
            return ()
        begin = _BODY + -(-(self._at - _BODY) // size) * size
        if begin + count * size > len(self._data):
            raise ValueError(f'{count} numbers announced')
        self._count(count // 16)
        self._at = begin + count * size
        return struct.unpack_from(f'{self._order}{count}{code}', self._data, begin)

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > _VALUES_LIMIT:
            raise ValueError(f'more than {_VALUES_LIMIT} values')
