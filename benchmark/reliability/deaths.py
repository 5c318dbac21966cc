"""Deaths of sensors while the real node runs at 10 Hz in real time, over DDS."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from support import rig_messages
from support.live_graph import Graph, RigPublisher

from benchmark.reliability.figures import Figure
from benchmark.reliability.live import running
from metabev_ros import wire

SOURCES = (
    *(('one_camera', (name,)) for name in rig_messages.CAMERAS),
    ('lidar', (rig_messages.LIDAR,)),
    ('all_cameras', rig_messages.CAMERAS),
)
DEAD, ALIVE = 8, 12  # ticks
DEADLINE = 0.05
TRANSPORT = 0.02  # encoding, DDS and wake-ups on the way in and out, seconds


@dataclass(frozen=True)
class Death:
    """From the moment at which the first missing message was due, in seconds."""

    kind: str  # of SOURCES
    delay: float  # until the first output without the source was here
    service: float  # longer one of that output and the one before it
    wrong: int  # outputs that name what was not sent


def _die(graph: Graph, rig: RigPublisher, kind: str, source: tuple[str, ...]) -> Death:
    """One death and return of a source."""
    for _ in range(ALIVE):
        rig.tick()
    stamp = rig.tick(frozenset(source))
    due = rig.due
    for _ in range(DEAD - 1):
        rig.tick(frozenset(source))
    outputs = graph.of(wire.DETECTIONS, due)
    first = next(
        r for r in outputs if r.stamp_ns >= stamp and not set(source) & set(r.message.sensors)
    )
    labels = [
        r.message
        for r in graph.of(wire.STATUS)
        if r.stamp_ns <= first.stamp_ns and not r.message.is_heartbeat
    ][-2:]
    wrong = sum(not set(r.message.sensors) <= rig.sent[r.stamp_ns] for r in outputs)
    service = max(sum(label.stage_latencies) for label in labels)
    return Death(kind, first.received - due, service, wrong)


def deaths(cycles: int) -> list[Figure]:
    """Kill each source `cycles` times."""
    rig_messages.RATE_HZ, rig_messages.PERIOD_NS = 10.0, 100_000_000
    graph, found = Graph(outputs=(wire.DETECTIONS, wire.STATUS)), []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), graph, **{'sensing.deadline': DEADLINE}) as (_, rig),
        ):
            rig.tick_until_fused(graph, timeout=60)
            for number in track(range(cycles * len(SOURCES)), 'deaths', transient=True):
                found.append(_die(graph, rig, *SOURCES[number % len(SOURCES)]))
                graph.records.clear()
    finally:
        graph.close()
    return _figures(found)


def _figures(found: list[Death]) -> list[Figure]:
    delay = 1e3 * np.array([death.delay for death in found])
    service = 1e3 * np.array([death.service for death in found])
    bound = 1e3 * (DEADLINE + TRANSPORT) + 2 * service  # it may wait for one that is running
    n = len(found)
    by_kind = {
        kind: delay[[death.kind == kind for death in found]]
        for kind in ('one_camera', 'all_cameras', 'lidar')
    }
    return [
        Figure(
            'f1.live.outputs_with_a_wrong_label', sum(d.wrong for d in found), 'outputs', n, '== 0'
        ),
        Figure('f1.live.missing_message_to_output_p50', float(np.median(delay)), 'ms', n),
        Figure('f1.live.missing_message_to_output_p99', float(np.quantile(delay, 0.99)), 'ms', n),
        Figure('f1.live.missing_message_to_output_worst', float(delay.max()), 'ms', n),
        Figure('f1.live.service_median', float(np.median(service)), 'ms', n),
        Figure(
            'f1.live.later_than_deadline_and_two_services',
            int((delay > bound).sum()),
            'deaths',
            n,
            '== 0',
        ),
        *(
            Figure(
                f'f1.live.{kind}.missing_message_to_output_{name}',
                float(of(values)),
                'ms',
                len(values),
            )
            for kind, values in by_kind.items()
            for name, of in (('p50', np.median), ('worst', np.max))
        ),
    ]
