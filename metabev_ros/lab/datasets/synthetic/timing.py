"""Times at which the sensors of a drive measure, and at which their messages arrive."""

from __future__ import annotations

import enum
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.config.yaml import require


class Phases(enum.Enum):
    """Choice of the phase at which a sensor starts that has none of its own."""

    ZERO = 'zero'  # all at once
    SWEPT = 'swept'  # a camera when the first LiDAR sweeps across its axis
    RANDOM = 'random'  # drawn from the seed


@dataclass(frozen=True)
class SensorTiming:
    """Times at which a sensor measures and at which that arrives.

    Attributes:
        rate_hz: None takes the rig's.
        phase: seconds from the start to the first measurement; None leaves it to `phases`.
        latency: seconds from the end of a measurement to its arrival; jitter: deviation of what
            comes on top, seconds.
        offset: seconds that the sensor's clock is ahead.
        drift_ppm: error of its rate, parts per million, drawn from -drift_ppm..drift_ppm.
        readout: seconds from the first to the last row of a rolling shutter; the stamp is that
            of the middle row. 0 for a global shutter.
    """

    rate_hz: float | None = None
    phase: float | None = None
    latency: float = 0.0
    jitter: float = 0.0
    offset: float = 0.0
    drift_ppm: float = 0.0
    readout: float = 0.0

    def __post_init__(self) -> None:
        rate = self.rate_hz
        require(rate is None or 0.1 <= rate <= 200, 'timing.rate_hz', '0.1..200 Hz', rate)
        for name, limit in (('latency', 5), ('jitter', 1), ('drift_ppm', 1e5), ('readout', 0.1)):
            value = getattr(self, name)
            require(0 <= value <= limit, f'timing.{name}', f'0..{limit:g}', value)
        for name, value in (('phase', self.phase or 0.0), ('offset', self.offset)):
            good = math.isfinite(value) and abs(value) <= 86_400
            require(good, f'timing.{name}', 'seconds, at most 86400', value)


@dataclass(frozen=True)
class NamedTiming:
    """Differences of one sensor of the rig; None keeps what its kind has.

    Attributes:
        name: of the sensor; the others are those of `SensorTiming`.
    """

    name: str
    rate_hz: float | None = None
    phase: float | None = None
    latency: float | None = None
    jitter: float | None = None
    offset: float | None = None
    drift_ppm: float | None = None
    readout: float | None = None

    def over(self, kind: SensorTiming) -> SensorTiming:
        """The sensor's timing."""
        own = {name: getattr(self, name) for name in SensorTiming.__dataclass_fields__}
        return SensorTiming(
            **{
                name: getattr(kind, name) if value is None else value
                for name, value in own.items()
            }
        )


@dataclass(frozen=True)
class TimingConfig:
    """The timing of a whole rig.

    Attributes:
        phases: of the sensors that have none of their own.
        spin: points have times of their own; without it a sweep is measured at its stamp.
        cameras, lidars, odometry, tf: by kind.
        sensors: what differs for single sensors.
    """

    phases: Phases = Phases.SWEPT
    spin: bool = True
    cameras: SensorTiming = SensorTiming()
    lidars: SensorTiming = SensorTiming()
    odometry: SensorTiming = SensorTiming(rate_hz=50.0)
    tf: SensorTiming = SensorTiming(rate_hz=100.0)
    sensors: tuple[NamedTiming, ...] = ()

    def __post_init__(self) -> None:
        for name in ('odometry', 'tf'):
            require(
                getattr(self, name).rate_hz is not None, f'timing.{name}.rate_hz', 'a rate', None
            )
        names = [one.name for one in self.sensors]
        require(len(set(names)) == len(names), 'timing.sensors', 'one entry for each name', names)

    def of(self, name: str, kind: SensorTiming) -> SensorTiming:
        """Timing of one sensor."""
        for one in self.sensors:
            if one.name == name:
                return one.over(kind)
        return kind


class Kind(enum.Enum):
    """Kind of an event."""

    TF = 'tf'
    ODOMETRY = 'odometry'
    IMAGE = 'image'
    SWEEP = 'sweep'


@dataclass(frozen=True)
class Event:
    """One measurement.

    Attributes:
        kind, source: what it is, and the sensor's name.
        index: of the source's measurements.
        time_ns: true time since the start of the drive.
        stamp_ns: what the sensor's clock says; log_ns: when it arrives; both on the drive's clock.
    """

    kind: Kind
    source: str
    index: int
    time_ns: int
    stamp_ns: int
    log_ns: int


