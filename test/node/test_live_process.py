"""The process as a whole: signals, kills, pauses, memory limits, hostile parameter calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from support import rig_messages

from metabev_ros import wire
from metabev_ros.node.parameters import PARAMETERS

pytestmark = pytest.mark.ros


def resident_mb(pid: int) -> float:
    text = Path(f'/proc/{pid}/status').read_text()
    return int(text.split('VmRSS:')[1].split()[0]) / 1024


def start(folder, graph, model, **parameters):
    """A node that has already given a fused output, and its publishers."""
    from support.live_graph import NodeProcess, RigPublisher

    folder.mkdir(exist_ok=True)
    node = NodeProcess(folder, model=model, **parameters)
    node.wait_for_log('active:')
    rig = RigPublisher(graph)
    graph.wait_until_heard(rig.topics)
    rig.tick_until_fused(graph, timeout=60)
    return node, rig


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_row_091_a_signal_at_any_moment_of_an_inference_ends_the_node_with_zero(
    tmp_path, graph, model
):
    rng, took = np.random.default_rng(91), []
    for number in range(20):
        node, rig = start(tmp_path / str(number), graph, model)
        rig.tick()
        time.sleep(rng.uniform(0, 0.2))
        before = time.monotonic()
        assert node.stop([signal.SIGINT, signal.SIGTERM][number % 2]) == 0, node.log
        took.append(time.monotonic() - before)
        assert 'Traceback' not in node.log
    print(f'stop: median {np.median(took):.2f} s, longest {max(took):.2f} s')
    assert max(took) <= 2.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_row_092_after_a_kill_at_any_moment_the_next_start_is_clean(tmp_path, graph, model):
    rng, took = np.random.default_rng(92), []
    for number in range(50):
        before = time.monotonic()
        node, rig = start(tmp_path / str(number), graph, model)
        took.append(time.monotonic() - before)
        rig.tick()
        time.sleep(rng.uniform(0, 0.2))
        node.process.kill()
        node.process.wait()
    print(
        f'start to first fused output: median {np.median(took):.2f} s, longest {max(took):.2f} s'
    )


def test_row_075_after_a_pause_of_the_sensors_no_old_frame_is_used(tmp_path, graph, rig):
    """A driver that is stopped for 3 s and goes on sends what it had buffered."""
    rig.tick_until_fused(graph, timeout=60)
    old = time.time_ns()
    buffered = [
        (sensor, rig_messages.frame(sensor, 90 + i, old + i * rig_messages.PERIOD_NS))
        for i in range(3)
        for sensor in rig_messages.SENSORS
    ]
    time.sleep(3.0)
    since = time.monotonic()
    for sensor, cdr in buffered:
        graph.publisher(rig_messages.topic_of(sensor), rig_messages.type_of(sensor)).publish(cdr)
    for _ in range(5):
        rig.tick()
    rig.tick_until_fused(graph, timeout=60)
    outputs = graph.of(wire.DETECTIONS, since)
    newest_old = old + 2 * rig_messages.PERIOD_NS
    used = [r for r in outputs if old <= r.stamp_ns <= newest_old]
    assert outputs and not used


def test_row_071_a_consumer_that_stops_reading_slows_nothing(tmp_path, graph, rig):
    script = tmp_path / 'consumer.py'
    script.write_text(
        textwrap.dedent("""
        import rclpy
        from rclpy.node import Node
        from metabev_ros import wire
        from metabev_ros.node import ros_support
        rclpy.init()
        node = Node('consumer')
        for topic in ('detections', 'bev_map'):
            node.create_subscription(ros_support.message_type(wire.OUTPUT_TYPES[topic]),
                                     f'/perception/{topic}', lambda message: None,
                                     ros_support.reliable_qos(1), raw=True)
        print('reading', flush=True)
        rclpy.spin(node)
    """)
    )
    consumer = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    try:
        assert consumer.stdout.readline() == b'reading\n'
        rig.tick_until_fused(graph, timeout=60)
        consumer.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        for _ in range(50):
            rig.tick()
        rig.tick_until_fused(graph, timeout=60)
        outputs = graph.of(wire.DETECTIONS, since)
        beats = [r.received for r in graph.of(wire.STATUS, since) if r.message.is_heartbeat]
        assert len(outputs) >= 10
        assert max(np.diff(beats)) < 1.0
    finally:
        consumer.kill()
        consumer.wait()


def test_row_097_no_parameter_can_be_set_while_the_node_runs(graph, live_node):
    from rcl_interfaces.srv import GetParameters, SetParameters
    from rclpy.parameter import Parameter

    rng = np.random.default_rng(97)
    names = [parameter.name for parameter in PARAMETERS]

    def call(kind, name: str, request):
        client = graph.node.create_client(kind, f'/perception/{name}')
        assert client.wait_for_service(30)
        future = client.call_async(request)
        end = time.monotonic() + 30
        while not future.done():
            assert time.monotonic() < end
            time.sleep(0.01)
        graph.node.destroy_client(client)
        return future.result()

    before = call(GetParameters, 'get_parameters', GetParameters.Request(names=names))
    values = [
        float('nan'),
        float('inf'),
        -1,
        0,
        1e300,
        2**62,
        '',
        'x' * 5000,
        '../../etc',
        True,
        [1, 2],
        ['a'],
    ]
    for _ in range(20):
        tried = [
            Parameter(str(rng.choice(names)), value=values[rng.integers(len(values))])
            for _ in range(10)
        ]
        answer = call(
            SetParameters,
            'set_parameters',
            SetParameters.Request(parameters=[p.to_parameter_msg() for p in tried]),
        )
        assert not any(result.successful for result in answer.results)
    # What rclpy itself declares: this one would take the node's clock away.
    clock = Parameter('use_sim_time', value=True)
    answer = call(
        SetParameters,
        'set_parameters',
        SetParameters.Request(parameters=[clock.to_parameter_msg()]),
    )
    assert not answer.results[0].successful and 'use_sim_time' in answer.results[0].reason
    since = time.monotonic()
    graph.wait_for(wire.STATUS, lambda status: status.header.stamp.sec > 10**9, 5, since)
    after = call(GetParameters, 'get_parameters', GetParameters.Request(names=names))
    assert before == after and live_node.process.poll() is None


FAILING_TIMER = textwrap.dedent("""
    from metabev_ros.node.data_path import DataPath
    from metabev_ros.node.process import main
    DataPath.diagnose = lambda self: 1 / 0
    raise SystemExit(main())
