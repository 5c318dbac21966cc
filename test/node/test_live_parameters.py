"""Parameters of the running node: taken as a whole or refused with a reason, and said."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter

from metabev_ros import wire

pytestmark = pytest.mark.ros


class Asked:
    """The parameter services of the node; the graph's thread spins."""

    def __init__(self, graph) -> None:
        node = graph.node
        self._set = node.create_client(SetParameters, '/perception/set_parameters')
        self._whole = node.create_client(
            SetParametersAtomically, '/perception/set_parameters_atomically'
        )
        self._get = node.create_client(GetParameters, '/perception/get_parameters')

    @staticmethod
    def _call(client, request) -> Any:
        assert client.wait_for_service(30)
        future = client.call_async(request)
        end = time.monotonic() + 60
        while not future.done():
            assert time.monotonic() < end, 'no answer'
            time.sleep(0.02)
        return future.result()

    @staticmethod
    def _messages(values: dict[str, Any]) -> list[ParameterMessage]:
        return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]

    def set(self, name: str, value: Any) -> str:
        """Set one as `ros2 param set` does; the reason of a refusal, '' for none."""
        request = SetParameters.Request(parameters=self._messages({name: value}))
        (result,) = self._call(self._set, request).results
        return '' if result.successful else result.reason

    def set_whole(self, values: dict[str, Any]) -> str:
        request = SetParametersAtomically.Request(parameters=self._messages(values))
        result = self._call(self._whole, request).result
        return '' if result.successful else result.reason

    def get(self, name: str) -> Any:
        (value,) = self._call(self._get, GetParameters.Request(names=[name])).values
        return Parameter.from_parameter_msg(ParameterMessage(name=name, value=value)).value


@pytest.fixture(scope='module')
def asked(graph, live_node) -> Asked:
    return Asked(graph)


@pytest.fixture(autouse=True)
def as_shipped(asked):
    yield
    shipped = {'detections.scores': '', 'markers.min_score': 0.2, 'heartbeat_rate': 10.0}
    assert asked.set_whole(shipped) == ''


def settings_of(graph, since: float) -> set[str]:
    return {record.message.settings for record in graph.of(wire.STATUS, since)}


def test_row_098_a_least_score_holds_for_the_outputs_whose_label_names_it(graph, rig, asked):
    since = time.monotonic()
    assert asked.set('detections.scores', 'all=0.05, all@10=1.0') == ''
    named: list[int] = []
    while len(named) < 3 and time.monotonic() < since + 120:
        rig.tick()
        labels = [r for r in graph.of(wire.STATUS, since) if not r.message.is_heartbeat]
        named = [
            r.stamp_ns
            for r in labels
            if r.message.settings == 'detections.scores=all=0.05, all@10=1.0'
        ]
    outputs = [r.message for r in graph.of(wire.DETECTIONS, since) if r.stamp_ns in named]
    assert len(outputs) >= 2
    for array in outputs:
        far = [d for d in array.detections if d.center.x**2 + d.center.y**2 >= 100]
        assert all(d.score >= 1 for d in far)


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('detections.scores', 'car=2', 'a score in 0..1'),
        ('detections.scores', 'tram=0.5', 'classes of the model'),
        ('detections.scores', 'all=0.01', "the model's own threshold"),
        ('detections.scores', 0.3, 'type'),
        ('detections.nms_scale', 9.0, ''),
        ('markers.min_score', 1.5, ''),
        ('markers.lifetime', 0.0, ''),
        ('heartbeat_rate', 1.0, ''),
        ('sensing.deadline', 0.2, 'read-only'),
        ('outputs.vision', 'never', 'read-only'),
        ('use_sim_time', True, 'read-only'),
        ('nobody.knows', 1, ''),
    ],
)
def test_row_097_a_wrong_value_and_what_is_fixed_are_refused_with_a_reason(
    graph, asked, name, value, reason
):
    before = asked.get(name) if name != 'nobody.knows' else None
    refused = asked.set(name, value)
    assert refused and reason in refused
    if name != 'nobody.knows':
        assert asked.get(name) == before
    since = time.monotonic()
    time.sleep(0.5)
    assert settings_of(graph, since) == {''}


def test_row_098_parameters_that_are_set_together_are_taken_or_refused_together(graph, asked):
    refused = asked.set_whole({'markers.min_score': 0.5, 'detections.scores': 'car=9'})
    assert 'detections.scores' in refused and asked.get('markers.min_score') == 0.2
    assert 'read-only' in asked.set_whole({'markers.min_score': 0.5, 'threads': 3})
    assert asked.get('markers.min_score') == 0.2
    since = time.monotonic()
    assert asked.set_whole({'markers.min_score': 0.5, 'detections.scores': 'car=0.9'}) == ''
    both = 'detections.scores=car=0.9; markers.min_score=0.5'
    graph.wait_for(wire.STATUS, lambda message: message.settings == both, 30, since)
    assert settings_of(graph, since) <= {'', both}


def test_the_heartbeat_beats_at_its_new_rate(graph, asked):
    assert asked.set('heartbeat_rate', 50.0) == ''
    since = time.monotonic()
    time.sleep(4.0)
    beats = [r for r in graph.of(wire.STATUS, since) if r.message.is_heartbeat]
    assert len(beats) > 80  # 40 at the old rate, 200 on a machine with nothing else to do


def test_a_service_that_was_answered_leaves_the_node_alive(live_node):
    assert live_node.process.poll() is None and 'Traceback' not in live_node.log
