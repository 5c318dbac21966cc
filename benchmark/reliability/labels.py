"""Exactness of labels over random rigs: every output held against the schedule of its seed."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmark.reliability.detection import Stop
from benchmark.reliability.figures import Figure
from benchmark.reliability.label_oracle import Oracle
from benchmark.reliability.random_drives import draw
from benchmark.reliability.random_rigs import Sent
from metabev_ros.sensing.checks import CloudCheck, Verdict, _fingerprint
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Sample


class _Here:
    """A pool without threads."""

    map = staticmethod(map)


class _CountAndRepeats(CloudCheck):
    """Judges a sweep by the two checks that the faults of the drives need: it costs a third."""

    def check(self, points: np.ndarray, announced: int) -> Verdict:
        if not len(points):
            return super().check(points, announced)
        return self._frozen.check(_fingerprint(points))


def run_seed(seed: int) -> Counter[str]:
    """The counts of one scenario; 'wrong' where an output breaks a rule."""
    scenario = draw(seed)
    oracle = Oracle(scenario)
    end = SensorFrontEnd(
        scenario.rig, scenario.config, lambda pixels, c: (pixels, c), sweeps=scenario.sweeps
    )
    events = [(m.came_ns, m.arrival_ns, '', m) for m in scenario.sent]
    events = sorted([*events, *scenario.others], key=lambda event: event[0])
    end._eyes._reader._pool = _Here()  # threads change nothing but the time
    for lidar in end._lidars.values():
        lidar._check = _CountAndRepeats(scenario.config.frozen_frames)
    topics = {sensor.name: sensor.topic for sensor in scenario.rig.sensors}
    node_ahead = 0
    for true_ns, arrival_ns, topic, content in events:
        while (due := end.next_deadline_ns()) is not None and due < arrival_ns:
            _judge(oracle, due - node_ahead, end.poll(due))
        node_ahead = arrival_ns - true_ns
        oracle.tick(true_ns, arrival_ns)
        if isinstance(content, Sent):
            oracle.hear(content)
            topic, content = topics[content.sensor], content.message
        _judge(oracle, true_ns, end.push(topic, content, arrival_ns))
    return oracle.counts


def _judge(oracle: Oracle, true_ns: int, samples: list[Sample]) -> None:
    for sample in samples:
        oracle.counts['outputs'] += 1
        try:
            oracle.check(true_ns, sample)
        except AssertionError as error:
            oracle.counts['wrong'] += 1
            sys.stdout.write(f'seed {oracle.scenario.seed}, {sample.stamp_ns}: {error}\n')


def labels(outputs: int, first: int, log: Path, processes: int) -> list[Figure]:
    """Run seeds from `first` on until there are so many outputs; those in the log are done.

    Args:
        outputs: to hold against the truth.
        first: seed.
        log: one line of counts for each seed; a run that was stopped goes on from it.
        processes: at a time.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    done: dict[int, Counter[str]] = {}
    if log.exists():
        lines = log.read_text(encoding='utf-8').splitlines()
        done = {entry['seed']: Counter(entry['counts']) for entry in map(json.loads, lines)}
    total = sum(done.values(), Counter[str]())
    stop, begin = Stop(), time.monotonic()
    seeds = iter(seed for seed in range(first, first + 10**7) if seed not in done)
    with log.open('a', encoding='utf-8') as file, ProcessPoolExecutor(processes) as pool:
        while total['outputs'] < outputs and not stop.asked:
            batch = [next(seeds) for _ in range(4 * processes)]
            for seed, counts in zip(batch, pool.map(run_seed, batch), strict=True):
                total += counts
                done[seed] = counts
                file.write(json.dumps({'seed': seed, 'counts': dict(counts)}) + '\n')
            file.flush()
            sys.stdout.write(
                f'{len(done)} seeds, {total["outputs"]} outputs, {total["wrong"]} wrong, '
                f'{time.monotonic() - begin:.0f} s\n'
            )
            sys.stdout.flush()
    sys.stdout.write(f'{dict(total)}\n')
    n = total['outputs']
    return [
        Figure('f2.random_rigs.rigs', len(done), 'rigs', len(done)),
        Figure('f2.random_rigs.outputs', n, 'outputs', n, '>= 1000000'),
        Figure('f2.random_rigs.outputs_with_a_wrong_label', total['wrong'], 'outputs', n, '== 0'),
        Figure('f2.random_rigs.frames_that_served_again', total['again'], 'frames', n),
        Figure('f2.random_rigs.poses_held_against_the_motion', total['pose'], 'poses', n),
    ]
