"""Records of MCAP files: lengths are checked before anything is allocated, CRCs are verified."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import lz4.frame
import zstandard
from mcap.exceptions import McapError
from mcap.opcode import Opcode

from metabev_ros.errors import clean_text

MAGIC = bytes((137, 77, 67, 65, 80, 48, 13, 10))
UNPACKED_LIMIT = 64 * 2**20  # bytes of a decompressed chunk or message
RECORD_LIMIT = UNPACKED_LIMIT + 2**20  # bytes of a record or row that is read at once
DEFINITION_LIMIT = 2**20  # bytes of a schema or channel
DEFINITIONS_LIMIT = 16 * 2**20  # bytes of all definitions of a file that are kept
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'  # begins a frame; CDR begins with a zero byte (RFC 8878, 3.1.1)
RECORD_HEAD = struct.Struct('<BQ')  # opcode, length
MESSAGE_HEAD = struct.Struct('<HIQQ')  # channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct('<QQQII')  # first and last time, unpacked size, CRC, length of a name
MALFORMED = (McapError, ValueError, OverflowError, EOFError, struct.error)
BROKEN_CHUNK = (*MALFORMED, RuntimeError, zstandard.ZstdError)

# The work that a file may cause for each of its bytes; a recording stays far below.
UNPACK_RATIO, UNPACK_FREE = 1000, 256 * 2**20  # decompressed bytes
RECORDS_FREE = 20_000  # records in compressed chunks: one a byte, and these


class WorkBudget:
    """Bounds what the compressed chunks and messages of one file may unpack to.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._bytes = UNPACK_FREE + UNPACK_RATIO * size
        self._records = RECORDS_FREE + size

    def unpack(self, size: int) -> None:
        """Take bytes.

        Raises:
            ValueError: there are not so many left.
        """
        if size > self._bytes:
            raise ValueError(f'the file unpacks to more than {UNPACK_RATIO} times its size')
        self._bytes -= size

    def record(self) -> None:
        """Take one record.

        Raises:
            ValueError: there is none left.
        """
        if not self._records:
            raise ValueError('the file unpacks to more records than it has bytes')
        self._records -= 1


@dataclass(frozen=True)
class Chunk:
    """The fields of a chunk record; `packed` is a view of its body, nothing is copied."""

    unpacked_size: int
    crc: int
    compression: str
    packed: memoryview
    offset: int  # of `packed` in the body


def read_chunk(body: bytes) -> Chunk:
    """The fields of a chunk record.

    Raises:
        ValueError, struct.error: the body is no chunk.
    """
    _, _, size, crc, name_length = CHUNK_HEAD.unpack_from(body)
    begin = CHUNK_HEAD.size + name_length
    name = body[CHUNK_HEAD.size : min(begin, CHUNK_HEAD.size + 64)].decode()
    (length,) = struct.unpack_from('<Q', body, begin)
    offset = begin + 8
    if offset + length > len(body):
        raise ValueError('a chunk longer than its record')
    return Chunk(size, crc, name, memoryview(body)[offset : offset + length], offset)


def unpack_chunk(chunk: Chunk) -> bytes | memoryview:
    """The records of a chunk, their CRC verified where there is one; the size is bounded.

    Raises:
        ValueError: with the reason, in a few words.
        zstandard.ZstdError, RuntimeError: what the decompressors trip over.
    """
    is_packed = chunk.compression != ''
    if is_packed and chunk.unpacked_size > UNPACKED_LIMIT:
        raise ValueError(f'it unpacks to more than {UNPACKED_LIMIT} bytes')
    data: bytes | memoryview
    if chunk.compression == 'zstd':
        unpacker = zstandard.ZstdDecompressor(max_window_size=UNPACKED_LIMIT)
        with unpacker.stream_reader(chunk.packed) as stream:
            data = stream.read(chunk.unpacked_size + 1)
    elif chunk.compression == 'lz4':
        frame: Any = lz4.frame.LZ4FrameDecompressor()
        limit = chunk.unpacked_size + 1
        data = cast(bytes, frame.decompress(chunk.packed, max_length=limit))
    elif is_packed:
        raise ValueError(f'compression {clean_text(chunk.compression)}')
    else:
        data = chunk.packed
    if len(data) != chunk.unpacked_size:
        raise ValueError('its size is not the declared one')
    if chunk.crc and zlib.crc32(data) != chunk.crc:
        raise ValueError('CRC')
    return data


def unpack_message(data: bytes, budget: WorkBudget) -> bytes:
    """A message as it was before rosbag2 compressed it; any other as it is.

    Raises:
        ValueError: with the reason, in a few words.
        zstandard.ZstdError: what the decompressor trips over.
    """
    if not data.startswith(ZSTD_MAGIC):
        return data
    size = zstandard.frame_content_size(data)
    if not 0 <= size <= UNPACKED_LIMIT:
        raise ValueError(f'it does not say that it unpacks to at most {UNPACKED_LIMIT} bytes')
    budget.unpack(size)
    return zstandard.ZstdDecompressor(max_window_size=UNPACKED_LIMIT).decompress(data)


def split_records(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """(opcode, begin and end of the body) of the records, up to where the data breaks."""
    offset, size = 0, len(data)
    while offset + RECORD_HEAD.size <= size:
        opcode, length = RECORD_HEAD.unpack_from(data, offset)
        begin = offset + RECORD_HEAD.size
        offset = begin + length
        if offset > size:
            return
        yield opcode, begin, offset


def message_heads(data: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """(channel, log time, begin and end of the body) of the messages among the records."""
    for opcode, begin, end in split_records(data):
        if opcode == Opcode.MESSAGE and end - begin >= MESSAGE_HEAD.size:
            channel, _, log_time, _ = MESSAGE_HEAD.unpack_from(data, begin)
            yield channel, log_time, begin, end
