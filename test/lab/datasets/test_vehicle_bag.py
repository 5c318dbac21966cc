"""A vehicle's bag says what the drive says, for every rig that is shipped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.cli.app import app
from metabev_ros.config import RigConfig, Transport, load_config
from metabev_ros.lab.datasets.synthetic.bag import (
    TRUTH_DETECTIONS,
    TRUTH_MAP,
    TRUTH_OBJECTS,
    TRUTH_ODOMETRY,
)
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_timing
from metabev_ros.lab.datasets.synthetic.timing import Kind
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_bag import VehicleBag, write_vehicle_bag
from metabev_ros.resources import resource_path
from metabev_ros.sensing.topics import rig_topics

RIGS = sorted(path.stem for path in resource_path('config/rigs').glob('*.yaml'))
NUMPY_KIND = {4: '<u2', 5: '<i4', 7: '<f4', 8: '<f8'}


def drive_of(name: str, seconds: float, timing: str = '', seed: int = 3) -> VehicleDrive:
    path = resource_path(f'config/rigs/{name}.yaml')
    config = drive_for_rig(path)
    timing = timing or config.timing
    return VehicleDrive(load_config(RigConfig, path), seed, seconds, config, find_timing(timing))


def read(path):
    return [(m.topic, m.msgtype, m.log_time_ns, wire.deserialize(m.cdr, m.msgtype))
            for m in BagReader(path)]  # fmt: skip


def records(cloud) -> np.ndarray:
    record = np.dtype(
        {
            'names': [f.name for f in cloud.fields],
            'formats': [NUMPY_KIND[f.datatype] for f in cloud.fields],
            'offsets': [f.offset for f in cloud.fields],
            'itemsize': cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data.tobytes(), dtype=record)


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.fixture(scope='module', params=RIGS)
def made(request, tmp_path_factory):
    drive = drive_of(request.param, 0.21)
    path = tmp_path_factory.mktemp('bag') / 'drive.mcap'
    truths = write_vehicle_bag(drive, path, keep_truths=True)
    return drive, truths, read(path)


def test_every_topic_of_the_rig_speaks_with_its_type_and_frame(made):
    drive, _, messages = made
    topics = {('/' + name.lstrip('/')): topic for name, topic in rig_topics(drive.rig).items()}
    silent = {'/fault_injection'}
    silent |= set() if drive.rig.motion_frame else {'/tf'}
    frames = {camera.topic: camera.frame for camera in drive.rig.cameras}
    frames |= {lidar.topic: lidar.frame for lidar in drive.rig.lidars}
    heard = {}
    for topic, msgtype, _, message in messages:
        heard[topic] = msgtype
        if topic[1:] in frames:
            assert message.header.frame_id == frames[topic[1:]]
    free = any(camera.ego_from_camera is None for camera in drive.rig.cameras)
    free |= any(lidar.ego_from_lidar is None for lidar in drive.rig.lidars)
    truths = (TRUTH_DETECTIONS, TRUTH_MAP, TRUTH_OBJECTS, TRUTH_ODOMETRY)
    assert all([heard.pop(topic) for topic in truths])
    assert ('/tf_static' in heard) == free
    expected = {name: topic.msgtype for name, topic in topics.items() if name not in silent}
    assert heard | {'/tf_static': 'tf2_msgs/msg/TFMessage'} == expected


def test_messages_lie_in_the_order_of_arrival_under_their_own_stamps(made):
    drive, _, messages = made
    logs = [log for _, _, log, _ in messages]
    assert logs == sorted(logs)
    for event in drive.events:
        if event.kind is Kind.SWEEP or event.kind is Kind.IMAGE:
            topic = next(s.topic for s in drive.rig.sensors if s.name == event.source)
            mine = [(stamp_of(m), log) for name, _, log, m in messages if name == f'/{topic}']
            assert (event.stamp_ns, event.log_ns) in mine
            assert event.log_ns >= event.stamp_ns


def test_images_and_calibrations_are_those_of_the_drive(made):
    drive, _, messages = made
    for camera in drive.rig.cameras:
        lens = drive.mounts.cameras[camera.name]
        image = next(m for name, _, _, m in messages if name == f'/{camera.topic}')
        if camera.transport is Transport.RAW:
            pixels = image.data.reshape(image.height, image.step)[:, : 3 * image.width]
            pixels = pixels.reshape(image.height, image.width, 3)
            assert image.encoding == 'rgb8'
        else:
            pixels = cv2.cvtColor(cv2.imdecode(image.data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        event = next(e for e in drive.events if e.source == camera.name)
        assert pixels.shape == (lens.height, lens.width, 3)
        assert np.abs(pixels.astype(int) - drive.view(event).pixels).mean() < 7
        if camera.info_topic:
            info = next(m for name, _, _, m in messages if name == f'/{camera.info_topic}')
            assert np.array_equal(info.k.reshape(3, 3), lens.intrinsics)
            assert info.distortion_model == lens.distortion_model.value
            assert np.array_equal(info.d, lens.distortion if len(lens.distortion) else np.zeros(5))


def test_clouds_have_the_fields_that_the_rig_file_names(made):
    drive, _, messages = made
    for lidar in drive.rig.lidars:
        cloud = next(m for name, _, _, m in messages if name == f'/{lidar.topic}')
        points = records(cloud)
        event = next(e for e in drive.events if e.source == lidar.name)
        sweep, _ = drive.sweep(event)
        assert np.array_equal(points['x'], sweep.xyz[:, 0])
        assert np.array_equal(points['ring'], sweep.ring)
        scaled = points['intensity'] * lidar.intensity_scale
        assert np.allclose(scaled, sweep.intensity, rtol=1e-6) and scaled.max() > 50
        time = lidar.point_time
        scale = {'s': 1.0, 'us': 1e-6, 'ns': 1e-9}[time.unit.value]
        lag = points[time.field].astype(np.float64) * scale
        lag -= stamp_of(cloud) * 1e-9 if time.absolute else 0.0
        assert np.allclose(lag, sweep.lag, atol=1e-6)
        assert lag.min() < -0.5 / lidar.rate_hz


def test_the_truth_is_at_the_stamps_of_the_first_lidar_or_camera(made):
    drive, truths, messages = made
    source = (*drive.rig.lidars, *drive.rig.cameras)[0].name
    stamps = [event.stamp_ns for event in drive.events if event.source == source]
    arrays = [m for name, _, _, m in messages if name == TRUTH_DETECTIONS]
    assert [stamp_of(m) for m in arrays] == stamps == sorted(truths)
    for stamp, array in zip(stamps, arrays, strict=True):
        truth = truths[stamp]
        shown = (truth.num_lidar_pts > 0) | (truth.visibility > 0)
        assert len(array.detections) == shown.sum() > 3
        assert np.allclose([d.center.x for d in array.detections], truth.boxes[shown, 0])
    if drive.rig.cameras:
        assert truths[stamps[-1]].visibility.max() > 0.9
    if drive.rig.lidars:
        assert truths[stamps[-1]].num_lidar_pts.max() > 10


def test_equal_seeds_give_equal_bytes_for_any_number_of_workers(tmp_path):
    drive = drive_of('two_lidars', 0.3)
    alone = [message for messages in VehicleBag(drive, 1) for message in messages]
    shared = [message for messages in VehicleBag(drive_of('two_lidars', 0.3), 2)
              for message in messages]  # fmt: skip
    assert alone == shared and len(alone) > 60
    other = [
        message
        for messages in VehicleBag(drive_of('two_lidars', 0.3, seed=4), 1)
        for message in messages
    ]
    sensors = ('/points', 'image_rect/compressed', '/odom', '/ground_truth/detections')
    mine, theirs = ({m.cdr for m in ms if m.topic.endswith(sensors)} for ms in (alone, other))
    assert len(mine) > 20 and not mine & theirs


@pytest.mark.parametrize('workers', [1, 2])
def test_images_left_out_are_missing_and_change_nothing_else(workers):
    drive = drive_of('two_lidars', 0.3)
    images = [i for i, event in enumerate(drive.events) if event.kind is Kind.IMAGE]
    gone = frozenset(images[1::2])
    whole = list(VehicleBag(drive, 1))
    part = list(VehicleBag(drive, workers, left_out=gone))
    first = len(whole) - len(drive.events)
    truth = '/ground_truth'
    for index, (all_of_it, rest) in enumerate(zip(whole, part, strict=True), start=-first):
        kept = () if index in gone else all_of_it
        assert [m for m in rest if not m.topic.startswith(truth)] == [
            m for m in kept if not m.topic.startswith(truth)
        ]
    assert len(gone) == 3


def test_odometry_and_tf_say_where_the_vehicle_is(tmp_path):
    drive = drive_of('lidar_only', 0.3)
    odometry = [m for ms in VehicleBag(drive_of('nuscenes_like', 0.3, 'simultaneous'), 1)
                for m in ms if m.topic == '/odom']  # fmt: skip
    assert len(odometry) == 3
    message = wire.deserialize(odometry[0].cdr, odometry[0].msgtype)
    assert (message.header.frame_id, message.child_frame_id) == ('odom', 'base_link')
    assert message.pose.covariance[0] == pytest.approx(0.01**2)
    transforms = [wire.deserialize(m.cdr, m.msgtype).transforms[0]
                  for ms in VehicleBag(drive, 1) for m in ms if m.topic == '/tf']  # fmt: skip
    assert len(transforms) == 30
    for transform in transforms:
        t = (stamp_of(transform) - drive.start_ns) * 1e-9
        place = transform.transform.translation
        truth = drive.odometry.true_pose(t)[:3, 3]
        assert np.allclose((place.x, place.y, place.z), truth, atol=0.06)


@pytest.mark.parametrize(
    'words',
    [('--seed', '-5'), ('--timing', 'none_such'), ('--drive', 'none_such'), ('--seconds', '0')],
)
def test_a_wrong_word_on_the_command_line_is_refused(words, tmp_path):
    out = tmp_path / 'drive.mcap'
    done = CliRunner().invoke(app, ['simulate', str(out), *words])
    assert done.exit_code != 0 and not out.exists()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert 'none_such' in str(done.exception)  # `main` makes one line and code 2 of it


def test_simulate_writes_the_bag_of_a_rig_file(tmp_path):
    out = tmp_path / 'drive.mcap'
    rig = resource_path('config/rigs/lidar_only.yaml')
    words = ['simulate', str(out), '--rig', str(rig), '--seconds', '0.2', '--workers', '1']
    assert CliRunner().invoke(app, words).exit_code == 0
    assert sum(name == '/LIDAR_TOP/points' for name, *_ in read(out)) == 4
