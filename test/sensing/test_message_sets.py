"""Sets of arbitrary stamped messages; the oracle is the schedule of the messages."""

from __future__ import annotations

import gc
import itertools
import weakref
from types import SimpleNamespace

import pytest
from support.topic_traffic import MS, T0, Arrival, Topic, play, stamp_of, stamped, traffic

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.sensing.message_sets import MeasuredRate, MessageSets, SetReason

DEADLINE, SLOP, PERIOD = 50 * MS, 45 * MS, 100 * MS
NAMES = ('lidar', 'front', 'left', 'right')
STEADY = {name: Topic(phase=0.01 * k, jitter=0.002) for k, name in enumerate(NAMES)}
ALL_DELAYS = (0.004, 0.02)


def sets_of(topics=STEADY, rates=True, **options) -> MessageSets:
    config = SensingConfig(deadline=DEADLINE / 1e9, tolerance=SLOP / 1e9, readmit_frames=1)
    rates_hz = [topic.rate_hz for topic in topics.values()] if rates else None
    return MessageSets(list(topics), config, rates_hz, **options)


def silent(name: str, *windows: tuple[float, float], topics=STEADY) -> dict[str, Topic]:
    changed = Topic(topics[name].rate_hz, topics[name].phase, topics[name].jitter, silent=windows)
    return {**topics, name: changed}


def stamps(arrivals: list[Arrival], name: str) -> list[int]:
    return [stamp_of(arrival.message) for arrival in arrivals if arrival.topic == name]


def references(out) -> list[int]:
    return [one.label.stamp_ns for _, one in out]


def test_steady_topics_make_one_complete_set_of_the_nearest_a_message_of_the_first():
    arrivals = traffic(STEADY, 5)
    out = play(sets_of(), arrivals)
    assert references(out) == stamps(arrivals, 'lidar')[:-1] and len(out) == 49
    for _, one in out:
        assert one.label.reason is SetReason.COMPLETE and str(one.label) == 'complete'
        for name, message in zip(NAMES, one.messages, strict=True):
            apart = {abs(stamp - one.label.stamp_ns) for stamp in stamps(arrivals, name)}
            assert abs(stamp_of(message) - one.label.stamp_ns) == min(apart)


@pytest.mark.parametrize('name', NAMES[1:])
def test_a_dead_topic_is_late_then_lost_and_stops_no_set(name):
    arrivals = traffic(silent(name, (2.0, 9.0)), 5)
    out = play(sets_of(), arrivals)
    assert references(out) == stamps(arrivals, 'lidar')[: len(out)] and len(out) >= 49
    place, without = NAMES.index(name), [one for one in out if one[1].label.missing]
    assert len(without) >= 28 and without == out[-len(without) :]
    assert [one.label.reason for _, one in without[:3]] == [SetReason.LATE] + [SetReason.LOST] * 2
    came = {stamp_of(a.message): a.at_ns for a in arrivals if a.topic == 'lidar'}
    waited = [at - came[one.label.stamp_ns] for at, one in without]
    assert waited[:2] == [DEADLINE] * 2 and max(waited[2:]) < 40 * MS
    for _, one in without:
        assert list(one.label.missing) == [name]
        assert [k for k, message in enumerate(one.messages) if message is None] == [place]
    assert str(without[-1][1].label) == f'lost: {name} (STALE: silent)'


def test_where_the_first_topic_dies_the_next_one_leads_and_gives_back():
    arrivals = traffic(silent('lidar', (2.0, 4.0)), 6)
    out = play(sets_of(), arrivals)
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(out)) <= 2 * PERIOD + DEADLINE
    dead = [one for at, one in out if T0 + 2.3e9 < at < T0 + 4e9]
    assert len(dead) >= 16 and all(one.messages[0] is None for one in dead)
    assert {one.label.stamp_ns for one in dead} <= set(stamps(arrivals, 'front'))
    after = [one for at, one in out if at > T0 + 4.3e9]
    assert [one.label.stamp_ns for one in after] == [
        stamp for stamp in stamps(arrivals, 'lidar')[:-1] if stamp >= after[0].label.stamp_ns
    ]
    assert {one.label.reason for one in after} == {SetReason.COMPLETE}


