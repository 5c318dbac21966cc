"""One pass over an MCAP file: what it defines, and where its messages are.

A chunk whose messages are indexed behind it is not looked into before it is read: of a large bag
little more than the heads of its records is read here. Any other is unpacked.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from mcap.opcode import Opcode
from mcap.records import Schema

from metabev_ros.bags.contents import BagContents
from metabev_ros.bags.merge import Span
from metabev_ros.bags.records import (
    BROKEN_CHUNK,
    CHUNK_HEAD,
    DEFINITION_LIMIT,
    DEFINITIONS_LIMIT,
    MAGIC,
    MALFORMED,
    MESSAGE_HEAD,
    RECORD_HEAD,
    RECORD_LIMIT,
    UNPACKED_LIMIT,
    WorkBudget,
    message_heads,
    read_chunk,
    split_records,
    unpack_chunk,
)
from metabev_ros.bags.summary import read_definition, repeated_definitions
from metabev_ros.errors import SensorDataError, clean_text

RUN_BYTES = 2**20  # messages outside of chunks are taken together up to here
_INDEX_HEAD = struct.Struct('<HI')  # channel, bytes of its entries
_INDEX_ENTRY = 16  # bytes: log time, offset in the chunk


class FileScan:
    """Scans a file when made; never raises for what lies behind its first line.

    Args:
        number: of the file in its bag.
        contents: of the bag; what is found is added.

    Attributes:
        size: bytes of the file.
        spans: chunks and runs that hold messages.
        channels: channel -> topic.
        counts: channel -> messages.

    Raises:
        SensorDataError: reason 'bag' if the first line is not that of an MCAP file.
    """

    def __init__(self, path: Path, number: int, contents: BagContents) -> None:
        self.path, self._number, self._contents = path, number, contents
        self._integrity = contents.integrity
        self._types: dict[int, str] = {}
        self._defined = 0  # bytes of definitions that are kept
        self._run: Span | None = None
        self.spans: list[Span] = []
        self.channels: dict[int, str] = {}
        self.counts: Counter[int] = Counter()
        with path.open('rb') as file:
            self.size = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise SensorDataError('bag', str(path), 'an MCAP file', 'another first line')
            self._budget = WorkBudget(self.size)
            for opcode, body in repeated_definitions(file, self.size):
                self._define(opcode, body)
            self._scan(file)

    def _scan(self, file: BinaryIO) -> None:
        offset, finalised = len(MAGIC), False
        while offset + RECORD_HEAD.size <= self.size:
            file.seek(offset)
            opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
            begin = offset + RECORD_HEAD.size
            if begin + length > self.size:
                break
            if opcode == Opcode.DATA_END:
                finalised, offset = True, self.size
                break
            if opcode == Opcode.MESSAGE:
                self._add_to_run(file, offset, length)
                offset = begin + length
            else:
                self._close_run()
                offset = self._take(file, opcode, begin, length)
        self._close_run()
        self._integrity.lost_bytes += self.size - offset
        self._integrity.is_finalised &= finalised

    def _take(self, file: BinaryIO, opcode: int, begin: int, length: int) -> int:
        """Take a record that is no message; the offset of the next one."""
        end = begin + length
        if opcode == Opcode.CHUNK:
            if length > RECORD_LIMIT:
                self._integrity.refuse_chunk(f'it is longer than {RECORD_LIMIT} bytes')
                return end
            try:
                indexed_to = self._announce(file, begin, length)
                if indexed_to is not None:
                    return indexed_to
                file.seek(begin)
                self._take_chunk(file.read(length), begin)
            except BROKEN_CHUNK as error:
                self._integrity.refuse_chunk(clean_text(error))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            self._define(opcode, file.read(min(length, DEFINITION_LIMIT + 1)))
        return end

    # -------------------------------------------------------------------------- indexed chunks
    def _announce(self, file: BinaryIO, begin: int, length: int) -> int | None:
        """Note a chunk by its head and the index behind it.

        Returns:
            The offset behind the index; None where the chunk has to be unpacked.

        Raises:
            ValueError: the file unpacks to too much.
        """
        if length < CHUNK_HEAD.size or not self.channels:
            return None
        first, last, size, crc, name_length = CHUNK_HEAD.unpack(file.read(CHUNK_HEAD.size))
        is_packed = name_length != 0
        if first > last or is_packed and size > UNPACKED_LIMIT:
            return None
        counts, end = self._index(file, begin + length)
        messages = counts.total()
        if not messages or not self.channels.keys() >= counts.keys():
            return None
        if is_packed:
            self._budget.unpack(size)
        self.counts += counts
        self._integrity.unverified_chunks += not crc
        held = size if is_packed else 0
        self.spans.append(
            Span(first, last, self._number, begin, length, messages, held, True, True)
        )
        return end

    def _index(self, file: BinaryIO, offset: int) -> tuple[Counter[int], int]:
        """Messages of each channel by the index at an offset, and the offset behind it."""
        counts: Counter[int] = Counter()
        while offset + RECORD_HEAD.size + _INDEX_HEAD.size <= self.size:
            file.seek(offset)
            opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size))
            end = offset + RECORD_HEAD.size + length
            if opcode != Opcode.MESSAGE_INDEX or length < _INDEX_HEAD.size or end > self.size:
                break
            channel, entries = _INDEX_HEAD.unpack(file.read(_INDEX_HEAD.size))
            if entries != length - _INDEX_HEAD.size:
                break
            counts[channel] += entries // _INDEX_ENTRY
            offset = end
        return +counts, offset

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

    # ---------------------------------------------------------------------------- definitions
    def wants(self, channel: int) -> bool:
        """Tell whether the messages of a channel are offered."""
        topic = self.channels.get(channel)
        return topic is not None and topic not in self._integrity.skipped_topics

    def check_definition(self, opcode: int, body: bytes) -> None:
        """Compare a schema or channel within an announced chunk with what is known of it.

        Raises:
            one of MALFORMED: it is none, or another one.
        """
        record = read_definition(opcode, body)
        if isinstance(record, Schema):
            is_known = self._types.get(record.id) == record.name
        else:
            is_known = self.channels.get(record.id) == record.topic
        if not is_known:
            raise ValueError('it defines other topics than the summary')

    def _define(self, opcode: int, body: bytes) -> None:
        if len(body) > DEFINITION_LIMIT:
            self._integrity.lost_bytes += len(body)
            return
        try:
            record = read_definition(opcode, body)
            if isinstance(record, Schema):
                self._define_schema(record, body)
            elif self._is_kept(self.channels.get(record.id) != record.topic, body):
                self.channels[record.id] = record.topic
                msgtype = self._types.get(record.schema_id)
                qos = str(record.metadata.get('offered_qos_profiles', ''))
                self._contents.admit(record.topic, msgtype, record.message_encoding, qos)
        except MALFORMED:
            self._integrity.lost_bytes += len(body)

    def _define_schema(self, schema: Schema, body: bytes) -> None:
        if self._is_kept(self._types.get(schema.id) != schema.name, body):
            self._types[schema.id] = schema.name
            self._contents.define(
                schema.name, schema.encoding, schema.data.decode(errors='replace')
            )

    def _is_kept(self, is_new: bool, body: bytes) -> bool:
        """Tell whether there is room for a definition; writers repeat them in every chunk."""
        self._defined += len(body) if is_new else 0
        if is_new and self._defined > DEFINITIONS_LIMIT:
            self._integrity.lost_bytes += len(body)
            return False
        return True
