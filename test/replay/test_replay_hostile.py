"""Replays of hostile, odd and short bags: contained, and everything that was left out is said."""

from __future__ import annotations

import random
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, OutputError
from metabev_ros.replay import beats
from metabev_ros.replay.beats import BEAT_NS
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import resource_path

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
HEADER = 'std_msgs/msg/Header'


def header_cdr() -> bytes:
    return wire.serialize(wire.header(1, ''), HEADER)


def replay(bag, out, sensing=None, **options):
    model = resource_path('models/metabev_nano/contract.json').parent
    return replay_bag(
        bag, out, model, rig_messages.rig(), sensing or SensingConfig(), threads=1, **options
    )


def heartbeats(path) -> list[int]:
    return [
        wire.stamp_to_ns(status.header.stamp)
        for status in (
            wire.deserialize(m.cdr, m.msgtype)
            for m in BagReader(path)
            if m.topic == output_topic(wire.STATUS)
        )
        if status.is_heartbeat
    ]


# --------------------------------------------------------------------------------------- times
def test_row_109_log_times_that_ros_cannot_express_are_copied_counted_and_not_perceived(tmp_path):
    late = (2**31 * SECOND_NS, 2**63 - 1, 2**63, 2**64 - 1)
    with BagWriter(tmp_path / 'in.mcap') as writer:
        rig_messages.write_drive(writer, 3)
        for time in (*late, 0):
            writer.write('/CAM_FRONT/camera_info', rig_messages.INFO_TYPE, time, b'')
    summary = replay(tmp_path / 'in.mcap', tmp_path / 'out.mcap')
    assert summary.outputs.total() == 3
    assert any(f'{len(late)} x log time' in line for line in summary.lines())
    inputs = list(BagReader(tmp_path / 'in.mcap'))
    topics = {m.topic for m in inputs}
    assert [m for m in BagReader(tmp_path / 'out.mcap') if m.topic in topics] == inputs
    assert heartbeats(tmp_path / 'out.mcap')[-1] < START_NS + 60 * SECOND_NS


def test_a_pause_of_a_minute_is_beaten_through(tmp_path):
    with BagWriter(tmp_path / 'in.mcap') as writer:
        for second in (0, 3, 55):
            writer.write('/a', HEADER, START_NS + second * SECOND_NS, header_cdr())
    summary = replay(tmp_path / 'in.mcap', tmp_path / 'out.mcap')
    found = heartbeats(tmp_path / 'out.mcap')
    assert set(np.diff(found)) == {BEAT_NS} and len(found) == summary.heartbeats == 551
    assert not summary.jumped


def test_hours_of_silence_between_few_messages_are_jumped_over_and_said(tmp_path, monkeypatch):
    messages = 120
    monkeypatch.setattr(beats, 'FREE_BEATS', 2000)
    with BagWriter(tmp_path / 'in.mcap') as writer:
        for number in range(messages):
            writer.write('/a', HEADER, START_NS + number * 59 * SECOND_NS, header_cdr())
    summary = replay(tmp_path / 'in.mcap', tmp_path / 'out.mcap')
    assert summary.heartbeats <= 2000 + beats.BEATS_PER_MESSAGE * messages + 2
    assert summary.jumped > 100 and any('jumped over' in line for line in summary.lines())
    found = np.array(heartbeats(tmp_path / 'out.mcap'))
    for number in range(1, messages):
        before, after = (START_NS + n * 59 * SECOND_NS for n in (number - 1, number))
        inside = found[(found > before) & (found <= after)]
        assert inside[0] - before <= BEAT_NS and after - inside[-1] < BEAT_NS


def test_of_a_pause_of_hours_the_first_two_seconds_and_the_end_are_beaten():
    times, made = beats.Beats(), []
    for now in (0, 10_000 * SECOND_NS, 10_001 * SECOND_NS):
        made.append(list(times.until(now)))
    first = [BEAT_NS * number for number in range(1, beats.PAUSE_START_BEATS + 1)]
    assert made[0] == [] and made[1] == [*first, 10_000 * SECOND_NS]
    assert len(made[2]) == 10
    assert times.jumped == 1 and times.jumped_ns == 9_998 * SECOND_NS - BEAT_NS


