"""Outputs as their consumers take them: with their types and their quality of service.

docs/topics_and_parameters.md says which test stands for which consumer. What comes is held against
a replay of the same bag.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from support import rig_messages
from support.lockstep import PATIENT, Lockstep

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import OutputsConfig, SensingConfig, TrackingConfig, to_plain
from metabev_ros.node import ros_support
from metabev_ros.replay.run import output_topic, replay_bag

pytestmark = pytest.mark.ros

TICKS = 4
# nav2_costmap_2d's StaticLayer with map_subscribe_transient_local, which is its default.
STATIC_LAYER = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
DISPLAY = ros_support.sensor_qos(5)  # cameras in rviz/perception.rviz: best effort, volatile
PLANNING = ros_support.reliable_qos(1)  # Autoware's rclcpp::QoS{1}; vision_msgs' users likewise
GRIDS = (wire.DRIVABLE_AREA, 'layers/walkway')
QOS = {
    **dict.fromkeys(GRIDS, STATIC_LAYER),
    wire.MARKERS: ros_support.reliable_qos(5),
    'overlay': DISPLAY,
    'overlay/compressed': DISPLAY,
    'vision_detections': PLANNING,
    'autoware_objects': PLANNING,
    wire.TRACKS: PLANNING,
    'autoware_tracks': PLANNING,
    'track_markers': ros_support.reliable_qos(5),
    'sensor_panel': DISPLAY,
    'grid_map': DISPLAY,
    'scene': PLANNING,
}
# Boxes of noise are weak: each begins a track that is believed at once.
TRACKING = TrackingConfig(start_score=0.06, least_score=0.06, confirm_hits=1)
TYPES = wire.OUTPUT_TYPES | {
    topic: output.msgtype for topic, output in wire.standard_outputs().items()
}


class Consumer:
    """A subscriber with the real type; keeps what comes."""

    def __init__(self, graph, topic: str) -> None:
        self.got: list[Any] = []
        self._node = graph.node
        self._subscription = graph.node.create_subscription(
            ros_support.message_type(TYPES[topic]),
            f'/perception/{topic}',
            self.got.append,
            QOS[topic],
        )

    def wait(self, count: int, timeout: float = 60.0) -> list[Any]:
        """The first messages."""
        end = time.monotonic() + timeout
        while len(self.got) < count:
            assert time.monotonic() < end, f'{len(self.got)} of {count} messages came'
            time.sleep(0.05)
        return self.got[:count]

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)


class Played:
    """A small bag through the live node, with all consumers there, and through a replay."""

    def __init__(self, consumers: dict[str, Consumer], replayed: dict[str, list[bytes]]) -> None:
        self.consumers, self._replayed = consumers, replayed

    def of(self, topic: str) -> tuple[list[Any], list[Any]]:
        """What the consumer of a topic got, and the replay's messages in its type."""
        kind = ros_support.message_type(TYPES[topic])
        expected = [deserialize_message(cdr, kind) for cdr in self._replayed[topic]]
        assert len(expected) >= TICKS - 2
        return self.consumers[topic].wait(len(expected)), expected


@pytest.fixture(scope='module')
def played(graph, model, tmp_path_factory):
    from support.live_graph import NodeProcess

    folder, rig = tmp_path_factory.mktemp('consumers'), rig_messages.rig()
    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, TICKS, with_odometry=True)
    every = OutputsConfig(*['require'] * len(dataclasses.fields(OutputsConfig)))
    replay_bag(
        folder / 'in.mcap',
        folder / 'out.mcap',
        model,
        rig,
        SensingConfig(deadline=0.1),
        outputs=every,
        tracking=TRACKING,
    )
    outputs = list(BagReader(folder / 'out.mcap'))
    replayed = {topic: [m.cdr for m in outputs if m.topic == output_topic(topic)] for topic in QOS}
    made = [m.log_time_ns for m in outputs if m.topic == output_topic(wire.DETECTIONS)]
    following = {f'tracking.{name}': value for name, value in to_plain(TRACKING).items()}
    node = NodeProcess(folder, model=model, **PATIENT, **following)
    consumers: dict[str, Consumer] = {}
    try:
        node.wait_for_log('active:')
        consumers |= {
            topic: Consumer(graph, topic)
            for topic in QOS
            if ros_support.has_message_type(TYPES[topic])
        }
        Lockstep(graph, rig, made).play(BagReader(folder / 'in.mcap'))
        yield Played(consumers, replayed)
    finally:
        for consumer in consumers.values():
            consumer.close()
        node.stop()


