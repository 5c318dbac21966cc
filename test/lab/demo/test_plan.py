from __future__ import annotations

import dataclasses
import json

import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.faults.plan import find_plan
from metabev_ros.lab.demo.live import make_script, sensor_topics
from metabev_ros.lab.demo.plan import FailurePlan, Fault, FaultKind, standard_plan
from metabev_ros.resources import resource_path


@pytest.fixture
def rig():
    return load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))


def test_the_standard_plan_holds_the_five_promised_faults(rig):
    plan = standard_plan(rig)
    cameras = {camera.name for camera in rig.cameras}
    killed = [set(f.sensors) for f in plan.faults if f.kind is FaultKind.KILLED]
    assert killed[:3] == [cameras, {rig.lidar.name}, cameras | {rig.lidar.name}]
    assert len(killed[3]) == 2 and killed[3] < cameras
    assert [len(f.sensors) for f in plan.faults if f.kind is FaultKind.FROZEN] == [1]


def test_faults_begin_at_different_phases_of_the_sensors_period(rig):
    phases = {round(fault.begin * rig.lidar.rate_hz % 1, 3) for fault in standard_plan(rig).faults}
    assert len(phases) == 5 and 0.0 not in phases


def test_the_standard_plan_is_the_shipped_one_at_its_own_times(rig):
    plan = standard_plan(rig)
    shipped = find_plan('sensor_loss').faults
    assert [(f.name, f.title, f.begin, f.end) for f in plan.faults] == [
        (f.name, f.title, f.begin, f.end) for f in shipped
    ]


def test_faults_without_a_pause_between_them_are_refused():
    first = Fault('a', 'a', FaultKind.KILLED, ('X',), 3.0, 5.0)
    second = dataclasses.replace(first, name='b', begin=6.0, end=8.0)
    with pytest.raises(ConfigError, match='fault b'):
        FailurePlan((first, second), 20.0)


def test_a_drive_that_ends_before_the_last_recovery_is_refused():
    fault = Fault('a', 'a', FaultKind.KILLED, ('X',), 3.0, 5.0)
    with pytest.raises(ConfigError, match='duration'):
        FailurePlan((fault,), 6.0)


def test_a_killed_camera_loses_its_camera_info_and_a_frozen_one_does_not(rig, tmp_path):
    plan = standard_plan(rig)
    script = make_script(tmp_path / 'in.mcap', tmp_path / 'out.mcap', plan, rig)
    by_name = {fault.name: fault for fault in script.faults}
    infos = {f'/{camera.info_topic}' for camera in rig.cameras}
    assert infos <= set(by_name['cameras'].topics)
    assert by_name['lidar'].topics == (f'/{rig.lidar.topic}',)
    assert by_name['frozen'].frozen and not infos & set(by_name['frozen'].topics)
    assert set(sensor_topics(rig).values()) <= set(script.play)


def test_the_truth_is_never_played_to_the_node(rig, tmp_path):
    script = make_script(tmp_path / 'in.mcap', tmp_path / 'out.mcap', standard_plan(rig), rig)
    assert not [topic for topic in script.play if 'truth' in topic]
    assert all('truth' in topic for topic in script.copy)


def test_a_script_survives_json(rig, tmp_path):
    script = make_script(tmp_path / 'in.mcap', tmp_path / 'out.mcap', standard_plan(rig), rig)
    plain = json.loads(json.dumps(dataclasses.asdict(script)))
    assert [fault['name'] for fault in plain['faults']] == [f.name for f in script.faults]
    assert (
        type(script)(
            **{
                **plain,
                'play': tuple(plain['play']),
                'copy': tuple(plain['copy']),
                'faults': script.faults,
            }
        )
        == script
    )
