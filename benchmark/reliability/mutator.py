"""Hostile messages: good ones, damaged by field according to its type, or by bytes.

All chance comes from the generator that is passed in.
"""

from __future__ import annotations

import struct

import numpy as np
from rosbags.interfaces import Nodetype

from metabev_ros import wire

LONGEST_TEXT = 4000
_TEXTS = (
    '',
    ' ',
    '/',
    '..',
    '../../etc/passwd',
    'base_link',
    '/base_link',
    'cam0',
    'cam1',
    'lidar',
    'odom',
    'map',
    'rgb8',
    'bgra8',
    'mono16',
    'bayer_rggb8',
    'yuv422',
    '16UC1',
    '32FC1',
    'bgr9',
    'jpeg',
    'png',
    'plumb_bob',
    'equidistant',
    'rational_polynomial',
    'x',
    'y',
    'z',
    'i',
    'intensity',
    '%s%n%x',
    '{0.__class__}',
    'line\nbreak\r\x1b[31mred',
    '\0',
    '\u202e\ufeff',
    '\U0001f600',
)
_FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    np.nan,
    np.inf,
    -np.inf,
    1e308,
    -1e308,
    5e-324,
    1e-30,
    1e9,
    1e20,
    25.0,
)
_INT_RANGES = {
    'uint8': (0, 2**8 - 1),
    'int8': (-(2**7), 2**7 - 1),
    'uint16': (0, 2**16 - 1),
    'int16': (-(2**15), 2**15 - 1),
    'uint32': (0, 2**32 - 1),
    'int32': (-(2**31), 2**31 - 1),
    'uint64': (0, 2**64 - 1),
    'int64': (-(2**63), 2**63 - 1),
    'byte': (0, 255),
    'octet': (0, 255),
}
_INTS = (
    0,
    1,
    -1,
    2,
    7,
    8,
    9,
    255,
    256,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    10**9 - 1,
    10**9,
)
_LENGTHS = (0, 1, 2, 3, 0xFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


class Mutator:
    """Damages serialized messages.

    Args:
        dice: all chance there is.
        most_bytes: what a message may grow to; sequences are not stretched beyond that.
    """

    def __init__(self, dice: np.random.Generator, most_bytes: int = 4096) -> None:
        self._dice, self._most = dice, most_bytes
        self._fields = wire.typestore().fielddefs

    def damage(self, cdr: bytes, msgtype: str, others: list[bytes]) -> bytes:
        """One to three fields changed, or the bytes themselves; `others` are good messages."""
        if self._dice.random() < 0.25:
            return self._damage_bytes(cdr, others)
        message = wire.deserialize(cdr, msgtype)
        for _ in range(self._dice.integers(1, 4)):
            self._change(message, msgtype)
        try:
            damaged = wire.serialize(message, msgtype)
        except (struct.error, ValueError, TypeError, UnicodeError, OverflowError):
            damaged = b''  # such a value has no bytes
        fits = 0 < len(damaged) <= max(self._most, len(cdr))
        return damaged if fits else self._damage_bytes(cdr, others)

    def _pick(self, items):
        return items[self._dice.integers(len(items))]

    # ------------------------------------------------------------------------------- by field
    def _change(self, message, msgtype: str) -> None:
        """Change one field, or one below it."""
        name, kind = self._pick(self._fields[msgtype][1])
        if kind[0] is Nodetype.NAME:
            self._change(getattr(message, name), kind[1])
        else:
            setattr(message, name, self._changed(getattr(message, name), kind))

    def _changed(self, value, kind):
        if kind[0] is Nodetype.BASE:
            return self._scalar(value, kind[1][0])
        element, length = kind[1]
        if element[0] is Nodetype.NAME:
            return self._sequence(list(value), element[1])
        if element[1][0] == 'string':
            return [self._scalar(text, 'string') for text in value]
        return self._array(np.asarray(value), element[1][0], fixed=kind[0] is Nodetype.ARRAY)

    def _scalar(self, value, base: str):
        if base == 'bool':
            return not value
        if base == 'string':
            text = self._pick(_TEXTS)
            return (
                text * self._dice.integers(1, LONGEST_TEXT // len(text))
                if (text and self._dice.random() < 0.1)
                else text
            )
        if base.startswith('float'):
            return (
                float(value) * (1 + 1e-3 * self._dice.normal())
                if (self._dice.random() < 0.2)
                else self._pick(_FLOATS)
            )
        low, high = _INT_RANGES[base]
        new = self._pick(
            (
                *_INTS,
                low,
                high,
                value + 1,
                value - 1,
                value * 2,
                int(
                    self._dice.integers(
                        low, high, endpoint=True, dtype=(np.uint64 if high > 2**63 else np.int64)
                    )
                ),
            )
        )
        return min(max(int(new), low), high)

    def _sequence(self, items: list, msgtype: str) -> list:
        """Drop, repeat, swap, or change one of a sequence of messages."""
        choice = self._dice.integers(4)
        if not items or choice == 0:
            return items[: len(items) // 2]
        if choice == 1:
            return items * int(min(self._dice.integers(2, 40), 1 + self._most // 64))
        if choice == 2:
            return [items[i] for i in self._dice.permutation(len(items))]
        self._change(self._pick(items), msgtype)
        return items

    def _array(self, values: np.ndarray, base: str, fixed: bool) -> np.ndarray:
        """Cut, stretch or overwrite numbers; an array of fixed length keeps it."""
        choice = self._dice.integers(1 if fixed else 0, 5)
        if choice == 0 or not len(values):
            room = max(1, (self._most - values.nbytes) // values.itemsize)
            return (
                np.resize(values, len(values) + self._dice.integers(1, room, endpoint=True))
                if len(values)
                else np.zeros(3, values.dtype)
            )
        if choice == 1 and not fixed:
            cut = self._pick((0, 1, len(values) // 2, len(values) - 1))
            return values[:cut]
        values = values.copy()
        if choice == 2 and base.startswith('float'):
            values[:] = self._pick(_FLOATS)
            return values
        for _ in range(self._dice.integers(1, 9)):
            at = self._dice.integers(len(values))
            values[at] = self._scalar(values[at].item(), base)
        return values

    # ------------------------------------------------------------------------------- by bytes
    def _damage_bytes(self, cdr: bytes, others: list[bytes]) -> bytes:
        choice = self._dice.integers(7)
        if choice == 0:
            return cdr[: self._dice.integers(len(cdr))]
        if choice == 1:
            return cdr + self._dice.bytes(int(self._dice.integers(1, 64)))
        if choice == 2:
            return self._dice.bytes(int(self._dice.integers(0, min(self._most, 300))))
        if choice == 3:  # the bytes of another type
            return self._pick(others)
        if choice == 4:
            cut = int(self._dice.integers(len(cdr)))
            return cdr[:cut] + self._pick(others)[cut:]
        changed = bytearray(cdr)
        for _ in range(self._dice.integers(1, 6)):
            if choice == 5:
                at = 4 * int(self._dice.integers(max(1, len(cdr) // 4)))
                struct.pack_into('<I', changed, min(at, len(cdr) - 4), self._pick(_LENGTHS))
            else:
                changed[self._dice.integers(len(cdr))] = self._dice.integers(256)
        return bytes(changed)
