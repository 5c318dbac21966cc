"""The MCAP files of a bag, read as one in log-time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from metabev_ros.bags.contents import BagContents, BagMessage
from metabev_ros.bags.merge import merge_spans, within_budget
from metabev_ros.bags.records import BROKEN_CHUNK, WorkBudget, unpack_message
from metabev_ros.bags.scan import FileScan
from metabev_ros.errors import SensorDataError


class McapFiles:
    """Scans its files when made.

    Args:
        contents: of the bag; what is found is added.
    """

    def __init__(self, paths: Sequence[Path], contents: BagContents) -> None:
        self._contents = contents
        self._scans: list[FileScan] = []
        integrity = contents.integrity
        for path in paths:
            try:
                self._scans.append(FileScan(path, len(self._scans), contents))
            except (SensorDataError, OSError) as error:
                integrity.broken_files[path.name] = _why(error)
        spans = (span for scan in self._scans for span in scan.spans)
        self._spans, refused = within_budget(spans)
        for _ in refused:
            integrity.refuse_chunk('too many bytes of the same time')
        for scan in self._scans:
            for channel, count in scan.counts.items():
                topic = scan.channels.get(channel)
                if topic is None:
                    integrity.lost_messages += count
                else:
                    contents.counts[topic] += count
            scan.spans.clear()

    @property
    def is_empty(self) -> bool:
        """Tell whether no file can be read at all."""
        return not self._scans

    def messages(self) -> Iterator[BagMessage]:
        """Yield all messages by log time, file, and place in the file."""
        integrity, topics = self._contents.integrity, self._contents.topics
        budgets = [WorkBudget(scan.size) for scan in self._scans]
        found = merge_spans(self._spans, self._scans, budgets, integrity.refuse_chunk)
        for file, channel, log_time, cdr in found:
            topic = self._scans[file].channels[channel]
            try:
                cdr = unpack_message(cdr, budgets[file])
            except BROKEN_CHUNK:
                integrity.lost_messages += 1
                continue
            yield BagMessage(topic, topics[topic], log_time, cdr)


def _why(error: SensorDataError | OSError) -> str:
    return error.got if isinstance(error, SensorDataError) else str(error.strerror)
