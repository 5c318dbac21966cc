"""When a drive's sensors measure, and when that arrives."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.presets import find_drive, find_timing
from metabev_ros.lab.datasets.synthetic.timing import (
    Kind,
    NamedTiming,
    Phases,
    SensorTiming,
    TimingConfig,
    schedule,
)
from metabev_ros.lab.datasets.synthetic.vehicle_config import (
    CameraMount,
    LidarMount,
    OdometryNoise,
    VehicleConfig,
)
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.structures import DistortionModel

RIG = load_config(RigConfig, resource_path(DEFAULT_RIG))
START = 1_700_000_000_000_000_000
BEARINGS = {mount.name: np.deg2rad(mount.yaw) for mount in find_drive('nuscenes_like').cameras}
LAST = {'LIDAR_TOP': np.deg2rad(106.4)}


def events_of(timing: TimingConfig, seconds: float = 3.0, seed: int = 4):
    return schedule(RIG, timing, BEARINGS, LAST, seed, seconds, START)


def stamps(events, source: str) -> np.ndarray:
    found = [
        e.stamp_ns - START for e in sorted(events, key=lambda e: e.index) if e.source == source
    ]
    return np.array(found)


def test_the_default_has_the_rates_of_the_rig_file():
    events = events_of(find_timing('nuscenes'))
    for source, period in [(c.name, 1 / 12) for c in RIG.cameras] + [
        ('LIDAR_TOP', 0.05),
        ('odometry', 0.02),
        ('tf', 0.01),
    ]:
        times = stamps(events, source)
        assert np.abs(np.diff(times) - period * 1e9).max() <= 1, source
        assert len(times) in (int(3 / period), int(3 / period) + 1), source


def test_cameras_expose_when_the_sweep_passes_as_in_nuscenes():
    """The lags are those of a keyframe of nuScenes, in milliseconds before the sweep."""
    events = events_of(find_timing('nuscenes'))
    sweeps = stamps(events, 'LIDAR_TOP')
    known = {
        'CAM_FRONT_LEFT': 43.1,
        'CAM_FRONT': 35.5,
        'CAM_FRONT_RIGHT': 27.5,
        'CAM_BACK_RIGHT': 20.1,
        'CAM_BACK': 10.4,
        'CAM_BACK_LEFT': 0.5,
    }
    for name, lag in known.items():
        # 12 Hz against 20 Hz: three lags take turns, the one of nuScenes among them.
        lags = ((sweeps[0] - stamps(events, name)) * 1e-6) % 50
        assert abs(lags - lag).min() < 1.0, name
        assert lags.max() < 44.5 and len(np.unique(lags.round(3))) == 3, name


def test_at_once_means_at_once():
    events = events_of(find_timing('simultaneous'))
    for name in (*RIG.sensor_names, 'odometry', 'tf'):
        assert np.array_equal(stamps(events, name), np.arange(30) * 100_000_000), name
    assert all(event.log_ns == event.stamp_ns for event in events)


def test_free_sensors_have_phases_and_rates_of_their_own():
    events = events_of(find_timing('free_running'), seconds=20.0)
    firsts = {stamps(events, name)[0] for name in RIG.sensor_names}
    steps = {int(np.diff(stamps(events, camera.name)).mean()) for camera in RIG.cameras}
    assert len(firsts) == 7 and len(steps) == 6
    assert all(abs(step - 1e9 / 12) < 1.01e-3 * 1e9 / 12 for step in steps)
    other = events_of(find_timing('free_running'), seed=5)
    assert stamps(other, 'CAM_BACK')[0] != stamps(events, 'CAM_BACK')[0]


def test_messages_arrive_late_by_latency_and_jitter_in_the_order_of_their_sensor():
    timing = TimingConfig(
        cameras=SensorTiming(latency=0.03, jitter=0.02), lidars=SensorTiming(latency=0.004)
    )
    events = events_of(timing, seconds=30.0)
    assert [e.log_ns for e in events] == sorted(e.log_ns for e in events)
    late = np.array([e.log_ns - e.stamp_ns for e in events if e.source == 'CAM_FRONT']) * 1e-9
    assert late.min() >= 0.03 and 0.04 < late.mean() < 0.055 and late.std() > 0.008
    assert {e.log_ns - e.stamp_ns for e in events if e.source == 'LIDAR_TOP'} == {4_000_000}
    order = [e.index for e in events if e.source == 'CAM_FRONT']
    assert order == sorted(order)


def test_a_clock_that_is_ahead_moves_the_stamps_and_nothing_else():
    plain = TimingConfig()
    ahead = TimingConfig(sensors=(NamedTiming('LIDAR_TOP', offset=37.0),))
    assert np.array_equal(
        stamps(events_of(ahead), 'LIDAR_TOP'),
        stamps(events_of(plain), 'LIDAR_TOP') + 37_000_000_000,
    )
    for event, other in zip(events_of(ahead), events_of(plain), strict=True):
        assert (event.time_ns, event.log_ns) == (other.time_ns, other.log_ns)


def test_one_sensor_can_differ_from_its_kind():
    timing = TimingConfig(
        Phases.ZERO,
        cameras=SensorTiming(latency=0.01),
        sensors=(NamedTiming('CAM_BACK', rate_hz=5.0, phase=0.02),),
    )
    events = events_of(timing)
    assert stamps(events, 'CAM_BACK').tolist() == [20_000_000 + k * 200_000_000 for k in range(15)]
    assert all(e.log_ns - e.stamp_ns == 10_000_000 for e in events if e.kind is Kind.IMAGE)
    assert len(stamps(events, 'CAM_FRONT')) == 36


def test_a_sensor_that_the_rig_lacks_is_refused():
    with pytest.raises(ConfigError, match='CAM_ROOF'):
        events_of(TimingConfig(sensors=(NamedTiming('CAM_ROOF', latency=0.1),)))


@pytest.mark.parametrize(
    ('make', 'name'),
    [
        (lambda: SensorTiming(latency=-0.1), 'latency'),
        (lambda: SensorTiming(jitter=float('nan')), 'jitter'),
        (lambda: SensorTiming(rate_hz=0.0), 'rate_hz'),
        (lambda: SensorTiming(offset=float('inf')), 'offset'),
        (lambda: SensorTiming(readout=1.0), 'readout'),
        (lambda: TimingConfig(tf=SensorTiming()), 'tf'),
        (lambda: TimingConfig(sensors=(NamedTiming('a'), NamedTiming('a'))), 'sensors'),
        (lambda: CameraMount('a', (0.0, 0.0)), 'position'),
        (lambda: CameraMount('a', (0.0, 0.0, 1.0), focal=0.0), 'focal'),
        (
            lambda: CameraMount(
                'a', (0.0, 0.0, 1.0), distortion_model=DistortionModel.EQUIDISTANT
            ),
            'distortion',
        ),
        (lambda: LidarMount('a', beams=1), 'beams'),
        (lambda: LidarMount('a', lowest=5.0, highest=1.0), 'lowest'),
        (lambda: OdometryNoise(yaw=-1.0), 'yaw'),
        (lambda: VehicleConfig(cruise=90.0), 'cruise'),
        (lambda: VehicleConfig(turn_radius=1.0), 'turn_radius'),
        (lambda: find_timing('no_such_timing'), 'nuscenes'),
        (lambda: find_drive('no_such_drive'), 'nuscenes_like'),
    ],
)
def test_a_wrong_setting_is_named(make, name):
    with pytest.raises(ConfigError, match=name):
        make()


@pytest.mark.parametrize('name', ['nuscenes', 'simultaneous', 'free_running', 'rolling_shutter'])
def test_the_presets_are_valid(name):
    assert len(events_of(find_timing(name))) > 100
