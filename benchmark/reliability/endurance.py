"""An hour of the real node at 10 Hz in real time; its sensors die and return."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.progress import track
from support import rig_messages
from support.live_graph import Graph, RigPublisher

from benchmark.reliability.deaths import ALIVE, DEAD, DEADLINE, SOURCES
from benchmark.reliability.figures import Figure
from benchmark.reliability.live import running
from benchmark.reliability.soak import growth, resources
from metabev_ros import wire


def endurance(minutes: int) -> list[Figure]:
    """Memory, files and threads of the node over `minutes`."""
    rig_messages.RATE_HZ, rig_messages.PERIOD_NS = 10.0, 100_000_000
    cycles = round(minutes * 60 * rig_messages.RATE_HZ / (ALIVE + DEAD))
    graph, seen, outputs, wrong = Graph(outputs=(wire.DETECTIONS,)), [], 0, 0
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), graph, **{'sensing.deadline': DEADLINE}) as (node, rig),
        ):
            rig.tick_until_fused(graph, timeout=60)
            graph.records.clear()
            for number in track(range(cycles), 'deaths', transient=True):
                _cycle(rig, frozenset(SOURCES[number % len(SOURCES)][1]))
                records, graph.records[:] = graph.records[:], []
                outputs += len(records)
                wrong += sum(not set(r.message.sensors) <= rig.sent[r.stamp_ns] for r in records)
                seen.append(((number + 1) * (ALIVE + DEAD), *resources(node.process.pid)))
                if number % 300 == 299:
                    sys.stdout.write(
                        f'{seen[-1][0]} ticks: {seen[-1][1]:.1f} MB, {outputs} outputs\n'
                    )
                    sys.stdout.flush()
            code = node.stop()
    finally:
        graph.close()
    ticks = seen[-1][0]
    return [
        Figure('f8.live.ticks', ticks, 'ticks', ticks),
        Figure('f8.live.outputs', outputs, 'outputs', ticks),
        Figure('f8.live.outputs_with_a_wrong_label', wrong, 'outputs', outputs, '== 0'),
        *growth('f8.live', seen, ticks),
        Figure('f8.live.exit_code', code, '', 1, '== 0'),
    ]


def _cycle(rig: RigPublisher, source: frozenset[str]) -> None:
    """A source lives, and is dead."""
    for _ in range(ALIVE):
        rig.tick()
    for _ in range(DEAD):
        rig.tick(source)