def test_the_first_topic_leads_however_slow_it_is():
    topics = {'slow': Topic(5.0), 'fast': Topic(20.0)}
    arrivals = traffic(topics, 3)
    out = play(sets_of(topics), arrivals)
    assert references(out) == stamps(arrivals, 'slow')[: len(out)] and len(out) >= 14


def test_a_topic_that_returns_is_in_the_set_of_its_first_message():
    arrivals = traffic(silent('left', (1.0, 3.0)), 5)
    out = play(sets_of(), arrivals)
    returned = next(s for s in stamps(arrivals, 'left') if s > T0 + 2.9e9)
    first = next(one for _, one in out if one.messages[2] and stamp_of(one.messages[2]) > T0 + 2e9)
    assert stamp_of(first.messages[2]) == returned


def test_a_topic_that_is_lost_again_and_again_is_used_whenever_it_is_there():
    windows = [(1 + 0.8 * k, 1.4 + 0.8 * k) for k in range(10)]
    arrivals = traffic(silent('left', *windows), 9)
    out = play(sets_of(), arrivals)
    used = {stamp_of(one.messages[2]) for _, one in out if one.messages[2]}
    assert used >= set(stamps(arrivals, 'left')[:-1])


@pytest.mark.parametrize('rate', [2.0, 12.5, 30.0, 100.0])
def test_measured_rates_make_the_sets_that_given_ones_make(rate):
    topics = {name: Topic(rate, 0.1 / rate * k) for k, name in enumerate(NAMES)}
    arrivals = traffic(silent('left', (20 / rate, 90 / rate), topics=topics), 60 / rate)
    given, measured = play(sets_of(topics), arrivals), play(sets_of(topics, False), arrivals)
    begin = measured[0][0]
    first = stamps(arrivals, 'lidar')[4]
    assert stamp_of(measured[0][1].messages[0]) == first
    later = [one for one in measured if one[1].label.stamp_ns > first]
    assert later == [one for one in given if one[0] >= begin and one[1].label.stamp_ns > first]
    assert len(later) > 50


def test_while_a_rate_is_measured_the_label_says_so():
    late = Topic(silent=((0, 1.0),))
    out = play(sets_of({**STEADY, 'left': late}, False), traffic({**STEADY, 'left': late}, 3))
    said = [one.label.missing.get('left', '') for at, one in out if at > T0 + 1.01e9]
    assert said[0] == 'STALE: measuring: its rate, message 1 of 5'
    assert [bool(words) for words in said[:6]] == [True] * 4 + [False] * 2


def test_a_rate_is_right_through_lost_repeated_and_swapped_messages():
    rate, numbers = MeasuredRate(), [0, 1, 1, 3, 2, 4, 6, 7, 7, 8, 9]
    found = [rate.add(T0 + number * PERIOD) for number in numbers]
    assert found[:5] == [None] * 5 and found[5:] == [10.0] * 6


def test_a_rate_that_changes_is_measured_anew():
    topics = {'lidar': Topic(10.0), 'front': Topic(10.0, silent=((2.0, 99.0),))}
    faster = [
        Arrival(T0 + 2 * 10**9 + k * 20 * MS, 'front', stamped(T0 + 2 * 10**9 + k * 20 * MS))
        for k in range(150)
    ]
    arrivals = sorted([*traffic(topics, 5), *faster], key=lambda arrival: arrival.at_ns)
    out = play(sets_of(topics, rates=False), arrivals)
    last = [one for at, one in out if at > T0 + 4e9]
    assert len(last) >= 9 and {one.label.reason for one in last} == {SetReason.COMPLETE}
    assert max(abs(stamp_of(one.messages[1]) - one.label.stamp_ns) for one in last) <= 10 * MS


def test_nothing_beyond_the_slop_is_in_a_set_and_a_slower_topic_is_said_to_be_not_due():
    topics = {'lidar': Topic(10.0), 'slow': Topic(2.0, 0.03)}
    out = play(sets_of(topics), traffic(topics, 10.45))[:100]
    reasons = [one.label.reason for _, one in out]
    assert set(reasons) == {SetReason.COMPLETE, SetReason.NOT_DUE}
    assert reasons.count(SetReason.COMPLETE) == 20
    held = [(one.label.stamp_ns, one.messages[1]) for _, one in out if one.messages[1]]
    assert max(abs(stamp_of(message) - reference) for reference, message in held) <= SLOP


