"""Plays a bag to the live node as slowly as that needs it, however busy the machine is."""

from __future__ import annotations

import time
from collections import Counter

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig

CLOCK_TYPE = 'rosgraph_msgs/msg/Clock'
PATIENCE = 60.0  # seconds for one step on a machine that is busy with other things
# Parameters of a node that is played to. Replay takes the time it needs, for tables and for
# outputs; so must the node where what it says is compared.
PATIENT: dict[str, object] = {
    'use_sim_time': True,
    'heartbeat_rate': 50.0,
    'inference.table_wait': 30.0,
    'inference.time_limit': 60.0,
    'inference.hang_limit': 120.0,
}


class Lockstep:
    """Plays a bag as slowly as the node needs it: the next message goes out when the last one
    was taken and the outputs due by then have come."""

    def __init__(self, graph, rig: RigConfig, made_ns: list[int]) -> None:
        self._graph, self._first, self._made_ns = graph, len(graph.records), made_ns
        self._clock = graph.publisher('/clock', CLOCK_TYPE)
        topics = [*(camera.topic for camera in rig.cameras), rig.lidars[0].topic]
        self._sensors = {f'/{topic}': index for index, topic in enumerate(topics)}
        self._collected = 0
        self._received: Counter[int] = Counter()

    def play(self, bag: BagReader) -> None:
        """Play it to its end, and a second on."""
        for topic, msgtype in bag.topics.items():
            self._graph.publisher(topic, msgtype, latched=topic == '/tf_static')
        self._graph.wait_until_heard([*bag.topics, '/clock'])
        time.sleep(1.0)  # the other side may need a moment longer to know of the match
        for message in bag:
            self._collect_until(message.log_time_ns)
            self._set_clock(message.log_time_ns)
            self._graph.publisher(message.topic, message.msgtype).publish(message.cdr)
            self._wait_until_taken(message.topic)
        self._collect_until(message.log_time_ns + 10**9)

    def _collect_until(self, now_ns: int) -> None:
        """Let time pass to every moment before now at which replay had an output."""
        while self._collected < len(self._made_ns) and self._made_ns[self._collected] < now_ns:
            self._set_clock(self._made_ns[self._collected])
            self._collected += 1
            self._wait(lambda: self._outputs() >= self._collected)

    def _beats(self) -> list:
        return [r for r in self._graph.records[self._first :] if r.topic == wire.STATUS]

    def _outputs(self) -> int:
        return sum(r.topic == wire.DETECTIONS for r in self._graph.records[self._first :])

    def _wait(self, arrived) -> None:
        end = time.monotonic() + PATIENCE
        while not arrived():
            assert time.monotonic() < end, 'the node does not follow'
            time.sleep(0.01)

    def _set_clock(self, now_ns: int) -> None:
        cdr = wire.serialize(
            wire.message_class(CLOCK_TYPE)(clock=wire.header(now_ns, '').stamp), CLOCK_TYPE
        )

        def follows() -> bool:
            self._clock.publish(cdr)  # again: /clock is best effort
            return any(beat.stamp_ns >= now_ns for beat in self._beats()[-3:])

        self._wait(follows)

    def _wait_until_taken(self, topic: str) -> None:
        if topic in self._sensors:
            index = self._sensors[topic]
            self._received[index] += 1
            self._wait(
                lambda: self._beats()[-1].message.sensors[index].received >= self._received[index]
            )
