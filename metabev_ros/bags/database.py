"""One SQLite file of a bag; rows are fetched one by one.

SQLite itself stands damaged files. What it does not bound is work and memory: both are bounded
here by the size of the file, because a sound one holds each of its bytes once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from metabev_ros.bags.records import DEFINITION_LIMIT, DEFINITIONS_LIMIT, RECORD_LIMIT
from metabev_ros.errors import SensorDataError, clean_text

ROW_BYTES = 8  # a row of a message takes more
STEPS_PER_ROW, STEPS_FREE = 100, 10_000_000  # of SQLite's machine; a message needs some thirty
_STEPS_TOLD = 100_000
_TABLES = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND rootpage > 0 AND name IN ('messages', 'topics', 'message_definitions')
"""
UNREADABLE = (apsw.Error, ValueError, OverflowError)


class Database:
    """A file, open for reading.

    Attributes:
        is_finalised: nothing lies beside the file that belongs into it.

    Raises:
        SensorDataError: reason 'bag' where it holds no messages of rosbag2.
    """

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        self._left = size  # bytes that its messages may still have
        self._steps = STEPS_FREE + STEPS_PER_ROW * (size // ROW_BYTES)
        self._blob: apsw.Blob | None = None
        self.is_finalised = not any(
            path.with_name(path.name + end).exists() for end in ('-wal', '-journal')
        )
        mode = 'immutable=1' if self.is_finalised else 'mode=ro'
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        try:
            self._file = apsw.Connection(f'file:{quote(str(path))}?{mode}', flags=flags)
            self._file.limit(apsw.SQLITE_LIMIT_LENGTH, DEFINITION_LIMIT)
            self._file.set_progress_handler(self._is_too_long, _STEPS_TOLD)
            self._file.execute('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON')
            self._tables = {name for (name,) in self._file.execute(_TABLES)}
        except UNREADABLE as error:
            got = clean_text(error, 200)
            raise SensorDataError('bag', str(path), 'an SQLite file of rosbag2', got) from error
        if not self._tables >= {'messages', 'topics'}:
            raise SensorDataError(
                'bag', str(path), 'an SQLite file of rosbag2', 'one without messages and topics'
            )

    def close(self) -> None:
        """Close the file."""
        if self._blob is not None:
            self._blob.close(True)
        self._file.close(True)

    def _is_too_long(self) -> bool:
        self._steps -= _STEPS_TOLD
        return self._steps < 0

    # ---------------------------------------------------------------------------- definitions
    def topics(self) -> Iterator[tuple[int, str, str, str, str]]:
        """(key, name, type, encoding, offered QoS) of the topics; the last may be ''."""
        columns = _as_bytes('name', 'type', 'serialization_format')
        known = {row[1] for row in self._rows('PRAGMA table_info(topics)')}
        profiles = 'offered_qos_profiles'  # the first versions of rosbag2 had none
        columns += ', ' + (_as_bytes(profiles) if profiles in known else 'NULL')
        for key, *texts in self._rows(f'SELECT id, {columns} FROM topics ORDER BY id'):
            name, msgtype, encoding, qos = map(_text, texts)
            yield key, name, msgtype, encoding, qos

    def definitions(self) -> Iterator[tuple[str, str, str]]:
        """(type, language, text) of message types; Humble writes none."""
        if 'message_definitions' in self._tables:
            columns = _as_bytes('topic_type', 'encoding', 'encoded_message_definition')
            for texts in self._rows(f'SELECT {columns} FROM message_definitions ORDER BY id'):
                name, language, text = map(_text, texts)
                yield name, language, text

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a table of definitions, up to one that is too long or damaged."""
        left = DEFINITIONS_LIMIT
        try:
            for row in self._file.execute(query):
                left -= sum(len(value) for value in row if isinstance(value, bytes))
                if left < 0:
                    return
                yield row
        except UNREADABLE:
            return

    # ------------------------------------------------------------------------------- messages
    def counts(self, keys: Container[object]) -> Counter[Any]:
        """Messages of the topics with these keys; every row is looked at."""
        counts: Counter[Any] = Counter()
        try:
            for (key,) in self._file.execute('SELECT topic_id FROM messages'):
                if key in keys:
                    counts[key] += 1
        except UNREADABLE:  # what the rest is like is found out when it is read
            pass
        return counts

    def first_ns(self) -> int:
        """Time of the first message; 0 where there is none."""
        for (first,) in self._rows('SELECT min(timestamp) FROM messages'):
            return first if isinstance(first, int) else 0
        return 0

    def places(self) -> Iterator[tuple[Any, int]]:
        """(time, row) of the messages in their order.

        Raises:
            one of UNREADABLE: a part that cannot be read, or more rows than the file can hold.
        """
        query = 'SELECT timestamp, rowid FROM messages ORDER BY timestamp, rowid'
        for time, row in self._file.execute(query):
            self._spend(ROW_BYTES)
            yield time, row

    def topic_of(self, row: int, time: int) -> Any:
        """Key of the topic of a message.

        Raises:
            one of UNREADABLE: there is no such message.
        """
        for key, found in self._file.execute(
            'SELECT topic_id, timestamp FROM messages WHERE rowid = ?', (row,)
        ):
            if found == time:
                return key
        raise ValueError('a message with another time than the index says')

    def data_of(self, row: int) -> bytes:
        """The bytes of a message.

        Raises:
            one of UNREADABLE: they are damaged, or too many.
        """
        try:
            if self._blob is None:
                self._blob = self._file.blob_open('main', 'messages', 'data', row, False)
            else:
                self._blob.reopen(row)
            size = self._blob.length()
            if size > RECORD_LIMIT:
                raise ValueError(f'it is longer than {RECORD_LIMIT} bytes')
            self._spend(size)
            return self._blob.read()
        except UNREADABLE:
            if self._blob is not None:  # of no use after an error
                self._blob.close(True)
            self._blob = None
            raise

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError('the file holds more than it has bytes')


def _as_bytes(*columns: str) -> str:
    """Columns whose texts need not be UTF-8."""
    return ', '.join(f'CAST({column} AS BLOB)' for column in columns)


def _text(value: object) -> str:
    return value.decode(errors='replace') if isinstance(value, bytes) else ''
