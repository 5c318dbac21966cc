"""What waits is bounded in messages and in bytes, and what gives way is counted at its topic."""

from __future__ import annotations

from metabev_ros.node import queues
from metabev_ros.node.queues import RawMessage, TopicQueue, topic_bytes
from metabev_ros.wire import MAX_BYTES


def drain(queue: TopicQueue) -> list[RawMessage]:
    messages = []
    while (message := queue.get(0)) is not None:
        messages.append(message)
    return messages


def test_large_messages_of_one_topic_give_way_by_bytes_before_its_depth():
    queue = TopicQueue({'info': 100}, {'info': 1000})
    for number in range(50):
        queue.put(RawMessage('info', bytes(300), number))
    assert queue.size == 900 and queue.overflows == {'info': 47}
    assert [message.arrival_ns for message in drain(queue)] == [47, 48, 49]
    assert queue.size == 0


def test_the_newest_message_waits_even_where_it_fills_the_budget_alone():
    queue = TopicQueue({'image': 5}, {'image': 1000})
    for number in range(3):
        queue.put(RawMessage('image', bytes(1000), number))
    assert [message.arrival_ns for message in drain(queue)] == [2]


def test_of_all_topics_together_the_fattest_gives_way():
    queue = TopicQueue({'tf': 100, 'left': 100, 'right': 100}, total=1000)
    for number in range(10):
        queue.put(RawMessage('tf', bytes(10), number))
    for number in range(100):
        queue.put(RawMessage('left', bytes(100), number))
        queue.put(RawMessage('right', bytes(90), number))
        assert queue.size <= 1000
    waiting = [message.topic for message in drain(queue)]
    assert waiting.count('tf') == 10, 'small ones are not pushed out'
    assert min(waiting.count('left'), waiting.count('right')) >= 4
    assert set(queue.overflows) == {'left', 'right'}
    assert queue.overflows.total() + len(waiting) == 210


def test_messages_come_out_in_the_order_of_arrival_across_topics():
    queue = TopicQueue({'a': 5, 'b': 5})
    for number, topic in enumerate('abbab'):
        queue.put(RawMessage(topic, b'x', number))
    assert [message.arrival_ns for message in drain(queue)] == list(range(5))


def test_a_flood_of_refused_messages_pushes_no_sound_one_out():
    queue = TopicQueue({'tf': 3})
    queue.put(RawMessage('tf', b'sound', 0))
    for number in range(1, 100):
        queue.put(RawMessage('tf', b'', number, 'size: 26 MB, at most 256 kB'))
    messages = drain(queue)
    assert messages[0].cdr == b'sound' and not messages[0].refused
    assert len(messages) + queue.overflows['tf'] == 100


def test_an_overflow_is_recent_for_some_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(queues.time, 'monotonic', lambda: now[0])
    queue = TopicQueue({'image': 1, 'tf': 1})
    for number in range(4):
        queue.put(RawMessage('image', b'', number))
    assert queue.recent_overflows() == {'image': 3}
    now[0] += queues.OVERFLOW_MEMORY + 1
    assert queue.recent_overflows() == {}
    queue.put(RawMessage('image', b'', 4))
    assert queue.recent_overflows() == {'image': 4}, 'since the start, as every count'


def test_a_topic_may_hold_one_message_of_any_allowed_size_and_the_total_more_than_any():
    for msgtype, limit in MAX_BYTES.items():
        assert limit <= topic_bytes(msgtype) <= queues.TOTAL_BYTES