@pytest.mark.parametrize('topic', GRIDS)
def test_nav2s_static_layer_gets_a_grid_also_when_it_comes_late(graph, played, topic):
    got, expected = played.of(topic)
    assert got == expected
    grid = got[-1]
    assert (grid.header.frame_id, grid.info.width, grid.info.height) == ('base_link', 200, 200)
    values = set(grid.data)
    assert -1 in values and values <= set(range(-1, 101)) and len(values) > 1
    late = Consumer(graph, topic)  # the bag is over: no new grid comes
    try:
        assert late.wait(1) == expected[-1:]
    finally:
        late.close()


@pytest.mark.parametrize('topic', [wire.MARKERS, 'overlay', 'overlay/compressed'])
def test_rviz_gets_markers_and_the_overlay_raw_and_compressed(played, topic):
    got, expected = played.of(topic)
    assert got == expected


def of_samples(played, topic: str) -> tuple[list[Any], list[Any]]:
    """As `Played.of`, without heartbeats: they are not at the same times.

    What is made of tracks does not say whether it is one; the tracks, sent before it, do.
    """

    def kept(found: list[Any], tracks: list[Any]) -> list[Any]:
        said = [t for t in tracks if t.is_motion_known or topic != 'autoware_tracks']
        return [m for m, t in zip(found, said, strict=False) if not t.is_heartbeat]

    expected = kept(played.of(topic)[1], played.of(wire.TRACKS)[1])
    live, tracks = (played.consumers[name].got for name in (topic, wire.TRACKS))
    end = time.monotonic() + 60
    while len(kept(live, tracks)) < len(expected) and time.monotonic() < end:
        time.sleep(0.05)
    return kept(live, tracks), expected


def test_rviz_gets_the_tracks_with_their_tails(played):
    got, expected = of_samples(played, 'track_markers')
    assert got == expected and len(got) >= TICKS - 2
    assert any(marker.points for marker in got[-1].markers if marker.ns == 'tails')


def test_rviz_gets_the_states_of_the_sensors_as_a_picture(played):
    for picture in played.consumers['sensor_panel'].wait(2):
        assert (picture.encoding, picture.step) == ('rgb8', 3 * picture.width)
        assert len(set(bytes(picture.data))) > 10


@pytest.mark.distribution
def test_autowares_planning_gets_the_tracks_with_their_identities(played):
    got, expected = of_samples(played, 'autoware_tracks')
    assert got == expected and len(got) >= TICKS - 2
    last, before = ({bytes(o.object_id.uuid) for o in m.objects} for m in (got[-1], got[-2]))
    assert last & before


@pytest.mark.distribution
@pytest.mark.parametrize(
    ('topic', 'boxes'), [('vision_detections', 'detections'), ('autoware_objects', 'objects')]
)
def test_vision_msgs_and_autowares_planning_get_the_boxes_in_their_types(played, topic, boxes):
    got, expected = played.of(topic)
    assert got == expected
    assert any(getattr(message, boxes) for message in got)


@pytest.mark.skipif(
    not ros_support.has_message_type(wire.SCENE), reason='needs the package foxglove_msgs'
)
def test_foxglove_gets_the_boxes_as_a_scene(played):
    got, expected = played.of('scene')
    assert got == expected
    assert any(entity.cubes for entity in got[-1].entities)


@pytest.mark.distribution
def test_users_of_grid_map_get_every_layer(played):
    got, expected = played.of('grid_map')
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.layers == theirs.layers and len(ours.layers) == len(ours.data) == 6
        for layer, other in zip(ours.data, theirs.data, strict=True):
            assert np.array_equal(layer.data, other.data, equal_nan=True)
