"""The path of the data, as docs/architecture.md tells it, is the one that a message takes."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest
from support import rig_messages
from support.made_samples import wait_for
from support.rig_messages import CAMERAS, LIDAR, SENSORS

from metabev_ros import wire
from metabev_ros.config import InferenceConfig, SensingConfig
from metabev_ros.node.inference import InferenceWorker
from metabev_ros.node.queues import RawMessage, TopicQueue
from metabev_ros.node.workers import Mailbox, SensingWorker, ThrottledLog
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, PerceptionResult, Sample

PACKAGE = 'metabev_ros'
WALKS = {'image': CAMERAS[-1], 'points': LIDAR}
FIRST = 10 * rig_messages.PERIOD_NS
STAMP = FIRST + rig_messages.PERIOD_NS
# These modules import ROS: their part of the path is read and not run.
ROS_MODULES = ('node.inputs.', 'node.data_path.', 'node.publishers.')
PUBLISH = 'node.data_path.DataPath._publish'


def listed(page: str, heading: str) -> list[str]:
    """The functions that a section names in its ordered list."""
    section = page.split(f'## {heading}\n')[1].split('\n## ')[0]
    steps = re.findall(r'^\d+\. .*(?:\n   .*)*', section, re.MULTILINE)
    return [name for step in steps for name in re.findall(r'`([\w.]+)`', step)]


@pytest.fixture(scope='module')
def walks(repo_root: Path) -> dict[str, list[str]]:
    page = (repo_root / 'docs' / 'architecture.md').read_text()
    return {
        'image': listed(page, 'The path of an image'),
        'points': listed(page, 'The path of the points'),
    }


# --------------------------------------------------------------------- the part that ROS calls
def function_tree(root: Path, name: str) -> ast.FunctionDef:
    """The definition of `module.Class.function` or `module.function` below the package."""
    parts = name.split('.')
    for cut in range(len(parts) - 1, 0, -1):
        path = (root / PACKAGE).joinpath(*parts[:cut]).with_suffix('.py')
        if path.is_file():
            break
    else:
        raise AssertionError(f'{name}: no such module')
    body: ast.AST = ast.parse(path.read_text())
    for part in parts[cut:]:
        found = [
            node
            for node in ast.iter_child_nodes(body)
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part
        ]
        assert found, f'{name}: {path.name} defines no {part}'
        body = found[0]
    assert isinstance(body, ast.FunctionDef), f'{name} is no function'
    return body


def calls(tree: ast.AST) -> list[ast.Call]:
    """All calls in a function, in the order of the text."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def called_name(call: ast.Call) -> str:
    """'a.b.take(...)' -> 'take'."""
    return ast.unparse(call.func).rsplit('.', 1)[-1]


def assert_calls(root: Path, caller: str, called: list[str]) -> None:
    """`caller` calls these functions in this order, as far as its text shows."""
    # `send([encode(...)])`: the inner call comes later in the text and earlier in time.
    ends = sorted(
        calls(function_tree(root, caller)), key=lambda c: (c.end_lineno, c.end_col_offset)
    )
    names = iter([called_name(call) for call in ends])
    for name in called:
        assert name.rsplit('.', 1)[-1] in names, f'{caller} does not call {name} in its turn'


@pytest.mark.parametrize('kind', WALKS)
def test_the_subscription_begins_the_path(repo_root, walks, kind):
    take, put = walks[kind][:2]
    assert take.startswith('node.inputs.')
    assert_calls(repo_root, take, [put])
    owner, method = take.rsplit('.', 1)
    subscribe = function_tree(repo_root, 'node.inputs.InputSubscriptions.subscribe')
    made = [called_name(call) for call in calls(subscribe)]
    assert owner.rsplit('.', 1)[-1] in made and 'create_subscription' in made
    assert 'receiver.callback' in ast.unparse(subscribe)
    assert f'self.{method}' in ast.unparse(function_tree(repo_root, f'{owner}.callback'))


@pytest.mark.parametrize('kind', WALKS)
def test_the_publishers_end_the_path(repo_root, walks, kind):
    publish, *then = walks[kind][walks[kind].index(PUBLISH) :]
    assert len(then) == 3 and then[-1].startswith('node.publishers.')
    assert_calls(repo_root, publish, then)
    for name in then:
        function_tree(repo_root, name)
    # The inference thread calls what the path gives it, after the pipeline.
    given = calls(function_tree(repo_root, 'node.data_path.DataPath.__init__'))
    (worker,) = [call for call in given if called_name(call) == 'InferenceWorker']
    assert 'self._publish' in [ast.unparse(argument) for argument in worker.args]
    run = 'node.inference.InferenceWorker._process'
    assert_calls(repo_root, run, ['_pipeline', publish])


