"""Reading and writing ROS 2 bags without ROS; damaged files give what is sound and say the rest.

MCAP files are scanned record by record: an index is a hint of the writer and is never trusted,
lengths are checked against the file before anything is allocated, CRCs are verified.
"""
from __future__ import annotations

import heapq
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Schema
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import Reader as RosbagReader

from metabev_ros import wire
from metabev_ros.errors import SensorDataError

MAGIC = bytes((137, 77, 67, 65, 80, 48, 13, 10))
RECORD_LIMIT = 256 * 2**20  # bytes of a record, and of a decompressed chunk
CHUNK_SIZE = 2**20
_HEAD = struct.Struct('<BQ')
_MALFORMED = (McapError, ValueError, OverflowError, struct.error)
LATCHED_NAMES = ('tf_static', 'fault_injection')  # last parts of topics
# rosbag2's form of "reliable, transient local, keep last 1", so that a player latches it.
LATCHED_QOS = (
    '- history: 1\n  depth: 1\n  reliability: 1\n  durability: 1\n'
    '  deadline: {sec: 9223372036, nsec: 854775807}\n'
    '  lifespan: {sec: 9223372036, nsec: 854775807}\n  liveliness: 1\n'
    '  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}\n'
    '  avoid_ros_namespace_conventions: false\n')


@dataclass(frozen=True)
class BagMessage:
    """One recorded message, still serialized."""

    topic: str
    msgtype: str
    log_time_ns: int
    cdr: bytes


