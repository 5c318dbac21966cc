"""Bags of drives through streets: what the drive says, for any number of workers; replays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.street_drives import event_near, short_drive
from support.traffic_scenes import stored
from typer.testing import CliRunner

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.cli.app import app
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import quaternion_to_rotation
from metabev_ros.lab.datasets.synthetic.bag import TRUTH_DETECTIONS
from metabev_ros.lab.datasets.synthetic.presets import find_drive, find_timing
from metabev_ros.lab.datasets.synthetic.vehicle_bag import VehicleBag, write_vehicle_bag
from metabev_ros.lab.simulation.drives import drive_through
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import DEFAULT_MODEL, resource_path

LIDAR_RIG = 'config/rigs/lidar_only.yaml'
FEW = """
timing: nuscenes
lidars:
  - {name: LIDAR_TOP, position: [0.94, 0.0, 1.84], yaw: -90.0, azimuths: 180, last: 106.4}
"""


def read(path: Path):
    return [(m.topic, m.log_time_ns, wire.deserialize(m.cdr, m.msgtype)) for m in BagReader(path)]


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_equal_seeds_give_equal_bytes_for_any_number_of_workers():
    alone, shared, other = (
        [message for messages in VehicleBag(short_drive(seed), workers) for message in messages]
        for seed, workers in ((39, 1), (39, 2), (40, 1))
    )
    assert alone == shared and len(alone) > 30
    sensors = ('/points', '/image', '/odom', '/ground_truth/detections')
    mine, theirs = ({m.cdr for m in ms if m.topic.endswith(sensors)} for ms in (alone, other))
    assert len(mine) > 10 and not mine & theirs


def test_a_bag_holds_what_the_drive_gives(tmp_path: Path):
    drive = short_drive()
    truths = write_vehicle_bag(drive, tmp_path / 'drive.mcap', keep_truths=True)
    messages = read(tmp_path / 'drive.mcap')
    logs = [log for _, log, _ in messages]
    assert logs == sorted(logs)
    cloud = next(m for topic, _, m in messages if topic == '/side/points')
    sweep, _ = drive.sweep(event_near(drive, 'side', 0.0))
    x = cloud.data.reshape(-1, cloud.point_step)[:, :4].copy().view(np.float32)[:, 0]
    assert np.array_equal(x, sweep.xyz[:, 0]) and len(x) > 100
    image = next(m for topic, _, m in messages if topic == '/plumb/image')
    view = drive.view(event_near(drive, 'plumb', 0.0))
    assert np.array_equal(image.data.reshape(view.pixels.shape), view.pixels)
    info = next(m for topic, _, m in messages if topic == '/plumb/info')
    lens = drive.mounts.cameras['plumb']
    assert np.array_equal(info.d, lens.distortion)
    arrays = [m for topic, _, m in messages if topic == TRUTH_DETECTIONS]
    assert [stamp_of(m) for m in arrays] == sorted(truths)
    for array in arrays:
        truth = truths[stamp_of(array)]
        shown = (truth.num_lidar_pts > 0) | (truth.visibility > 0)
        assert np.allclose([d.center.x for d in array.detections], truth.boxes[shown, 0])
        assert shown.sum() > 3


def test_odometry_and_tf_of_a_bag_carry_height_pitch_and_roll(tmp_path: Path):
    drive = short_drive()
    write_vehicle_bag(drive, tmp_path / 'drive.mcap')
    poses = {}
    for topic, _, message in read(tmp_path / 'drive.mcap'):
        if topic == '/odom':
            pose = message.pose.pose
            poses[stamp_of(message)] = (pose.position, pose.orientation)
        elif topic == '/tf':
            moved = message.transforms[0]
            poses[stamp_of(moved)] = (moved.transform.translation, moved.transform.rotation)
    assert len(poses) > 10
    for stamp, (place, turn) in poses.items():
        truth = drive.odometry.true_pose((stamp - drive.start_ns) * 1e-9)
        assert np.allclose((place.x, place.y, place.z), truth[:3, 3], atol=1e-6)
        assert np.allclose(
            quaternion_to_rotation(turn.x, turn.y, turn.z, turn.w), truth[:3, :3], atol=1e-9
        )
        assert truth[2, 2] < 1.0


def replayed(tmp_path: Path, scene: Path, seconds: float | None = None):
    """The clouds of a bag of recorded traffic, and the summary of its replay."""
    (tmp_path / 'drive.yaml').write_text(FEW)
    bag = tmp_path / 'drive.mcap'
    text = resource_path(LIDAR_RIG).read_text().replace('rate_hz: 20.0', 'rate_hz: 5.0')
    (tmp_path / 'rig.yaml').write_text(text)
    words = ['simulate', str(bag), '--rig', str(tmp_path / 'rig.yaml'), '--traffic', str(scene),
             '--drive', str(tmp_path / 'drive.yaml'), '--workers', '1']  # fmt: skip
    words += [] if seconds is None else ['--seconds', str(seconds)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert 'for evaluation only' in done.output.replace('\n', ' ')
    rig = load_config(RigConfig, tmp_path / 'rig.yaml')
    model = resource_path(DEFAULT_MODEL)
    summary = replay_bag(bag, tmp_path / 'out.mcap', model, rig, SensingConfig())
    assert not summary.is_lossy
    sweeps = [stamp_of(m) for topic, _, m in read(bag) if topic == '/LIDAR_TOP/points']
    found = [m for topic, _, m in read(tmp_path / 'out.mcap') if topic.endswith('/detections')]
    results = [stamp_of(m) for m in found if m.model_hash != 'ground truth']
    return sweeps, results


def test_recorded_traffic_is_replayed_from_start_to_end(tmp_path: Path):
    sweeps, results = replayed(tmp_path, stored(tmp_path))
    assert len(sweeps) == 20  # four seconds
    assert results[-1] == sweeps[-1]
    assert len(results) >= len(sweeps) - 1


@pytest.mark.slow
@pytest.mark.parametrize('name', ['0061', '0553', '0655', '0796', '1100'])
def test_real_traffic_is_replayed_from_start_to_end(tmp_path: Path, shared_data: Path, name: str):
    scene = shared_data / 'nuscenes_mini_traffic' / f'scene-{name}.npz'
    sweeps, results = replayed(tmp_path, scene)
    assert len(sweeps) > 75
    assert results[-1] == sweeps[-1]
    assert len(results) >= len(sweeps) - 1


def test_a_drive_that_is_longer_than_the_recording_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r'at most 4\.0'):
        short_drive(seconds=4.5, traffic=stored(tmp_path))


def test_recorded_traffic_in_a_world_of_boxes_is_refused(tmp_path: Path):
    rig = load_config(RigConfig, resource_path(LIDAR_RIG))
    with pytest.raises(ConfigError, match='streets, where there is recorded traffic'):
        drive_through(World.BOXES, rig, 1, 1.0, find_drive('lidar_only'), find_timing('nuscenes'),
                      tmp_path / 'scene.npz')  # fmt: skip


def test_simulate_drives_through_streets_where_it_is_told_to(tmp_path: Path):
    """The default world of a drive as short as this one is an empty one."""
    (tmp_path / 'drive.yaml').write_text(FEW)
    bag = tmp_path / 'drive.mcap'
    words = ['simulate', str(bag), '--rig', str(resource_path(LIDAR_RIG)), '--seconds', '0.15',
             '--world', 'streets', '--drive', str(tmp_path / 'drive.yaml'),
             '--workers', '1']  # fmt: skip
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    turns = [m.transforms[0].transform.rotation for topic, _, m in read(bag) if topic == '/tf']
    assert any(abs(turn.y) > 1e-6 for turn in turns)  # of no flat world
