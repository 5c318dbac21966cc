"""The log says every ten seconds what comes out and which sensors are not used."""

from __future__ import annotations

import pytest

from metabev_ros.node.log_summary import LogSummary
from metabev_ros.structures import Modality, SensorKind, SensorReport, SensorState

GOOD = SensorReport('front', SensorKind.CAMERA, SensorState.OK, used=True)
NEVER = SensorReport('top', SensorKind.LIDAR, SensorState.NEVER, reason='nothing received')
STALE = SensorReport('left', SensorKind.CAMERA, SensorState.STALE, reason='last 3 s ago')


@pytest.fixture
def written():
    return []


@pytest.fixture
def summary(written):
    return LogSummary(
        lambda text: written.append(('warn', text)), lambda text: written.append(('info', text))
    )


def test_outputs_are_counted_by_branch_from_one_line_to_the_next(summary, written):
    for latency in (0.1, 0.3, 0.2):
        summary.count(Modality.FUSED, latency)
    summary.count(Modality.LIDAR, 0.4)
    summary.tell([GOOD], '')
    summary.count(Modality.CAMERA, 0.05)
    summary.tell([GOOD], '')
    (first, text), (second, again) = written
    assert first == second == 'info'
    assert text.startswith('published 3 FUSED, 1 LIDAR in ') and '300 ms' in text
    assert again.startswith('published 1 CAMERA in ') and '50 ms' in again


def test_a_sensor_that_is_not_used_is_named_and_one_that_never_spoke_is_a_warning(
    summary, written
):
    summary.count(Modality.FUSED, 0.1)
    summary.tell([GOOD, STALE], '')
    summary.count(Modality.CAMERA, 0.1)
    summary.tell([GOOD, NEVER, STALE], '')
    assert [level for level, _ in written] == ['info', 'warn']
    assert written[0][1].endswith('; not used: left (STALE: last 3 s ago)')
    assert 'top (NEVER: nothing received), left (STALE' in written[1][1]


def test_no_output_is_a_warning_with_the_reason(summary, written):
    summary.tell([GOOD], 'the clock stands still')
    assert written[0][0] == 'warn'
    assert written[0][1].startswith('published nothing in ')
    assert '(the clock stands still)' in written[0][1]


@pytest.mark.ros
def test_the_log_of_a_node_names_a_sensor_that_never_spoke(tmp_path, graph, model):
    from support.live_graph import NodeProcess
    from support.rig_messages import LIDAR

    node = NodeProcess(tmp_path, model=model)
    try:
        node.wait_for_log('published nothing in')
        assert f'{LIDAR} (NEVER' in node.log
    finally:
        assert node.stop() == 0
