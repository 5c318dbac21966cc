"""Contents of a bag: its topics, types and messages, and what of it could not be read."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

from metabev_ros.errors import clean_text

_REASONS_TOLD = 5


@dataclass(frozen=True)
class BagMessage:
    """One recorded message, still serialized."""

    topic: str
    msgtype: str
    log_time_ns: int
    cdr: bytes


@dataclass
class BagIntegrity:
    """Findings of opening a bag and of reading it.

    Attributes:
        messages: those that the bag announces; once it was read to its end, those that were read.
        is_finalised: the writer closed the file.
        lost_bytes: bytes behind the place where the file breaks.
        bad_chunks: chunks refused: CRC, size limit, or undecodable.
        refusals: why -> chunks refused for it.
        unverified_chunks: chunks that carry no CRC.
        lost_messages: messages of undefined channels, or that could not be read.
        broken_files: file -> why it, or a part of it, is not read.
        notes: what else is worth knowing, in words; nothing is lost by it.
        skipped_topics: topic -> why its messages are not offered.
    """

    messages: int = 0
    is_finalised: bool = True
    lost_bytes: int = 0
    bad_chunks: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    unverified_chunks: int = 0
    lost_messages: int = 0
    broken_files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped_topics: dict[str, str] = field(default_factory=dict)

    @property
    def is_lossy(self) -> bool:
        """Tell whether something that was recorded could not be read."""
        return bool(self.lost_bytes or self.bad_chunks or self.lost_messages or self.broken_files)

    def refuse_chunk(self, reason: str) -> None:
        """Count a chunk that is not used."""
        self.bad_chunks += 1
        self.refusals[reason] += 1

    def restore(self, earlier: BagIntegrity) -> None:
        """Go back to earlier findings: the bag is read anew."""
        vars(self).update(vars(copy.deepcopy(earlier)))

    def describe(self) -> str:
        """One line for people."""
        parts = [f'{self.messages} messages']
        parts += [] if self.is_finalised else ['file was not finalised']
        reasons = '; '.join(
            f'{count} x {reason}' for reason, count in self.refusals.most_common(_REASONS_TOLD)
        )
        broken = '; '.join(
            f'{clean_text(name)}: {why}'
            for name, why in list(self.broken_files.items())[:_REASONS_TOLD]
        )
        for value, text in (
            (len(self.broken_files), f'files not read, or in part ({broken})'),
            (self.lost_bytes, 'bytes unreadable at the end'),
            (self.bad_chunks, f'damaged chunks refused ({reasons})'),
            (self.lost_messages, 'messages without a channel or unreadable'),
            (self.unverified_chunks, 'chunks without CRC'),
            (len(self.skipped_topics), 'topics skipped'),
        ):
            parts += [f'{value} {text}'] if value else []
        return ', '.join([*parts, *self.notes])


@dataclass
class BagContents:
    """Definitions of the files of a bag; each file adds what it holds.

    Attributes:
        topics: topic -> message type, spelt 'package/msg/Name'.
        schemas: message type -> its .msg text; '' where the bag has none.
        counts: topic -> messages that the bag announces, those of skipped topics too.
        offered_qos: topic -> the profiles that its publishers offered, as rosbag2 writes them
            (YAML); topics without any are missing.
    """

    topics: dict[str, str] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    offered_qos: dict[str, str] = field(default_factory=dict)
    integrity: BagIntegrity = field(default_factory=BagIntegrity)

    def define(self, msgtype: str, encoding: str, text: str) -> None:
        """Take a message type with its definition; one in another language is not kept."""
        name = full_name(msgtype)
        if not self.schemas.get(name):
            self.schemas[name] = text if encoding == 'ros2msg' else ''

    def admit(self, topic: str, msgtype: str | None, encoding: str, qos: str = '') -> None:
        """Take a topic; it is skipped unless its messages are CDR of one type."""
        if qos:
            self.offered_qos.setdefault(topic, qos)
        skipped = self.integrity.skipped_topics
        if msgtype is None:
            skipped[topic] = 'no schema'
        elif encoding != 'cdr':
            skipped[topic] = f'encoding {clean_text(encoding)} is not cdr'
        else:
            name = full_name(msgtype)
            self.schemas.setdefault(name, '')
            if self.topics.setdefault(topic, name) != name:
                skipped[topic] = 'two message types'


def full_name(msgtype: str) -> str:
    """The spelling 'package/msg/Name' of a message type that may be spelt 'package/Name'."""
    package, slash, name = msgtype.partition('/')
    return f'{package}/msg/{name}' if slash and '/' not in name else msgtype
