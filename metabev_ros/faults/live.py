"""A plan on live publishers: messages change in the pipe, publishers die on the graph.

No ROS here: the fault injector and the rehearsal of the demonstration bring the publishers.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.config import RigConfig, from_plain
from metabev_ros.config.yaml import require
from metabev_ros.errors import assert_never
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault, given

ADVERTISE_LEAD = 0.5  # seconds that a revived publisher exists before it publishes
# The actions of a rehearsal, as JSON; they lie in the bag that it writes.
ACTIONS_TOPIC, ACTIONS_TYPE = '/rehearsal/actions', 'std_msgs/msg/String'
Publisher = TypeVar('Publisher')


class Step(enum.Enum):
    """A thing to do at a time of the plan."""

    BEGIN = 'begin'  # the fault begins: publishers of a DEAD one are destroyed
    ADVERTISE = 'advertise'  # publishers of a DEAD one are made anew
    END = 'end'  # the fault is over


@dataclass(frozen=True)
class Rehearsal:
    """A bag, the plan that it is played with, and what is recorded meanwhile.

    Attributes:
        bag, out: the bag to play and the bag to write.
        plan, rig: what fails, and the rig that names the sensors of the plan.
        play: topics of the bag to play.
        copy: topics of the bag that are not played, only written beside the rest.
        record: topic -> message type of what the node under test publishes.
        ready_topic: one of `record`; playing starts after the first message on it. Empty: at
            once.
        timeout: seconds to wait for it and for the subscribers.
        tail: seconds to go on recording after the last message.
    """

    bag: str
    out: str
    plan: FaultPlan
    rig: RigConfig
    play: tuple[str, ...]
    copy: tuple[str, ...]
    record: dict[str, str]
    ready_topic: str = ''
    timeout: float = 60.0
    tail: float = 1.0


@dataclass(frozen=True)
class Action:
    """A note of a rehearsal.

    Attributes:
        action: 'start' of the bag, 'begin' or 'end' of a fault.
        fault: name of the fault.
        start_ns, first_ns: wall clock of the start, and time in the bag of its first message.
    """

    action: str
    fault: str = ''
    start_ns: int = 0
    first_ns: int = 0


class LiveFaults(Generic[Publisher]):
    """Carries a plan out on publishers.

    Args:
        pipe: changes the messages, and keeps the time of the plan.
        rig: names the sensors of the plan.
        publishers: topic -> publisher; one that is dead is not in it.
        advertise: makes the publisher of a topic anew.
        destroy: takes a publisher off the graph.
        note: called with every BEGIN and END when it is done.

    Raises:
        ConfigError: if a publisher would die while it still owes delayed messages.
    """

    def __init__(
        self,
        pipe: FaultPipe,
        rig: RigConfig,
        publishers: dict[str, Publisher],
        advertise: Callable[[str], Publisher],
        destroy: Callable[[Publisher], object],
        note: Callable[[Step, PlannedFault], None] = lambda step, fault: None,
    ) -> None:
        _refuse_deaths_with_debts(pipe)
        self._pipe, self._rig, self._publishers = pipe, rig, publishers
        self._topics = {topic.lstrip('/'): topic for topic in publishers}
        self._advertise, self._destroy, self._note = advertise, destroy, note
        self._pending = _timetable(pipe.plan)

    def feed(self, message: BagMessage) -> list[BagMessage]:
        """Do what is due, then take one message; returns what goes out now."""
        return [*self.advance(message.log_time_ns), *self._pipe.feed(message)]

    def advance(self, now_ns: int) -> list[BagMessage]:
        """Do what is due; returns the delayed messages that go out now."""
        seconds = self._pipe.seconds(now_ns)
        while self._pending and self._pending[0][0] <= seconds:
            _, step, fault = self._pending.pop(0)
            self._do(step, fault)
        return self._pipe.release(now_ns)

    def _do(self, step: Step, fault: PlannedFault) -> None:
        dying = fault.resolve(self._rig) if fault.type is FaultType.DEAD else ()
        topics = [self._topics[topic] for topic in dying]
        match step:
            case Step.BEGIN:
                for topic in topics:
                    self._destroy(self._publishers.pop(topic))
                self._note(step, fault)
            case Step.ADVERTISE:
                self._publishers.update({topic: self._advertise(topic) for topic in topics})
            case Step.END:
                self._note(step, fault)
            case _:
                assert_never(step)


def _timetable(plan: FaultPlan) -> list[tuple[float, Step, PlannedFault]]:
    """(seconds, step, fault) in order of time."""
    steps: list[tuple[float, Step, PlannedFault]] = []
    for fault in plan.faults:
        steps.append((fault.begin, Step.BEGIN, fault))
        if fault.type is FaultType.DEAD:
            steps.append((max(fault.begin, fault.end - ADVERTISE_LEAD), Step.ADVERTISE, fault))
        steps.append((fault.end, Step.END, fault))
    return sorted(steps, key=lambda step: step[0])


def _refuse_deaths_with_debts(pipe: FaultPipe) -> None:
    for topic, faults in pipe.by_topic.items():
        for before, fault in zip(faults, faults[1:], strict=False):
            if fault.type is FaultType.DEAD and before.type is FaultType.DELAYED:
                paid = before.end + given(before.seconds)
                require(
                    paid <= fault.begin,
                    f'fault {fault.name} on {topic}',
                    f'a begin after the last message that {before.name} delays ({paid:g} s)',
                    f'{fault.begin:g} s',
                )


def encode_action(action: Action) -> bytes:
    """An action as it lies on ACTIONS_TOPIC."""
    text = wire.message_class(ACTIONS_TYPE)(data=json.dumps(asdict(action)))
    return wire.serialize(text, ACTIONS_TYPE)


def decode_action(cdr: bytes) -> Action:
    """The action in a message of ACTIONS_TOPIC.

    Raises:
        SensorDataError: reason 'cdr' if the bytes are no String.
        ConfigError: if the text is no action.
    """
    return from_plain(Action, json.loads(wire.deserialize(cdr, ACTIONS_TYPE).data), ACTIONS_TOPIC)