@pytest.mark.parametrize('seed', range(20))
def test_any_traffic_makes_sets_that_rise_in_time_and_keep_the_slop_and_the_deadline(seed):
    topics = {
        name: Topic(
            rate_hz=(5, 10, 20, 12)[(seed + k) % 4],
            phase=0.013 * k,
            jitter=0.004,
            delay=ALL_DELAYS,
            silent=((1 + 0.1 * seed, 2 + 0.15 * seed),) if k == seed % 4 else (),
        )
        for k, name in enumerate(NAMES)
    }
    arrivals = traffic(topics, 8, seed)
    out = play(sets_of(topics, rates=bool(seed % 2)), arrivals)
    came = {id(arrival.message): arrival.at_ns for arrival in arrivals}
    assert len(out) > 20
    assert all(a < b for a, b in itertools.pairwise(references(out)))
    for at, one in out:
        there = [message for message in one.messages if message is not None]
        assert there and all(came[id(message)] <= at for message in there)
        apart = [abs(stamp_of(message) - one.label.stamp_ns) for message in there]
        assert min(apart) == 0 and max(apart) <= SLOP
        leads = next(m for m in there if stamp_of(m) == one.label.stamp_ns)
        assert at - came[id(leads)] <= 2 * PERIOD + DEADLINE
        missing = [n for n, m in zip(NAMES, one.messages, strict=True) if m is None]
        assert list(one.label.missing) == missing
        assert (one.label.reason is SetReason.COMPLETE) == (not missing)


def test_polls_between_the_messages_change_nothing():
    arrivals = traffic(silent('front', (1.0, 2.0)), 4)
    polled, often = sets_of(), []
    for before, arrival in itertools.pairwise([Arrival(T0, '', None), *arrivals]):
        for at in range(before.at_ns, arrival.at_ns, 3 * MS):
            often += polled.poll(at)
        often += polled.push(arrival.topic, arrival.message, arrival.at_ns)
    assert often == [one for _, one in play(sets_of(), arrivals)]


def test_a_message_without_a_header_is_named_or_taken_as_of_now():
    def bare(stamp_ns: int, topic: str) -> SimpleNamespace:
        return stamped(stamp_ns) if topic != 'left' else SimpleNamespace(data='text')

    arrivals = traffic(STEADY, 3, make=bare)
    refused = play(sets_of(), arrivals)[-1][1]
    assert refused.label.reason is SetReason.LOST and refused.messages[2] is None
    assert 'header: a SimpleNamespace without one' in refused.label.missing['left']
    taken = play(sets_of(allow_headerless=True), arrivals)
    assert {one.label.reason for _, one in taken} == {SetReason.COMPLETE}


def test_a_bag_that_loops_makes_sets_again():
    arrivals = traffic(STEADY, 3)
    for clock_too in (True, False):
        sets = sets_of()
        play(sets, arrivals)
        again = [
            a if clock_too else Arrival(a.at_ns + 3 * 10**9, a.topic, a.message) for a in arrivals
        ]
        assert len(play(sets, again)) >= 24


def test_no_more_messages_of_a_topic_wait_than_the_queue_holds():
    class Message(SimpleNamespace):
        __slots__ = ('__weakref__',)

    sets, flood = sets_of(queue_size=3), []
    for number in range(500):
        message = Message(header=stamped(T0 + number * MS // 10).header)
        flood.append(weakref.ref(message))
        sets.push('front', message, T0 + number * MS // 10)
    del message
    gc.collect()
    assert 1 <= sum(alive() is not None for alive in flood) <= 3


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'topics': ['a', 'a']}, 'different names'),
        ({'topics': []}, 'different names'),
        ({'rates_hz': [10.0]}, '2 rates'),
        ({'rates_hz': [10.0, 0.0]}, '2 rates'),
        ({'rates_hz': [10.0, float('nan')]}, '2 rates'),
        ({'queue_size': 0}, 'at least 1'),
    ],
)
def test_topics_rates_and_queues_that_are_none_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        MessageSets(**{'topics': ['a', 'b'], 'config': SensingConfig(), **options})
