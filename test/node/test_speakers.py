"""Whose messages are believed where more than one publisher speaks on a topic."""

from __future__ import annotations

import pytest

from metabev_ros.node.speakers import MEMORY, Speakers

SENSOR, OTHER = b'sensor', b'other'


class Topic:
    """A topic at which time is made up; with identities of the publishers, or numbers alone."""

    def __init__(self, has_identities: bool) -> None:
        self.speakers, self.now = Speakers(), 100.0
        self.has_identities = has_identities
        self.numbers = {SENSOR: 5000, OTHER: 0}

    def say(self, who: bytes) -> bool:
        self.numbers[who] += 1
        identity = who if self.has_identities else b''
        return self.speakers.hear(self.numbers[who], self.now, identity)

    def drive(self, seconds: float, rate: float = 20.0) -> list[bool]:
        """The sensor alone at its rate; whether each message was believed."""
        believed = []
        for _ in range(round(seconds * rate)):
            self.now += 1 / rate
            believed.append(self.say(SENSOR))
        return believed


@pytest.fixture(params=[True, False], ids=['identities', 'numbers'])
def topic(request):
    return Topic(request.param)


def test_a_second_publisher_that_speaks_now_and_then_is_never_believed_and_always_named(topic):
    assert all(topic.drive(5.0))
    for _ in range(20):
        assert not topic.say(OTHER)
        assert all(topic.drive(2.5)), 'the sensor goes on'
        assert topic.speakers.has_second(topic.now)
        assert not topic.speakers.is_contested(topic.now)
    assert topic.speakers.rivals(topic.now) == ({OTHER} if topic.has_identities else set())
    topic.drive(MEMORY)
    assert not topic.speakers.has_second(topic.now), 'it is silent again'


def test_a_driver_that_was_killed_and_started_again_is_believed_with_its_first_message(topic):
    topic.drive(5.0)
    topic.now += 2.0
    for _ in range(100):
        topic.now += 0.05
        assert topic.say(OTHER)
    assert not topic.speakers.has_second(topic.now)


def test_a_driver_that_comes_back_within_moments_is_believed_within_half_a_second(topic):
    topic.drive(5.0)
    believed = []
    for _ in range(40):
        topic.now += 0.05
        believed.append(topic.say(OTHER))
    assert believed.index(True) <= 10 and all(believed[10:])


def test_two_that_speak_all_the_time_contest_the_topic_until_one_is_silent(topic):
    topic.drive(2.0)
    for _ in range(20):
        topic.now += 0.05
        topic.say(OTHER)
        topic.say(SENSOR)
    assert topic.speakers.is_contested(topic.now)
    topic.drive(3.0)
    assert not topic.speakers.is_contested(topic.now)
    assert all(topic.drive(1.0))


def test_a_known_intruder_does_not_take_over_in_a_short_silence_of_the_sensor(topic):
    topic.drive(5.0)
    topic.say(OTHER)
    topic.drive(1.0)
    for _ in range(3):
        topic.now += 2.5
        assert not topic.say(OTHER)
    assert all(topic.drive(1.0))
    topic.now += MEMORY + 1
    assert topic.say(OTHER), 'for good it does: it is the only one left'


def test_where_nothing_is_counted_a_topic_with_two_publishers_counts_as_contested():
    speakers = Speakers()
    assert speakers.hear(None, 1.0) and speakers.hear(None, 1.1)
    assert speakers.is_contested(1.2) and not speakers.is_contested(4.0)


def test_lost_messages_are_no_second_publisher(topic):
    for lost in (1, 5, 100, 3000):
        topic.numbers[SENSOR] += lost
        assert all(topic.drive(1.0))
    assert not topic.speakers.has_second(topic.now)
    assert not topic.speakers.is_contested(topic.now)
