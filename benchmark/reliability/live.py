"""The real node as a process: hostile messages over DDS, kills and restarts, stops, overload."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

# Before any ROS context: neither other users of this machine nor other machines are heard.
os.environ['ROS_DOMAIN_ID'] = str(20 + os.getpid() % 80)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

import numpy as np  # noqa: E402
from rich.progress import track  # noqa: E402
from support import rig_messages  # noqa: E402
from support.live_graph import Graph, NodeProcess, RigPublisher  # noqa: E402

from benchmark.reliability.figures import Figure  # noqa: E402
from benchmark.reliability.fuzz import INJECTION_TOPIC, good  # noqa: E402
from benchmark.reliability.mutator import Mutator  # noqa: E402
from metabev_ros import wire  # noqa: E402
from metabev_ros.bags import BagReader  # noqa: E402

TYPES = {rig_messages.topic_of(name): rig_messages.type_of(name) for name in rig_messages.SENSORS}
TYPES |= {f'/{name}/camera_info': rig_messages.INFO_TYPE for name in rig_messages.CAMERAS}
TYPES |= {
    '/tf_static': rig_messages.TF_TYPE,
    '/tf': rig_messages.TF_TYPE,
    '/odom': 'nav_msgs/msg/Odometry',
    f'/{INJECTION_TOPIC}': 'std_msgs/msg/String',
}


@contextmanager
def running(folder: Path, graph: Graph, **options):
    """A node that is active, and the publishers of its sensors."""
    folder.mkdir(exist_ok=True)
    node = NodeProcess(folder, **options)
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        yield node, rig
    finally:
        if node.process.poll() is None:
            node.stop()


# Damaged messages
def _good(topic: str, number: int) -> bytes:
    now, name = time.time_ns(), topic.split('/')[1]
    if topic in (rig_messages.topic_of(sensor) for sensor in rig_messages.SENSORS):
        return rig_messages.frame(name, number, now)
    if topic.endswith('camera_info'):
        return rig_messages.camera_info(name, now)
    if topic.startswith('/tf'):
        return rig_messages.static_transforms(now)
    return good(topic.lstrip('/'), number, now, big=False)


def fuzz_live(messages: int, seed: int) -> list[Figure]:
    """Send damaged messages over DDS to every input of the running node."""
    dice = np.random.default_rng(seed)
    sys.stdout.write(f'seed {seed}\n')
    mutator, sent, silent = Mutator(dice), 0, 0
    graph = Graph(outputs=(wire.STATUS, wire.DETECTIONS))
    try:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder), graph) as (node, rig):
            rig.tick_until_fused(graph, timeout=60)
            for topic, msgtype in TYPES.items():
                graph.publisher(topic, msgtype, latched=topic == f'/{INJECTION_TOPIC}')
            others = [_good(topic, 0) for topic in TYPES]
            before, memory = _received(graph), resident_mb(node)
            for number in track(range(messages), 'damaged messages', transient=True):
                topic = list(TYPES)[dice.integers(len(TYPES))]
                cdr = mutator.damage(_good(topic, number), TYPES[topic], others)
                if len(cdr) >= 4:  # less than that the middleware does not take
                    graph.publisher(topic, TYPES[topic]).publish(cdr)
                    sent += 1
                time.sleep(0.002)
                if number % 500 == 499:
                    if node.process.poll() is not None:
                        break
                    silent += not graph.of(wire.STATUS, time.monotonic() - 2.0)
                    graph.records[:-200] = []
            crashes = int(node.process.poll() is not None)
            taken = 0 if crashes else _received(graph) - before
            recovered = not crashes and _recovers(graph)
            growth = 0.0 if crashes else resident_mb(node) - memory
            code = node.stop() if not crashes else node.process.returncode
            traces = node.log.count('Traceback')
            unclean = sum(not line.isprintable() for line in node.log.splitlines())
    finally:
        graph.close()
    return [
        Figure('f6.dds_damaged_messages', sent, 'messages', sent, '>= 20000'),
        Figure('f6.dds_messages_that_reached_a_sensor', taken, 'messages', sent),
        Figure('f6.dds_crashes', crashes + (code != 0) + traces, 'crashes', sent, '== 0'),
        Figure('f6.dds_seconds_without_heartbeat', 2 * silent, 's', sent, '== 0'),
        Figure('f6.dds_growth_of_memory', growth, 'MB', sent, '<= 256'),
        Figure('f6.dds_not_fused_again', int(not recovered), 'runs', 1, '== 0'),
        Figure('f6.dds_log_lines_with_control_characters', unclean, 'lines', sent, '== 0'),
    ]


def resident_mb(node: NodeProcess) -> float:
    """Megabytes that the node holds."""
    status = Path(f'/proc/{node.process.pid}/status').read_text(encoding='ascii')
    return int(status.split('VmRSS:')[1].split()[0]) / 1024


def _received(graph: Graph) -> int:
    """Messages that the node counts at its sensors; those of /tf and the like are not in it."""
    beat = graph.wait_for(wire.STATUS, lambda s: s.is_heartbeat, 20, time.monotonic())
    return sum(sensor.received for sensor in beat.message.sensors)


def _recovers(graph: Graph) -> bool:
    time.sleep(11.0)  # a quarantine lasts 10 s
    try:
        RigPublisher(graph).tick_until_fused(graph, timeout=60)
    except AssertionError:
        return False
    return True


# Restart and stop
STAMP = re.compile(r'\[INFO\] \[([\d.]+)\] \[perception\]: (model .* ready in ([\d.]+) s|active:)')


def restart(kills: int, seed: int) -> list[Figure]:
    """Kill the node at any moment, start it again while the sensors go on."""
    dice, parts = np.random.default_rng(seed), []
    untrue = fused = 0
    graph = Graph(outputs=(wire.DETECTIONS, wire.STATUS))
    try:
        with tempfile.TemporaryDirectory() as folder:
            rig = RigPublisher(graph)
            for number in track(range(kills), 'kills', transient=True):
                place = Path(folder) / str(number)
                place.mkdir()
                spawned, since = time.time(), time.monotonic()
                node = NodeProcess(place)
                output = _first_output(graph, rig, node, since)
                sensors = set(output.message.sensors)
                untrue += (
                    not sensors <= rig.sent.get(output.stamp_ns, frozenset())
                    or output.stamp_ns < spawned * 1e9
                )
                fused += sensors == set(rig_messages.SENSORS)
                parts.append(_parts(node.log, spawned, output.sent_ns * 1e-9))
                time.sleep(dice.uniform(0, 0.3))
                node.process.kill()
                node.process.wait()
                graph.records.clear()
    finally:
        graph.close()
    names = ('import', 'model_load', 'activate', 'first_frame')
    values = np.array(parts)
    without_load = values.sum(axis=1) - values[:, 1]
    return [
        Figure('f11.starts_after_a_kill', len(parts), 'starts', len(parts), '>= 50'),
        Figure('f11.first_outputs_untrue_or_of_old_frames', untrue, 'starts', len(parts), '== 0'),
        Figure('f11.first_outputs_of_all_sensors', fused, 'starts', len(parts)),
        *(
            Figure(f'f11.{name}_median', float(np.median(column)), 's', len(parts))
            for name, column in zip(names, values.T, strict=True)
        ),
        Figure(
            'f11.start_to_first_output_without_load_median',
            float(np.median(without_load)),
            's',
            len(parts),
            '<= 3',
        ),
        Figure(
            'f11.start_to_first_output_median',
            float(np.median(values.sum(axis=1))),
            's',
            len(parts),
        ),
        Figure(
            'f11.start_to_first_output_worst', float(values.sum(axis=1).max()), 's', len(parts)
        ),
    ]


def _first_output(graph: Graph, rig: RigPublisher, node: NodeProcess, since: float):
    """Everything is published as ever; the first output of the new process."""
    while time.monotonic() < since + 120:
        rig.tick()
        found = graph.of(wire.DETECTIONS, since)
        if found:
            return found[0]
        if node.process.poll() is not None:
            break
    raise SystemExit(f'no output:\n{node.log}')


def _parts(log: str, spawned: float, output: float) -> tuple[float, float, float, float]:
    """Seconds of import, model load, activation, and from there to the first output."""
    loaded, active = STAMP.findall(log)[:2]
    load = float(loaded[2])
    return (
        float(loaded[0]) - load - spawned,
        load,
        float(active[0]) - float(loaded[0]),
        output - float(active[0]),
    )


WRITER = textwrap.dedent("""
    import sys
    from support import rig_messages
    from metabev_ros.bags import BagWriter
    print('ready', flush=True)
    with BagWriter(sys.argv[1], {}) as writer:
        rig_messages.write_drive(writer, ticks=100)
