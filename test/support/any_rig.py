"""Drives of any rig with a fake clock: every sensor at its own rate, phase and latency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, SensingConfig, Transport
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, Sample
from support.fake_drive import (
    MS,
    T0,
    camera_info,
    cloud,
    front_end,
    image_number,
    numbered_image,
    ring,
    tf_message,
    transform,
)

Event = tuple[int, str, object]
"""Arrival, topic, message."""


def camera(name: str, **changes) -> CameraConfig:
    """A raw camera of 12 Hz whose frame is called as itself."""
    fields = {'rate_hz': 12.0, 'info_topic': f'{name}/camera_info', **changes}
    return CameraConfig(name, f'{name}/image', name, Transport.RAW, False, **fields)


def lidar(name: str, **changes) -> LidarConfig:
    """A LiDAR of 20 Hz whose frame is called as itself."""
    return LidarConfig(name, f'{name}/points', name, **{'rate_hz': 20.0, **changes})


def rig_of(cameras: int, lidars: int, **changes) -> RigConfig:
    """A rig of so many sensors, cam0, cam1, ... and lidar0, ..."""
    return RigConfig(
        tuple(camera(f'cam{k}') for k in range(cameras)),
        tuple(lidar(f'lidar{k}') for k in range(lidars)),
        **changes,
    )


def drive(
    rig: RigConfig,
    seconds: float,
    sends: Callable[[str, float], bool] = lambda name, at: True,
    stamp: Callable[[str, int], int] = lambda name, ns: ns,
    arrival: Callable[[str, int], int] = lambda name, ns: ns,
    make: Callable[[str, int, int], object] | None = None,
) -> list[Event]:
    """What the sensors send, in order of their true time.

    Args:
        rig: whose sensors send.
        seconds: length.
        sends: (sensor, seconds since T0) -> whether it sends then.
        stamp: (sensor, true capture time) -> the stamp of the message.
        arrival: (sensor, true arrival) -> the same on the clock of the node.
        make: (sensor, number, stamp) -> another message than the usual one, or None.
    """
    events: list[tuple[int, int, str, object]] = []
    for place, sensor in enumerate(rig.sensors):
        name, period = sensor.name, round(1e9 / sensor.rate_hz)
        phase = (7 * place % 41) * MS % period
        for k in range(round(seconds * sensor.rate_hz)):
            taken = T0 + phase + k * period
            if not sends(name, (taken - T0) / 1e9):
                continue
            came, stamped = taken + 12 * MS + place * 1000, stamp(name, taken)
            message = (make and make(name, k, stamped)) or usual(sensor, k, stamped)
            events.append((came, arrival(name, came), sensor.topic, message))
    events.sort(key=lambda event: event[0])
    return [event[1:] for event in events]


def usual(sensor: CameraConfig | LidarConfig, number: int, stamp: int) -> object:
    """A sound message."""
    if isinstance(sensor, CameraConfig):
        return numbered_image(number, stamp, sensor.frame)
    return cloud(ring(number), stamp, sensor.frame)


def ready(
    rig: RigConfig, now: int = T0 - 500 * MS, config: SensingConfig | None = None, **options
) -> SensorFrontEnd:
    """A front end that knows where all sensors are."""
    end = front_end(config, rig, **options)
    links = [transform('base_link', sensor.frame) for sensor in rig.sensors]
    end.push('/tf_static', tf_message(*links), now)
    for item in rig.cameras:
        end.push(item.info_topic, camera_info(item.frame, ns=now), now)
    return end


def play(end: SensorFrontEnd, events: list[Event]) -> list[tuple[int, Sample]]:
    """Push events in their order, polling at every deadline; (time it came out, sample)."""
    out: list[tuple[int, Sample]] = []
    for now, topic, message in events:
        while (due := end.next_deadline_ns()) is not None and due < now:
            out += [(due, sample) for sample in end.poll(due)]
        out += [(now, sample) for sample in end.push(topic, message, now)]
    check_labels(out, end, events)
    return out


def check_labels(out: list[tuple[int, Sample]], end: SensorFrontEnd, events: list[Event]) -> None:
    """Every label names what is in the sample, with the stamp and the age that it has."""
    offsets = {name: item.offset.offset_ns or 0 for name, item in end._inputs.items()}
    topics = {item.monitor.name: sensor.topic for item, sensor in _pairs(end)}
    sent: dict[str, set[int]] = {topic: set() for topic in topics.values()}
    for _, topic, message in events:
        if topic in sent:
            at = message.header.stamp
            sent[topic].add(at.sec * 10**9 + at.nanosec)
    before = (-1, -1)
    for _, sample in out:
        assert (sample.epoch, sample.stamp_ns) > before, 'stamps increase'
        before = (sample.epoch, sample.stamp_ns)
        used = set(sample.used_sensors)
        pictures = {name for name, picture in sample.cameras.items() if picture is not None}
        sweeps = used - set(sample.cameras)
        assert used & set(sample.cameras) == pictures
        assert bool(sweeps) == (sample.sweep is not None)
        assert sample.modality is Modality.from_presence(bool(pictures), bool(sweeps))
        for report in sample.sensors:
            if report.used:
                assert report.age_ns == sample.stamp_ns - report.stamp_ns
                assert report.stamp_ns - offsets[report.name] in sent[topics[report.name]]


def _pairs(end: SensorFrontEnd):
    return zip(end._inputs.values(), end._rig.sensors, strict=True)


def said(sample: Sample, name: str):
    """The report of one sensor."""
    return next(report for report in sample.sensors if report.name == name)


def numbers(sample: Sample) -> dict[str, int]:
    """Camera -> number of its picture."""
    return {n: image_number(i.pixels) for n, i in sample.cameras.items() if i is not None}


def sweeps_in(sample: Sample) -> list[int]:
    """Numbers of the sweeps in a sample, oldest sensor first; number 0 cannot be seen."""
    return [] if sample.sweep is None else marks(sample.sweep.points)


def marks(points: np.ndarray) -> list[int]:
    """The numbers that clouds carry as the intensity of their first point."""
    return [int(value) for value in points[:, 3] if value > 0]