""")


def test_row_100_an_exception_in_a_timer_is_counted_and_survived(tmp_path, graph, model):
    from support.live_graph import NodeProcess

    script = tmp_path / 'failing.py'
    script.write_text(FAILING_TIMER)
    node = NodeProcess(tmp_path, program=(sys.executable, str(script)), model=model)
    try:
        node.wait_for_log('a callback failed')
        since = time.monotonic()
        graph.wait_for(wire.STATUS, lambda status: status.is_heartbeat, 30, since)
        node.wait_for_log('more like this', timeout=30)  # it went on failing, and being caught
        assert 'ZeroDivisionError' in node.log and 'Traceback' not in node.log
    finally:
        assert node.stop() == 0


def wait_until_it_answers(graph, node) -> None:
    """Wait: killed nodes offer their services for seconds, and a request would be lost."""
    from lifecycle_msgs.srv import GetState

    client = graph.node.create_client(GetState, '/perception/get_state')
    end = time.monotonic() + 60
    while True:
        future = client.call_async(GetState.Request())
        time.sleep(1.0)
        if future.done():
            return
        assert node.process.poll() is None and time.monotonic() < end, node.log


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_row_095_two_hundred_activations_leave_memory_files_and_threads_as_they_were(
    tmp_path, graph, model, monkeypatch
):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from support.live_graph import NodeProcess

    # glibc gives back what is freed: what stays is the node's, not its allocator's.
    for name, value in (('ARENA_MAX', 1), ('MMAP_THRESHOLD_', 65536), ('TRIM_THRESHOLD_', 0)):
        monkeypatch.setenv(f'MALLOC_{name}', str(value))
    node = NodeProcess(tmp_path, model=model, autostart=False)
    client = graph.node.create_client(ChangeState, '/perception/change_state')
    seen = []
    try:
        wait_until_it_answers(graph, node)
        for number in range(200):
            for transition in (
                Transition.TRANSITION_CONFIGURE,
                Transition.TRANSITION_ACTIVATE,
                Transition.TRANSITION_DEACTIVATE,
                Transition.TRANSITION_CLEANUP,
            ):
                future = client.call_async(
                    ChangeState.Request(transition=Transition(id=transition))
                )
                end = time.monotonic() + 60
                while not future.done():
                    assert node.process.poll() is None and time.monotonic() < end, node.log
                    time.sleep(0.005)
                assert future.result().success
            pid = node.process.pid
            seen.append(
                (
                    resident_mb(pid),
                    len(os.listdir(f'/proc/{pid}/fd')),
                    len(os.listdir(f'/proc/{pid}/task')),
                )
            )
            if number % 20 == 0:
                print(number, *seen[-1])
    finally:
        assert node.stop() == 0
    memory, files, threads = np.array(seen[20:]).T
    assert np.median(memory[-40:]) - np.median(memory[:40]) < 5
    assert files.max() - files.min() <= 2 and threads.max() - threads.min() <= 2


@pytest.mark.slow
def test_row_118_a_node_that_reaches_its_memory_limit_says_so_or_lives_on(tmp_path, graph, model):
    """The address space is capped a little above what the running node has.

    Only the soft limit: a process may take that back, the hard one it may not.
    """
    import resource

    node, rig = start(tmp_path, graph, model)
    try:
        used = int(Path(f'/proc/{node.process.pid}/statm').read_text().split()[0])
        limit = used * os.sysconf('SC_PAGE_SIZE') + 8 * 2**20
        hard = resource.prlimit(node.process.pid, resource.RLIMIT_AS)[1]
        resource.prlimit(node.process.pid, resource.RLIMIT_AS, (limit, hard))
        for _ in range(20):
            rig.tick()
        if node.process.poll() is None:
            resource.prlimit(node.process.pid, resource.RLIMIT_AS, (hard, hard))
            rig.tick_until_fused(graph, timeout=60)
    finally:
        code = node.stop() if node.process.poll() is None else node.process.returncode
    assert code in (0, 3, 4) or 'memory' in node.log.lower(), node.log