""")


def shutdown(writers: int, seed: int) -> list[Figure]:
    """Stops of the node in the middle of the data, and of a process that writes a bag."""
    dice, took, wrong = np.random.default_rng(seed), [], 0
    graph = Graph(outputs=(wire.DETECTIONS,))
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in track(range(20), 'stops', transient=True):
                with running(Path(folder) / str(number), graph) as (node, rig):
                    rig.tick_until_fused(graph, timeout=60)
                    rig.tick()
                    time.sleep(dice.uniform(0, 0.2))
                    before = time.monotonic()
                    code = node.stop([signal.SIGINT, signal.SIGTERM][number % 2])
                    took.append(time.monotonic() - before)
                    wrong += code != 0 or 'Traceback' in node.log
                graph.records.clear()
            complete, corrupt = _stopped_writers(Path(folder), dice, writers)
    finally:
        graph.close()
    return [
        Figure('f12.signal_to_end_worst', max(took), 's', len(took), '<= 2'),
        Figure('f12.stops_with_another_code_than_zero', wrong, 'stops', len(took), '== 0'),
        Figure('f12.bags_complete_though_killed', complete, 'bags', writers),
        Figure('f12.bags_corrupt_after_a_kill', corrupt, 'bags', writers, '== 0'),
    ]


def _stopped_writers(folder: Path, dice, count: int) -> tuple[int, int]:
    """(complete, corrupt) of the bags of writers that were killed at any moment."""
    script = folder / 'writer.py'
    script.write_text(WRITER, encoding='utf-8')
    complete = corrupt = 0
    for number in track(range(count), 'killed writers', transient=True):
        bag = folder / f'{number}.mcap'
        writer = subprocess.Popen(
            [sys.executable, str(script), str(bag)],
            stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        )
        writer.stdout.readline()
        time.sleep(dice.uniform(0, 0.8))
        writer.send_signal([signal.SIGKILL, signal.SIGTERM][number % 2])
        writer.wait()
        writer.stdout.close()
        if bag.exists():
            reader = BagReader(bag)
            whole = sum(1 for _ in reader) == 1 + 100 * 5 and not reader.integrity.is_lossy
            complete, corrupt = complete + whole, corrupt + (not whole)
    return complete, corrupt


# Overload
def overload(seconds: float) -> list[Figure]:
    """The node on one core that it shares with busy processes, then alone on it."""
    core = sorted(os.sched_getaffinity(0))[0]
    graph = Graph(outputs=(wire.DETECTIONS, wire.STATUS))
    rig_messages.PERIOD_NS = 100_000_000
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(
                Path(folder),
                graph,
                program=(
                    'taskset',
                    '-c',
                    str(core),
                    sys.executable,
                    '-m',
                    'metabev_ros.node.process',
                ),
                threads=1,
            ) as (node, rig),
        ):
            rig.tick_until_fused(graph, timeout=60)
            busy = [
                subprocess.Popen(
                    ['taskset', '-c', str(core), sys.executable, '-c', 'while True: pass']
                )
                for _ in range(3)
            ]
            begin = time.monotonic()
            _tick_for(rig, seconds)
            middle = time.monotonic()
            for process in busy:
                process.kill()
                process.wait()
            _tick_for(rig, 10)
            labels = [r for r in graph.of(wire.STATUS, begin) if not r.message.is_heartbeat]
            beats = [r.received for r in graph.of(wire.STATUS, begin) if r.message.is_heartbeat]
            code = node.stop()
    finally:
        graph.close()
    return _overload_figures(labels, beats, middle, seconds, code)


def _tick_for(rig: RigPublisher, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rig.tick()


def _overload_figures(labels, beats, middle: float, seconds: float, code: int) -> list[Figure]:
    loaded = [r.message for r in labels if r.received < middle]
    after = [r.message for r in labels if r.received >= middle]
    service = [sum(message.stage_latencies) for message in loaded]
    ages = np.array([message.latency for message in loaded])
    # A sample waits for at most one other; the deadline and the rates of the rig come on top.
    bounds = 0.1 + 0.1 + 2 * np.maximum(service, np.roll(service, 1))
    half = len(ages) // 2
    usual = np.median([message.latency for message in after[-20:]])
    back = next(
        (k for k, message in enumerate(after) if message.latency < 1.5 * usual), len(after)
    )
    n = len(loaded)
    dropped = loaded[-1].dropped_samples - loaded[0].dropped_samples
    return [
        Figure('f13.outputs_under_load', n, 'outputs', n),
        Figure('f13.service_under_load_median', float(np.median(service)), 's', n),
        Figure('f13.age_under_load_median', float(np.median(ages)), 's', n),
        Figure(
            'f13.outputs_older_than_period_and_two_services',
            int((ages > bounds).sum()),
            'outputs',
            n,
            '== 0',
        ),
        Figure('f13.samples_replaced_by_newer_ones', dropped, 'samples', n),
        Figure(
            'f13.growth_of_age_from_first_to_second_half',
            float(np.median(ages[half:]) - np.median(ages[:half])),
            's',
            n,
            '<= 0.1',
        ),
        Figure('f13.outputs_until_latency_is_back', back, 'outputs', len(after), '<= 4'),
        Figure(
            'f13.longest_time_without_heartbeat',
            float(max(np.diff(beats))),
            's',
            len(beats),
            '<= 1',
        ),
        Figure('f13.exit_code', code, '', 1, '== 0'),
    ]
