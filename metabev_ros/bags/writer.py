"""Writing ROS 2 bags without ROS; a file appears under its name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from metabev_ros.errors import OutputError, SensorDataError, clean_text
from metabev_ros.wire import is_latched, knows_type, type_definition

CHUNK_SIZE = 2**20
# rosbag2's form of "reliable, transient local, keep last 1", so that a player latches it.
LATCHED_QOS = (
    '- history: 1\n  depth: 1\n  reliability: 1\n  durability: 1\n'
    '  deadline: {sec: 9223372036, nsec: 854775807}\n'
    '  lifespan: {sec: 9223372036, nsec: 854775807}\n  liveliness: 1\n'
    '  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}\n'
    '  avoid_ros_namespace_conventions: false\n'
)


class BagWriter:
    """Writes one .mcap file; it appears under its name only when complete.

    Args:
        path: the file to make or replace; its folder is made.
        schemas: .msg texts of types this package does not know (BagReader.schemas); messages
            of a type with an empty one are written without a definition.
        compressed: False spends disk instead of time, for what is recorded live.
    """

    def __init__(
        self, path: Path | str, schemas: dict[str, str] | None = None, *, compressed: bool = True
    ) -> None:
        self.path = Path(path)
        self._schema_texts = schemas or {}
        self._partial = self.path.with_name(f'.{self.path.name}.{os.getpid()}.part')
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, tuple[int, str]] = {}
        self._counts: dict[str, int] = {}
        self._is_open = False
        with self._giving_up():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, 'a folder has this name')
            self._file = self._partial.open('wb')
            self._is_open = True
            kind = CompressionType.ZSTD if compressed else CompressionType.NONE
            self._writer = McapWriter(self._file, chunk_size=CHUNK_SIZE, compression=kind)
            self._writer.start(profile='ros2', library='metabev_ros')

    @contextlib.contextmanager
    def _giving_up(self) -> Generator[None, None, None]:
        """Leave nothing behind where the file cannot be written, and say so.

        Raises:
            OutputError
        """
        try:
            yield
        except OSError as error:
            self.discard()
            raise OutputError.of(self.path, error) from error

    def declare(self, topic: str, msgtype: str, offered_qos: str) -> None:
        """Note a topic before its first message; it may stay without any.

        Args:
            topic: that is not known yet.
            msgtype: 'package/msg/Name'; of one that this package does not know the name is kept.
            offered_qos: profiles of its publishers (YAML), as `BagReader.offered_qos`.

        Raises:
            SensorDataError: for a topic with two types.
            OutputError: it cannot be written; nothing is left of the file.
            ValueError: if the file is finished.
        """
        if not knows_type(msgtype):
            self._schema_texts = {msgtype: '', **self._schema_texts}
        self._channel(topic, msgtype, offered_qos)

    def write(self, topic: str, msgtype: str, stamp_ns: int, cdr: bytes) -> None:
        """Append one message with log time `stamp_ns`.

        Raises:
            SensorDataError: for an unknown type, a topic with two types, or a stamp that the
                format cannot express.
            OutputError: it cannot be written; nothing is left of the file.
            ValueError: if the file is finished.
        """
        channel = self._channel(topic, msgtype, LATCHED_QOS if is_latched(topic) else '')
        if not 0 <= stamp_ns < 2**64:
            raise SensorDataError('stamp', f'bag topic {topic}', 'a log time >= 0', str(stamp_ns))
        count = self._counts.get(topic, 0)
        with self._giving_up():
            self._writer.add_message(channel, stamp_ns, bytes(cdr), stamp_ns, count % 2**32)
        self._counts[topic] = count + 1

    def _channel(self, topic: str, msgtype: str, offered_qos: str) -> int:
        """The number of a topic's channel, made where there is none."""
        if not self._is_open:
            raise ValueError(f'{self.path}: the bag is finished, nothing can be added')
        if topic not in self._channels:
            with self._giving_up():
                self._channels[topic] = self._register(topic, msgtype, offered_qos), msgtype
        channel, known_type = self._channels[topic]
        if known_type != msgtype:
            raise SensorDataError('type', f'bag topic {topic}', known_type, msgtype)
        return channel

    def _register(self, topic: str, msgtype: str, offered_qos: str) -> int:
        if msgtype not in self._schemas:
            text = self._schema_texts.get(msgtype)
            is_known = knows_type(msgtype)
            if text is None and not is_known:
                raise SensorDataError(
                    'type', f'bag topic {topic}', 'a known message type', clean_text(msgtype)
                )
            if not text and is_known:
                text = type_definition(msgtype)
            self._schemas[msgtype] = self._writer.register_schema(
                msgtype, 'ros2msg' if text else '', (text or '').encode()
            )
        metadata = {'offered_qos_profiles': offered_qos}
        return self._writer.register_channel(topic, 'cdr', self._schemas[msgtype], metadata)

    @property
    def counts(self) -> dict[str, int]:
        """Messages written per topic."""
        return dict(self._counts)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            OutputError: it cannot be written; nothing is left of it.
        """
        if not self._is_open:
            return
        with self._giving_up():
            self._writer.finish()
            self._file.close()
            os.replace(self._partial, self.path)
            self._is_open = False

    def discard(self) -> None:
        """Give up: nothing appears under the name, and nothing is left beside it."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError):  # what is still in its buffer may find no room
                self._file.close()
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
