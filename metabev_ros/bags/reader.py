"""Reading ROS 2 bags without ROS; damaged files give what is sound and say the rest.

Memory and work are bounded, whatever a file unpacks to (`records`, `merge`, `database`).
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from metabev_ros.bags.contents import BagContents, BagMessage
from metabev_ros.bags.folder import PACKED, find_files, unpack_file
from metabev_ros.bags.mcap_files import McapFiles
from metabev_ros.bags.sqlite_files import SqliteFiles
from metabev_ros.errors import SensorDataError


class BagReader:
    """All messages of a bag in log-time order; ties keep the order of the files.

    A large bag is opened without being read, and read chunk by chunk. What rosbag2 compressed is
    unpacked: messages while they are read, whole files into the folder for temporary files, from
    which they vanish with the reader.

    Args:
        path: an .mcap file, an SQLite .db3 file, or a rosbag2 folder.

    Attributes:
        topics, schemas, counts, offered_qos: see `BagContents`.
        integrity: findings of opening the bag, and of reading it the last time.

    Raises:
        SensorDataError: reason 'bag' if there is nothing readable at all.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        contents = BagContents()
        self.integrity = contents.integrity
        self.topics, self.schemas, self.counts = contents.topics, contents.schemas, contents.counts
        self.offered_qos = contents.offered_qos
        files = find_files(self.path, self.integrity)
        paths = self._at_hand(files.paths)
        self._files = (
            McapFiles(paths, contents)
            if files.kind == '.mcap'
            else SqliteFiles(paths, contents, files.counts)
        )
        if self._files.is_empty:
            raise SensorDataError(
                'bag',
                str(self.path),
                'an .mcap or .db3 file or a bag folder',
                '; '.join(self.integrity.broken_files.values())[:200],
            )
        skipped = self.integrity.skipped_topics
        self.integrity.messages = sum(
            count for topic, count in self.counts.items() if topic not in skipped
        )
        self._opened = copy.deepcopy(self.integrity)

    def __iter__(self) -> Iterator[BagMessage]:
        self.integrity.restore(self._opened)
        count = 0
        for message in self._files.messages():
            count += 1
            yield message
        self.integrity.messages = count

    def _at_hand(self, paths: Sequence[Path]) -> list[Path]:
        """The files as they are read: those that are there, unpacked."""
        found: list[Path] = []
        broken, folder = self.integrity.broken_files, None
        for path in paths:
            if not path.is_file():
                broken[path.name] = 'it is not there'
            elif path.suffix == PACKED:
                folder = folder or self._new_folder()
                found.append(folder / path.name.removesuffix(PACKED))
                why = unpack_file(path, found[-1])
                broken.update({path.name: why} if why else {})
            else:
                found.append(path)
        return found

    def _new_folder(self) -> Path:
        """A folder that is there as long as the reader is."""
        folder = tempfile.mkdtemp(prefix='metabev_')
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
