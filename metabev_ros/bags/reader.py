"""Reading ROS 2 bags without ROS; damaged files give what is sound and say the rest.

MCAP files are scanned record by record: an index is a hint of the writer and is never trusted.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Schema
from rosbags.rosbag2 import Reader as RosbagReader

from metabev_ros.bags.records import (
    MAGIC,
    MALFORMED,
    RECORD_HEAD,
    RECORD_LIMIT,
    BagIntegrity,
    BagMessage,
    decompress_chunk,
    read_message,
    split_records,
)
from metabev_ros.errors import SensorDataError, clean_text


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
            while offset + RECORD_HEAD.size <= size:
                opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
                body = offset + RECORD_HEAD.size
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

    def _scan_record(self, span: _Span, file: BinaryIO) -> None:
        if span.opcode not in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE, Opcode.CHUNK):
            return
        data = file.read(span.length)
        if span.opcode == Opcode.CHUNK:
            try:
                data, verified = decompress_chunk(data)
            except (*MALFORMED, EOFError, RuntimeError, zstandard.ZstdError):
                self.integrity.bad_chunks += 1
                return
            self.integrity.unverified_chunks += not verified
        else:
            data = RECORD_HEAD.pack(span.opcode, span.length) + data
        times: list[int] = []
        for opcode, body in split_records(data, self.integrity):
            self._define(span.file, opcode, body)
            if opcode == Opcode.MESSAGE and self._offered(span.file, body):
                times.append(read_message(body).log_time)
        if times:
            self.integrity.messages += len(times)
            self._spans.append(_Span(min(times), span.file, span.offset, span.length, span.opcode))

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
        except MALFORMED:
            self.integrity.lost_bytes += len(body)

    def _admit(self, channel: Channel, schema: Schema | None) -> None:
        topic = channel.topic
        if schema is None:
            self.integrity.skipped_topics[topic] = 'no schema'
        elif channel.message_encoding != 'cdr':
            self.integrity.skipped_topics[topic] = (
                f'encoding {clean_text(channel.message_encoding)} is not cdr'
            )
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

    def _load(
        self, span: _Span, file: BinaryIO
    ) -> Iterator[tuple[int, int, int, int, BagMessage]]:
        file.seek(span.offset)
        data = file.read(span.length)
        if span.opcode == Opcode.CHUNK:
            data, _ = decompress_chunk(data)
        else:
            data = RECORD_HEAD.pack(span.opcode, span.length) + data
        channels, spare = self._channels[span.file], BagIntegrity()
        for number, (opcode, body) in enumerate(split_records(data, spare)):
            if opcode != Opcode.MESSAGE or len(body) < 22:
                continue
            message = read_message(body)
            channel = channels.get(message.channel_id)
            if channel is None or channel.topic in self.integrity.skipped_topics:
                continue
            yield (
                message.log_time,
                span.file,
                span.offset,
                number,
                BagMessage(
                    channel.topic, self.topics[channel.topic], message.log_time, message.data
                ),
            )

    # ------------------------------------------------------------------------------ SQLite
    def _scan_sqlite(self) -> None:
        try:
            with RosbagReader(self.path) as reader:
                self.integrity.messages = reader.message_count
                self.topics = {c.topic: c.msgtype for c in reader.connections}
        except Exception as error:  # rosbags and sqlite3 raise many kinds for a bad file
            raise SensorDataError(
                'bag',
                str(self.path),
                'an .mcap or .db3 file or a bag folder',
                clean_text(str(error), 200),
            ) from error

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
