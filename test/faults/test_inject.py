"""Bags with faults: refused unless enabled, marked, true to their plan and to their truth file."""

from __future__ import annotations

import zlib

import pytest
from support import rig_messages
from typer.testing import CliRunner

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.cli import app
from metabev_ros.config import RigConfig, SensingConfig, load_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.faults.inject import inject_bag
from metabev_ros.faults.pipe import DROPPED, read_truth
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault, find_plan
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import resource_path

PLANS = ('sensor_loss', 'bad_content', 'timing', 'loose_cables', 'bad_day')
PLAN = FaultPlan(
    'one camera', '', (PlannedFault('dead', FaultType.OFF, 0.5, 9.0, sensors=('CAM_BACK',)),)
)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('inject') / 'in.mcap'
    with BagWriter(path) as writer:
        rig_messages.write_drive(writer, 8)
    return path


def inject(bag, out, plan=PLAN, enabled=True):
    return inject_bag(bag, out, plan, rig_messages.rig(), 3, enabled, out.with_suffix('.jsonl'))


def test_nothing_is_injected_unless_it_is_enabled(bag, tmp_path):
    with pytest.raises(ConfigError, match='--enable-fault-injection'):
        inject(bag, tmp_path / 'out.mcap', enabled=False)
    assert not list(tmp_path.iterdir())


def test_a_plan_that_the_bag_cannot_carry_out_leaves_nothing_behind(bag, tmp_path):
    plan = FaultPlan('p', '', (PlannedFault('x', FaultType.OFF, 0.5, 1.0, topics=('/radar',)),))
    with pytest.raises(ConfigError, match='touches nothing'):
        inject(bag, tmp_path / 'out.mcap', plan)
    assert not (tmp_path / 'out.mcap').exists()
    with pytest.raises(ConfigError, match='beside the input'):
        inject(bag, bag)


def test_the_injected_bag_is_marked_first_and_holds_what_the_truth_says(bag, tmp_path):
    out = tmp_path / 'out.mcap'
    summary = inject(bag, out)
    messages = list(BagReader(out))
    mark = messages[0]
    assert mark.topic == '/fault_injection'
    assert wire.deserialize(mark.cdr, mark.msgtype).data == 'one camera, seed 3'
    truths = read_truth(out.with_suffix('.jsonl'))
    assert sorted(t.out_crc for t in truths if t.out_crc is not None) == sorted(
        zlib.crc32(m.cdr) for m in messages[1:]
    )
    dropped = {t.topic for t in truths if t.action == DROPPED}
    assert dropped == {'CAM_BACK/image_rect/compressed', 'CAM_BACK/camera_info'}
    assert summary.touched == {'dead': sum(t.action == DROPPED for t in truths)}
    assert summary.written == len(messages) - 1 and summary.idle == []


def test_replay_says_injection_active_in_every_status(bag, tmp_path):
    inject(bag, tmp_path / 'out.mcap')
    replay_bag(
        tmp_path / 'out.mcap',
        tmp_path / 'replayed.mcap',
        resource_path('models/metabev_nano'),
        rig_messages.rig(),
        SensingConfig(),
    )
    found = [
        wire.deserialize(m.cdr, m.msgtype)
        for m in BagReader(tmp_path / 'replayed.mcap')
        if m.topic == '/perception/status'
    ]
    assert len(found) > 10
    assert all(s.reason.startswith(f'{wire.INJECTION_ACTIVE} (one camera, seed 3)') for s in found)
    assert all('CAM_BACK' not in [x.name for x in s.sensors if x.used] for s in found[-8:])


@pytest.mark.parametrize('name', PLANS)
def test_every_ready_plan_fits_the_shipped_rig(name):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    plan = find_plan(name)
    types = {camera.topic: rig_messages.IMAGE_TYPE for camera in rig.cameras}
    types |= {camera.info_topic: rig_messages.INFO_TYPE for camera in rig.cameras}
    types[rig.lidars[0].topic] = rig_messages.CLOUD_TYPE
    assert plan.name == name and plan.by_topic(rig, types)
    assert all(fault.title for fault in plan.faults)
    assert max(fault.end for fault in plan.faults) <= 40


def test_the_ready_plans_are_these_and_use_every_type_of_fault():
    found = sorted(path.stem for path in resource_path('config/faults').glob('*.yaml'))
    assert found == sorted(PLANS)
    assert {fault.type for name in PLANS for fault in find_plan(name).faults} == set(FaultType)


def test_the_command_line_injects_by_name_and_says_what_had_no_effect(bag, tmp_path):
    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    late = tmp_path / 'late.yaml'
    late.write_text(
        'name: late\ntitle: too late\nfaults:\n'
        '- {name: a, type: "off", sensors: [lidar], begin: 0.5, end: 1.0}\n'
        '- {name: b, type: "off", sensors: [lidar], begin: 500.0, end: 501.0}\n'
    )
    words = [
        'inject',
        str(bag),
        str(tmp_path / 'o.mcap'),
        '--schedule',
        str(late),
        '--rig',
        str(tmp_path / 'rig.yaml'),
    ]
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ConfigError)
    done = CliRunner().invoke(app, [*words, '--enable-fault-injection'])
    assert done.exit_code == 1 and 'b: 0 messages' in done.output, done.output
    assert (tmp_path / 'o.truth.jsonl').exists()
