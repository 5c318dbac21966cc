"""A node that may idle does while nobody reads. No fixture here: `graph` reads every output."""

from __future__ import annotations

import time

import pytest

from metabev_ros import wire

pytestmark = pytest.mark.ros


def test_row_073_without_a_reader_an_idle_node_infers_nothing_and_goes_on_with_the_first_one(
    tmp_path, model
):
    from support.live_graph import Graph, NodeProcess, RigPublisher

    watcher = Graph(outputs=(wire.STATUS,))
    node = NodeProcess(tmp_path, model=model, **{'inference.idle_without_subscribers': True})
    reader = None
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(watcher)
        watcher.wait_until_heard(rig.topics)
        end = time.monotonic() + 60
        while not any('idle' in r.message.reason for r in watcher.of(wire.STATUS)):
            rig.tick()
            assert time.monotonic() < end, node.log
        for _ in range(10):
            rig.tick()
        status = watcher.of(wire.STATUS)[-1].message
        assert status.outputs == 0 and status.is_heartbeat
        assert status.modality == status.MODALITY_FUSED, 'what a reader would get'
        reader = Graph()
        reader_since = time.monotonic()
        while not reader.of(wire.DETECTIONS, reader_since):
            rig.tick()
            assert time.monotonic() < end + 60, node.log
        first = reader.of(wire.DETECTIONS)[0]
        assert set(first.message.sensors) == rig.sent[first.stamp_ns]
        rig.tick()
        time.sleep(0.5)
        assert 'idle' not in reader.of(wire.STATUS)[-1].message.reason
    finally:
        code = node.stop()
        for item in (watcher, reader):
            if item is not None:
                item.close()
    assert code == 0
