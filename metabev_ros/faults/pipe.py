"""The pipe: messages in, messages out, and the truth about each of them."""

from __future__ import annotations

import heapq
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.faults.damage import damage
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault, given

PASSED, DROPPED, REPEATED, DAMAGED, DELAYED = 'passed', 'dropped', 'repeated', 'damaged', 'delayed'


@dataclass(frozen=True)
class Truth:
    """Deed and result for one message; one line of the truth file.

    Attributes:
        number: counts the messages of a topic from 0.
        stamp_ns: of the header that came in; None where the type has none.
        arrival_ns: when it came in.
        fault: the fault that lasted then, '' for none. It may last and do nothing (SLOW lets
            some through): `action` says what was done.
        action: passed, dropped, repeated, damaged or delayed.
        out_stamp_ns, out_arrival_ns, out_crc: of what went out; None where nothing did. The
            CRC-32 is of the serialized message.
    """

    topic: str
    number: int
    stamp_ns: int | None
    arrival_ns: int
    fault: str
    action: str
    out_stamp_ns: int | None = None
    out_arrival_ns: int | None = None
    out_crc: int | None = None


class TruthFile:
    """Writes truths as JSON lines, the plan and the seed in the first one."""

    def __init__(self, path: Path, plan: FaultPlan, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open('w', encoding='utf-8')
        self._write({'plan': plan.name, 'seed': seed, 'faults': len(plan.faults)})

    def _write(self, plain: dict) -> None:
        self._file.write(json.dumps(plain) + '\n')

    def __call__(self, truth: Truth) -> None:
        self._write(asdict(truth))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TruthFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_truth(path: Path) -> list[Truth]:
    """The truths of a file, in the order of the messages.

    Raises:
        ConfigError: if it is no truth file.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()[1:]
        return [Truth(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(str(path), 'a truth file', str(error)) from error


class FaultPipe:
    """Does to a stream what a plan says; the same plan, seed and stream give the same result.

    Chance is drawn anew for each message from (seed, fault, topic, number): what happens on one
    topic does not depend on the others, nor on the order in which topics come.

    Args:
        rig: names the sensors of the plan.
        msgtypes: topic -> message type of everything in the stream.
        truth: takes one `Truth` a message.

    Attributes:
        by_topic: topic without its leading slash -> its faults in order of time.
        touched: fault name -> messages that it dropped or changed.

    Raises:
        ConfigError: if the plan cannot be carried out on this stream in full.
    """

    def __init__(
        self,
        plan: FaultPlan,
        rig: RigConfig,
        msgtypes: Mapping[str, str],
        seed: int,
        truth: Callable[[Truth], None],
    ) -> None:
        msgtypes = {topic.lstrip('/'): msgtype for topic, msgtype in msgtypes.items()}
        self.plan, self.seed = plan, seed
        self.by_topic = plan.by_topic(rig, msgtypes)
        self._stamped = {
            topic for topic, msgtype in msgtypes.items() if wire.has_header_first(msgtype)
        }
        self._truth = truth
        self._first_ns: int | None = None
        self._numbers: Counter[str] = Counter()
        self._in_fault: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, bytes] = {}  # newest message of a topic outside of its faults
        self._held: list[tuple[int, int, BagMessage]] = []
        self._order = 0
        self.touched: Counter[str] = Counter({fault.name: 0 for fault in plan.faults})

    def start(self, first_ns: int) -> None:
        """Count the plan's seconds from here, unless they are counted already.

        The first message that is fed does so too; call it before for a stream whose first
        message is not fed.
        """
        if self._first_ns is None:
            self._first_ns = first_ns

    def seconds(self, now_ns: int) -> float:
        """Seconds of the plan at a time; 0 before the start."""
        return 0.0 if self._first_ns is None else (now_ns - self._first_ns) * 1e-9

    def feed(self, message: BagMessage) -> list[BagMessage]:
        """Take one message; `log_time_ns` is its arrival and must not decrease.

        Returns:
            What goes out now, in order of arrival.
        """
        self.start(message.log_time_ns)
        out = self.release(message.log_time_ns)
        topic = message.topic.lstrip('/')
        number = self._numbers[topic]
        self._numbers[topic] += 1
        elapsed = self.seconds(message.log_time_ns)
        fault = next((f for f in self.by_topic.get(topic, ()) if f.begin <= elapsed < f.end), None)
        if fault is None:
            action, sent = PASSED, message
            if topic in self.by_topic:
                self._last[topic] = message.cdr
        else:
            action, sent = self._act(fault, message, topic, number, elapsed - fault.begin)
        self._note(message, topic, number, fault, action, sent)
        if sent is not None and action == DELAYED:
            self._order += 1
            heapq.heappush(self._held, (sent.log_time_ns, self._order, sent))
            return out
        return out if sent is None else [*out, sent]

    def release(self, now_ns: int) -> list[BagMessage]:
        """The delayed messages that are due."""
        out = []
        while self._held and self._held[0][0] <= now_ns:
            out.append(heapq.heappop(self._held)[2])
        return out

    def flush(self) -> list[BagMessage]:
        """The delayed messages that are not yet due: the stream has ended."""
        return [heapq.heappop(self._held)[2] for _ in range(len(self._held))]

    def _act(
        self, fault: PlannedFault, message: BagMessage, topic: str, number: int, elapsed: float
    ) -> tuple[str, BagMessage | None]:
        index = self._in_fault[fault.name, topic]
        self._in_fault[fault.name, topic] += 1
        dice = np.random.default_rng(
            [self.seed, self.plan.faults.index(fault), zlib.crc32(topic.encode()), number]
        )
        match fault.type:
            case FaultType.OFF | FaultType.DEAD:
                return DROPPED, None
            case FaultType.SLOW:
                is_lost = index % given(fault.every) != 0
                return (DROPPED, None) if is_lost else (PASSED, message)
            case FaultType.INTERMITTENT:
                return (DROPPED, None) if _is_lost(fault, dice, elapsed) else (PASSED, message)
            case FaultType.DELAYED:
                late = message.log_time_ns + round(given(fault.seconds) * 1e9)
                return DELAYED, replace(message, log_time_ns=late)
            case FaultType.STUCK:
                return self._repeat(fault, message, topic)
            case FaultType.GARBAGE | FaultType.WRONG:
                cdr = damage(message.cdr, message.msgtype, fault, dice, elapsed)
                return DAMAGED, replace(message, cdr=cdr)
            case _:
                assert_never(fault.type)

    def _repeat(
        self, fault: PlannedFault, message: BagMessage, topic: str
    ) -> tuple[str, BagMessage]:
        if topic not in self._last:  # it is stuck from its very first message on
            self._last[topic] = message.cdr
            return PASSED, message
        cdr = self._last[topic]
        if fault.new_stamps is not False:
            cdr = wire.with_stamp(cdr, wire.read_stamp(message.cdr))
        return REPEATED, replace(message, cdr=cdr)

    def _note(
        self,
        message: BagMessage,
        topic: str,
        number: int,
        fault: PlannedFault | None,
        action: str,
        sent: BagMessage | None,
    ) -> None:
        if fault is not None and action != PASSED:
            self.touched[fault.name] += 1
        out = (
            ()
            if sent is None
            else (self._stamp(topic, sent.cdr), sent.log_time_ns, zlib.crc32(sent.cdr))
        )
        self._truth(
            Truth(
                topic,
                number,
                self._stamp(topic, message.cdr),
                message.log_time_ns,
                fault.name if fault else '',
                action,
                *out,
            )
        )

    def _stamp(self, topic: str, cdr: bytes) -> int | None:
        return wire.read_stamp(cdr) if topic in self._stamped and len(cdr) >= 12 else None


def _is_lost(fault: PlannedFault, dice: np.random.Generator, elapsed: float) -> bool:
    """Tell if INTERMITTENT loses the message that comes `elapsed` seconds after its begin."""
    if fault.period is not None:
        return elapsed % fault.period >= fault.period / 2
    return dice.random() < given(fault.share)
