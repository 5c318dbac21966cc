from __future__ import annotations

import dataclasses
import io
from collections import Counter

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.cli.app import app
from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.lab.demo import run
from metabev_ros.lab.demo.moment import sample_at
from metabev_ros.lab.demo.run import HELD_OUT_SEED, DemoConfig, run_demo
from metabev_ros.lab.demo.targets import drive_seconds
from metabev_ros.lab.demo.world import (
    TrueMotion,
    make_drive,
    planned_arrivals,
    unsent_images,
    vehicle_drive,
)
from metabev_ros.lab.simulation import building, embree
from metabev_ros.lab.simulation.vehicle import StreetVehicleDrive
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, DEFAULT_RIG, resource_path
from metabev_ros.structures import Modality

SEED, LIDAR_RIG = 900_321, 'config/rigs/lidar_only.yaml'


@pytest.fixture(scope='module')
def drive():
    return vehicle_drive(resource_path(DEFAULT_RIG), SEED, 0.6, World.BOXES)


@pytest.fixture(scope='module')
def written(drive, tmp_path_factory):
    path, seen = tmp_path_factory.mktemp('demo') / 'drive.mcap', []
    truths = make_drive(path, drive, 2, lambda done, total: seen.append((done, total)))
    return path, truths, seen


@pytest.fixture(scope='module', params=World)
def whole(request):
    """The drive of the demonstration itself; nothing of it is rendered."""
    seconds = drive_seconds(DemoConfig().plan)
    return vehicle_drive(resource_path(DEFAULT_RIG), HELD_OUT_SEED, seconds, request.param)


def test_the_vehicle_of_the_demonstration_drives_and_turns(whole):
    times = np.arange(0.0, whole.seconds, 0.1)
    twists = np.array([whole.ego.velocity(float(t)) for t in times])
    street = isinstance(whole, StreetVehicleDrive)  # in a town traffic says how fast
    assert (6.0 if street else 14.5) <= twists[:, 0].max() <= 15.0
    turned = np.degrees(np.abs(np.diff(whole.ego.planar(times)[:, 2])).sum())
    assert turned > 150 and np.abs(twists[:, 2]).max() > 0.3
    noise = whole.config.odometry
    assert noise.position > 0 and noise.velocity > 0 and noise.drift > 0


def test_no_camera_of_the_demonstration_is_simultaneous_with_the_sweeps(whole):
    arrivals = planned_arrivals(whole)
    sweeps = np.array(sorted(arrivals['LIDAR_TOP']))
    assert np.diff(sweeps).mean() == pytest.approx(50e6)
    firsts = set()
    for camera in whole.rig.cameras:
        stamps = np.array(sorted(arrivals[camera.name]))
        assert np.diff(stamps).mean() == pytest.approx(1e9 / 12, rel=1e-3)
        firsts.add(int(stamps[0] % 50_000_000))
        ways = np.array([arrivals[camera.name][int(stamp)] - stamp for stamp in stamps])
        assert ways.min() >= 20e6 and ways.std() > 0.5e6  # latency and jitter
    assert len(firsts) == len(whole.rig.cameras)


def test_only_images_that_nobody_could_receive_are_not_rendered(drive, tmp_path):
    plan = DemoConfig().plan
    faults = (
        dataclasses.replace(plan.named('two_cameras'), begin=0.0, end=0.55),
        dataclasses.replace(plan.named('lidar'), begin=0.0, end=0.55),
        dataclasses.replace(plan.named('frozen'), begin=0.0, end=0.55),
    )
    gone = unsent_images(drive, dataclasses.replace(plan, faults=faults))
    dead = {'CAM_FRONT', 'CAM_BACK'}
    assert {drive.events[index].source for index in gone} == dead
    due = [(drive.events[index].log_ns - drive.start_ns) * 1e-9 for index in gone]
    assert min(due) > 0.2 and max(due) < 0.35
    make_drive(tmp_path / 'drive.mcap', drive, 1, left_out=gone)
    names = {f'/{camera.topic}': camera.name for camera in drive.rig.cameras}
    sent = Counter(names.get(message.topic) for message in BagReader(tmp_path / 'drive.mcap'))
    whole = Counter(e.source for e in drive.events if e.source in names.values())
    missing = Counter(drive.events[index].source for index in gone)
    assert {name: sent[name] for name in whole} == {n: whole[n] - missing[n] for n in whole}


