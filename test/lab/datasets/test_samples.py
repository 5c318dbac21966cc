"""Frames become samples; taking sensors away takes them out of everything that names them."""

import numpy as np
import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.samples import (
    SyntheticSamples,
    restrict_to,
    sample_from_frame,
    without_sensors,
)
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.structures import Modality, SensorState

SMALL = DriveConfig(frames=2, rate_hz=0.5, image_width=176, image_height=64, lidar_azimuths=180)


@pytest.fixture(scope='module')
def frame():
    return SyntheticDrive(3, SMALL)[0]


def test_a_frame_becomes_a_fused_sample_with_all_its_data(frame):
    sample = sample_from_frame(frame)
    assert sample.modality is Modality.FUSED and sample.stamp_ns == frame.stamp_ns
    assert sample.used_sensors == (*frame.images, 'LIDAR_TOP')
    assert all(report.state is SensorState.OK and report.age_ns == 0 for report in sample.sensors)
    np.testing.assert_array_equal(sample.sweep.points, frame.points)
    for name, image in sample.cameras.items():
        np.testing.assert_array_equal(image.pixels, frame.images[name])


def test_sensors_follow_the_rigs_order(frame, repo_root):
    rig = load_config(RigConfig, repo_root / 'config' / 'rigs' / 'nuscenes_like.yaml')
    sample = sample_from_frame(frame, rig=rig)
    assert tuple(report.name for report in sample.sensors) == rig.sensor_names
    assert tuple(sample.cameras) == rig.sensor_names[:-1]


def test_images_are_prepared_together_with_their_calibration(frame):
    def half(pixels, calibration):
        return pixels[::2], calibration

    sample = sample_from_frame(frame, half)
    assert {image.pixels.shape for image in sample.cameras.values()} == {(32, 176, 3)}


@pytest.mark.parametrize(
    ('modality', 'cameras', 'lidar'),
    [
        (Modality.FUSED, 6, True),
        (Modality.CAMERA, 6, False),
        (Modality.LIDAR, 0, True),
        (Modality.NONE, 0, False),
    ],
)
def test_a_restricted_sample_holds_and_names_only_its_modality(frame, modality, cameras, lidar):
    sample = restrict_to(sample_from_frame(frame), modality)
    assert sample.modality is modality
    assert sum(image is not None for image in sample.cameras.values()) == cameras
    assert (sample.sweep is not None) == lidar
    assert len(sample.used_sensors) == cameras + lidar
    assert ('LIDAR_TOP' in sample.used_sensors) == lidar
    lost = [report for report in sample.sensors if not report.used]
    assert all(report.state is SensorState.MISSING and report.age_ns is None for report in lost)


def test_losing_two_cameras_keeps_the_sample_fused(frame):
    sample = without_sensors(sample_from_frame(frame), ['CAM_FRONT', 'CAM_BACK'])
    assert sample.modality is Modality.FUSED
    assert sample.cameras['CAM_FRONT'] is None and sample.cameras['CAM_FRONT_LEFT'] is not None
    assert len(sample.used_sensors) == 5


def test_losing_all_cameras_one_by_one_leaves_lidar(frame):
    sample = without_sensors(sample_from_frame(frame), list(frame.images))
    assert sample.modality is Modality.LIDAR


def test_an_unknown_sensor_is_refused(frame):
    with pytest.raises(ConfigError, match='CAM_TOP'):
        without_sensors(sample_from_frame(frame), ['CAM_TOP'])


def test_samples_of_drives_are_numbered_and_repeat_exactly():
    samples = SyntheticSamples((7, 8), 2, SMALL)
    first, again = list(samples), list(samples)
    assert len(samples) == len(first) == 4
    assert [s.source for s in first] == [
        'seed 7 frame 0',
        'seed 7 frame 1',
        'seed 8 frame 0',
        'seed 8 frame 1',
    ]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.sample.sweep.points, two.sample.sweep.points)
        np.testing.assert_array_equal(one.truth.boxes, two.truth.boxes)


@pytest.mark.parametrize('arguments', [((1, 1), 1), ((1,), 3), ((1,), 0)])
def test_repeated_seeds_or_more_frames_than_a_drive_has_are_refused(arguments):
    with pytest.raises(ConfigError):
        SyntheticSamples(*arguments, SMALL)
