"""Plays a bag while a script kills, revives and freezes publishers, and records what comes back.

Runs as a process of its own: `python -m metabev_ros.node.rehearsal SCRIPT.json`. What was
published, when it was published, what was done to the publishers and what was received, all by the
clock of this process, ends up in one bag: whoever judges the node needs nothing else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.node import ros_support
from metabev_ros.node.player import BagPlayer, PlayerOptions
from metabev_ros.node.rehearsal_script import ACTIONS_TOPIC, TEXT_TYPE, Script, TopicFault

ADVERTISE_LEAD = 0.5  # seconds that a revived publisher exists before it publishes
RECORD_DEPTH = 100
SLICE = 0.05


class FaultPlayer(BagPlayer):
    """A bag player whose publishers die, come back and freeze by a script.

    Attributes:
        log: (topic, msgtype, wall clock in ns just before publishing, bytes).
    """

    def __init__(self, node: Node, script: Script) -> None:
        super().__init__(
            node, script.bag, PlayerOptions(restamp=True, topics=script.play), self._filter
        )
        self.log: list[tuple[str, str, int, bytes]] = []
        self._faults = script.faults
        self._msgtypes = dict(self._reader.topics)
        self._frozen: dict[str, bytes] = {}
        self._last: dict[str, bytes] = {}
        self._pending = sorted(
            [(fault.begin, self._begin, fault) for fault in script.faults]
            + [
                (max(fault.begin, fault.end - ADVERTISE_LEAD), self._advertise_again, fault)
                for fault in script.faults
                if not fault.frozen
            ]
            + [(fault.end, self._end, fault) for fault in script.faults],
            key=lambda item: item[0],
        )
        self._has_begun = False

    def copies(self, topics: tuple[str, ...]) -> Iterator[tuple[str, str, int, bytes]]:
        """Messages of the bag that nobody played, with the stamps that they would have had."""
        for message in self._reader:
            if message.topic in topics:
                cdr = self._restamp(message)
                yield message.topic, message.msgtype, wire.read_stamp(cdr), cdr

    def _note(self, **what) -> None:
        text = wire.message_class(TEXT_TYPE)(data=json.dumps(what))
        self.log.append(
            (ACTIONS_TOPIC, TEXT_TYPE, time.time_ns(), wire.serialize(text, TEXT_TYPE))
        )

    def _tick(self, now_ns: int) -> None:
        """Called at least every 10 ms while playing, with the bag's time: do what is due."""
        super()._tick(now_ns)
        if not self._has_begun:
            self._has_begun = True
            self._note(action='start', start_ns=self._start_ns, first_ns=self._first_ns)
        seconds = (now_ns - self._first_ns) * 1e-9
        while self._pending and self._pending[0][0] <= seconds:
            _, act, fault = self._pending.pop(0)
            act(fault)

    def _begin(self, fault: TopicFault) -> None:
        if fault.frozen:
            self._frozen.update(
                {topic: self._last[topic] for topic in fault.topics if topic in self._last}
            )
        else:
            for topic in fault.topics:
                self._node.destroy_publisher(self._publishers.pop(topic))
        self._note(action='begin', fault=fault.name)

    def _advertise_again(self, fault: TopicFault) -> None:
        for topic in fault.topics:
            self._publishers[topic] = self._advertise(topic, self._msgtypes[topic])

    def _end(self, fault: TopicFault) -> None:
        for topic in fault.topics:
            self._frozen.pop(topic, None)
        self._note(action='end', fault=fault.name)

    def _filter(self, topic: str, seconds: float, cdr: bytes) -> bytes | None:
        if any(
            topic in fault.topics and fault.begin <= seconds < fault.end
            for fault in self._faults
            if not fault.frozen
        ):
            return None
        if topic in self._frozen:
            cdr = wire.with_stamp(self._frozen[topic], wire.read_stamp(cdr))
        self._last[topic] = cdr
        self.log.append((topic, self._msgtypes[topic], time.time_ns(), cdr))
        return cdr


class Recorder:
    """Takes down the node's outputs as bytes, with the wall clock of their reception.

    Attributes:
        log: as FaultPlayer.log.
    """

    def __init__(self, node: Node, topics: dict[str, str]) -> None:
        self.log: list[tuple[str, str, int, bytes]] = []
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

    def _callback(self, topic: str, msgtype: str):
        def take(cdr: bytes) -> None:
            self.log.append((topic, msgtype, time.time_ns(), cdr))
            self._heard.add(topic)

        return take

    def wait_for(self, topic: str, timeout: float) -> bool:
        """Whether a message on `topic` came within `timeout` seconds."""
        end = time.monotonic() + timeout
        while topic not in self._heard and time.monotonic() < end:
            time.sleep(SLICE)
        return topic in self._heard


def rehearse(script: Script, tell) -> None:
    """Play, record, write the bag.

    Args:
        tell: called with a dict at every step.

    Raises:
        ConfigError: if the node under test does not answer or does not subscribe.
    """
    recorder_node = Node('recorder', start_parameter_services=False, enable_rosout=False)
    player_node = Node('sensors', start_parameter_services=False, enable_rosout=False)
    recorder = Recorder(recorder_node, script.record)
    executor = SingleThreadedExecutor()
    executor.add_node(recorder_node)
    spinning = threading.Thread(target=_spin, args=(executor,), name='recorder', daemon=True)
    spinning.start()
    try:
        player = FaultPlayer(player_node, script)
        tell({'state': 'loaded'})
        _require(
            not script.ready_topic or recorder.wait_for(script.ready_topic, script.timeout),
            script.ready_topic,
        )
        _require(player.wait_for_subscribers(player.topics, script.timeout), 'its inputs')
        tell({'state': 'playing'})
        player.play()
        time.sleep(script.tail)
    finally:
        executor.shutdown()
        spinning.join(5.0)
        recorder_node.destroy_node()
        player_node.destroy_node()
    tell({'state': 'played'})
    count = _write(script, player, recorder)
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


def _write(script: Script, player: FaultPlayer, recorder: Recorder) -> int:
    messages = [*player.log, *recorder.log, *player.copies(script.copy)]
    messages.sort(key=lambda message: message[2])
    with BagWriter(script.out) as writer:
        for topic, msgtype, wall_ns, cdr in messages:
            writer.write(topic, msgtype, wall_ns, cdr)
    return len(messages)


def main(arguments: list[str]) -> int:
    """0 when the bag is written; 2 for a wrong script or a node that does not answer."""
    rclpy.init()
    try:
        rehearse(
            Script.from_json(Path(arguments[0]).read_text(encoding='utf-8')),
            lambda state: (sys.stdout.write(json.dumps(state) + '\n'), sys.stdout.flush()),
        )
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    except MetaBevError as error:
        sys.stderr.write(f'{type(error).__name__}: {error}\n')
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
