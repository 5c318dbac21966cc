"""The node on a played bag and the replay of that bag give the same bytes."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import (
    RigConfig,
    SensingConfig,
    TrackingConfig,
    load_config,
    save_config,
)
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import resource_path

pytestmark = pytest.mark.ros

TICKS = 14
# Not the markers: their bytes end off a multiple of four, and DDS pads those.
COMPARED = (wire.DETECTIONS, wire.BEV_MAP, wire.DRIVABLE_AREA, wire.TRACKS)
# Boxes of noise are weak: each begins a track that is believed at once.
TRACKING = TrackingConfig(start_score=0.06, least_score=0.06, confirm_hits=1)
CLOCK_TYPE = 'rosgraph_msgs/msg/Clock'
PATIENCE = 60.0  # seconds for one step on a machine that is busy with other things


def skipped(sensor: str, tick: int) -> bool:
    """The cameras die, then the LiDAR: all three modalities are compared."""
    return sensor in CAMERAS and 3 <= tick < 6 or sensor == LIDAR and 8 <= tick < 11


def is_of_sample(topic: str, cdr: bytes) -> bool:
    """False for tracks that coast: heartbeats are not at the same times."""
    return topic != wire.TRACKS or not wire.deserialize(cdr, wire.OUTPUT_TYPES[topic]).is_heartbeat


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


def live_and_replayed(graph, model: str, bag: Path, rig: RigConfig, folder: Path):
    """Outputs of the live node and of replay: two dicts topic -> list of bytes."""
    from support.live_graph import NodeProcess

    replay_bag(
        bag, folder / 'out.mcap', model, rig, SensingConfig(deadline=0.1), tracking=TRACKING
    )
    outputs = list(BagReader(folder / 'out.mcap'))
    replayed = {
        topic: [
            m.cdr for m in outputs if m.topic == output_topic(topic) and is_of_sample(topic, m.cdr)
        ]
        for topic in COMPARED
    }
    made = [m.log_time_ns for m in outputs if m.topic == output_topic(wire.DETECTIONS)]
    first = len(graph.records)
    save_config(rig, folder / 'this_rig.yaml')
    # Replay takes the time it needs, for tables and for outputs; so must the node where bytes are
    # compared, however busy the machine is.
    node = NodeProcess(
        folder,
        model=model,
        rig=folder / 'this_rig.yaml',
        use_sim_time=True,
        heartbeat_rate=50.0,
        **{
            'tracking.start_score': TRACKING.start_score,
            'tracking.least_score': TRACKING.least_score,
            'tracking.confirm_hits': TRACKING.confirm_hits,
            'inference.table_wait': 30.0,
            'inference.time_limit': 60.0,
            'inference.hang_limit': 120.0,
        },
    )
    try:
        node.wait_for_log('active:')
        Lockstep(graph, rig, made).play(BagReader(bag))
        time.sleep(1.0)  # an output too many must have the time to come
    finally:
        code = node.stop(signal.SIGTERM)
    assert code == 0
    live = {
        topic: [
            r.cdr for r in graph.records[first:] if r.topic == topic and is_of_sample(topic, r.cdr)
        ]
        for topic in COMPARED
    }
    return live, replayed


@pytest.fixture(scope='module')
def both(graph, model, tmp_path_factory):
    """A small drive in which sensors die, through the node and through replay."""
    folder = tmp_path_factory.mktemp('equality')
    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, TICKS, skip=skipped, with_odometry=True)
    return live_and_replayed(graph, model, folder / 'in.mcap', rig_messages.rig(), folder)


def test_replay_made_every_modality(both):
    _, replayed = both
    modalities = [
        wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.DETECTIONS]).modality
        for cdr in replayed[wire.DETECTIONS]
    ]
    assert set(modalities) == {1, 2, 3}
    stamps = [wire.read_stamp(cdr) for cdr in replayed[wire.DETECTIONS]]
    assert stamps[-1] - stamps[0] >= (TICKS - 4) * PERIOD_NS


def test_replay_followed_objects_through_every_modality(both):
    _, replayed = both
    arrays = [
        wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.TRACKS]) for cdr in replayed[wire.TRACKS]
    ]
    assert all(array.is_motion_known for array in arrays)
    assert {array.modality for array in arrays} == {1, 2, 3}
    assert max(track.hits for array in arrays for track in array.tracks) > 1


@pytest.mark.parametrize('topic', COMPARED)
def test_live_and_replay_are_equal_bit_for_bit(both, topic):
    live, replayed = both
    assert len(replayed[topic]) >= TICKS - 3
    assert live[topic] == replayed[topic]


def test_the_real_keyframe_gives_the_same_bytes_live_and_in_replay(
    graph, model, shared_data, tmp_path
):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    live, replayed = live_and_replayed(
        graph, model, shared_data / 'bags' / 'nuscenes_keyframe', rig, tmp_path
    )
    assert {topic: len(found) for topic, found in replayed.items()} == dict.fromkeys(COMPARED, 1)
    array = wire.deserialize(replayed[wire.DETECTIONS][0], wire.OUTPUT_TYPES[wire.DETECTIONS])
    assert array.sensors == list(rig.sensor_names)
    assert live == replayed
