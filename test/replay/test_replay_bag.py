"""Replay with the shipped model: inputs copied, outputs labelled, hostile bags survived."""

from __future__ import annotations

import numpy as np
import pytest
from support import rig_messages
from support.keyframe_rig import keyframe_rig
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import (
    CameraConfig,
    IntrinsicsConfig,
    LidarConfig,
    RigConfig,
    SensingConfig,
    TrackingConfig,
    Transport,
    load_config,
)
from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import resource_path

TICKS = 8


@pytest.fixture(scope='module')
def model():
    return resource_path('models/metabev_nano/contract.json').parent


def messages_of(path, topic):
    return [
        wire.deserialize(m.cdr, m.msgtype)
        for m in BagReader(path)
        if m.topic == output_topic(topic)
    ]


@pytest.fixture(scope='module')
def replayed(model, tmp_path_factory):
    """A drive in which the cameras die after two ticks and the LiDAR ends two ticks early."""
    folder = tmp_path_factory.mktemp('replay')

    def skip(sensor, tick):
        return sensor in CAMERAS and 2 <= tick < 5 or sensor == LIDAR and tick >= TICKS - 2

    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, TICKS, skip=skip, with_odometry=True)
    calls = []
    summary = replay_bag(
        folder / 'in.mcap',
        folder / 'out.mcap',
        model,
        rig_messages.rig(),
        SensingConfig(deadline=0.1),
        threads=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    return folder, summary, calls


def test_every_input_message_is_in_the_output_unchanged(replayed):
    folder, _, _ = replayed
    inputs = list(BagReader(folder / 'in.mcap'))
    copied = [m for m in BagReader(folder / 'out.mcap') if m.topic in {i.topic for i in inputs}]
    assert copied == inputs


def test_all_output_topics_are_written_and_every_detection_array_has_its_status(replayed):
    folder, summary, _ = replayed
    topics = BagReader(folder / 'out.mcap').topics
    assert {output_topic(name): kind for name, kind in wire.OUTPUT_TYPES.items()}.items() <= (
        topics.items()
    )
    status = {
        wire.stamp_to_ns(s.header.stamp): s
        for s in messages_of(folder / 'out.mcap', wire.STATUS)
        if not s.is_heartbeat
    }
    arrays = messages_of(folder / 'out.mcap', wire.DETECTIONS)
    assert len(arrays) == sum(summary.outputs.values())
    for array in arrays:
        label = status[wire.stamp_to_ns(array.header.stamp)]
        assert [s.name for s in label.sensors if s.used] == array.sensors


def test_labels_follow_what_was_recorded(replayed):
    folder, summary, _ = replayed
    modality = {
        (wire.stamp_to_ns(a.header.stamp) - 1_700_000_000_000_000_000) // PERIOD_NS: a.modality
        for a in messages_of(folder / 'out.mcap', wire.DETECTIONS)
    }
    assert modality[0] == modality[1] == 3
    assert {modality[tick] for tick in (2, 3, 4)} == {2}
    assert modality[TICKS - 1] == 1, 'the last sample closes at its deadline, after the bag'
    assert set(summary.outputs) == {'FUSED', 'LIDAR', 'CAMERA'}


def test_progress_counts_every_message(replayed):
    folder, summary, calls = replayed
    total = len(list(BagReader(folder / 'in.mcap')))
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_heartbeats_come_at_ten_hertz_of_recorded_time(replayed):
    folder, summary, _ = replayed
    beats = [
        wire.stamp_to_ns(s.header.stamp)
        for s in messages_of(folder / 'out.mcap', wire.STATUS)
        if s.is_heartbeat
    ]
    assert len(beats) == summary.heartbeats
    assert set(np.diff(beats)[:-1]) == {100_000_000}


def test_every_sample_has_tracks_with_its_stamp_and_its_label(replayed):
    folder, _, _ = replayed
    arrays = messages_of(folder / 'out.mcap', wire.DETECTIONS)
    tracks = [m for m in messages_of(folder / 'out.mcap', wire.TRACKS) if not m.is_heartbeat]
    assert [(wire.stamp_to_ns(m.header.stamp), m.modality) for m in tracks] == [
        (wire.stamp_to_ns(m.header.stamp), m.modality) for m in arrays
    ]
    assert all(m.is_motion_known and m.model_hash == arrays[0].model_hash for m in tracks)


def test_tracks_coast_with_the_heartbeats_while_everything_is_dead_and_then_end(model, tmp_path):
    """Boxes of noise are weak: each begins a track that is believed at once."""
    with BagWriter(tmp_path / 'in.mcap') as writer:
        rig_messages.write_drive(writer, 16, skip=lambda _, tick: tick > 3, with_odometry=True)
    believed = TrackingConfig(start_score=0.06, least_score=0.06, confirm_hits=1, coast_blind=1.5)
    replay_bag(
        tmp_path / 'in.mcap',
        tmp_path / 'out.mcap',
        model,
        rig_messages.rig(),
        SensingConfig(deadline=0.1),
        tracking=believed,
    )
    arrays = messages_of(tmp_path / 'out.mcap', wire.TRACKS)
    last = [array for array in arrays if not array.is_heartbeat][-1]
    assert last.tracks, 'the model finds nothing in noise: choose a lower score'
    beats = [array for array in arrays if array.is_heartbeat]
    *coasting, end = beats
    assert len(coasting) >= 5 and not end.tracks
    assert all(beat.modality == beat.MODALITY_NONE and beat.is_motion_known for beat in beats)
    for beat in coasting:
        assert {track.state for track in beat.tracks} == {beat.tracks[0].STATE_COASTING}
        assert {track.id for track in beat.tracks} <= {track.id for track in last.tracks}
        assert all(track.since_seen < believed.coast_blind for track in beat.tracks)
    statuses = messages_of(tmp_path / 'out.mcap', wire.STATUS)
    none = {
        wire.stamp_to_ns(s.header.stamp) for s in statuses if s.is_heartbeat and s.modality == 0
    }
    assert {wire.stamp_to_ns(beat.header.stamp) for beat in beats} <= none


def test_a_second_replay_gives_the_same_bytes_and_replaces_the_first_ones_outputs(replayed, model):
    folder, _, _ = replayed
    replay_bag(
        folder / 'out.mcap',
        folder / 'again.mcap',
        model,
        rig_messages.rig(),
        SensingConfig(deadline=0.1),
        threads=1,
    )
    topics = (wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA, wire.TRACKS)
    for topic in topics:
        first, second = (
            [m.cdr for m in BagReader(folder / name) if m.topic == output_topic(topic)]
            for name in ('out.mcap', 'again.mcap')
        )
        assert first == second


def test_row_101_a_cut_bag_gives_what_it_holds_and_is_called_lossy(replayed, model, tmp_path):
    folder, _, _ = replayed
    whole = (folder / 'in.mcap').read_bytes()
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(whole[: len(whole) // 2])
    summary = replay_bag(cut, tmp_path / 'out.mcap', model, rig_messages.rig(), SensingConfig())
    assert summary.is_lossy and any('LOSSY' in line for line in summary.lines())
    assert (tmp_path / 'out.mcap').exists()


def test_an_output_that_would_overwrite_the_input_is_refused(replayed, model):
    folder, _, _ = replayed
    with pytest.raises(ConfigError):
        replay_bag(
            folder / 'in.mcap',
            folder / '.' / 'in.mcap',
            model,
            rig_messages.rig(),
            SensingConfig(),
        )


def test_no_bag_at_all_is_refused_and_leaves_no_output(model, tmp_path):
    (tmp_path / 'a.mcap').write_bytes(b'hello')
    with pytest.raises(SensorDataError):
        replay_bag(
            tmp_path / 'a.mcap', tmp_path / 'out.mcap', model, rig_messages.rig(), SensingConfig()
        )
    assert [p.name for p in tmp_path.iterdir()] == ['a.mcap']


def test_the_real_keyframe_gives_one_fused_output_of_all_sensors_and_a_video(
    model, shared_data, tmp_path
):
    rig = keyframe_rig()
    summary = replay_bag(
        shared_data / 'bags' / 'nuscenes_keyframe',
        tmp_path / 'out.mcap',
        model,
        rig,
        SensingConfig(),
        video=tmp_path / 'out.mp4',
    )
    assert summary.outputs == {'FUSED': 1} and not summary.rejected and not summary.is_lossy
    (array,) = messages_of(tmp_path / 'out.mcap', wire.DETECTIONS)
    assert array.sensors == list(rig.sensor_names)
    assert (array.header.stamp.sec, array.header.frame_id) == (1532402927, 'base_link')
    for box in array.detections:
        numbers = [box.center.x, box.center.y, box.center.z, box.yaw, box.velocity.x]
        assert np.isfinite(numbers).all() and 0 <= box.score <= 1 and box.size.x > 0
    video = (tmp_path / 'out.mp4').read_bytes()
    assert b'ftyp' in video[:16] and b'avc1' in video


def test_the_real_malformed_bag_is_survived_and_its_bad_messages_are_counted(
    model, shared_data, tmp_path
):
    fixed = IntrinsicsConfig(640, 480, (500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0))
    image, info = 'test/sensor_msgs/image', 'test/sensor_msgs/camera_info'
    rig = RigConfig(
        (
            CameraConfig('RAW', image, 'camera', Transport.RAW, False, info),
            CameraConfig(
                'JPEG',
                'jpeg/compressed',
                'camera',
                Transport.COMPRESSED,
                False,
                intrinsics=fixed,
            ),
        ),
        (LidarConfig('CLOUD', 'test/sensor_msgs/point_cloud2', 'lidar'),),
    )
    source = BagReader(shared_data / 'bags' / 'malformed')
    renamed = {'/test/sensor_msgs/compressed_image': '/jpeg/compressed'}
    with BagWriter(tmp_path / 'in.mcap', source.schemas) as writer:
        for m in source:
            writer.write(renamed.get(m.topic, m.topic), m.msgtype, m.log_time_ns, m.cdr)
    summary = replay_bag(tmp_path / 'in.mcap', tmp_path / 'out.mcap', model, rig, SensingConfig())
    refused = [line for line in summary.lines() if line.startswith('refused')]
    for name in ('RAW', 'JPEG'):
        assert any(name in line for line in refused)
    assert not summary.outputs
    last = messages_of(tmp_path / 'out.mcap', wire.STATUS)[-1]
    assert {s.name: s.rejected for s in last.sensors}['RAW'] == 2
    assert last.modality == 0


def test_row_110_a_rig_that_does_not_fit_the_bag_is_said_topic_by_topic(
    model, shared_data, tmp_path
):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    summary = replay_bag(
        shared_data / 'bags' / 'malformed', tmp_path / 'out.mcap', model, rig, SensingConfig()
    )
    assert set(summary.not_heard) >= {camera.topic for camera in rig.cameras}
    assert len(list(BagReader(tmp_path / 'out.mcap'))) >= 188
