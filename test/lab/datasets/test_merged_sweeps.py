"""Several sweeps of a drive are the same points in training, in replay and on the vehicle."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.lab.datasets.samples import SyntheticSamples, sample_from_frames
from metabev_ros.lab.datasets.sweeps import frames_before, merged_sweep
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive, write_bag
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd

SMALL = DriveConfig(frames=6, rate_hz=20, image_width=64, image_height=32, lidar_azimuths=90)
SEED, SWEEPS = 4, 4


@pytest.fixture(scope='module')
def drive() -> list:
    return list(SyntheticDrive(SEED, SMALL))


@pytest.fixture(scope='module')
def replayed(drive, tmp_path_factory) -> list:
    """The samples that the front end makes of the drive's bag."""
    bag = write_bag(SyntheticDrive(SEED, SMALL), tmp_path_factory.mktemp('bag') / 'drive.mcap')
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    end = SensorFrontEnd(rig, SensingConfig(), lambda p, c: (p, c), sweeps=SWEEPS)
    wanted = {topic.lstrip('/'): kind for topic, kind in end.subscriptions().items()}
    samples = []
    for message in BagReader(bag):
        if message.topic.lstrip('/') in wanted:
            content = wire.deserialize(message.cdr, message.msgtype)
            samples += end.push(message.topic, content, message.log_time_ns)
    return samples


def test_a_sample_of_the_bag_holds_the_points_that_training_sees_bit_for_bit(drive, replayed):
    assert len(replayed) == len(drive)
    for index in (1, 3, 5):
        trained = merged_sweep(drive[max(0, index - SWEEPS + 1) : index + 1], SWEEPS)
        found = replayed[index].sweep
        assert found.points.tobytes() == trained.points.tobytes()
        assert np.array_equal(found.ego_from_lidar, trained.ego_from_lidar)


def test_the_label_says_how_many_sweeps_are_missing(replayed):
    lidar = [sample.sensors[-1] for sample in replayed]
    assert lidar[0].reason == '3 of 4 sweeps missing' and lidar[-1].reason == ''


def test_every_point_knows_how_long_ago_it_was_measured(drive):
    lags = merged_sweep(drive, SWEEPS).points[:, 4]
    assert sorted(set(np.round(lags, 4).tolist())) == pytest.approx([0, 0.05, 0.1, 0.15])


def test_one_sweep_is_the_frame_itself(drive):
    sweep = merged_sweep(drive[-1:], 1)
    assert sweep.points is drive[-1].points and sweep.ego_from_lidar is drive[-1].ego_from_lidar


def test_samples_of_a_model_with_several_sweeps_hold_the_frames_before_them(drive):
    samples = SyntheticSamples((SEED,), 2, SMALL, first=3, stride=2, sweeps=SWEEPS)
    for labelled, index in zip(samples, (3, 5), strict=True):
        expected = sample_from_frames(
            frames_before(SyntheticDrive(SEED, SMALL), index, SWEEPS), sweeps=SWEEPS
        )
        assert labelled.sample.sweep.points.tobytes() == expected.sweep.points.tobytes()
        before = drive[max(0, index - SWEEPS) : index]
        earlier = labelled.earlier(50).sweep.points
        assert earlier.tobytes() == merged_sweep(before, SWEEPS).points.tobytes()
