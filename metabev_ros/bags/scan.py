"""One pass over an MCAP file: what it defines, and where its messages are."""

from __future__ import annotations

import os
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

from metabev_ros.bags.merge import Span
from metabev_ros.bags.records import (
    BROKEN_CHUNK,
    MAGIC,
    MALFORMED,
    MESSAGE_HEAD,
    RECORD_HEAD,
    RECORD_LIMIT,
    BagIntegrity,
    WorkBudget,
    message_heads,
    read_chunk,
    split_records,
    unpack_chunk,
)
from metabev_ros.errors import SensorDataError, clean_text

RUN_BYTES = 2**20  # messages outside of chunks are taken together up to here
DEFINITION_LIMIT = 2**20  # bytes of a schema or channel record
DEFINITIONS_LIMIT = 16 * 2**20  # bytes of all of them that are kept


class FileScan:
    """Scans a file when made; never raises for what lies behind its first line.

    Args:
        number: of the file in its bag.
        integrity, topics, schemas: of the bag; what is found is added.

    Attributes:
        spans: chunks and runs that hold messages.
        channels: channel -> topic.
        counts: channel -> messages.

    Raises:
        SensorDataError: reason 'bag' if the first line is not that of an MCAP file.
    """

    def __init__(
        self,
        path: Path,
        number: int,
        integrity: BagIntegrity,
        topics: dict[str, str],
        schemas: dict[str, str],
    ) -> None:
        self._path, self._number, self._integrity = path, number, integrity
        self._topics, self._schemas = topics, schemas
        self._types: dict[int, str] = {}
        self._defined = 0  # bytes of definitions that are kept
        self._run: Span | None = None
        self.spans: list[Span] = []
        self.channels: dict[int, str] = {}
        self.counts: Counter[int] = Counter()
        with path.open('rb') as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise SensorDataError('bag', str(path), 'an MCAP file', 'another first line')
            self._budget = WorkBudget(size)
            self._scan(file, size)

    def _scan(self, file: BinaryIO, size: int) -> None:
        offset, finalised = len(MAGIC), False
        while offset + RECORD_HEAD.size <= size:
            opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
            begin = offset + RECORD_HEAD.size
            if begin + length > size:
                break
            if opcode == Opcode.DATA_END:
                finalised, offset = True, size
                break
            if opcode == Opcode.MESSAGE:
                self._add_to_run(file, offset, length)
            else:
                self._close_run()
                self._take(file, opcode, begin, length)
            offset = begin + length
            file.seek(offset)
        self._close_run()
        self._integrity.lost_bytes += size - offset
        self._integrity.is_finalised &= finalised

    def _take(self, file: BinaryIO, opcode: int, begin: int, length: int) -> None:
        if opcode == Opcode.CHUNK:
            if length > RECORD_LIMIT:
                self._integrity.refuse_chunk(f'it is longer than {RECORD_LIMIT} bytes')
                return
            try:
                self._take_chunk(file.read(length), begin)
            except BROKEN_CHUNK as error:
                self._integrity.refuse_chunk(clean_text(error))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            self._define(opcode, file.read(min(length, DEFINITION_LIMIT + 1)))

    # ------------------------------------------------------------------------------- messages
    def _add_to_run(self, file: BinaryIO, offset: int, length: int) -> None:
        """Note a message that is in no chunk."""
        if length > RECORD_LIMIT or length < MESSAGE_HEAD.size:
            self._integrity.lost_messages += 1
            self._close_run()
            return
        channel, _, log_time, _ = MESSAGE_HEAD.unpack(file.read(MESSAGE_HEAD.size))
        self.counts[channel] += 1
        size = RECORD_HEAD.size + length
        run = self._run
        if run is not None and run.length + size > RUN_BYTES:
            self._close_run()
            run = None
        self._run = Span(
            log_time if run is None else min(run.first_ns, log_time),
            log_time if run is None else max(run.last_ns, log_time),
            self._number,
            offset if run is None else run.offset,
            size if run is None else run.length + size,
            1 if run is None else run.messages + 1,
            unpacked=0,
            is_chunk=False,
        )

    def _close_run(self) -> None:
        if self._run is not None:
            self.spans.append(self._run)
        self._run = None

    def _take_chunk(self, body: bytes, offset: int) -> None:
        chunk = read_chunk(body)
        is_packed = chunk.compression != ''
        if is_packed:
            self._budget.unpack(chunk.unpacked_size)
        data = unpack_chunk(chunk)
        self._take_definitions(data, is_packed)
        first = last = None
        counts: Counter[int] = Counter()
        for channel, log_time, _, _ in message_heads(data):
            counts[channel] += 1
            first = log_time if first is None or log_time < first else first
            last = log_time if last is None or log_time > last else last
        self._integrity.unverified_chunks += not chunk.crc
        if first is None or last is None:
            return
        self.counts += counts
        held = len(data) if is_packed else 0
        self.spans.append(
            Span(first, last, self._number, offset, len(body), counts.total(), held, True)
        )

    def _take_definitions(self, data: bytes | memoryview, is_packed: bool) -> None:
        """Take the schemas and channels of a chunk, and count what cannot be read of it."""
        complete = 0
        for opcode, begin, end in split_records(data):
            if is_packed:
                self._budget.record()
            if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._define(opcode, bytes(data[begin : min(end, begin + DEFINITION_LIMIT + 1)]))
            elif opcode == Opcode.MESSAGE and end - begin < MESSAGE_HEAD.size:
                self._integrity.lost_messages += 1
            complete = end
        if complete != len(data):
            self._integrity.refuse_chunk('its end is broken')

    def forget(self, span: Span) -> None:
        """Take a span out of the counts: there is no room for it among those around it."""
        self._integrity.refuse_chunk('too many bytes of the same time')
        with self._path.open('rb') as file:
            file.seek(span.offset)
            body = file.read(span.length)
        data = unpack_chunk(read_chunk(body)) if span.is_chunk else body
        self.counts.subtract(channel for channel, _, _, _ in message_heads(data))

    # ---------------------------------------------------------------------------- definitions
    def _define(self, opcode: int, body: bytes) -> None:
        if len(body) > DEFINITION_LIMIT:
            self._integrity.lost_bytes += len(body)
            return
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(ReadDataStream(BytesIO(body)))
                if self._is_kept(self._types.get(schema.id) != schema.name, body):
                    self._types[schema.id] = schema.name
                    if schema.encoding == 'ros2msg':
                        self._schemas.setdefault(schema.name, schema.data.decode())
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(ReadDataStream(BytesIO(body)))
                if self._is_kept(self.channels.get(channel.id) != channel.topic, body):
                    self.channels[channel.id] = channel.topic
                    self._admit(channel, self._types.get(channel.schema_id))
        except MALFORMED:
            self._integrity.lost_bytes += len(body)

    def _is_kept(self, is_new: bool, body: bytes) -> bool:
        """Tell whether there is room for a definition; writers repeat them in every chunk."""
        self._defined += len(body) if is_new else 0
        if is_new and self._defined > DEFINITIONS_LIMIT:
            self._integrity.lost_bytes += len(body)
            return False
        return True

    def _admit(self, channel: Channel, msgtype: str | None) -> None:
        topic, skipped = channel.topic, self._integrity.skipped_topics
        if msgtype is None:
            skipped[topic] = 'no schema'
        elif channel.message_encoding != 'cdr':
            skipped[topic] = f'encoding {clean_text(channel.message_encoding)} is not cdr'
        elif self._topics.setdefault(topic, msgtype) != msgtype:
            skipped[topic] = 'two message types'
