"""What only a new process can cure ends the node, and the heartbeat said why."""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest

from metabev_ros import wire

pytestmark = pytest.mark.ros

HANGING = textwrap.dedent("""
    import sys, threading
    from metabev_ros.node.process import main
    from metabev_ros.pipeline import Pipeline
    whole = Pipeline.__call__
    count = 0

    def hang_after_some(self, sample):
        global count
        count += sample.stamp_ns > 0  # the warm-up's is 0
        if count > 5:
            threading.Event().wait()
        return whole(self, sample)

    Pipeline.__call__ = hang_after_some
    raise SystemExit(main())
""")


def test_row_081_a_hanging_inference_is_said_by_the_heartbeat_and_ends_with_code_3(
    tmp_path, graph, model
):
    from support.live_graph import NodeProcess, RigPublisher

    script = tmp_path / 'hanging.py'
    script.write_text(HANGING)
    node = NodeProcess(
        tmp_path,
        program=(sys.executable, str(script)),
        model=model,
        **{'inference.time_limit': 1.0, 'inference.hang_limit': 3.0},
    )
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        for _ in range(100):
            rig.tick()
            if node.process.poll() is not None:
                break
        assert node.wait() == 3, node.log
    finally:
        node.stop()
    assert 'HUNG' in node.log and 'Traceback' not in node.log
    beats = [r.message for r in graph.of(wire.STATUS)]
    told = [b for b in beats if 'has been running for' in b.reason]
    assert len(told) >= 5 and all(b.modality == b.MODALITY_NONE for b in told)


HANGING_START = textwrap.dedent("""
    import time
    from metabev_ros.node.process import main
    from metabev_ros.pipeline import Pipeline

    def hang(self, cameras):
        print('warming up', flush=True)
        while True:  # no signal handler of Python ends this
            time.sleep(1)

    Pipeline.warm_up = hang
    raise SystemExit(main())
""")


def test_a_signal_ends_a_node_that_hangs_in_its_warm_up(tmp_path, model):
    from support.live_graph import NodeProcess

    script = tmp_path / 'hanging_start.py'
    script.write_text(HANGING_START)
    node = NodeProcess(tmp_path, program=(sys.executable, str(script)), model=model)
    try:
        node.wait_for_log('warming up')
    finally:
        code = node.stop(signal.SIGTERM)
    assert code == 3
