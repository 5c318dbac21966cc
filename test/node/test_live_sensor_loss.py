"""Sensors die, freeze and come back while the node process runs; the schedule is the oracle.

Invariants "Label first" and "Steady heartbeat", over DDS.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import pytest
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS, SENSORS

from metabev_ros import wire
from metabev_ros.structures import Modality, SensorState

pytestmark = pytest.mark.ros

# (phase, sensors that publish nothing, sensors that repeat their last picture)
PHASES = (
    ('before', (), ()),
    ('no cameras', CAMERAS, ()),
    ('cameras back', (), ()),
    ('no lidar', (LIDAR,), ()),
    ('lidar back', (), ()),
    ('nothing', SENSORS, ()),
    ('all back', (), ()),
    ('frozen', (), (CAMERAS[1],)),
    ('thawed', (), ()),
)


@dataclass
class Phase:
    """When a phase was, and what was received for it."""

    stamps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # monotonic, of the ticks


@dataclass
class Drive:
    """All phases, and how many ticks after its start a phase must show its final face."""

    settled: int
    phases: dict[str, Phase] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Phase:
        return self.phases[name]


def settling_ticks(graph) -> int:
    """One second, or three times the latency that this machine has just now."""
    latency = [r.message.latency for r in graph.of(wire.STATUS) if not r.message.is_heartbeat]
    return min(max(5, 3 + math.ceil(3 * max(latency[-4:]) * 1e9 / PERIOD_NS)), 20)


@pytest.fixture(scope='module')
def drive(graph, rig):
    """Plays all phases once, each three times as long as it may take to settle."""
    rig.tick_until_fused(graph, timeout=60)
    for _ in range(10):
        rig.tick()
    drive = Drive(settling_ticks(graph))
    for name, off, frozen in PHASES:
        drive.phases[name] = phase = Phase()
        for _ in range(3 * drive.settled):
            phase.stamps.append(rig.tick(frozenset(off), frozenset(frozen)))
            phase.times.append(time.monotonic())
    time.sleep(drive.settled * PERIOD_NS * 1e-9)
    return drive


def outputs(graph, phase, skip=0):
    """(stamp, message) of the detections whose reference stamp lies in a phase."""
    first, last = phase.stamps[skip], phase.stamps[-1]
    return [
        (r.stamp_ns, r.message) for r in graph.of(wire.DETECTIONS) if first <= r.stamp_ns <= last
    ]


def test_no_output_ever_names_a_sensor_that_did_not_send_that_frame(graph, rig, drive):
    checked = 0
    for record in graph.of(wire.DETECTIONS):
        message = record.message
        assert set(message.sensors) <= rig.sent[record.stamp_ns]
        made_by = Modality.from_presence(
            any(name in CAMERAS for name in message.sensors), LIDAR in message.sensors
        )
        assert message.modality == made_by
        checked += 1
    assert checked >= 2 * len(PHASES)


def test_every_output_has_a_status_of_the_same_stamp_that_was_sent_before_it(graph, drive):
    status = {r.stamp_ns: r for r in graph.of(wire.STATUS) if not r.message.is_heartbeat}
    for topic in (wire.DETECTIONS, wire.BEV_MAP):
        for record in graph.of(topic):
            label = status[record.stamp_ns]
            assert label.sent_ns <= record.sent_ns
            assert label.message.modality == record.message.modality
            assert [s.name for s in label.message.sensors if s.used] == record.message.sensors


def test_output_stamps_strictly_increase(graph, drive):
    stamps = [r.stamp_ns for r in graph.of(wire.DETECTIONS)]
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False))


@pytest.mark.parametrize(
    ('phase', 'modality', 'sensors'),
    [('no cameras', Modality.LIDAR, {LIDAR}), ('no lidar', Modality.CAMERA, set(CAMERAS))],
)
def test_row_001_003_004_outputs_go_on_from_what_is_left(graph, drive, phase, modality, sensors):
    found = outputs(graph, drive[phase])
    assert found[0][0] <= drive[phase].stamps[drive.settled]
    assert {message.modality for _, message in found} == {modality}
    assert all(set(message.sensors) <= sensors for _, message in found)
    assert any(set(message.sensors) == sensors for _, message in found)
    stamps = [stamp for stamp, _ in found] + [drive[phase].stamps[-1]]
    assert max(b - a for a, b in zip(stamps, stamps[1:], strict=False)) <= (
        drive.settled * PERIOD_NS
    )


@pytest.mark.parametrize('phase', ['cameras back', 'lidar back', 'all back', 'thawed'])
def test_row_008_after_a_revival_everything_is_used_again(graph, drive, phase):
    found = outputs(graph, drive[phase])
    fused = [stamp for stamp, message in found if set(message.sensors) == set(SENSORS)]
    assert fused and fused[0] <= drive[phase].stamps[2 * drive.settled]


def test_row_005_with_nothing_left_the_heartbeat_says_none_and_the_outputs_are_silent(
    graph, drive
):
    phase = drive['nothing']
    since, until = phase.times[drive.settled], phase.times[-1]
    beats = [r.message for r in graph.of(wire.STATUS, since, until)]
    assert len(beats) >= 5 * (until - since)
    assert all(beat.is_heartbeat and beat.modality == Modality.NONE for beat in beats)
    assert all(SensorState(s.state) is SensorState.STALE for s in beats[-1].sensors)
    for topic in (wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA):
        assert graph.of(topic, since, until) == []
    levels = [r.message.status[0].level for r in graph.of(wire.DIAGNOSTICS, since, until)]
    assert levels and set(levels) == {2}


def test_row_016_a_frozen_camera_is_named_and_not_used(graph, drive):
    phase = drive['frozen']
    used = [set(message.sensors) for _, message in outputs(graph, phase, skip=1)]
    assert used and not any(CAMERAS[1] in names for names in used)
    assert any(names == {CAMERAS[0], LIDAR} for names in used)
    named = [
        r
        for r in graph.of(wire.STATUS, phase.times[0], phase.times[drive.settled])
        if {s.name: s.state for s in r.message.sensors}[CAMERAS[1]] == SensorState.FROZEN
    ]
    assert named, 'not named in time'


def test_the_outputs_are_valid_and_on_the_contract(graph, drive):
    for record in graph.of(wire.DETECTIONS):
        for box in record.message.detections:
            assert 0 <= box.score <= 1 and min(box.size.x, box.size.y, box.size.z) > 0
    grid = graph.of(wire.BEV_MAP)[0].message
    assert len(grid.data) == len(grid.class_names) * grid.width * grid.height
    assert grid.header.frame_id == rig_messages.rig().ego_frame
