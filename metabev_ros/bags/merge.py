"""Merging the chunks of MCAP files by log time, in bounded memory.

A compressed chunk is held unpacked while it is merged; of any other only the places of its
messages are held. Chunks that overlap in time are held together: `within_budget` refuses those
for which there is no room.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from metabev_ros.bags.records import (
    MESSAGE_HEAD,
    message_heads,
    read_chunk,
    unpack_chunk,
)

MERGE_LIMIT = 128 * 2**20  # bytes of the chunks that are merged at a time
_PLACE_BYTES, _CHUNK_BYTES = 20, 1000  # of a message's place and of an open chunk


@dataclass(frozen=True)
class Span:
    """A chunk, or a run of messages outside of chunks.

    Attributes:
        first_ns, last_ns: log times of its messages.
        file: number of its file.
        offset, length: of the bytes to read: a chunk's body, or the records of a run.
        messages: how many it holds.
        unpacked: bytes it has to be held in; 0 where messages are read from the file.
    """

    first_ns: int
    last_ns: int
    file: int
    offset: int
    length: int
    messages: int
    unpacked: int
    is_chunk: bool

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


class _Cursor:
    """The messages of an open span in log-time order."""

    def __init__(self, span: Span, file: BinaryIO, wanted: Callable[[int], bool]) -> None:
        self.span, self._file = span, file
        file.seek(span.offset)
        body = file.read(span.length)
        data: bytes | memoryview = body
        self._base = span.offset
        if span.is_chunk:
            chunk = read_chunk(body)
            data = unpack_chunk(chunk)
            self._base += chunk.offset
        self._data = data if span.unpacked else None
        times, begins, ends = array('Q'), array('I'), array('I')
        for channel, log_time, begin, end in message_heads(data):
            if wanted(channel):
                times.append(log_time)
                begins.append(begin)
                ends.append(end)
        self._times, self._begins, self._ends = times, begins, ends
        self._order = _rising(times)
        self._at = -1

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
            self._file.seek(self._base + begin)
            head = self._file.read(MESSAGE_HEAD.size)
            cdr = self._file.read(end - begin - MESSAGE_HEAD.size)
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
    files: Sequence[BinaryIO],
    wanted: Sequence[Callable[[int], bool]],
) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (file, channel, log time, serialized message) by log time, file, offset and number.

    Args:
        spans: in their order.
        files: open for reading.
        wanted: for each file, whether the messages of a channel are offered.
    """
    heap: list[tuple[tuple[int, int, int, int], _Cursor]] = []

    def pop() -> tuple[int, int, int, bytes]:
        cursor = heap[0][1]
        message = cursor.span.file, *cursor.read()
        place = cursor.advance()
        if place is None:
            heapq.heappop(heap)  # its bytes are free before the message is handed on
        else:
            heapq.heapreplace(heap, (place, cursor))
        return message

    for span in spans:
        while heap and heap[0][0][0] < span.first_ns:
            yield pop()
        cursor = _Cursor(span, files[span.file], wanted[span.file])
        place = cursor.advance()
        if place is not None:
            heapq.heappush(heap, (place, cursor))
        del cursor  # an exhausted one must not live on in this name
    while heap:
        yield pop()
