"""The timing of real vehicles, through the whole front end, with a fake clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import rig_messages
from support.fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    NUSCENES_OFFSETS,
    SENSORS,
    T0,
    camera_info,
    cloud,
    image_number,
    numbered_image,
    odometry,
    play,
    report,
    rig,
    ring,
    set_up,
    tf_message,
    transform,
)

from metabev_ros.bags import BagWriter
from metabev_ros.config import ModelConfig, SensingConfig, load_config
from metabev_ros.geometry import rotation_to_quaternion
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.datasets.synthetic.rig import camera_calibrations
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, SensorState

SECOND = 10**9
SPEED = 15.0  # m/s
MODEL = 'models/metabev_nano'


def at_rates(camera_hz: float, lidar_hz: float, changes=None):
    """The test rig at other rates; `changes`: sensor -> fields that differ."""
    base, changes = rig(), changes or {}
    cameras = [replace(c, rate_hz=camera_hz, **changes.get(c.name, {})) for c in base.cameras]
    lidar = replace(base.lidars[0], rate_hz=lidar_hz, **changes.get(LIDAR, {}))
    return replace(base, cameras=tuple(cameras), lidars=(lidar,))


def stream(name: str, rate: float, seconds: float, offset_ms: float = 0, latency_ms: float = 5):
    """[(arrival, stamp, topic, number)] of one sensor."""
    topic = 'lidar/points' if name == LIDAR else f'{name}/image'
    stamps = [
        T0 + round(offset_ms * MS + k * 1e9 / rate) for k in range(int(seconds * rate))
    ]  # fmt: skip
    return [(at + round(latency_ms * MS), at, topic, k) for k, at in enumerate(stamps)]


def drive(camera_hz: float, lidar_hz: float, seconds: float, offsets=None, latency_ms: float = 5):
    found = stream(LIDAR, lidar_hz, seconds, latency_ms=10)
    for name in CAMERAS:
        offset = (offsets or NUSCENES_OFFSETS)[name]
        found += stream(name, camera_hz, seconds, offset, latency_ms)
    return sorted(found)


def message(topic: str, number: int, stamp: int):
    name = topic.split('/')[0]
    return cloud(ring(number), stamp) if name == LIDAR else numbered_image(number, stamp, name)


def events(measured, arrive=lambda t: t, say=lambda name, t: t):
    """Messages of what was measured; `arrive` and `say` bend the clocks, seconds since T0."""
    found = []
    for arrival, at, topic, number in measured:
        said = T0 + round(say(topic.split('/')[0], (at - T0) / 1e9) * 1e9)
        came = T0 + round(arrive((arrival - T0) / 1e9) * 1e9)
        found.append((came, topic, message(topic, number, said)))
    return sorted(found, key=lambda event: event[0])


def new_end(rig_config, config: SensingConfig | None = None) -> SensorFrontEnd:
    return set_up(
        SensorFrontEnd(rig_config, config or SensingConfig(), lambda pixels, lens: (pixels, lens))
    )


def cameras_in(sample) -> int:
    return sum(image is not None for image in sample.cameras.values())


# ------------------------------------------------------------------------------- rates and phases
def test_at_15_metres_a_second_with_noisy_odometry_every_sample_has_six_cameras():
    """nuScenes: cameras at 12 Hz, up to 43 ms before the sweeps, which come at 20 Hz."""
    config = load_config(ModelConfig, resource_path(f'{MODEL}/config.yaml'))
    preprocess, noise = Preprocessor(config), np.random.default_rng(5)
    end = SensorFrontEnd(at_rates(12, 20), SensingConfig(), preprocess.prepare_image)
    mounts = camera_calibrations(DriveConfig()).values()
    poses = {n: mount.ego_from_camera for n, mount in zip(CAMERAS, mounts, strict=True)}
    begin = T0 - 500 * MS
    links = [transform('base_link', LIDAR)]
    links += [
        transform('base_link', name, pose[:3, 3], rotation_to_quaternion(pose[:3, :3]))
        for name, pose in poses.items()
    ]
    end.push('/tf_static', tf_message(*links), begin)
    for name in CAMERAS:
        end.push(f'{name}/camera_info', camera_info(name, ns=begin), begin)
    found = events(drive(12, 20, 4))
    for k in range(-10, 200):
        at = T0 + k * 20 * MS
        x = SPEED * (at - T0) / 1e9 + noise.normal(0, 0.01)
        found.append((at + 2 * MS, 'odom', odometry(at, x, noise.normal(0, 0.001))))
    out = [s for t, s in play(end, sorted(found, key=lambda e: e[0])) if t < T0 + 3.8 * SECOND]
    fused = [s for s in out[10:] if s.modality is Modality.FUSED]
    assert len(fused) >= 60
    assert sum(cameras_in(s) == 6 for s in fused) >= 0.99 * len(fused)
    for sample in fused[::10]:
        assert preprocess(sample) is not None
        for name, image in sample.cameras.items():
            age = (sample.stamp_ns - image.stamp_ns) / 1e9
            moved = image.calibration.ego_from_camera[0, 3] - poses[name][0, 3]
            assert moved == pytest.approx(-SPEED * age, abs=0.08)


def test_with_a_lidar_twice_as_fast_every_sample_has_six_cameras_and_says_their_ages():
    out = play(new_end(at_rates(10, 20)), events(drive(10, 20, 3)))
    settled = [s for t, s in out if T0 + SECOND <= t <= T0 + 2.9 * SECOND]
    assert len(settled) >= 35
    for sample in settled:
        assert sample.modality is Modality.FUSED and cameras_in(sample) == 6
        for name in CAMERAS:
            number = image_number(sample.cameras[name].pixels)
            sent = T0 + NUSCENES_OFFSETS[name] * MS + number * 100 * MS
            assert report(sample, name).age_ns == sample.stamp_ns - sent
    ages = {round(report(s, 'cam5').age_ns / MS) for s in settled}
    assert ages == {1, 51}


def test_cameras_50_ms_before_the_sweep_are_all_used():
    offsets = dict.fromkeys(CAMERAS, -50)
    out = play(new_end(at_rates(10, 10)), events(drive(10, 10, 4, offsets, latency_ms=25)))
    settled = [s for t, s in out if T0 + SECOND <= t <= T0 + 3.8 * SECOND]
    assert len(settled) >= 25
    assert {cameras_in(sample) for sample in settled} == {6}


# ------------------------------------------------------------------------------------- the clock
def after(moment: float, seconds: float):
    """A clock that goes wrong by so much at a moment."""
    return lambda t: t + seconds if t >= moment else t


# how the clocks are bent; from when on outputs are asked for; whether a new epoch begins; whether
# the sensors keep their rate
BENT = {
    'a pause of two seconds in a bag that is played without its clock, or the clock of the node '
    'two seconds ahead under stamps of PTP': ({'arrive': after(3, 2.0)}, 5.0, True, True),
    'four steps back of 0.3 s': (
        {'say': lambda _, t: t - 0.3 * sum(t >= step for step in (3, 4, 5, 6))},
        6.0,
        False,
        True,
    ),
    'a bag that is played at half its rate': ({'arrive': lambda t: 2 * t}, 0.0, False, False),
}


@pytest.mark.parametrize('how', BENT)
def test_outputs_return_within_a_second_when_the_lag_of_all_sensors_has_grown(how):
    bend, moment, begins, keeps_rate = BENT[how]
    end = new_end(at_rates(10, 10))
    out = play(end, events(drive(10, 10, 9), **bend))
    last = max(arrival for arrival, *_ in events(drive(10, 10, 9), **bend))
    wanted = [(t, s) for t, s in out if s.modality is Modality.FUSED or not keeps_rate]
    times = [t for t, _ in wanted if t >= T0 + moment * SECOND]
    times = [T0 + round(moment * 1e9), *times, last]
    assert max(np.diff(times)) <= 1.1 * SECOND
    epochs = [sample.epoch for _, sample in out]
    assert epochs == sorted(epochs)
    assert (epochs[-1] > 0) == begins
    for epoch in set(epochs):
        stamps = [s.stamp_ns for _, s in out if s.epoch == epoch]
        assert all(np.diff(stamps) > 0)


def test_a_bag_that_is_played_at_half_its_rate_stays_fused():
    """Its sweeps come every 200 ms, which is their pace then: the LiDAR goes on leading."""
    out = play(new_end(at_rates(10, 10)), events(drive(10, 10, 5), arrive=lambda t: 2 * t))
    settled = [s for t, s in out if T0 + 2 * SECOND <= t <= T0 + 9 * SECOND]
    fused = sum(s.modality is Modality.FUSED and cameras_in(s) == 6 for s in settled)
    assert fused >= 0.9 * len(settled) > 20


@pytest.mark.parametrize('name', [LIDAR, 'cam2'])
def test_one_prompt_message_costs_one_message(name):
    """All stamps are 1.5 s old; a single one is current."""
    measured = [item for item in drive(10, 10, 6) if item[2].split('/')[0] in SENSORS]
    found = events(measured, arrive=lambda t: t + 1.5)
    k = next(i for i, e in enumerate(found) if e[0] >= T0 + 4 * SECOND and name in e[1])
    arrival, topic, _ = found[k]
    found[k] = (arrival, topic, message(topic, 999, arrival - 5 * MS))
    end = new_end(at_rates(10, 10))
    out = play(end, found)
    late = [s for t, s in out if T0 + 4.3 * SECOND <= t <= T0 + 7.2 * SECOND]
    assert len(late) >= 26
    assert sum(cameras_in(s) == 6 and s.modality is Modality.FUSED for s in late) >= len(late) - 1
    assert {s.epoch for s in late} == {0}


@pytest.mark.parametrize('name', [LIDAR, 'cam2'])
def test_one_sensor_that_becomes_old_stays_refused_alone(name):
    def say(who, t):
        return t - 3 if who == name and t >= 2 else t

    out = play(new_end(at_rates(10, 10)), events(drive(10, 10, 8), say=say))
    late = [s for t, s in out if T0 + 3 * SECOND <= t <= T0 + 7.8 * SECOND]
    assert len(late) >= 40
    for sample in late:
        assert not report(sample, name).used
        assert sum(report(sample, other).used for other in SENSORS) == len(SENSORS) - 1
        assert sample.epoch == 0


# ---------------------------------------------------------------------------------- time offsets
TAI = 37.0


@pytest.mark.parametrize('name', [LIDAR, 'cam2'])
@pytest.mark.parametrize(
    'fields',
    [{'time_offset': -TAI}, {'estimate_time_offset': True}],
    ids=['constant', 'estimated'],
)
def test_a_sensor_on_another_clock_is_used_with_its_offset_in_the_rig_file(name, fields):
    def say(who, t):
        return t + TAI if who == name else t

    end = new_end(at_rates(10, 10, {name: fields}))
    found = events(drive(10, 10, 6), say=say)
    out = play(end, found, until=found[-1][0])
    settled = [s for t, s in out if T0 + 3 * SECOND <= t <= T0 + 5.8 * SECOND]
    assert len(settled) >= 25
    for sample in settled:
        assert all(report(sample, other).used for other in SENSORS)
        assert abs(report(sample, 'cam2').age_ns - 28 * MS) <= 20 * MS
    if 'estimate_time_offset' in fields:
        said = {r.name: r.reason for r in end.reports(found[-1][0])}
        assert said[name] == 'time offset -37.000 s, measured at the start'


def test_a_sensor_on_another_clock_is_invalid_without_its_offset():
    def say(who, t):
        return t + TAI if who == LIDAR else t

    out = play(new_end(at_rates(10, 10)), events(drive(10, 10, 4), say=say))
    settled = [s for t, s in out if t >= T0 + 3 * SECOND]
    assert settled
    for sample in settled:
        assert sample.modality is Modality.CAMERA
        assert report(sample, LIDAR).state is SensorState.INVALID


# ------------------------------------------------------------------------------------- short bags
def short_bag(path):
    with BagWriter(path / 'in.mcap') as writer:
        rig_messages.write_drive(writer, 4, skip=lambda sensor, _: sensor == rig_messages.LIDAR)


@pytest.mark.parametrize('lidars', [(), rig_messages.rig().lidars], ids=['none', 'silent'])
def test_a_short_bag_of_cameras_alone_gives_output_or_says_why_not(lidars, tmp_path):
    short_bag(tmp_path)
    config = replace(rig_messages.rig(), lidars=lidars)
    paths = tmp_path / 'in.mcap', tmp_path / 'out.mcap', resource_path(MODEL)
    summary = replay_bag(*paths, config, SensingConfig())
    if lidars:
        assert 'sensing.start_timeout' in summary.hint
        summary = replay_bag(*paths, config, SensingConfig(start_timeout=0.2))
    assert set(summary.outputs) == {'CAMERA'}
    assert summary.outputs['CAMERA'] >= 2
