"""Plays a bag while sensors fail by a plan, and records what comes back.

Runs as a process of its own: `python -m metabev_ros.node.rehearsal REHEARSAL.yaml`. Everything
that was published, done to the publishers and received lies in one bag afterwards, by the clock of
this process: judging the node takes nothing else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import rclpy
import rclpy.utilities
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagWriter
from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.faults.live import (
    ACTIONS_TOPIC,
    ACTIONS_TYPE,
    Action,
    LiveFaults,
    Rehearsal,
    Step,
    encode_action,
)
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import PlannedFault
from metabev_ros.node import ros_support
from metabev_ros.node.player import BagPlayer, PlayerOptions

RECORD_DEPTH = 100
SLICE = 0.05
State = dict[str, str | int]  # how far a rehearsal is, as it is said on the standard output


class FaultPlayer(BagPlayer):
    """A bag player whose sensors fail by a plan.

    Attributes:
        log: what was published and done; `log_time_ns` is the wall clock just before it.

    Raises:
        ConfigError: if the plan does not fit what is played.
    """

    def __init__(self, node: Node, rehearsal: Rehearsal) -> None:
        options = PlayerOptions(restamp=True, topics=rehearsal.play)
        super().__init__(node, rehearsal.bag, options, lambda message: self._faults.feed(message))
        self.log: list[BagMessage] = []
        self._has_begun = False
        msgtypes = {topic: self._reader.topics[topic] for topic in self.topics}
        # The log of publications is the truth of a rehearsal: the pipe need not note it too.
        self._pipe = FaultPipe(rehearsal.plan, rehearsal.rig, msgtypes, 0, lambda truth: None)
        self._faults = LiveFaults(
            self._pipe,
            rehearsal.rig,
            self._publishers,
            lambda topic: self._advertise(topic, msgtypes[topic]),
            node.destroy_publisher,
            self._note_step,
        )

    def copies(self, topics: tuple[str, ...]) -> Iterator[BagMessage]:
        """Messages of the bag that nobody played, with the stamps that they would have had."""
        for message in self._reader:
            if message.topic in topics:
                cdr = self._restamp(message)
                yield replace(message, log_time_ns=wire.read_stamp(cdr), cdr=cdr)

    def play(self, stop: threading.Event | None = None) -> None:
        """Play to the end, the messages that the plan delays beyond it included."""
        super().play(stop)
        for message in self._pipe.flush():
            self._publish(message)

    def _tick(self, now_ns: int) -> None:
        super()._tick(now_ns)
        if not self._has_begun:
            self._has_begun = True
            self._pipe.start(self._first_ns)
            self._note(Action('start', '', self._start_ns, self._first_ns))
        for message in self._faults.advance(now_ns):
            self._publish(message)

    def _publish(self, message: BagMessage) -> None:
        self.log.append(replace(message, log_time_ns=time.time_ns()))
        super()._publish(message)

    def _note_step(self, step: Step, fault: PlannedFault) -> None:
        self._note(Action(step.value, fault.name))

    def _note(self, action: Action) -> None:
        cdr = encode_action(action)
        self.log.append(BagMessage(ACTIONS_TOPIC, ACTIONS_TYPE, time.time_ns(), cdr))


class Recorder:
    """Takes down the node's outputs as bytes, with the wall clock of their reception.

    Attributes:
        log: what came; `log_time_ns` is the wall clock of its reception.
    """

    def __init__(self, node: Node, topics: dict[str, str]) -> None:
        self.log: list[BagMessage] = []
        self._heard: set[str] = set()
        self._subscriptions = [
            node.create_subscription(
                ros_support.message_type(msgtype),
                topic,
                self._callback(topic, msgtype),
                ros_support.reliable_qos(RECORD_DEPTH),
                raw=True,
            )
            for topic, msgtype in topics.items()
        ]

    def _callback(self, topic: str, msgtype: str) -> Callable[[bytes], None]:
        def take(cdr: bytes) -> None:
            self.log.append(BagMessage(topic, msgtype, time.time_ns(), cdr))
            self._heard.add(topic)

        return take

    def wait_for(self, topic: str, timeout: float) -> bool:
        """Wait for a message on `topic`; False if none came within `timeout` seconds."""
        end = time.monotonic() + timeout
        while topic not in self._heard and time.monotonic() < end:
            time.sleep(SLICE)
        return topic in self._heard


def rehearse(rehearsal: Rehearsal, tell: Callable[[State], None]) -> None:
    """Play, record, write the bag.

    Args:
        tell: called at every step.

    Raises:
        ConfigError: if the node under test does not answer or does not subscribe.
    """
    recorder_node = Node('recorder', start_parameter_services=False, enable_rosout=False)
    player_node = Node('sensors', start_parameter_services=False, enable_rosout=False)
    recorder = Recorder(recorder_node, rehearsal.record)
    executor = SingleThreadedExecutor()
    executor.add_node(recorder_node)
    spinning = threading.Thread(target=_spin, args=(executor,), name='recorder', daemon=True)
    spinning.start()
    try:
        player = FaultPlayer(player_node, rehearsal)
        tell({'state': 'loaded'})
        ready, timeout = rehearsal.ready_topic, rehearsal.timeout
        _require(not ready or recorder.wait_for(ready, timeout), ready)
        _require(player.wait_for_subscribers(player.topics, timeout), 'its inputs')
        tell({'state': 'playing'})
        player.play()
        time.sleep(rehearsal.tail)
    finally:
        executor.shutdown()
        spinning.join(5.0)
        recorder_node.destroy_node()
        player_node.destroy_node()
    tell({'state': 'played'})
    count = _write(rehearsal, player, recorder)
    tell({'state': 'written', 'messages': count})


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass


def _require(there: bool, what: str) -> None:
    if not there:
        raise ConfigError(
            'rehearsal',
            f'a running node with {what}',
            'nothing in time',
            'see the log of the node',
        )


def _write(rehearsal: Rehearsal, player: FaultPlayer, recorder: Recorder) -> int:
    messages = [*player.log, *recorder.log, *player.copies(rehearsal.copy)]
    messages.sort(key=lambda message: message.log_time_ns)
    with BagWriter(rehearsal.out) as writer:
        for message in messages:
            writer.write(message.topic, message.msgtype, message.log_time_ns, message.cdr)
    return len(messages)


def _tell(state: State) -> None:
    sys.stdout.write(json.dumps(state) + '\n')
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """0 when the bag is written; 2 for a wrong order or a node that does not answer."""
    rclpy.init()
    try:
        rehearse(load_config(Rehearsal, Path(arguments[0])), _tell)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    except MetaBevError as error:
        sys.stderr.write(f'{type(error).__name__}: {error}\n')
        return 2
    finally:
        rclpy.utilities.try_shutdown()
    return 0


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
