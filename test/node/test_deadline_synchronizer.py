"""Our filter beside those of message_filters, on a simulated clock and in a real executor."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from support.made_samples import wait_for
from support.simulated_node import SimulatedNode, feed
from support.topic_traffic import MS, T0, Topic, play, stamp_of, traffic

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.sensing.message_sets import MessageSets, SetReason

pytestmark = [pytest.mark.ros, pytest.mark.ros_packages]
NAMES = ('lidar', 'front', 'left')
STEADY = {name: Topic(phase=0.01 * k, delay=(0.004, 0.012)) for k, name in enumerate(NAMES)}
DYING = {**STEADY, 'left': Topic(phase=0.02, silent=((2.0, 4.0),))}
MODULE = 'metabev_ros.node.deadline_synchronizer'


@pytest.fixture
def filters():
    """The package message_filters, of a distribution."""
    return pytest.importorskip('message_filters')


@pytest.fixture
def synchronizer(filters):
    """Our class, which needs the package."""
    from metabev_ros.node.deadline_synchronizer import DeadlineSynchronizer

    return DeadlineSynchronizer


def image(stamp_ns: int, topic: str):
    """A real message, which message_filters asks for, with nothing in it."""
    from sensor_msgs.msg import Image

    message = Image()
    message.header.frame_id = topic
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def test_without_message_filters_the_import_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, 'message_filters', None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(MissingDependencyError, match='apt install ros-.*-message-filters'):
        __import__(MODULE)


def test_it_calls_back_at_the_deadlines_with_what_message_sets_makes(filters, synchronizer):
    arrivals, node = traffic(DYING, 6, make=image), SimulatedNode()
    inputs = {name: filters.SimpleFilter() for name in NAMES}
    ours = synchronizer(list(inputs.values()), 10, 0.045, deadline=0.05, node=node)
    found = []
    ours.registerCallback(lambda *args: found.append((node.now_ns, args)), 'own argument')
    feed(node, inputs, arrivals)
    config = SensingConfig(deadline=0.05, tolerance=0.045, readmit_frames=1)
    sets = MessageSets([f'input {k}' for k in range(3)], config)
    places = {name: f'input {k}' for k, name in enumerate(NAMES)}
    wanted = play(sets, [a._replace(topic=places[a.topic]) for a in arrivals])
    assert found == [(at, (*one.messages, one.label, 'own argument')) for at, one in wanted]
    assert {one.label.reason for _, one in wanted} >= {SetReason.LATE, SetReason.LOST}


def test_while_all_topics_live_its_sets_are_those_of_the_approximate_one(filters, synchronizer):
    arrivals, node = traffic(STEADY, 6, make=image), SimulatedNode()
    inputs = {name: filters.SimpleFilter() for name in NAMES}
    arguments = list(inputs.values()), 10, 0.045
    theirs, ours = [], []
    filters.ApproximateTimeSynchronizer(*arguments).registerCallback(
        lambda *messages: theirs.append(messages)
    )
    synchronizer(*arguments, deadline=0.05, node=node).registerCallback(
        lambda *args: ours.append(args)
    )
    feed(node, inputs, arrivals)
    assert all(label.reason is SetReason.COMPLETE for *_, label in ours[2:])
    complete = [tuple(messages) for *messages, label in ours if not label.missing]
    assert complete == theirs[-len(complete) :] and len(complete) >= 53


def test_one_dead_topic_ends_the_sets_of_the_approximate_one_and_not_its_own(
    filters, synchronizer
):
    arrivals, node = traffic(DYING, 4, make=image), SimulatedNode()
    inputs = {name: filters.SimpleFilter() for name in NAMES}
    arguments = list(inputs.values()), 10, 0.045
    theirs, ours = [], []
    filters.ApproximateTimeSynchronizer(*arguments).registerCallback(
        lambda *messages: theirs.append(node.now_ns)
    )
    synchronizer(*arguments, deadline=0.05, rates_hz=[10.0] * 3, node=node).registerCallback(
        lambda *args: ours.append((node.now_ns, args))
    )
    feed(node, inputs, arrivals)
    death = T0 + 2050 * MS
    assert len([at for at in theirs if at < death]) == 20 and max(theirs) < death
    after = [args for at, args in ours if at >= death]
    assert len(after) >= 18 and all(args[2] is None and args[0] and args[1] for args in after)


def test_chained_filters_need_a_node_and_topics_of_one_name_are_told_apart(filters, synchronizer):
    inputs = {name: filters.SimpleFilter() for name in NAMES}
    caches = [filters.Cache(one, 5) for one in inputs.values()]
    with pytest.raises(ConfigError, match='give node='):
        synchronizer(caches, 10, 0.045, deadline=0.05)
    for one in caches:
        one.topic = 'same'
    node, labels = SimulatedNode(), []
    ours = synchronizer(caches, 10, 0.045, deadline=0.05, rates_hz=[10.0] * 3, node=node)
    ours.registerCallback(lambda *args: labels.append(args[-1]))
    feed(node, inputs, traffic(DYING, 4, make=image))
    assert {name for label in labels for name in label.missing} == {'same (2)'}


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'deadline': 0.0}, 'deadline'),
        ({'slop': -1.0}, 'tolerance'),
        ({'queue_size': 0}, 'queue_size'),
        ({'rates_hz': [10.0]}, 'rates_hz'),
    ],
)
def test_what_is_out_of_range_is_refused(filters, synchronizer, changes, words):
    wanted = {'queue_size': 10, 'slop': 0.045, 'deadline': 0.05, 'node': SimulatedNode()}
    with pytest.raises(ConfigError, match=words):
        synchronizer([filters.SimpleFilter() for _ in NAMES], **{**wanted, **changes})


def test_a_callback_may_give_a_filter_the_next_message(filters, synchronizer):
    node, labels = SimulatedNode(), []
    inputs = {name: filters.SimpleFilter() for name in NAMES}
    ours = synchronizer(
        list(inputs.values()), 10, 0.045, deadline=0.05, rates_hz=[10.0] * 3, node=node
    )

    def call_back(*args) -> None:
        labels.append(args[-1])
        if len(labels) == 1:
            node.now_ns += 100 * MS
            for name in NAMES:
                inputs[name].signalMessage(image(T0 + 100 * MS, name))

    ours.registerCallback(call_back)
    node.advance(T0 + 1)
    for name in NAMES:
        inputs[name].signalMessage(image(T0, name))
    assert [label.stamp_ns for label in labels] == [T0, T0 + 100 * MS]
    assert all(label.reason is SetReason.COMPLETE for label in labels)


@pytest.fixture
def spinning():
    """A node in an executor of its own, as a user's is."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('fusion', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    node.destroy_node()
    context.shutdown()


def test_subscribers_of_a_real_node_get_the_partial_set_by_its_timer(
    filters, synchronizer, spinning
):
    from sensor_msgs.msg import Image

    found = []
    subscribers = [filters.Subscriber(spinning, Image, name) for name in NAMES]
    ours = synchronizer(subscribers, 10, 0.045, deadline=0.2, rates_hz=[10.0] * 3)
    ours.registerCallback(lambda *args: found.append((time.monotonic(), args)))
    publishers = {name: spinning.create_publisher(Image, name, 10) for name in NAMES}
    wait_for(lambda: all(p.get_subscription_count() for p in publishers.values()))
    stamp_ns, began = spinning.get_clock().now().nanoseconds, time.monotonic()
    for name in NAMES[:2]:
        publishers[name].publish(image(stamp_ns, name))
    wait_for(lambda: found)
    ((called, (lidar, front, left, label)),) = found
    assert 0.19 < called - began < 5.0
    assert stamp_of(lidar) == stamp_of(front) == label.stamp_ns == stamp_ns and left is None
    assert str(label) == 'lost: left (NEVER: nothing received)'
