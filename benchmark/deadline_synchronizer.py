"""DeadlineSynchronizer beside message_filters' ApproximateTimeSynchronizer, on the same messages.

    . /opt/ros/$ROS_DISTRO/setup.sh
    python benchmark/deadline_synchronizer.py [--record docs/results/deadline_synchronizer.json]

A LiDAR and six cameras at 10 Hz, cameras up to 43 ms before the sweep, stamps that jitter by 3 ms,
8 to 14 ms from stamp to arrival and in one message of twenty up to 40 ms, one in two hundred lost.
In the middle one topic dies: a camera, then, in a run of its own, the LiDAR. Both filters hear
every message, one after the other, on one simulated clock. Slop, queue and inputs are the same.
Messages a second are those of each half by the processor time that a filter takes for them, its
timer and its calls back included.
"""

from __future__ import annotations

import argparse
import random
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test')]  # test/ for `support`: the simulated topics

from message_filters import ApproximateTimeSynchronizer, SimpleFilter  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from support.simulated_node import SimulatedNode, feed  # noqa: E402
from support.topic_traffic import T0, Arrival, Topic, stamp_of, traffic  # noqa: E402

from metabev_ros.lab.evaluation.records import make_record, merge_records  # noqa: E402
from metabev_ros.node.deadline_synchronizer import DeadlineSynchronizer  # noqa: E402

SLOP, DEADLINE, QUEUE = 0.055, 0.05, 10
PHASES = (-0.043, -0.035, -0.028, -0.020, -0.010, -0.001)  # of nuScenes' cameras
TOPICS = {
    'lidar': Topic(10.0, 0.1, 0.003, (0.008, 0.014)),
    **{f'cam{k}': Topic(10.0, 0.1 + p, 0.003, (0.008, 0.014)) for k, p in enumerate(PHASES)},
}
SLOW, SLOWEST, LOST = 1 / 20, 0.040, 1 / 200


@dataclass
class Heard:
    """Outcome of one filter on one stream.

    Attributes:
        sets: (time, delay, is complete) of each call back: nanoseconds, seconds from its oldest
            stamp, and whether every topic has a message in it.
        speeds: messages a second of processor time, before and after the death.
    """

    sets: list[tuple[int, float, bool]] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)


def image(stamp_ns: int, topic: str) -> Image:
    """A message with a header alone: neither filter looks at more."""
    message = Image()
    message.header.frame_id = topic
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def stream(seconds: float, dead: str, seed: int) -> list[Arrival]:
    """All arrivals; one topic says nothing more from the middle on."""
    rng, last = random.Random(seed), dict.fromkeys(TOPICS, 0)
    arrivals = []
    for at_ns, topic, message in traffic(TOPICS, seconds, seed, image):
        if rng.random() < LOST or (topic == dead and at_ns >= T0 + seconds * 5e8):
            continue
        if rng.random() < SLOW:
            at_ns += round(rng.uniform(0, SLOWEST) * 1e9)
        last[topic] = at_ns = max(at_ns, last[topic] + 1)  # its messages come in their order
        arrivals.append(Arrival(at_ns, topic, message))
    return sorted(arrivals, key=lambda arrival: arrival.at_ns)


def hear(
    make: Callable[[Sequence[SimpleFilter], SimulatedNode], Any], halves: Sequence[list[Arrival]]
) -> Heard:
    """Play the stream to a filter."""
    node, heard = SimulatedNode(), Heard()
    inputs = {topic: SimpleFilter() for topic in TOPICS}

    def note(*messages: Any) -> None:
        there = [message for message in messages[: len(TOPICS)] if message is not None]
        oldest = min(map(stamp_of, there))
        delay, is_complete = (node.now_ns - oldest) / 1e9, len(there) == len(TOPICS)
        heard.sets.append((node.now_ns, delay, is_complete))

    kept = make(list(inputs.values()), node)
    kept.registerCallback(note)
    for half in halves:
        begin = time.process_time()
        feed(node, inputs, half)
        heard.speeds.append(len(half) / (time.process_time() - begin))
    return heard


def approximate(inputs: Sequence[SimpleFilter], node: SimulatedNode) -> Any:
    """The filter of message_filters; it needs no clock."""
    return ApproximateTimeSynchronizer(inputs, QUEUE, SLOP)


def by_deadline(inputs: Sequence[SimpleFilter], node: SimulatedNode) -> Any:
    """Our filter."""
    return DeadlineSynchronizer(inputs, QUEUE, SLOP, deadline=DEADLINE, node=node)


FILTERS = {'approximate': approximate, 'deadline': by_deadline}


def measure(dead: str, seconds: float, runs: int) -> dict[str, dict[str, float]]:
    """Figures of both filters: filter -> figure -> its median over the runs.

    The first two seconds, in which rates are measured, and the second after the death count
    nowhere but in the messages a second.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in FILTERS}
    middle = T0 + round(seconds * 5e8)
    for run in range(runs):
        arrivals = stream(seconds, dead, run)
        first = [arrival for arrival in arrivals if arrival.at_ns < middle]
        for name, make in FILTERS.items():
            heard = hear(make, (first, arrivals[len(first) :]))
            whole = [one for one in heard.sets if T0 + 2 * 10**9 <= one[0] < middle]
            before = [delay for _, delay, _ in whole]
            after = [delay for at, delay, _ in heard.sets if at >= middle + 10**9]
            quantiles = statistics.quantiles(before, n=100)
            found[name].append(
                {
                    'before': len(before) / (seconds / 2 - 2),
                    'after': len(after) / (seconds / 2 - 1),
                    'complete': sum(is_all for *_, is_all in whole) / (seconds / 2 - 2),
                    'delay': statistics.median(before) * 1e3,
                    'slowest': quantiles[98] * 1e3,
                    'slowest_after': max(after, default=0.0) * 1e3,
                    'messages': heard.speeds[0],
                    'messages_after': heard.speeds[1],
                }
            )
            print(f'{dead} dies, run {run + 1} of {runs}, {name}: {found[name][-1]}', flush=True)
    return {
        name: {key: statistics.median(run[key] for run in runs_of) for key in runs_of[0]}
        for name, runs_of in found.items()
    }


UNITS = {
    'before': 'sets a second',
    'after': 'sets a second',
    'complete': 'sets a second',
    'delay': 'ms',
    'slowest': 'ms',
    'slowest_after': 'ms',
    'messages': 'messages a second',
    'messages_after': 'messages a second',
}
TARGETS = {('deadline', 'before'): '>= 9.5', ('deadline', 'after'): '>= 9.5'}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--seconds', type=float, default=120.0)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--record', type=Path)
    arguments = parser.parse_args()
    command, records = shlex.join(['python', *sys.argv]), []
    for dead, name in (('cam3', 'camera'), ('lidar', 'lidar')):
        figures = measure(dead, arguments.seconds, arguments.runs)
        figures['ratio'] = {
            key: figures['deadline'][key] / figures['approximate'][key]
            for key in ('before', 'complete', 'messages')
        }
        print(name, figures)
        records += [
            make_record(
                f'deadline_synchronizer.{name}.{which}.{key}',
                value,
                'of the approximate one' if which == 'ratio' else UNITS[key],
                command,
                arguments.runs,
                TARGETS.get((which, key)),
            )
            for which, values in figures.items()
            for key, value in values.items()
            if not (key == 'slowest_after' and values['after'] == 0)  # no set has no delay
        ]
    if arguments.record:
        merge_records(arguments.record, records)


if __name__ == '__main__':
    main()