@dataclass
class BagIntegrity:
    """What a scan found.

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
        """Whether something that was recorded could not be read."""
        return bool(self.lost_bytes or self.bad_chunks or self.lost_messages)

    def describe(self) -> str:
        """One line for people."""
        parts = [f'{self.messages} messages']
        parts += [] if self.is_finalised else ['file was not finalised']
        for value, text in ((self.lost_bytes, 'bytes unreadable at the end'),
                            (self.bad_chunks, 'damaged chunks refused'),
                            (self.lost_messages, 'messages without a channel'),
                            (self.unverified_chunks, 'chunks without CRC'),
                            (len(self.skipped_topics), 'topics skipped')):
            parts += [f'{value} {text}'] if value else []
        return ', '.join(parts)


@dataclass(frozen=True)
class _Span:
    """A top-level record (chunk or message) that holds messages."""

    first_log_time: int
    file: int
    offset: int
    length: int
    opcode: int


class BagReader:
    """All messages of a bag in log-time order; ties keep the order of the file.

    Args:
        path: an .mcap file, an SQLite .db3 file, or a rosbag2 folder.

    Raises:
        SensorDataError: reason 'bag' if there is nothing readable at all.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.integrity = BagIntegrity()
        self.topics: dict[str, str] = {}
        self.schemas: dict[str, str] = {}
        self._spans: list[_Span] = []
        self._channels: list[dict[int, Channel]] = []
        self._types: list[dict[int, Schema]] = []
        self._files = _mcap_files(self.path)
        if self._files:
            for index, file in enumerate(self._files):
                self._scan(index, file)
        else:
            self._scan_sqlite()

    def __iter__(self) -> Iterator[BagMessage]:
        return self._iterate_mcap() if self._files else self._iterate_sqlite()

    # -------------------------------------------------------------------------------- MCAP
    def _scan(self, index: int, path: Path) -> None:
        self._channels.append({})
        self._types.append({})
        finalised = False
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise SensorDataError('bag', str(path), 'an MCAP file', 'another first line')
            offset = len(MAGIC)
            while offset + _HEAD.size <= size:
                opcode, length = _HEAD.unpack(file.read(_HEAD.size))
                body = offset + _HEAD.size
                if length > RECORD_LIMIT or body + length > size:
                    break
                if opcode == Opcode.DATA_END:
                    finalised, offset = True, size
                    break
                self._scan_record(_Span(0, index, body, length, opcode), file)
                offset = body + length
                file.seek(offset)
        self.integrity.lost_bytes += size - offset
        self.integrity.is_finalised &= finalised

    def _scan_record(self, span: _Span, file) -> None:
        if span.opcode not in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE, Opcode.CHUNK):
            return
        data = file.read(span.length)
        if span.opcode == Opcode.CHUNK:
            try:
                data, verified = _decompress(data)
            except (*_MALFORMED, EOFError, RuntimeError, zstandard.ZstdError):
                self.integrity.bad_chunks += 1
                return
            self.integrity.unverified_chunks += not verified
        else:
            data = _HEAD.pack(span.opcode, span.length) + data
        times = []
        for opcode, body in _records(data, self.integrity):
            self._define(span.file, opcode, body)
            if opcode == Opcode.MESSAGE and self._offered(span.file, body):
                times.append(_message(body).log_time)
        if times:
            self.integrity.messages += len(times)
            self._spans.append(
                _Span(min(times), span.file, span.offset, span.length, span.opcode))

    def _define(self, file: int, opcode: int, body: bytes) -> None:
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(ReadDataStream(BytesIO(body)))
                self._types[file][schema.id] = schema
                if schema.encoding == 'ros2msg':
                    self.schemas.setdefault(schema.name, schema.data.decode())
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(ReadDataStream(BytesIO(body)))
                self._channels[file][channel.id] = channel
                self._admit(channel, self._types[file].get(channel.schema_id))
        except _MALFORMED:
            self.integrity.lost_bytes += len(body)

    def _admit(self, channel: Channel, schema: Schema | None) -> None:
        topic = channel.topic
        if schema is None:
            self.integrity.skipped_topics[topic] = 'no schema'
        elif channel.message_encoding != 'cdr':
            self.integrity.skipped_topics[topic] = (
                f'encoding {wire.clean_text(channel.message_encoding)} is not cdr')
        elif self.topics.setdefault(topic, schema.name) != schema.name:
            self.integrity.skipped_topics[topic] = 'two message types'

    def _offered(self, file: int, body: bytes) -> bool:
        channel = self._channels[file].get(int.from_bytes(body[:2], 'little'))
        if channel is None or len(body) < 22:
            self.integrity.lost_messages += 1
            return False
        return channel.topic not in self.integrity.skipped_topics

    def _iterate_mcap(self) -> Iterator[BagMessage]:
        """Merges chunks by log time, holding only those that overlap in time."""
        files = [path.open('rb') for path in self._files]
        waiting = sorted(self._spans, key=lambda s: (s.first_log_time, s.file, s.offset))
        heap: list[tuple[int, int, int, int, BagMessage]] = []
        try:
            for span in waiting:
                while heap and heap[0][0] < span.first_log_time:
                    yield heapq.heappop(heap)[-1]
                for item in self._load(span, files[span.file]):
                    heapq.heappush(heap, item)
            while heap:
                yield heapq.heappop(heap)[-1]
        finally:
            for file in files:
                file.close()

    def _load(self, span: _Span, file) -> Iterator[tuple[int, int, int, int, BagMessage]]:
        file.seek(span.offset)
        data = file.read(span.length)
        if span.opcode == Opcode.CHUNK:
            data, _ = _decompress(data)
        else:
            data = _HEAD.pack(span.opcode, span.length) + data
        channels, spare = self._channels[span.file], BagIntegrity()
        for number, (opcode, body) in enumerate(_records(data, spare)):
            if opcode != Opcode.MESSAGE or len(body) < 22:
                continue
            message = _message(body)
            channel = channels.get(message.channel_id)
            if channel is None or channel.topic in self.integrity.skipped_topics:
                continue
            yield (message.log_time, span.file, span.offset, number, BagMessage(
                channel.topic, self.topics[channel.topic], message.log_time, message.data))

    # ------------------------------------------------------------------------------ SQLite
    def _scan_sqlite(self) -> None:
        try:
            with RosbagReader(self.path) as reader:
                self.integrity.messages = reader.message_count
                self.topics = {c.topic: c.msgtype for c in reader.connections}
        except Exception as error:  # rosbags and sqlite3 raise many kinds for a bad file
            raise SensorDataError('bag', str(self.path), 'an .mcap or .db3 file or a bag folder',
                                  wire.clean_text(str(error), 200)) from error

    def _iterate_sqlite(self) -> Iterator[BagMessage]:
        with RosbagReader(self.path) as reader:
            for connection, stamp, data in reader.messages():
                yield BagMessage(connection.topic, connection.msgtype, stamp, bytes(data))


