"""Simulated arrivals of stamped messages on topics that live and die, on a clock of their own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

MS = 1_000_000
T0 = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Topic:
    """What one topic sends.

    Attributes:
        rate_hz: messages a second.
        phase: seconds from the start to its first stamp.
        jitter: largest deviation of a stamp from its time, seconds.
        delay: least and largest seconds from stamp to arrival.
        silent: (from, to) in seconds from the start: what would arrive then never does.
    """

    rate_hz: float = 10.0
    phase: float = 0.0
    jitter: float = 0.0
    delay: tuple[float, float] = (0.005, 0.005)
    silent: tuple[tuple[float, float], ...] = ()


class Arrival(NamedTuple):
    """A message that comes: when, on which topic, and what."""

    at_ns: int
    topic: str
    message: Any


def stamped(stamp_ns: int, topic: str = '') -> SimpleNamespace:
    """A message with nothing but a header."""
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id=topic))


def stamp_of(message: Any) -> int:
    """Nanoseconds of a message's header."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def traffic(
    topics: Mapping[str, Topic], seconds: float, seed: int = 0, make: Any = stamped
) -> list[Arrival]:
    """All messages of some seconds, in the order in which they arrive."""
    rng, arrivals = random.Random(seed), []
    for name, topic in topics.items():
        newest = 0
        for number in range(int((seconds - topic.phase) * topic.rate_hz)):
            at = topic.phase + number / topic.rate_hz + rng.uniform(-1, 1) * topic.jitter
            came = at + rng.uniform(*topic.delay)
            if not any(begin <= came < end for begin, end in topic.silent):
                # One publisher's messages arrive in their order.
                newest = max(newest + 1, T0 + round(came * 1e9))
                arrivals.append(Arrival(newest, name, make(T0 + round(at * 1e9), name)))
    return sorted(arrivals, key=lambda arrival: arrival.at_ns)


def play(sets: Any, arrivals: Sequence[Arrival], until_ns: int = 0) -> list[tuple[int, Any]]:
    """Times and sets that come of these arrivals, every deadline kept to the nanosecond."""
    out = []

    def poll_until(end_ns: int) -> None:
        while (due := sets.next_deadline_ns()) is not None and due < end_ns:
            out.extend((due, one) for one in sets.poll(due))

    for arrival in arrivals:
        poll_until(arrival.at_ns)
        closed = sets.push(arrival.topic, arrival.message, arrival.at_ns)
        out.extend((arrival.at_ns, one) for one in closed)
    poll_until(until_ns)
    return out
