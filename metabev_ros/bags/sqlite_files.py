"""The SQLite files of a bag, read as one in time order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from metabev_ros.bags.contents import BagContents, BagMessage
from metabev_ros.bags.database import UNREADABLE, Database
from metabev_ros.bags.records import BROKEN_CHUNK, WorkBudget, unpack_message
from metabev_ros.errors import SensorDataError, clean_text


class SqliteFiles:
    """Reads what its files define when made.

    Args:
        contents: of the bag; what is found is added.
        announced: topic -> messages in all files, by metadata.yaml; empty: they are counted.
    """

    def __init__(
        self, paths: Sequence[Path], contents: BagContents, announced: Mapping[str, int]
    ) -> None:
        self._contents = contents
        self._files: list[tuple[int, int, Path]] = []  # (first time, number, file)
        self._topics: dict[int, dict[object, str]] = {}  # number -> key -> topic
        contents.counts.update(announced)
        for number, path in enumerate(paths):
            try:
                with closing(Database(path)) as database:
                    self._files.append((database.first_ns(), number, path))
                    self._topics[number] = self._define(database, not announced)
            except SensorDataError as error:
                contents.integrity.broken_files[path.name] = error.got
        self._files.sort()

    def _define(self, database: Database, is_counted: bool) -> dict[object, str]:
        contents, topics = self._contents, dict[object, str]()
        contents.integrity.is_finalised &= database.is_finalised
        for msgtype, language, text in database.definitions():
            contents.define(msgtype, language, text)
        for key, topic, msgtype, encoding, qos in database.topics():
            topics[key] = topic
            contents.admit(topic, msgtype, encoding, qos)
        if is_counted:
            for key, count in database.counts(topics).items():
                contents.counts[topics[key]] += count
        return topics

    @property
    def is_empty(self) -> bool:
        """Tell whether no file can be read at all."""
        return not self._files

    def messages(self) -> Iterator[BagMessage]:
        """Yield all messages by time, file and row; each file is open from its first one on."""
        waiting, newest = self._files[::-1], 0
        heap: list[tuple[int, int, int]] = []  # time, number of the file, row
        readings: dict[int, _Reading] = {}
        while waiting or heap:
            if waiting and (not heap or waiting[-1][0] <= heap[0][0]):
                _, number, path = waiting.pop()
                readings[number] = _Reading(path, self._topics[number], self._contents)
                place = readings[number].advance()
            else:
                time, number, row = heapq.heappop(heap)
                message = readings[number].read(row, time) if time >= newest else None
                newest = max(newest, time)
                if message is not None:
                    yield message
                place = readings[number].advance()
            if place is not None:
                heapq.heappush(heap, (place[0], number, place[1]))


class _Reading:
    """One pass over a file; what cannot be read is counted."""

    def __init__(self, path: Path, topics: Mapping[object, str], contents: BagContents) -> None:
        self._name, self._topics, self._contents = path.name, topics, contents
        self._budget = WorkBudget(path.stat().st_size)
        self._database = Database(path)
        self._places = self._database.places()

    def advance(self) -> tuple[int, int] | None:
        """(time, row) of the next message; None at the end, or where the file breaks."""
        integrity = self._contents.integrity
        try:
            for time, row in self._places:
                if isinstance(time, int) and time >= 0:
                    return time, row
                integrity.lost_messages += 1
        except UNREADABLE as error:
            integrity.broken_files[self._name] = clean_text(error, 200)
        self._database.close()
        return None

    def read(self, row: int, time: int) -> BagMessage | None:
        """A message; None where it cannot be read or its topic is skipped."""
        contents, topic = self._contents, ''
        try:
            topic = self._topics.get(self._database.topic_of(row, time), '')
            if topic in contents.integrity.skipped_topics:
                return None
            if topic:
                cdr = unpack_message(self._database.data_of(row), self._budget)
                return BagMessage(topic, contents.topics[topic], time, cdr)
        except (*UNREADABLE, *BROKEN_CHUNK):
            pass
        contents.integrity.lost_messages += 1
        return None
