"""The summary behind the data of an MCAP file: the definitions that it repeats.

What else stands there, a chunk index for one, is not asked: it is cheaper to go from record to
record than to find out whether an index lies.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

from metabev_ros.bags.records import DEFINITION_LIMIT, MAGIC, MALFORMED, RECORD_HEAD

SUMMARY_LIMIT = 256 * 2**20  # bytes; that of 100 GB is some 30 MB long
_FOOTER = struct.Struct('<QQI')  # begin of the summary, of its offsets, CRC
_BLOCK = 2**20


def read_definition(opcode: int, body: bytes) -> Schema | Channel:
    """The record of a schema or channel.

    Raises:
        one of MALFORMED.
    """
    stream = ReadDataStream(BytesIO(body))
    return Schema.read(stream) if opcode == Opcode.SCHEMA else Channel.read(stream)


def repeated_definitions(file: BinaryIO, size: int) -> list[tuple[int, bytes]]:
    """(opcode, body) of schemas and channels; none where the summary is not sound or whole.

    Whole means that every channel's schema is there too.
    """
    end = size - len(MAGIC) - _FOOTER.size - RECORD_HEAD.size
    if end <= 0:
        return []
    file.seek(end)
    footer = file.read()
    opcode, length = RECORD_HEAD.unpack_from(footer)
    if opcode != Opcode.FOOTER or length != _FOOTER.size or not footer.endswith(MAGIC):
        return []
    begin, _, crc = _FOOTER.unpack_from(footer, RECORD_HEAD.size)
    signed = footer[: -len(MAGIC) - 4]  # the CRC reaches up to itself
    if not 0 < begin < end or end - begin > SUMMARY_LIMIT:
        return []
    if crc and _crc(file, begin, end, signed) != crc:
        return []
    found = list(_definitions(file, begin, end))
    return found if _is_whole(found) else []


def _crc(file: BinaryIO, begin: int, end: int, more: bytes) -> int:
    file.seek(begin)
    crc = 0
    for offset in range(begin, end, _BLOCK):
        crc = zlib.crc32(file.read(min(_BLOCK, end - offset)), crc)
    return zlib.crc32(more, crc)


def _definitions(file: BinaryIO, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
    while offset + RECORD_HEAD.size <= end:
        file.seek(offset)
        opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
        offset += RECORD_HEAD.size + length
        if opcode in (Opcode.SCHEMA, Opcode.CHANNEL) and length <= DEFINITION_LIMIT:
            yield opcode, file.read(length)


def _is_whole(found: list[tuple[int, bytes]]) -> bool:
    schemas = {0}  # stands for none
    channels: list[int] = []
    try:
        for opcode, body in found:
            record = read_definition(opcode, body)
            if isinstance(record, Schema):
                schemas.add(record.id)
            else:
                channels.append(record.schema_id)
    except MALFORMED:
        return False
    return bool(channels) and schemas.issuperset(channels)
