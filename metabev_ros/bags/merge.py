"""Merging the chunks of MCAP files by log time, in bounded memory.

A compressed chunk is held unpacked while it is merged; of any other only the places of its
messages are held. Chunks that overlap in time are held together: `within_budget` refuses those
for which there is no room. What a chunk announces of itself is checked when it is opened.
"""

from __future__ import annotations

import heapq
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from mcap.opcode import Opcode

from metabev_ros.bags.records import (
    BROKEN_CHUNK,
    MESSAGE_HEAD,
    WorkBudget,
    read_chunk,
    split_records,
    unpack_chunk,
)
from metabev_ros.errors import clean_text

MERGE_LIMIT = 96 * 2**20  # bytes of the chunks that are merged at a time
OPEN_FILES = 64  # of a split bag at a time; a process may have some 1000
_PLACE_BYTES, _CHUNK_BYTES = 20, 1000  # of a message's place and of an open chunk


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk, or a run of messages outside of chunks.

    Attributes:
        first_ns, last_ns: log times of its messages.
        file: number of its file.
        offset, length: of the bytes to read: a chunk's body, or the records of a run.
        messages: how many it holds.
        unpacked: bytes it has to be held in; 0 where messages are read from the file.
        is_announced: nobody has looked into the chunk: all this is what the file says of it.
    """

    first_ns: int
    last_ns: int
    file: int
    offset: int
    length: int
    messages: int
    unpacked: int
    is_chunk: bool
    is_announced: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        """The order in which spans are opened."""
        return self.first_ns, self.file, self.offset

    @property
    def cost(self) -> int:
        """Bytes that it takes while it is merged."""
        return self.unpacked + _PLACE_BYTES * self.messages + _CHUNK_BYTES


def within_budget(spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """Those that can be merged within MERGE_LIMIT, in their order, and those refused."""
    kept: list[Span] = []
    refused: list[Span] = []
    open_spans: list[tuple[int, int]] = []  # (last log time, cost)
    held = 0
    for span in sorted(spans, key=lambda span: span.order):
        while open_spans and open_spans[0][0] < span.first_ns:
            held -= heapq.heappop(open_spans)[1]
        if held + span.cost > MERGE_LIMIT:
            refused.append(span)
            continue
        kept.append(span)
        held += span.cost
        heapq.heappush(open_spans, (span.last_ns, span.cost))
    return kept, refused


class MergedFile(Protocol):
    """Protocol of a file that is merged."""

    path: Path
    size: int

    def wants(self, channel: int) -> bool:
        """Tell whether the messages of a channel are offered."""
        ...

    def check_definition(self, opcode: int, body: bytes) -> None:
        """Compare a schema or channel within an announced chunk with what is known of it.

        Raises:
            ValueError: it is another one.
        """
        ...


class _OpenFiles:
    """Files of a bag, open for reading; the one that was used longest ago is closed."""

    def __init__(self, files: Sequence[MergedFile]) -> None:
        self._files = files
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def read(self, number: int, offset: int, length: int) -> bytes:
        if number not in self._open:
            if len(self._open) == OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._files[number].path.open('rb')
        self._open.move_to_end(number)
        file = self._open[number]
        file.seek(offset)
        return file.read(length)

    def close(self) -> None:
        for file in self._open.values():
            file.close()


class _Cursor:
    """The messages of an open span in log-time order.

    Raises:
        one of BROKEN_CHUNK: it cannot be unpacked, or is not what it announces.
    """

    def __init__(
        self, span: Span, files: _OpenFiles, file: MergedFile, budget: WorkBudget
    ) -> None:
        self.span, self._files = span, files
        data: bytes | memoryview = files.read(span.file, span.offset, span.length)
        self._base = span.offset
        if span.is_chunk:
            chunk = read_chunk(data)
            if chunk.compression:
                budget.unpack(chunk.unpacked_size)
            data = unpack_chunk(chunk)
            self._base += chunk.offset
        self._data = data if span.unpacked else None
        self._times, self._begins, self._ends = array('Q'), array('I'), array('I')
        self._take(data, file, budget)
        self._order = _rising(self._times)
        self._at = -1

    def _take(self, data: bytes | memoryview, file: MergedFile, budget: WorkBudget) -> None:
        """Note the places of the messages that are wanted."""
        span, count, wants = self.span, 0, file.wants
        for opcode, begin, end in split_records(data):
            if span.unpacked:
                budget.record()
            if opcode == Opcode.MESSAGE and end - begin >= MESSAGE_HEAD.size:
                channel, _, log_time, _ = MESSAGE_HEAD.unpack_from(data, begin)
                count += 1
                if not span.first_ns <= log_time <= span.last_ns:
                    raise ValueError('it holds another time than it announces')
                if wants(channel):
                    self._times.append(log_time)
                    self._begins.append(begin)
                    self._ends.append(end)
            elif span.is_announced and opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                file.check_definition(opcode, bytes(data[begin:end]))
        if count != span.messages:
            raise ValueError('it holds other messages than its index says')

    def advance(self) -> tuple[int, int, int, int] | None:
        """Go on to the next message; its (log time, file, offset, number), None at the end."""
        self._at += 1
        if self._at == len(self._times):
            return None
        number = self._number
        return self._times[number], self.span.file, self.span.offset, number

    @property
    def _number(self) -> int:
        return self._at if self._order is None else int(self._order[self._at])

    def read(self) -> tuple[int, int, bytes]:
        """(channel, log time, serialized message) of the present one."""
        begin, end = self._begins[self._number], self._ends[self._number]
        if self._data is None:
            number, begin, end = self.span.file, self._base + begin, self._base + end
            head = self._files.read(number, begin, MESSAGE_HEAD.size)
            begin += MESSAGE_HEAD.size
            cdr = self._files.read(number, begin, end - begin)
        else:
            head = self._data[begin : begin + MESSAGE_HEAD.size]
            cdr = bytes(self._data[begin + MESSAGE_HEAD.size : end])
        channel, _, log_time, _ = MESSAGE_HEAD.unpack(head)
        return channel, log_time, cdr


def _rising(times: array[int]) -> np.ndarray | None:
    """The order of rising times, ties as they stand; None where they rise already."""
    values = np.frombuffer(times, np.uint64) if times else np.zeros(0, np.uint64)
    if bool((values[1:] >= values[:-1]).all()):
        return None
    return np.argsort(values, kind='stable').astype(np.uint32)


def merge_spans(
    spans: Iterable[Span],
    files: Sequence[MergedFile],
    budgets: Sequence[WorkBudget],
    refuse: Callable[[str], None],
) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (file, channel, log time, serialized message) by log time, file, offset and number.

    Args:
        spans: in their order.
        budgets: of the files.
        refuse: called with the reason for each span that cannot be used.
    """
    heap: list[tuple[tuple[int, int, int, int], _Cursor]] = []
    handles = _OpenFiles(files)

    def pop() -> tuple[int, int, int, bytes]:
        cursor = heap[0][1]
        message = cursor.span.file, *cursor.read()
        place = cursor.advance()
        if place is None:
            heapq.heappop(heap)  # its bytes are free before the message is handed on
        else:
            heapq.heapreplace(heap, (place, cursor))
        return message

    try:
        for span in spans:
            while heap and heap[0][0][0] < span.first_ns:
                yield pop()
            try:
                cursor = _Cursor(span, handles, files[span.file], budgets[span.file])
            except BROKEN_CHUNK as error:
                refuse(clean_text(error))
                continue
            place = cursor.advance()
            if place is not None:
                heapq.heappush(heap, (place, cursor))
            del cursor  # an exhausted one must not live on in this name
        while heap:
            yield pop()
    finally:
        handles.close()
