"""Reading ROS 2 bags without ROS; damaged files give what is sound and say the rest.

MCAP files are scanned record by record: an index is a hint of the writer and is never trusted.
Memory and work are bounded, whatever a file unpacks to (`records`, `merge`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader as RosbagReader

from metabev_ros.bags.merge import merge_spans, within_budget
from metabev_ros.bags.records import BagIntegrity, BagMessage
from metabev_ros.bags.scan import FileScan
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.wire import knows_type

_END_NS = 2**64  # log times lie below it


class BagReader:
    """All messages of a bag in log-time order; ties keep the order of the file.

    Args:
        path: an .mcap file, an SQLite .db3 file, or a rosbag2 folder.

    Attributes:
        topics: topic -> message type.
        schemas: message type -> its .msg text, where the bag has one.
        counts: topic -> messages.

    Raises:
        SensorDataError: reason 'bag' if there is nothing readable at all.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.integrity = BagIntegrity()
        self.topics: dict[str, str] = {}
        self.schemas: dict[str, str] = {}
        self.counts: Counter[str] = Counter()  # the skipped ones too
        self._files = _mcap_files(self.path)
        self._scans: list[FileScan] = []
        if self._files:
            self._scan_mcap()
        else:
            self._scan_sqlite()
        self._count()

    def __iter__(self) -> Iterator[BagMessage]:
        return self._iterate_mcap() if self._files else self._iterate_sqlite()

    def skip_unknown_types(self) -> None:
        """Skip the topics whose type neither this package nor the bag defines.

        Their messages can be played by whoever knows the type, but not written again.
        """
        for topic, msgtype in self.topics.items():
            if not (self.schemas.get(msgtype) or knows_type(msgtype)):
                self.integrity.skipped_topics.setdefault(
                    topic, f'the bag does not define {clean_text(msgtype)}'
                )
        self._count()

    def _count(self) -> None:
        skipped = self.integrity.skipped_topics
        self.integrity.messages = sum(
            count for topic, count in self.counts.items() if topic not in skipped
        )

    # -------------------------------------------------------------------------------- MCAP
    def _scan_mcap(self) -> None:
        for number, path in enumerate(self._files):
            scan = FileScan(path, number, self.integrity, self.topics, self.schemas)
            self._scans.append(scan)
        spans = (span for scan in self._scans for span in scan.spans)
        self._spans, refused = within_budget(spans)
        for span in refused:
            self._scans[span.file].forget(span)
        for scan in self._scans:
            for channel, count in scan.counts.items():
                topic = scan.channels.get(channel)
                if topic is None:
                    self.integrity.lost_messages += count
                else:
                    self.counts[topic] += count
            scan.spans.clear()

    def _iterate_mcap(self) -> Iterator[BagMessage]:
        skipped = self.integrity.skipped_topics
        offered = [
            {c: topic for c, topic in scan.channels.items() if topic not in skipped}
            for scan in self._scans
        ]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open('rb')) for path in self._files]
            wanted = [topics.__contains__ for topics in offered]
            for file, channel, log_time, cdr in merge_spans(self._spans, files, wanted):
                topic = offered[file][channel]
                yield BagMessage(topic, self.topics[topic], log_time, cdr)

    # ------------------------------------------------------------------------------ SQLite
    def _scan_sqlite(self) -> None:
        try:
            with RosbagReader(self.path) as reader:
                for connection in reader.connections:
                    topic, msgtype = connection.topic, connection.msgtype
                    self.counts[topic] += connection.msgcount
                    if self.topics.setdefault(topic, msgtype) != msgtype:
                        self.integrity.skipped_topics[topic] = 'two message types'
                    if connection.msgdef.format is MessageDefinitionFormat.MSG:
                        self.schemas.setdefault(msgtype, connection.msgdef.data)
        except Exception as error:  # rosbags and sqlite3 raise many kinds for a bad file
            raise SensorDataError(
                'bag',
                str(self.path),
                'an .mcap or .db3 file or a bag folder',
                clean_text(str(error), 200),
            ) from error

    def _iterate_sqlite(self) -> Iterator[BagMessage]:
        skipped, seen = self.integrity.skipped_topics, 0
        with RosbagReader(self.path) as reader:
            messages = reader.messages()
            while True:
                try:
                    connection, stamp, data = next(messages)
                except StopIteration:
                    return
                except Exception:  # a damaged page, in one of the many kinds of rosbags and SQLite
                    self.integrity.lost_messages += max(self.integrity.messages - seen, 1)
                    return
                if connection.topic in skipped:
                    continue
                seen += 1
                if 0 <= stamp < _END_NS:
                    yield BagMessage(connection.topic, connection.msgtype, stamp, bytes(data))
                else:
                    self.integrity.lost_messages += 1


def _mcap_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob('*.mcap'))
    if not path.is_file():
        raise SensorDataError('bag', str(path), 'an existing file or folder', 'nothing there')
    return [path] if path.suffix == '.mcap' else []
