"""The pipe does what its plan says, says what it did, and refuses the rest."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from support import rig_messages
from support.fake_drive import CAMERAS, LIDAR, MS, SENSORS, T0, rig
from support.injected_drive import LEAD, SIMULTANEOUS, TOPICS, TYPES, fault, message, stream

from metabev_ros import wire
from metabev_ros.errors import ConfigError
from metabev_ros.faults.damage import damage
from metabev_ros.faults.pipe import (
    DAMAGED,
    DELAYED,
    DROPPED,
    PASSED,
    REPEATED,
    FaultPipe,
    TruthFile,
    read_truth,
)
from metabev_ros.faults.plan import FaultPlan, What
from metabev_ros.sensing.decoding import read_compressed_image


def pipe_of(*faults, seed: int = 0, types=TYPES):
    truths = []
    return FaultPipe(FaultPlan('p', '', faults), rig(), types, seed, truths.append), truths


def through(*faults, seed: int = 0, seconds: float = 3.0):
    pipe, truths = pipe_of(*faults, seed=seed)
    sent = [
        m for item in stream(seconds, pace=SIMULTANEOUS) for m in pipe.feed(item)
    ] + pipe.flush()
    return sent, truths


def numbers(truths, name, *actions):
    return [t.number for t in truths if t.topic == TOPICS[name] and t.action in actions]


@pytest.mark.parametrize('kind', ['off', 'dead'])
def test_off_and_dead_drop_data_and_camera_info_of_their_sensor_in_their_window_only(kind):
    sent, truths = through(fault(kind, 'cam2', -1 + LEAD, 2.0))
    assert numbers(truths, 'cam2', DROPPED) == list(range(20))
    assert [t.action for t in truths if t.topic == 'cam2/camera_info'] == [DROPPED]
    assert all(t.action == PASSED for t in truths if 'cam2' not in t.topic)
    assert len(sent) == len(stream(3.0, pace=SIMULTANEOUS)) - 21


def test_stuck_repeats_the_last_message_before_it_under_new_stamps():
    sent, truths = through(fault('stuck', ['cam2', LIDAR], 1.0, 2.0))
    for name in ('cam2', LIDAR):
        assert numbers(truths, name, REPEATED) == list(range(10, 20))
        out = [m for m in sent if m.topic == TOPICS[name]]
        assert [wire.read_stamp(m.cdr) for m in out] == [
            wire.read_stamp(m.cdr)
            for m in stream(3.0, pace=SIMULTANEOUS)
            if m.topic == TOPICS[name]
        ]
        assert {m.cdr[12:] for m in out[9:20]} == {out[9].cdr[12:]}
        assert out[20].cdr[12:] != out[9].cdr[12:]


def test_stuck_with_its_old_stamps_is_the_same_message_again():
    sent, _ = through(fault('stuck', 'cam2', 1.0, 2.0, new_stamps=False))
    out = [m for m in sent if m.topic == TOPICS['cam2']]
    assert {m.cdr for m in out[9:20]} == {out[9].cdr}
    assert [m.log_time_ns for m in out] == sorted({m.log_time_ns for m in out})


def test_slow_lets_every_fourth_message_through():
    _, truths = through(fault('slow', LIDAR, 1.0, 2.0, every=4))
    assert numbers(truths, LIDAR, PASSED) == [*range(10), 10, 14, 18, *range(20, 30)]


def test_delayed_messages_come_later_in_order_with_their_own_stamps():
    sent, truths = through(fault('delayed', 'cam2', 1.0, 2.0, seconds=0.25))
    held = [t for t in truths if t.action == DELAYED]
    assert [t.number for t in held] == list(range(10, 20))
    assert all(t.out_arrival_ns == t.arrival_ns + 250 * MS for t in held)
    assert all(t.out_stamp_ns == t.stamp_ns for t in held)
    times = [m.log_time_ns for m in sent]
    assert times == sorted(times) and len(sent) == len(stream(3.0, pace=SIMULTANEOUS))


def test_intermittent_loses_a_share_by_chance_or_every_second_half_period():
    _, truths = through(fault('intermittent', 'cameras', 0.0, share=0.4), seconds=10)
    lost = len([t for t in truths if t.action == DROPPED]) / (6 * 100)
    assert 0.33 < lost < 0.47
    _, truths = through(fault('intermittent', 'cam5', -0.02, 2.0, period=1.0))
    assert numbers(truths, 'cam5', DROPPED) == [*range(5, 10), *range(15, 20)]


@pytest.mark.parametrize('what', list(What))
def test_damaged_messages_differ_as_their_name_says(what):
    is_cloud = what in (What.EMPTY, What.SPARSE, What.HALF_FIELD, What.NOT_FINITE)
    kind = 'garbage' if what in (What.BYTES, What.TRUNCATED, What.NOISE) else 'wrong'
    needs = {
        What.TRUNCATED: {'share': 0.5},
        What.SPARSE: {'share': 0.25},
        What.STAMP: {'seconds': -10.0},
        What.DRIFT: {'seconds': 0.5},
        What.NOT_FINITE: {'share': 0.5},
    }
    name = LIDAR if is_cloud else 'cam1'
    sent, truths = through(fault(kind, name, 1.0, what=what, **needs.get(what, {})))
    assert numbers(truths, name, DAMAGED) == list(range(10, 30))
    before = [m for m in stream(3.0, pace=SIMULTANEOUS) if m.topic == TOPICS[name]][20]
    after = [m for m in sent if m.topic == TOPICS[name]][20]
    assert before.cdr != after.cdr and before.log_time_ns == after.log_time_ns
    if what is What.BYTES:
        assert len(after.cdr) == len(before.cdr)
        return
    was, got = (wire.deserialize(m.cdr, m.msgtype) for m in (before, after))
    shift = wire.read_stamp(after.cdr) - wire.read_stamp(before.cdr)
    elapsed = (before.log_time_ns - T0) / 1e9 - 1.0
    assert shift == {What.STAMP: -10 * 10**9, What.DRIFT: pytest.approx(elapsed * 5e8, abs=2)}.get(
        what, 0
    )
    points = got.data.view('<f4').reshape(-1, 4) if is_cloud else None
    facts = {
        What.TRUNCATED: lambda: len(got.data) == len(was.data) // 2,
        What.NOISE: lambda: (got.data != was.data).mean() > 0.9,
        What.BLACK: lambda: not got.data.any(),
        What.WHITE: lambda: (got.data == 255).all(),
        What.TORN: lambda: (
            not got.data[16 * 96 :].any() and (got.data[: 16 * 96] == was.data[: 16 * 96]).all()
        ),
        What.EMPTY: lambda: got.width == 0 and not len(got.data),
        What.SPARSE: lambda: 0.15 < got.width / was.width < 0.35,
        What.HALF_FIELD: lambda: (points[:, 1] >= 0).all() and 300 < len(points) < 400,
        What.NOT_FINITE: lambda: 0.4 < np.isnan(points[:, 0]).mean() < 0.6,
        What.FRAME: lambda: got.header.frame_id == 'nowhere',
    }
    assert facts.get(what, lambda: True)()


@pytest.mark.parametrize(
    'kind,what',
    [('wrong', What.BLACK), ('wrong', What.WHITE), ('wrong', What.TORN), ('garbage', What.NOISE)],
)
def test_the_pixels_of_a_compressed_picture_are_damaged_and_it_is_still_a_picture(kind, what):
    cdr, msgtype = rig_messages.image('CAM_FRONT', 1, T0), rig_messages.IMAGE_TYPE
    hurt = damage(cdr, msgtype, fault(kind, 'cam1', 0.0, what=what), np.random.default_rng(1), 0.0)
    was, got = (
        read_compressed_image(wire.deserialize(b, msgtype)).decode()[0] for b in (cdr, hurt)
    )
    assert got.shape == was.shape and wire.read_stamp(hurt) == T0
    top, bottom = got[: len(got) // 2 - 8], got[len(got) // 2 + 8 :]
    facts = {
        What.BLACK: got.max() <= 2,
        What.WHITE: got.min() >= 253,
        What.TORN: bottom.max() <= 8 and np.abs(top.astype(int) - was[: len(top)]).mean() < 3,
        What.NOISE: np.abs(got.astype(int) - was).mean() > 40,
    }
    assert facts[what]


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not():
    faults = (
        fault('intermittent', 'cameras', 0.0, share=0.5),
        fault('garbage', LIDAR, 1.0, what=What.NOISE),
    )
    first, second, third = (through(*faults, seed=seed) for seed in (1, 1, 2))
    assert first == second and first != third


def test_chance_on_one_topic_does_not_depend_on_the_others():
    faults = (fault('intermittent', 'all', 0.0, share=0.5),)
    pipe, alone = pipe_of(*faults, seed=4)
    for item in stream(3.0, pace=SIMULTANEOUS):
        if item.topic in ('cam3/image', 'tf_static'):
            pipe.feed(item)
    _, all_truths = through(*faults, seed=4)
    assert [t for t in alone if t.topic == 'cam3/image'] == [
        t for t in all_truths if t.topic == 'cam3/image'
    ]


def test_the_truth_names_every_message_and_what_went_out(tmp_path):
    plan = FaultPlan(
        'p', '', (fault('off', 'cam0', 1.0, 2.0), fault('wrong', 'cam1', 1.0, what=What.BLACK))
    )
    sent = []
    with TruthFile(tmp_path / 'a' / 'truth.jsonl', plan, 7) as truth:
        pipe = FaultPipe(plan, rig(), TYPES, 7, truth)
        for item in stream(3.0, pace=SIMULTANEOUS):
            sent += pipe.feed(item)
    truths = read_truth(tmp_path / 'a' / 'truth.jsonl')
    assert len(truths) == len(stream(3.0, pace=SIMULTANEOUS))
    assert [t.out_crc for t in truths if t.out_crc is not None] == [
        zlib.crc32(m.cdr) for m in sent
    ]
    assert pipe.touched == {f.name: count for f, count in zip(plan.faults, (10, 20), strict=True)}
    with pytest.raises(ConfigError, match='truth file'):
        read_truth(tmp_path / 'none')


@pytest.mark.parametrize(
    'make,word',
    [
        (lambda: fault('off', 'cam9', 1.0), 'cam9'),
        (lambda: fault('off', 'cam1', 2.0, 1.0), 'begin < end'),
        (lambda: fault('off', (), 1.0), 'sensors or topics'),
        (lambda: fault('slow', 'cam1', 1.0), 'every'),
        (lambda: fault('slow', 'cam1', 1.0, every=1), '2 or more'),
        (lambda: fault('slow', 'cam1', 1.0, every=4, share=0.5), 'share'),
        (lambda: fault('off', 'cam1', 1.0, seconds=1.0), 'seconds'),
        (lambda: fault('dead', 'cam1', 1.0, seconds=1.0), 'seconds'),
        (lambda: fault('intermittent', 'cam1', 1.0), 'share or period'),
        (lambda: fault('intermittent', 'cam1', 1.0, share=0.5, period=1.0), 'period, share'),
        (lambda: fault('intermittent', 'cam1', 1.0, share=1.5), '0..1'),
        (lambda: fault('delayed', 'cam1', 1.0, seconds=-1.0), 'above 0'),
        (lambda: fault('garbage', 'cam1', 1.0), 'what'),
        (lambda: fault('garbage', 'cam1', 1.0, what=What.BLACK), 'truncated'),
        (lambda: fault('wrong', 'cam1', 1.0, what=What.NOISE), 'black'),
        (lambda: fault('off', 'cam1', 1.0, what=What.BLACK), 'nothing for off'),
        (lambda: fault('dead', 'cam1', 1.0, what=What.BLACK), 'nothing for dead'),
        (lambda: fault('wrong', LIDAR, 1.0, what=What.BLACK), 'Image'),
        (lambda: fault('wrong', 'cam1', 1.0, what=What.EMPTY), 'PointCloud2'),
        (lambda: fault('stuck', (), 1.0, topics=('/tf_static',)), 'header'),
        (lambda: fault('off', (), 1.0, topics=('/nobody',)), 'touches nothing'),
    ],
)
def test_what_cannot_be_done_is_refused_not_ignored(make, word):
    with pytest.raises(ConfigError, match=word):
        pipe_of(make())


def test_two_faults_on_one_topic_at_once_are_refused_and_one_after_the_other_is_not():
    first = fault('off', 'cam1', 1.0, 2.0)
    with pytest.raises(ConfigError, match='one fault at a time'):
        pipe_of(first, fault('slow', 'cameras', 1.5, every=2))
    pipe_of(first, fault('slow', 'cameras', 2.0, every=2))


def test_a_message_that_cannot_be_damaged_as_planned_ends_the_injection():
    pipe, _ = pipe_of(fault('wrong', LIDAR, 0.0, what=What.SPARSE, share=0.5))
    pipe.feed(stream(3.0, pace=SIMULTANEOUS)[0])
    with pytest.raises(ConfigError, match='sound sensor_msgs/msg/PointCloud2'):
        pipe.feed(message('lidar/points', T0, b'\0\1\0\0 no cloud'))


def test_the_pipe_without_an_active_fault_changes_nothing():
    sent, truths = through(fault('off', SENSORS, 50.0), seconds=3.0)
    assert tuple(sent) == stream(3.0, pace=SIMULTANEOUS) and {t.action for t in truths} == {PASSED}
    assert len({t.topic for t in truths}) == len(CAMERAS) * 2 + 2
