"""The bag player over Fast DDS: bytes unchanged, stamps moved only on request, changes obeyed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS, SENSORS

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.errors import ConfigError

pytestmark = pytest.mark.ros
TICKS = 4


@pytest.fixture
def bag(tmp_path):
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        rig_messages.write_drive(writer, TICKS)
    return tmp_path / 'drive.mcap'


@pytest.fixture
def heard(graph):
    """Everything heard on the rig's topics and /clock: (topic, bytes) in order."""
    from metabev_ros.node import ros_support

    messages, subscriptions = [], []
    types = {rig_messages.topic_of(s): rig_messages.type_of(s) for s in SENSORS}
    types.update({f'/{name}/camera_info': rig_messages.INFO_TYPE for name in CAMERAS})
    types['/clock'] = 'rosgraph_msgs/msg/Clock'
    for topic, msgtype in {**types, '/tf_static': rig_messages.TF_TYPE}.items():
        qos = (
            ros_support.latched_qos(10)
            if topic == '/tf_static'
            else ros_support.reliable_qos(1000)
        )
        subscriptions.append(
            graph.node.create_subscription(
                ros_support.message_type(msgtype),
                topic,
                lambda cdr, topic=topic: messages.append((topic, bytes(cdr))),
                qos,
                raw=True,
            )
        )
    yield messages
    for subscription in subscriptions:
        graph.node.destroy_subscription(subscription)


def play(graph, bag, heard, change=None, **options):
    from metabev_ros.node.player import BagPlayer, PlayerOptions

    player = BagPlayer(graph.node, bag, PlayerOptions(**options), change)
    assert player.wait_for_subscribers(player.topics, 60)
    player.play()
    end = time.monotonic() + 30  # a loaded machine delivers late
    while Counter(topic for topic, _ in heard if topic != '/clock') != player.published:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    time.sleep(0.5)  # for the last /clock, and for what must not come
    published, topics = player.published, player.topics
    player.close()
    return published, topics


def of(heard, topic):
    return [cdr for name, cdr in heard if name == topic]


def test_every_topic_arrives_complete_in_order_and_unchanged(graph, bag, heard):
    published, topics = play(graph, bag, heard)
    recorded = list(BagReader(bag))
    for topic in topics:
        sent = [m.cdr for m in recorded if m.topic == topic]
        assert [cdr[: len(one)] for cdr, one in zip(of(heard, topic), sent, strict=True)] == sent
    assert published.total() == len(recorded)


def test_the_recorded_clock_is_published_and_never_runs_back(graph, bag, heard):
    play(graph, bag, heard, clock=True, rate=2.0)
    times = [wire.read_stamp(cdr) for cdr in of(heard, '/clock')]
    recorded = [m.log_time_ns for m in BagReader(bag)]
    assert times == sorted(times) and times[-1] == recorded[-1]
    assert len(times) > len(recorded)


def test_restamping_moves_every_header_by_the_same_time_to_now(graph, bag, heard):
    before = time.time_ns()
    play(graph, bag, heard, restamp=True)
    original = [
        wire.read_stamp(m.cdr) for m in BagReader(bag) if m.topic == rig_messages.topic_of(LIDAR)
    ]
    stamps = [wire.read_stamp(cdr) for cdr in of(heard, rig_messages.topic_of(LIDAR))]
    assert len({new - old for new, old in zip(stamps, original, strict=True)}) == 1
    assert before < stamps[0] < time.time_ns()
    assert of(heard, '/tf_static') == [rig_messages.static_transforms(1_700_000_000_000_000_000)]


def test_a_change_may_suppress_and_replace_what_is_played(graph, bag, heard):
    first_ns = next(iter(BagReader(bag))).log_time_ns

    def change(message):
        if message.topic == rig_messages.topic_of(LIDAR):
            return []
        late = message.log_time_ns - first_ns > 2.5 * PERIOD_NS
        if message.topic == rig_messages.topic_of(CAMERAS[0]) and late:
            return [dataclasses.replace(message, cdr=wire.with_stamp(message.cdr, 7))]
        return [message]

    play(graph, bag, heard, change)
    assert of(heard, rig_messages.topic_of(LIDAR)) == []
    stamps = [wire.read_stamp(cdr) for cdr in of(heard, rig_messages.topic_of(CAMERAS[0]))]
    assert len(stamps) == TICKS and stamps.count(7) == 2
    assert len(of(heard, rig_messages.topic_of(CAMERAS[1]))) == TICKS


def test_a_stopped_loop_ends_at_once(graph, bag, heard):
    from metabev_ros.node.player import BagPlayer, PlayerOptions

    player = BagPlayer(graph.node, bag, PlayerOptions(loop=True, rate=20))
    stop = threading.Event()
    thread = threading.Thread(target=player.play, args=(stop,))
    thread.start()
    end = time.monotonic() + 30
    while player.published[rig_messages.topic_of(LIDAR)] <= TICKS and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    player.close()
    assert not thread.is_alive()
    assert player.published[rig_messages.topic_of(LIDAR)] > TICKS


def test_the_command_says_what_it_plays_and_what_it_published(bag):
    command = [sys.executable, '-m', 'metabev_ros.cli', 'play', bag, '--rate', '20', '--json']
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    recorded = Counter(message.topic for message in BagReader(bag))
    assert done.returncode == 0 and json.loads(done.stdout) == {'published': dict(recorded)}
    said = done.stderr.splitlines()
    assert said[0].startswith(f'playing {len(recorded)} topics: ') and LIDAR in said[0]
    assert said[-1] == f'played: {recorded.total()} messages'


def test_impossible_options_are_refused():
    from metabev_ros.node.player import PlayerOptions

    with pytest.raises(ConfigError):
        PlayerOptions(rate=0)
    with pytest.raises(ConfigError):
        PlayerOptions(clock=True, restamp=True)