# ---------------------------------------------------------------------------- the part that runs
def code_of(name: str) -> CodeType:
    """The code of a function below the package."""
    parts = name.split('.')
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module('.'.join([PACKAGE, *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            assert hasattr(owner, part), f'{name}: {owner} has no {part}'
            owner = getattr(owner, part)
        return owner.__code__
    raise AssertionError(f'{name}: no such module')


def runnable(walk: list[str]) -> list[str]:
    """The functions of a walk that need no ROS and are called before the result is published."""
    before = walk[: walk.index(PUBLISH)]
    return [name for name in before if not name.startswith(ROS_MODULES)]


@contextmanager
def recorded() -> Iterator[list[CodeType]]:
    """The code of all Python functions that this and new threads call meanwhile."""
    seen: list[CodeType] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == 'call':
            seen.append(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def send(sensor: str, pipeline: Pipeline) -> tuple[list[CodeType], list[PerceptionResult]]:
    """The calls, and the results, of the message of `sensor` that completes the second sample.

    The first one earned the trust that lets images wait until a sample wants them.
    """
    # Before the threads that decode are there: they begin with the first image.
    with recorded() as seen:
        # Two sweeps, as the contract of a model may ask for.
        front_end = SensorFrontEnd(
            rig_messages.rig(), SensingConfig(), pipeline.prepare_image, sweeps=2
        )
        types = front_end.subscriptions()
        before = [('/tf_static', rig_messages.static_transforms(1))]
        before += [
            (f'{name}/camera_info', rig_messages.camera_info(name, FIRST)) for name in CAMERAS
        ]
        samples = push(front_end, [*before, *frames(FIRST, SENSORS)], FIRST)
        assert [sample.modality for sample in samples] == [Modality.FUSED]
        others = [name for name in SENSORS if name != sensor]
        assert push(front_end, frames(STAMP, others), STAMP) == []
        queue, mailbox, results = TopicQueue(dict.fromkeys(types, 5)), Mailbox(), []
        log = ThrottledLog(print, print)
        sensing = SensingWorker(front_end, queue, mailbox, types, lambda: STAMP, log)
        inference = InferenceWorker(
            pipeline,
            lambda attempt: pipeline,
            mailbox,
            results.append,
            log,
            InferenceConfig(time_limit=60.0, hang_limit=120.0),
        )
        seen.clear()
        # Each thread starts when there is something for it: `get` then gets it at its first call.
        queue.put(RawMessage(*frames(STAMP, [sensor])[0], STAMP))
        run_until(sensing, lambda: mailbox._sample is not None)
        run_until(inference, lambda: results)
    return seen, results


def frames(stamp_ns: int, sensors: Sequence[str]) -> list[tuple[str, bytes]]:
    """Topic and bytes of a frame of each sensor."""
    variant = stamp_ns // rig_messages.PERIOD_NS
    return [
        (rig_messages.topic_of(name).lstrip('/'), rig_messages.frame(name, variant, stamp_ns))
        for name in sensors
    ]


def push(
    front_end: SensorFrontEnd, messages: list[tuple[str, bytes]], arrival_ns: int
) -> list[Sample]:
    """The samples that close when these messages arrive."""
    types = front_end.subscriptions()
    return [
        sample
        for topic, cdr in messages
        for sample in front_end.push(topic, wire.deserialize(cdr, types[topic]), arrival_ns)
    ]


def run_until(worker: SensingWorker | InferenceWorker, condition) -> None:
    worker.start()
    try:
        wait_for(condition)
    finally:
        worker.stop()
        worker.join()


def first_calls(seen: list[CodeType], walk: list[str]) -> list[str]:
    """The functions of a walk in the order in which they were first called."""
    names = {code_of(name): name for name in runnable(walk)}
    return list(dict.fromkeys(names[code] for code in seen if code in names))


@pytest.fixture(scope='module')
def traces() -> dict[str, list[CodeType]]:
    pipeline = Pipeline.load(resource_path('models/metabev_nano'), table_wait=60.0)
    made = {}
    for kind, sensor in WALKS.items():
        made[kind], results = send(sensor, pipeline)
        assert [result.sample.modality for result in results] == [Modality.FUSED]
    return made


@pytest.mark.parametrize('kind', WALKS)
def test_a_message_takes_the_path_that_is_written_down(walks, traces, kind):
    assert len(runnable(walks[kind])) >= 20
    assert first_calls(traces[kind], walks[kind]) == runnable(walks[kind])


@pytest.mark.parametrize('kind', WALKS)
def test_a_path_with_two_functions_exchanged_or_one_that_is_not_called_is_found(
    walks, traces, kind
):
    right = walks[kind]
    for at in range(2, right.index(PUBLISH) - 1):
        wrong = [*right[:at], right[at + 1], right[at], *right[at + 2 :]]
        assert first_calls(traces[kind], wrong) != runnable(wrong)
        unused = [*right[:at], 'sensing.front_end.SensorFrontEnd.reject', *right[at:]]
        assert first_calls(traces[kind], unused) != runnable(unused)


def test_a_function_that_is_not_there_is_found(repo_root):
    for name in ('sensing.camera_input.CameraInput.fetch', 'sensing.nowhere.place'):
        with pytest.raises(AssertionError):
            code_of(name)
        with pytest.raises(AssertionError):
            function_tree(repo_root, name)
    with pytest.raises(AssertionError, match='does not call'):
        assert_calls(repo_root, PUBLISH, ['wire.status.encode_status', 'outputs.result_messages'])
