"""Records of MCAP files: lengths are checked before anything is allocated, CRCs are verified."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.records import Chunk, Message

from metabev_ros.errors import clean_text

MAGIC = bytes((137, 77, 67, 65, 80, 48, 13, 10))
RECORD_LIMIT = 256 * 2**20  # bytes of a record, and of a decompressed chunk
RECORD_HEAD = struct.Struct('<BQ')  # opcode, length
MALFORMED = (McapError, ValueError, OverflowError, struct.error)


@dataclass(frozen=True)
class BagMessage:
    """One recorded message, still serialized."""

    topic: str
    msgtype: str
    log_time_ns: int
    cdr: bytes


@dataclass
class BagIntegrity:
    """Findings of a scan.

    Attributes:
        messages: readable messages.
        is_finalised: the writer closed the file.
        lost_bytes: bytes behind the place where the file breaks.
        bad_chunks: chunks refused: CRC, size limit, or undecodable.
        unverified_chunks: chunks that carry no CRC.
        lost_messages: messages of undefined channels.
        skipped_topics: topic -> why its messages are not offered.
    """

    messages: int = 0
    is_finalised: bool = True
    lost_bytes: int = 0
    bad_chunks: int = 0
    unverified_chunks: int = 0
    lost_messages: int = 0
    skipped_topics: dict[str, str] = field(default_factory=dict)

    @property
    def is_lossy(self) -> bool:
        """Tell whether something that was recorded could not be read."""
        return bool(self.lost_bytes or self.bad_chunks or self.lost_messages)

    def describe(self) -> str:
        """One line for people."""
        parts = [f'{self.messages} messages']
        parts += [] if self.is_finalised else ['file was not finalised']
        for value, text in (
            (self.lost_bytes, 'bytes unreadable at the end'),
            (self.bad_chunks, 'damaged chunks refused'),
            (self.lost_messages, 'messages without a channel'),
            (self.unverified_chunks, 'chunks without CRC'),
            (len(self.skipped_topics), 'topics skipped'),
        ):
            parts += [f'{value} {text}'] if value else []
        return ', '.join(parts)


def split_records(data: bytes, integrity: BagIntegrity) -> Iterator[tuple[int, bytes]]:
    """(opcode, body) of the records in a decompressed chunk, up to where it breaks."""
    offset = 0
    while offset < len(data):
        if offset + RECORD_HEAD.size > len(data):
            break
        opcode, length = RECORD_HEAD.unpack_from(data, offset)
        end = offset + RECORD_HEAD.size + length
        if end > len(data):
            break
        yield opcode, data[offset + RECORD_HEAD.size : end]
        offset = end
    if offset != len(data):
        integrity.bad_chunks += 1


def read_message(body: bytes) -> Message:
    """Of the body of a message record."""
    return Message.read(ReadDataStream(BytesIO(body)), len(body))


def decompress_chunk(body: bytes) -> tuple[bytes, bool]:
    """The records of a chunk and whether a CRC confirmed them; output size is bounded."""
    chunk = Chunk.read(ReadDataStream(BytesIO(body)))
    limit = min(chunk.uncompressed_size, RECORD_LIMIT)
    if chunk.compression == 'zstd':
        with zstandard.ZstdDecompressor().stream_reader(BytesIO(chunk.data)) as stream:
            data = stream.read(limit + 1)
    elif chunk.compression == 'lz4':
        frame: Any = lz4.frame.LZ4FrameDecompressor()
        data = cast(bytes, frame.decompress(chunk.data, max_length=limit + 1))
    elif chunk.compression == '':
        data = chunk.data
    else:
        raise ValueError(f'compression {clean_text(chunk.compression)}')
    if len(data) != chunk.uncompressed_size or len(data) > RECORD_LIMIT:
        raise ValueError(f'{chunk.uncompressed_size} bytes declared, {len(data)} found')
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError('CRC')
    return data, bool(chunk.uncompressed_crc)
