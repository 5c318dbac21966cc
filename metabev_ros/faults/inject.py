"""Bag in, bag with faults out, and the truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros import wire
from metabev_ros.bags import BagIntegrity, BagMessage, BagReader, BagWriter
from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError
from metabev_ros.faults.pipe import FaultPipe, TruthFile
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.sensing.topics import INJECTION_TOPIC, INJECTION_TYPE

REMEDY = 'say that you mean it: --enable-fault-injection (parameter enable_fault_injection)'


@dataclass
class InjectionSummary:
    """Counts of one injection.

    Attributes:
        touched: fault name -> messages that it dropped or changed.
    """

    messages: int = 0
    written: int = 0
    touched: dict[str, int] = field(default_factory=dict)
    integrity: BagIntegrity = field(default_factory=BagIntegrity)

    @property
    def idle(self) -> list[str]:
        """Faults that touched nothing: their time lies outside of the stream."""
        return [name for name, count in self.touched.items() if not count]


def require_enabled(enabled: bool) -> None:
    """Refuse to inject unless somebody said that it is meant.

    Raises:
        ConfigError
    """
    if not enabled:
        raise ConfigError('fault injection', 'to be enabled explicitly', 'not enabled', REMEDY)


def mark(plan: FaultPlan, seed: int) -> bytes:
    """The serialized mark of an injected stream: whoever perceives it says INJECTION ACTIVE."""
    text = wire.message_class(INJECTION_TYPE)(data=f'{plan.name}, seed {seed}')
    return wire.serialize(text, INJECTION_TYPE)


def inject_bag(
    bag_in: Path,
    bag_out: Path,
    plan: FaultPlan,
    rig: RigConfig,
    seed: int,
    enabled: bool,
    truth_path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> InjectionSummary:
    """Copy a bag through a FaultPipe; the first message of the copy is the mark.

    Raises:
        ConfigError: not enabled, a plan that the bag cannot carry out in full, or an output that
            would replace the input.
        SensorDataError: the bag is unreadable.
    """
    require_enabled(enabled)
    if bag_in.resolve() == bag_out.resolve():
        raise ConfigError(
            'inject', 'an output beside the input', str(bag_out), 'choose another output name'
        )
    reader = BagReader(bag_in)
    skipped = reader.integrity.skipped_topics
    readable = {t: msgtype for t, msgtype in reader.topics.items() if t not in skipped}
    summary = InjectionSummary(integrity=reader.integrity)
    with TruthFile(truth_path, plan, seed) as truth, BagWriter(bag_out, reader.schemas) as writer:
        pipe = FaultPipe(plan, rig, readable, seed, truth)
        for message in reader:
            if not summary.messages:
                begin, text = message.log_time_ns, mark(plan, seed)
                writer.write(f'/{INJECTION_TOPIC}', INJECTION_TYPE, begin, text)
            summary.messages += 1
            _write(writer, pipe.feed(message))
            progress(summary.messages, reader.integrity.messages)
        _write(writer, pipe.flush())
        summary.written = sum(writer.counts.values()) - 1
    summary.touched = dict(pipe.touched)
    return summary


def _write(writer: BagWriter, messages: list[BagMessage]) -> None:
    for message in messages:
        writer.write(message.topic, message.msgtype, message.log_time_ns, message.cdr)
