"""The plan of the demonstration fits its targets, and a plan that does not is refused."""

from __future__ import annotations

import dataclasses

import pytest

from metabev_ros.config import load_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.faults.live import Rehearsal
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.lab.demo.fault_targets import TARGETS
from metabev_ros.lab.demo.live import make_rehearsal, sensor_topics
from metabev_ros.lab.demo.targets import (
    SHORTEST_PAUSE,
    drive_seconds,
    require_judgeable,
)


@pytest.fixture
def rehearsal(tmp_path, plan, rig):
    return make_rehearsal(tmp_path / 'in.mcap', tmp_path / 'out.mcap', plan, rig)


def changed(plan, name, fields) -> FaultPlan:
    """The plan with other fields in one of its faults."""
    faults = tuple(
        dataclasses.replace(fault, **fields) if fault.name == name else fault
        for fault in plan.faults
    )
    return dataclasses.replace(plan, faults=faults)


def test_the_standard_plan_holds_the_five_promised_faults(plan, rig):
    require_judgeable(plan, rig)
    cameras = {camera.name for camera in rig.cameras}
    killed = [set(f.sensor_names(rig)) for f in plan.faults if f.type is FaultType.DEAD]
    assert killed[:3] == [cameras, {rig.lidars[0].name}, cameras | {rig.lidars[0].name}]
    assert len(killed) == 4 and len(killed[3]) == 2 and killed[3] < cameras
    stuck = [f.sensor_names(rig) for f in plan.faults if f.type is FaultType.STUCK]
    assert [len(names) for names in stuck] == [1]
    assert [fault.name for fault in plan.faults] == list(TARGETS)


def test_faults_begin_at_different_phases_of_the_sensors_period(plan, rig):
    phases = {round(fault.begin * rig.sample_rate_hz % 1, 3) for fault in plan.faults}
    assert len(phases) == 5 and 0.0 not in phases


def test_the_demonstration_judges_the_shipped_plan_at_the_times_of_its_file(plan):
    times = [(fault.begin, fault.end) for fault in plan.faults]
    assert times == [
        (2.213, 4.213),
        (6.38, 8.38),
        (10.547, 12.547),
        (14.714, 16.714),
        (18.881, 20.881),
    ]
    assert drive_seconds(plan) == 24.0


@pytest.mark.parametrize(
    ('name', 'fields', 'word'),
    [
        ('lidar', {'begin': 5.2}, 'fault lidar'),  # 1 s after the fault before it
        ('cameras', {'begin': 1.0}, 'fault cameras'),
        ('lidar', {'name': 'radar'}, 'radar'),
        ('everything', {'sensors': ('cameras',)}, 'fault everything'),
        ('frozen', {'type': FaultType.DEAD}, 'fault frozen'),
        ('frozen', {'sensors': ('cameras',)}, 'fault frozen'),
    ],
)
def test_a_plan_without_pauses_or_without_targets_is_refused(plan, rig, name, fields, word):
    with pytest.raises(ConfigError, match=word):
        require_judgeable(changed(plan, name, fields), rig)


@pytest.mark.parametrize('end', [19.5, 20.881, 31.5])
def test_the_drive_never_ends_before_the_last_recovery(plan, end):
    assert drive_seconds(changed(plan, 'frozen', {'end': end})) >= end + SHORTEST_PAUSE


def test_a_killed_camera_loses_its_camera_info_and_a_frozen_one_does_not(plan, rig, rehearsal):
    topics = {fault.name: fault.resolve(rig) for fault in rehearsal.plan.faults}
    infos = {camera.info_topic for camera in rig.cameras}
    assert infos <= set(topics['cameras'])
    assert topics['lidar'] == (rig.lidars[0].topic,)
    assert plan.named('frozen').type is FaultType.STUCK and not infos & set(topics['frozen'])
    assert set(sensor_topics(rig).values()) <= set(rehearsal.play)


def test_the_truth_is_never_played_to_the_node(rehearsal):
    assert not [topic for topic in rehearsal.play if 'truth' in topic]
    assert all('truth' in topic for topic in rehearsal.copy)


def test_a_rehearsal_survives_yaml(rehearsal, tmp_path):
    save_config(rehearsal, tmp_path / 'rehearsal.yaml')
    assert load_config(Rehearsal, tmp_path / 'rehearsal.yaml') == rehearsal