def test_messages_lie_in_the_bag_when_they_arrive_not_when_they_were_measured(drive, written):
    path, _, seen = written
    assert seen[-1] == (len(drive.events), len(drive.events))
    arrivals, found = planned_arrivals(drive), 0
    names = {f'/{sensor.topic}': sensor.name for sensor in drive.rig.sensors}
    for message in BagReader(path):
        if message.topic in names:
            stamp = wire.read_stamp(message.cdr)
            assert arrivals[names[message.topic]][stamp] == message.log_time_ns > stamp
            found += 1
    assert found == sum(map(len, arrivals.values()))


def test_there_is_truth_at_every_sweep_and_between_two_of_them(drive, written):
    _, truths, _ = written
    stamp = sorted(planned_arrivals(drive)['LIDAR_TOP'])[4]
    before, after = truths.at(stamp), truths.at(stamp + 50_000_000)
    between = truths.at(stamp + 25_000_000)
    assert before.num_lidar_pts.sum() and before.visibility.sum()
    shared = [set(truth.track_ids.tolist()) for truth in (before, between, after)]
    for track in set.intersection(*shared):
        centres = [truth.boxes[truth.track_ids == track][0, :2] for truth in (before, between,
                                                                             after)]  # fmt: skip
        middle = (centres[0] + centres[2]) / 2
        np.testing.assert_allclose(centres[1], middle, atol=0.05)
    seen = dict(zip(before.track_ids.tolist(), before.visibility.tolist(), strict=True))
    assert all(
        share == pytest.approx(seen.get(track, 0.0))
        for track, share in zip(
            between.track_ids.tolist(), between.visibility.tolist(), strict=True
        )  # fmt: skip
    )
    assert truths.at(stamp + 10_000_000_000) is None


def test_true_motion_leads_a_standing_point_from_one_instant_to_another(drive):
    motion, stamp = TrueMotion(drive), drive.start_ns + 200_000_000
    ahead = motion.between(stamp, stamp + 100_000_000)
    speed = motion.twist(stamp)[0]
    assert speed > 3 and ahead[0, 3] == pytest.approx(0.1 * speed, rel=0.05)
    np.testing.assert_allclose(motion.between(stamp, stamp), np.eye(4), atol=1e-12)


def test_an_instant_of_the_drive_becomes_a_sample_of_all_sensors(drive, written):
    path, _, _ = written
    pipeline = Pipeline.load(resource_path(DEFAULT_MODEL), threads=1)
    stamp = sorted(planned_arrivals(drive)['LIDAR_TOP'])[8]
    sample = sample_at(path, pipeline, drive.rig, SensingConfig(), stamp)
    assert sample.stamp_ns == stamp and sample.modality is Modality.FUSED
    assert all(image is not None for image in sample.cameras.values())


def test_the_demonstration_can_be_driven_through_streets(tmp_path):
    drive = vehicle_drive(resource_path(LIDAR_RIG), SEED, 0.15, World.STREETS)
    truths = make_drive(tmp_path / 'drive.mcap', drive, 1)
    motion, stamp = TrueMotion(drive), drive.start_ns + 50_000_000
    assert truths.at(stamp).num_lidar_pts.sum() and truths.at(stamp + 20_000_000) is not None
    moved = motion.between(stamp, stamp + 50_000_000)
    assert moved[0, 3] == pytest.approx(0.05 * motion.twist(stamp)[0], abs=0.02)
    assert motion.between(drive.start_ns, stamp)[2, 2] == pytest.approx(1, abs=1e-3)


def test_without_embree_the_demonstration_says_in_one_line_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(embree, 'library_path', lambda: None)
    monkeypatch.setattr(building, 'library', embree.open_library)
    config = DemoConfig(tmp_path, model_dir=resource_path('models/metabev_nano'))
    with pytest.raises(MissingDependencyError, match='embreex.*--world boxes') as raised:
        run_demo(config, Console(file=io.StringIO()))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('words', 'world'), [((), World.STREETS), (('--world', 'boxes'), World.BOXES)]
)
def test_the_demonstration_drives_through_streets_unless_told_otherwise(
    tmp_path, monkeypatch, words, world
):
    asked: list[DemoConfig] = []
    monkeypatch.setattr(run, 'run_demo', lambda config, console: asked.append(config) or True)
    done = CliRunner().invoke(app, ['demo', '--out', str(tmp_path), *words])
    assert done.exit_code == 0, done.output
    expected = [(world, None, HELD_OUT_SEED)]  # no model named: that of the world
    assert [(config.world, config.model_dir, config.seed) for config in asked] == expected
    assert DemoConfig().world is World.STREETS


def test_a_world_that_may_have_been_trained_on_is_refused():
    with pytest.raises(ConfigError, match='held-out'):
        DemoConfig(seed=100_100)