def _mcap_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob('*.mcap'))
    if not path.is_file():
        raise SensorDataError('bag', str(path), 'an existing file or folder', 'nothing there')
    return [path] if path.suffix == '.mcap' else []


def _records(data: bytes, integrity: BagIntegrity) -> Iterator[tuple[int, bytes]]:
    """(opcode, body) of the records in a decompressed chunk, up to where it breaks."""
    offset = 0
    while offset < len(data):
        if offset + _HEAD.size > len(data):
            break
        opcode, length = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length
        if end > len(data):
            break
        yield opcode, data[offset + _HEAD.size:end]
        offset = end
    if offset != len(data):
        integrity.bad_chunks += 1


def _message(body: bytes) -> Message:
    return Message.read(ReadDataStream(BytesIO(body)), len(body))


def _decompress(body: bytes) -> tuple[bytes, bool]:
    """The records of a chunk and whether a CRC confirmed them; output size is bounded."""
    chunk = Chunk.read(ReadDataStream(BytesIO(body)))
    limit = min(chunk.uncompressed_size, RECORD_LIMIT)
    if chunk.compression == 'zstd':
        with zstandard.ZstdDecompressor().stream_reader(BytesIO(chunk.data)) as stream:
            data = stream.read(limit + 1)
    elif chunk.compression == 'lz4':
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=limit + 1)
    elif chunk.compression == '':
        data = chunk.data
    else:
        raise ValueError(f'compression {wire.clean_text(chunk.compression)}')
    if len(data) != chunk.uncompressed_size or len(data) > RECORD_LIMIT:
        raise ValueError(f'{chunk.uncompressed_size} bytes declared, {len(data)} found')
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError('CRC')
    return data, bool(chunk.uncompressed_crc)


class BagWriter:
    """Writes one .mcap file; it appears under its name only when complete.

    Args:
        path: the file to make or replace; its folder is made.
        schemas: .msg texts of types this package does not know (BagReader.schemas).
    """

    def __init__(self, path: Path | str, schemas: dict[str, str] | None = None) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._schema_texts = schemas or {}
        self._partial = self.path.with_name(f'.{self.path.name}.{os.getpid()}.part')
        self._writer: McapWriter | None = McapWriter(
            str(self._partial), chunk_size=CHUNK_SIZE, compression=CompressionType.ZSTD)
        self._writer.start(profile='ros2', library='metabev_ros')
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, tuple[int, str]] = {}
        self._counts: dict[str, int] = {}

    def write(self, topic: str, msgtype: str, stamp_ns: int, cdr: bytes) -> None:
        """Append one message with log time `stamp_ns`.

        Raises:
            SensorDataError: for an unknown type, or a topic with two types.
        """
        if topic not in self._channels:
            self._channels[topic] = self._register(topic, msgtype), msgtype
        channel, known_type = self._channels[topic]
        if known_type != msgtype:
            raise SensorDataError('type', f'bag topic {topic}', known_type, msgtype)
        count = self._counts.get(topic, 0)
        self._writer.add_message(channel, stamp_ns, bytes(cdr), stamp_ns, count % 2**32)
        self._counts[topic] = count + 1

    def _register(self, topic: str, msgtype: str) -> int:
        if msgtype not in self._schemas:
            text = self._schema_texts.get(msgtype)
            if text is None and not wire.knows_type(msgtype):
                raise SensorDataError('type', f'bag topic {topic}', 'a known message type',
                                      wire.clean_text(msgtype))
            data = (text or wire.type_definition(msgtype)).encode()
            self._schemas[msgtype] = self._writer.register_schema(msgtype, 'ros2msg', data)
        latched = topic.rsplit('/', 1)[-1] in LATCHED_NAMES
        return self._writer.register_channel(
            topic, 'cdr', self._schemas[msgtype],
            {'offered_qos_profiles': LATCHED_QOS if latched else ''})

    @property
    def counts(self) -> dict[str, int]:
        """Messages written per topic."""
        return dict(self._counts)

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.finish()
            os.replace(self._partial, self.path)

    def discard(self) -> None:
        """Give up: nothing appears under the name."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.finish()
            finally:
                self._partial.unlink(missing_ok=True)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
