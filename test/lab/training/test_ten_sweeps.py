"""Ten sweeps with their time lag reach the network as the vehicle's history merges them."""

import dataclasses

import numpy as np
import pytest
import torch
from support.tiny import PLAIN, TINY

from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, transform_points
from metabev_ros.lab.datasets.sample_record import read_record, write_record
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceFrame, SourceSweep
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.datasets.sweeps import frames_before, merged_sweep
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.sensing.sweeps import SweepHistory, points_in_ego
from metabev_ros.structures import Modality, Sweep

SWEEPS = 10
MODEL = dataclasses.replace(TINY, lidar=dataclasses.replace(TINY.lidar, sweeps=SWEEPS))
PERIOD_NS = 50_000_000
NOW_NS = 1_700_000_000_000_000_000
MOUNT = rigid_transform(rotation_z(-1.57), (0.9, 0.1, 1.8))


def world_from_ego(stamp_ns):
    """A vehicle that drives a bend."""
    t = (stamp_ns - NOW_NS) * 1e-9
    return rigid_transform(rotation_z(0.3 * t), (8.0 * t, 1.5 * t * t, 0.0))


def motion(target_ns, source_ns):
    return inverse_rigid(world_from_ego(target_ns)) @ world_from_ego(source_ns)


def sweeps_of(rng):
    return tuple(
        SourceSweep(
            NOW_NS - k * PERIOD_NS,
            np.concatenate(
                [rng.uniform(-20, 20, (60, 3)), rng.uniform(0, 255, (60, 1)), np.zeros((60, 1))], 1
            ).astype(np.float32),
            rng.uniform(-0.05, 0, 60).astype(np.float32),
            MOUNT,
        )
        for k in range(SWEEPS + 2)
    )


@pytest.fixture(scope='module')
def record():
    [still] = SyntheticDrives(5000, 1, 1).records('0005000', RecordMaker(TINY), frozenset())
    sweeps = sweeps_of(np.random.default_rng(0))
    frame = SourceFrame('t', 's', NOW_NS, (), sweeps, motion, np.eye(4), still.truth, None)
    return RecordMaker(MODEL).make(frame), sweeps


def test_a_record_holds_every_point_where_it_was_in_the_world_and_says_how_long_ago(record):
    """An oracle point by point in float64: sensor -> ego then -> world -> ego now."""
    found, sweeps = record
    assert len(found.points) == SWEEPS * 60
    for k in range(SWEEPS):
        part, sweep = found.points[60 * k : 60 * (k + 1)], sweeps[k]
        np.testing.assert_allclose(part[:, 4], k * 0.05, atol=1e-6)
        assert np.array_equal(part[:, 3], sweep.points[:, 3])
        for i in (0, 17, 59):
            then = sweep.stamp_ns + round(float(sweep.seconds[i]) * 1e9)
            place = transform_points(MOUNT, sweep.points[i : i + 1, :3].astype(float))
            now = inverse_rigid(world_from_ego(NOW_NS)) @ world_from_ego(then)
            np.testing.assert_allclose(part[i, :3], transform_points(now, place)[0], atol=0.01)


def test_training_sees_the_history_of_the_vehicle_bit_for_bit(record, tmp_path):
    found, sweeps = record
    history = SweepHistory(SWEEPS)
    for sweep in reversed(sweeps[:SWEEPS]):
        points, _ = points_in_ego(
            sweep.points, sweep.seconds, sweep.stamp_ns, sweep.ego_from_lidar, motion
        )
        history.add(sweep.stamp_ns, points)
    merged = history.merged(NOW_NS, motion)[0]
    assert found.points.tobytes() == merged.tobytes()
    write_record(tmp_path / 'r.npz', found)
    assert read_record(tmp_path / 'r.npz').points.tobytes() == merged.tobytes()
    samples = TrainingSamples([tmp_path / 'r.npz'], MODEL, PLAIN, CurriculumConfig())
    _, lidar, _ = samples[SampleKey(0, Modality.LIDAR.value, 0, 0, 0)]
    expected = Preprocessor(MODEL).lidar_inputs(Sweep(0, merged, np.eye(4)))
    assert set(lidar) == set(expected)
    assert all(torch.equal(lidar[name], torch.from_numpy(expected[name])) for name in expected)
    one = Preprocessor(TINY).lidar_inputs(Sweep(0, merged[:60], np.eye(4)))
    assert len(expected['pillars']) > len(one['pillars'])


def test_rendered_records_hold_the_sweeps_before_them():
    drives = SyntheticDrives(5000, 1, 4, 20.0)
    records = list(drives.records('0005000', RecordMaker(MODEL), frozenset({'0005000_000'})))
    drive = SyntheticDrive(5000, DriveConfig(frames=4, rate_hz=20.0))
    for index, found in enumerate(records, 1):
        wanted = merged_sweep(frames_before(drive, index, SWEEPS), SWEEPS)
        assert found.points.tobytes() == wanted.points.tobytes()
        assert len(np.unique(found.points[:, 4])) == index + 1