def schedule(
    rig: RigConfig,
    timing: TimingConfig,
    bearings: Mapping[str, float],
    last: Mapping[str, float],
    seed: int,
    seconds: float,
    start_ns: int,
) -> list[Event]:
    """All events in the order in which they arrive.

    Args:
        bearings: camera name -> radians of its axis in the ego frame.
        last: LiDAR name -> azimuth at which its sweep ends, radians in the ego frame.

    Raises:
        ConfigError: if `timing.sensors` names a sensor that the rig lacks.
    """
    known = {*rig.sensor_names, 'odometry', 'tf'}
    strange = sorted({one.name for one in timing.sensors} - known)
    require(not strange, 'timing.sensors', f'sensors of the rig: {sorted(known)}', strange)
    events: list[Event] = []
    for source, kind, own, phase in _sources(rig, timing, bearings, last, seed):
        events += _of_source(source, kind, own, phase, seed, seconds, start_ns)
    order = list(Kind)
    return sorted(events, key=lambda e: (e.log_ns, order.index(e.kind), e.source, e.index))


def _sources(
    rig: RigConfig,
    timing: TimingConfig,
    bearings: Mapping[str, float],
    last: Mapping[str, float],
    seed: int,
) -> list[tuple[str, Kind, SensorTiming, float]]:
    """(name, kind, timing with its rate, phase in seconds) of everything that speaks."""
    found: list[tuple[str, Kind, SensorTiming, float]] = []
    anchor, swept = 0.0, 0.0
    for sensor in (*rig.lidars, *rig.cameras):
        is_lidar = sensor.name in last
        own = timing.of(sensor.name, timing.lidars if is_lidar else timing.cameras)
        own = NamedTiming(sensor.name, own.rate_hz or sensor.rate_hz).over(own)
        period = 1 / (own.rate_hz or 1.0)
        phase = _phase(timing.phases, own, period, seed, sensor.name)
        if sensor.name == (rig.lidars[0].name if rig.lidars else ''):
            anchor, swept = phase, period
        elif own.phase is None and timing.phases is Phases.SWEPT and not is_lidar and rig.lidars:
            still = (bearings[sensor.name] - last[rig.lidars[0].name]) % (2 * math.pi)
            phase = (anchor - still / (2 * math.pi) * swept) % period
        kind = Kind.SWEEP if is_lidar else Kind.IMAGE
        found.append((sensor.name, kind, own, phase))
    for name, kind, own, wanted in (
        ('odometry', Kind.ODOMETRY, timing.of('odometry', timing.odometry), rig.odometry_topic),
        ('tf', Kind.TF, timing.of('tf', timing.tf), rig.motion_frame),
    ):
        if wanted:
            period = 1 / (own.rate_hz or 1.0)
            found.append((name, kind, own, _phase(timing.phases, own, period, seed, name)))
    return found


def _phase(phases: Phases, own: SensorTiming, period: float, seed: int, name: str) -> float:
    if own.phase is not None:
        return own.phase % period
    if phases is Phases.RANDOM:
        return float(source_rng(seed, 4, name).uniform(0, period))
    return 0.0


def source_rng(seed: int, purpose: int, name: str, index: int = 0) -> np.random.Generator:
    """A generator of its own for each source, purpose and measurement."""
    return np.random.default_rng([seed, purpose, zlib.crc32(name.encode()), index])


def _of_source(
    source: str,
    kind: Kind,
    own: SensorTiming,
    phase: float,
    seed: int,
    seconds: float,
    start_ns: int,
) -> list[Event]:
    rng = source_rng(seed, 5, source)
    period = 1 / (own.rate_hz or 1.0) * (1 + rng.uniform(-1, 1) * own.drift_ppm * 1e-6)
    count = max(0, math.ceil((seconds - phase) / period - 1e-9))
    times = np.rint((phase + period * np.arange(count)) * 1e9).astype(np.int64)
    late = own.latency + own.readout / 2 + np.abs(rng.standard_normal(count)) * own.jitter
    # What one sensor sends arrives in its order.
    logs = np.maximum.accumulate(times + np.rint(late * 1e9).astype(np.int64))
    offset = round(own.offset * 1e9)
    return [
        Event(kind, source, k, t, start_ns + t + offset, start_ns + log)
        for k, (t, log) in enumerate(zip(times.tolist(), logs.tolist(), strict=True))
    ]