def test_beats_are_bounded_by_the_messages_whatever_the_pauses_are():
    dice, times, now, count = random.Random(5), beats.Beats(), 0, 0
    for _ in range(30_000):
        now += dice.choice([0, 10**6, 59 * SECOND_NS, 61 * SECOND_NS, 10**15])
        made = list(times.until(now))
        assert made == sorted(made) and all(time <= now for time in made)
        count += len(made)
    assert count <= beats.FREE_BEATS + beats.BEATS_PER_MESSAGE * 30_000 + 2
    assert times.jumped > 10_000


# --------------------------------------------------------------------------------------- types
def test_row_104_a_custom_type_in_an_sqlite_bag_is_copied(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('int8 x\n', 'my_msgs/msg/Own'))
    with RosbagWriter(tmp_path / 'in', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        own = writer.add_connection('/own', 'my_msgs/msg/Own', typestore=store)
        a = writer.add_connection('/a', HEADER, typestore=store)
        writer.write(own, 10, b'\0\1\0\0\5')
        writer.write(a, 11, header_cdr())
    replay(tmp_path / 'in', tmp_path / 'out.mcap')
    copied = [m.topic for m in BagReader(tmp_path / 'out.mcap') if m.topic in ('/own', '/a')]
    assert copied == ['/own', '/a']


# --------------------------------------------------------------------------------- the bag's end
def test_a_sample_that_still_waits_when_the_bag_ends_is_given_its_whole_deadline(tmp_path):
    ticks = 4
    with BagWriter(tmp_path / 'in.mcap') as writer:
        rig_messages.write_drive(writer, ticks, skip=lambda s, tick: (s, tick) == (CAMERAS[1], 3))
    sensing = SensingConfig(deadline=1.5)
    summary = replay(tmp_path / 'in.mcap', tmp_path / 'out.mcap', sensing)
    assert summary.outputs.total() == ticks


def test_cameras_that_end_before_the_start_timeout_are_told_how_to_be_heard(tmp_path):
    with BagWriter(tmp_path / 'in.mcap') as writer:
        rig_messages.write_drive(writer, 4, skip=lambda sensor, tick: sensor == LIDAR)
    bag, out = tmp_path / 'in.mcap', tmp_path / 'out.mcap'
    patient = replay(bag, out)
    assert not patient.outputs and 'sensing.start_timeout' in patient.hint
    hasty = replay(bag, out, SensingConfig(start_timeout=0.3))
    assert set(hasty.outputs) == {'CAMERA'} and not hasty.hint
    assert PERIOD_NS * 4 < 2 * SECOND_NS


# ------------------------------------------------------------------------------------- the files
@contextmanager
def longest_file(size: int):
    """No file of this process may grow beyond this size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('room', [50_000, 1_200_000])
def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path, room):
    """Within the second megabyte, and when the file is finished."""
    data = random.Random(1).randbytes(900_000)
    with longest_file(room), pytest.raises(OutputError, match='out.mcap'):
        with BagWriter(tmp_path / 'out.mcap') as writer:
            for number in range(1 if room < 100_000 else 9):
                writer.write('/a', HEADER, number, data)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_folder_or_has_no_place_is_refused_before_it_is_made(tmp_path):
    (tmp_path / 'file').write_text('')
    for path in (tmp_path, tmp_path / 'file' / 'a.mcap'):
        with pytest.raises(OutputError):
            BagWriter(path)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_the_video_never_replaces_the_input_or_the_output(tmp_path):
    with BagWriter(tmp_path / 'in.mcap') as writer:
        writer.write('/a', HEADER, 1, header_cdr())
    for video in ('in.mcap', 'out.mcap'):
        with pytest.raises(ConfigError, match='beside'):
            replay(tmp_path / 'in.mcap', tmp_path / 'out.mcap', video=tmp_path / video)
    assert [path.name for path in tmp_path.iterdir()] == ['in.mcap']
