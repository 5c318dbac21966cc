"""Outputs as their consumers take them: with their types and their quality of service.

docs/topics_and_parameters.md says which test stands for which consumer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from metabev_ros import wire
from metabev_ros.node import ros_support

pytestmark = pytest.mark.ros

# nav2_costmap_2d's StaticLayer with map_subscribe_transient_local, which is its default.
STATIC_LAYER = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
DISPLAY = ros_support.sensor_qos(5)  # rviz/perception.rviz: best effort, volatile
PLANNING = ros_support.reliable_qos(1)  # Autoware's rclcpp::QoS{1}; vision_msgs' users likewise
GRIDS = (wire.DRIVABLE_AREA, 'layers/walkway')


class Consumer:
    """A subscriber with the real type; keeps what comes."""

    def __init__(self, graph, topic: str, msgtype: str, qos: QoSProfile) -> None:
        self.got: list[Any] = []
        self._node = graph.node
        self._subscription = graph.node.create_subscription(
            ros_support.message_type(msgtype), f'/perception/{topic}', self.got.append, qos
        )

    def wait(self, meanwhile: Callable[[], object], timeout: float = 120.0) -> Any:
        end = time.monotonic() + timeout
        while not self.got:
            assert time.monotonic() < end, 'nothing came'
            meanwhile()
        return self.got[-1]

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)


@pytest.fixture
def consume(graph, rig):
    opened: list[Consumer] = []

    def subscribe(topic: str, qos: QoSProfile) -> Consumer:
        kinds = wire.OUTPUT_TYPES | {
            name: output.msgtype for name, output in wire.standard_outputs().items()
        }
        opened.append(Consumer(graph, topic, kinds[topic], qos))
        return opened[-1]

    yield subscribe
    for consumer in opened:
        consumer.close()


@pytest.mark.parametrize('topic', GRIDS)
def test_nav2s_static_layer_gets_a_grid_also_when_it_comes_late(graph, rig, consume, topic):
    first = consume(topic, STATIC_LAYER)
    grid = first.wait(rig.tick)
    assert (grid.info.width, grid.info.height) == (200, 200)
    assert grid.header.frame_id == 'base_link'
    assert set(grid.data) <= set(range(-1, 101)) and -1 in grid.data and max(grid.data) > -1
    time.sleep(3.0)  # the rig is silent: no new grid comes
    newest = first.got[-1].header.stamp
    late = consume(topic, STATIC_LAYER)
    assert late.wait(lambda: time.sleep(0.1), 30).header.stamp == newest


def test_rviz_gets_the_overlay_raw_and_compressed(graph, rig, consume):
    raw, jpeg = consume('overlay', DISPLAY), consume('overlay/compressed', DISPLAY)
    picture = raw.wait(rig.tick)
    assert picture.encoding == 'rgb8' and len(picture.data) == picture.step * picture.height
    assert bytes(jpeg.wait(rig.tick).data)[:3] == b'\xff\xd8\xff'


def test_rviz_gets_markers(graph, rig, consume):
    markers = consume(wire.MARKERS, ros_support.reliable_qos(5))
    assert markers.wait(rig.tick).markers


@pytest.mark.distribution
def test_users_of_grid_map_get_every_layer(graph, rig, consume):
    message = consume('grid_map', DISPLAY).wait(rig.tick)
    assert message.layers[0] == 'drivable_area' and len(message.layers) == len(message.data) == 6
    assert {len(layer.data) for layer in message.data} == {200 * 200}


@pytest.mark.distribution
def test_vision_msgs_and_autoware_users_get_the_boxes_that_we_say(graph, rig, consume):
    vision = consume('vision_detections', PLANNING)
    objects = consume('autoware_objects', PLANNING)
    vision.wait(rig.tick)
    objects.wait(rig.tick)
    time.sleep(2.0)  # the rig is silent: what is under way arrives
    stamp = wire.stamp_to_ns(vision.got[-1].header.stamp)
    (ours,) = [r.message for r in graph.of(wire.DETECTIONS) if r.stamp_ns == stamp]
    (theirs,) = [m for m in objects.got if wire.stamp_to_ns(m.header.stamp) == stamp]
    named = [d.results[0].hypothesis.class_id for d in vision.got[-1].detections]
    assert named == [d.class_name for d in ours.detections]
    scores = [round(o.existence_probability, 6) for o in theirs.objects]
    assert scores == [round(d.score, 6) for d in ours.detections]
