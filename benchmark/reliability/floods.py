"""Floods over DDS: the heartbeat's longest gap, and what they cost the running node in memory.

Two gaps are told: all beats, and the same without a flood on the same machine in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# First: sets the environment of ROS.
from benchmark.reliability import live  # isort: skip
import numpy as np
from rich.progress import track
from support.live_graph import Graph, NodeProcess, RigPublisher

from benchmark.reliability.figures import ROOT, Figure
from benchmark.reliability.hostile import FLOODS
from metabev_ros import wire

SETTLE = 2.0  # seconds that are watched after a flood


def floods(seconds: float) -> list[Figure]:
    """Each flood against a node of its own, and no flood at all."""
    figures: list[Figure] = []
    for name in track(('none', *FLOODS), 'floods', transient=True):
        graph = Graph(outputs=(wire.STATUS, wire.DETECTIONS))
        try:
            with (
                tempfile.TemporaryDirectory() as folder,
                live.running(Path(folder) / name, graph) as (node, rig),
            ):
                figures += _flood(name, seconds, graph, node, rig)
        finally:
            graph.close()
    return figures


def _flood(
    name: str, seconds: float, graph: Graph, node: NodeProcess, rig: RigPublisher
) -> list[Figure]:
    rig.tick_until_fused(graph, timeout=60)
    for _ in range(10):
        rig.tick()
    idle, most = live.resident_mb(node), 0.0
    hostile = None if name == 'none' else _hostile(name, seconds)
    since = time.monotonic()
    try:
        while time.monotonic() < since + seconds + SETTLE:
            rig.tick()
            most = max(most, live.resident_mb(node) - idle)
    finally:
        if hostile is not None:
            hostile.kill()
            hostile.wait()
    beats = [r for r in graph.of(wire.STATUS, since) if r.message.is_heartbeat]
    gaps = np.diff([beat.sent_ns for beat in beats]) * 1e-9
    outputs = graph.of(wire.DETECTIONS, since)
    n = len(gaps)
    return [
        Figure(f'f18.{name}.longest_gap_of_heartbeats', float(gaps.max()), 's', n, '<= 0.3'),
        Figure(f'f18.{name}.growth_of_memory', most, 'MB', n, '<= 256'),
        Figure(f'f18.{name}.outputs', len(outputs), 'outputs', n),
    ]


def _hostile(name: str, seconds: float) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), str(ROOT / 'test'), os.environ.get('PYTHONPATH', '')])
    process = subprocess.Popen(
        [sys.executable, '-m', 'benchmark.reliability.hostile', name, str(seconds)],
        stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert process.stdout is not None and process.stdout.readline() == b'ready\n'
    return process
