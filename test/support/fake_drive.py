"""A scripted rig: messages with a fake clock, a schedule of faults, and the truth of both.

The truth is the schedule: what was sent, when it arrived. Every image and cloud carries its own
number, so a test sees which data really is in a sample, whatever the labels say.
"""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, SensingConfig, Transport
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
CAMERAS = tuple(f'cam{i}' for i in range(6))
LIDAR = 'lidar'
SENSORS = (*CAMERAS, LIDAR)
NUSCENES_OFFSETS = {'cam0': -43, 'cam1': -35, 'cam2': -28, 'cam3': -20, 'cam4': -10, 'cam5': -1}
_PICTURES = [
    cv2.resize(coarse, (32, 32), interpolation=cv2.INTER_LINEAR)
    for coarse in np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
]


def rig(**changes) -> RigConfig:
    cameras = tuple(
        CameraConfig(name, f'{name}/image', name, Transport.RAW, False, f'{name}/camera_info')
        for name in CAMERAS
    )
    return RigConfig(cameras, (LidarConfig(LIDAR, 'lidar/points', LIDAR),), **changes)


def front_end(
    config: SensingConfig | None = None, rig_config: RigConfig | None = None, **options
) -> SensorFrontEnd:
    return SensorFrontEnd(
        rig_config or rig(),
        config or SensingConfig(),
        lambda pixels, calibration: (pixels, calibration),
        **options,
    )


def stamp(ns: int) -> SimpleNamespace:
    return SimpleNamespace(sec=ns // 10**9, nanosec=ns % 10**9)


def header(ns: int, frame: str) -> SimpleNamespace:
    return SimpleNamespace(stamp=stamp(ns), frame_id=frame)


def image(
    pixels: np.ndarray, ns: int = T0, frame: str = 'cam0', encoding: str = 'rgb8', **changes
) -> SimpleNamespace:
    """sensor_msgs/Image of (H, W, C) or (H, W) uint8."""
    height, width = pixels.shape[:2]
    message = dict(
        header=header(ns, frame),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=pixels.tobytes(),
    )
    return SimpleNamespace(**{**message, **changes})


def numbered_image(number: int, ns: int, frame: str) -> SimpleNamespace:
    pixels = _PICTURES[(number + sum(map(ord, frame))) % len(_PICTURES)].copy()
    pixels[0, 0] = number >> 16 & 255, number >> 8 & 255, number & 255
    return image(pixels, ns, frame)


def numbered_pixels(number: int) -> np.ndarray:
    """(32, 32, 3) RGB of a numbered image of cam1."""
    return np.frombuffer(numbered_image(number, T0, 'cam1').data, np.uint8).reshape(32, 32, 3)


def image_number(pixels: np.ndarray) -> int:
    r, g, b = (int(v) for v in pixels[0, 0])
    return r << 16 | g << 8 | b


def camera_info(
    frame: str, width: int = 32, height: int = 32, ns: int = T0, **changes
) -> SimpleNamespace:
    k = [30.0, 0, width / 2, 0, 30.0, height / 2, 0, 0, 1]
    p = [*k[:3], 0, *k[3:6], 0, *k[6:], 0]
    message = dict(
        header=header(ns, frame),
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=k,
        p=p,
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )
    return SimpleNamespace(**{**message, **changes})


def field(name: str, offset: int, datatype: int = 7, count: int = 1) -> SimpleNamespace:
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)


XYZI = (('x', 0), ('y', 4), ('z', 8), ('intensity', 12))


def cloud(points: np.ndarray, ns: int = T0, frame: str = LIDAR, **changes) -> SimpleNamespace:
    """sensor_msgs/PointCloud2 of (P, 4) float32."""
    points = np.ascontiguousarray(points, dtype='<f4')
    message = dict(
        header=header(ns, frame),
        height=1,
        width=len(points),
        fields=[field(*item) for item in XYZI],
        is_bigendian=False,
        point_step=16,
        row_step=16 * len(points),
        data=points.tobytes(),
        is_dense=True,
    )
    return SimpleNamespace(**{**message, **changes})


def ring(number: int, count: int = 720) -> np.ndarray:
    """(count, 4) float32 points all around; the first intensity is the sweep's number."""
    azimuth = np.linspace(-np.pi, np.pi, count, endpoint=False)
    distance = 20 + 5 * np.sin(azimuth * 7 + number)
    points = np.stack(
        [
            distance * np.cos(azimuth),
            distance * np.sin(azimuth),
            np.full(count, -1.5),
            np.zeros(count),
        ],
        axis=1,
    ).astype(np.float32)
    points[0, 3] = number
    return points


def transform(parent: str, child: str, xyz=(0, 0, 1.5), q=(0, 0, 0, 1), ns: int = T0):
    vector = SimpleNamespace(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
    quaternion = SimpleNamespace(x=float(q[0]), y=float(q[1]), z=float(q[2]), w=float(q[3]))
    return SimpleNamespace(
        header=header(ns, parent),
        child_frame_id=child,
        transform=SimpleNamespace(translation=vector, rotation=quaternion),
    )


def tf_message(*transforms) -> SimpleNamespace:
    return SimpleNamespace(transforms=list(transforms))


def odometry(ns: int, x: float, yaw: float = 0.0) -> SimpleNamespace:
    pose = SimpleNamespace(
        position=SimpleNamespace(x=x, y=0.0, z=0.0),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2)),
    )
    return SimpleNamespace(
        header=header(ns, 'odom'), child_frame_id='base_link', pose=SimpleNamespace(pose=pose)
    )


def set_up(end: SensorFrontEnd, now: int = T0 - 500 * MS) -> SensorFrontEnd:
    """Give a front end its static transforms and camera infos."""
    end.push('/tf_static', tf_message(*(transform('base_link', name) for name in SENSORS)), now)
    for name in CAMERAS:
        end.push(f'{name}/camera_info', camera_info(name, ns=now), now)
    return end


class Drive:
    """Messages of a rig at 10 Hz for some seconds, with a schedule that drops some.

    Args:
        seconds: length.
        dead: sensor name -> list of (from, to) in seconds in which it sends nothing.
        offsets: sensor -> milliseconds of its stamps relative to the sweep's.
        latency: sensor -> milliseconds from stamp to arrival (default 5; LiDAR 10).
        drop: (sensor, k) -> True where message k is not sent.
        jitter: largest random shift of a stamp, milliseconds.
        start: time of sweep 0.
    """

    def __init__(
        self,
        seconds: float,
        dead=None,
        offsets=None,
        latency=None,
        drop=None,
        period_ms: int = 100,
        jitter: float = 0.0,
        start: int = T0,
        seed: int = 0,
        make=None,
        first: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.dead, self.start = dead or {}, start
        offsets, latency = offsets or NUSCENES_OFFSETS, latency or {}
        self.sent: dict[str, dict[int, tuple[int, int]]] = {name: {} for name in SENSORS}
        self.events = []
        for name in SENSORS:
            for k in range(int(seconds * 1000 / period_ms)):
                shift = jitter * rng.uniform(-1, 1)
                at = start + k * period_ms * MS + round((offsets.get(name, 0) + shift) * MS)
                if (drop and drop(name, k)) or self._is_dead(name, at):
                    continue
                arrival = at + round(latency.get(name, 10 if name == LIDAR else 5) * MS)
                number = first + k
                message = (make and make(name, number, at)) or self._message(name, number, at)
                self.sent[name][number] = (at, arrival)
                topic = 'lidar/points' if name == LIDAR else f'{name}/image'
                self.events.append((arrival, topic, message))
        self.events.sort(key=lambda event: event[0])

    def _is_dead(self, name: str, at: int) -> bool:
        t = (at - self.start) / 1e9
        return any(begin <= t < end for begin, end in self.dead.get(name, ()))

    @staticmethod
    def _message(name: str, number: int, at: int):
        if name == LIDAR:
            return cloud(ring(number), at)
        return numbered_image(number, at, name)

    def last_sent(self, name: str, before_s: float) -> tuple[int, int]:
        """(stamp, arrival) of the newest message of a sensor before a time."""
        return max(
            times
            for times in self.sent[name].values()
            if times[0] < self.start + round(before_s * 1e9)
        )


def play(end: SensorFrontEnd, events, until: int | None = None, poll_ms: float | None = None):
    """Push events, polling at every deadline; returns [(time it came out, sample)]."""
    out = []
    now = events[0][0] if events else 0
    horizon = until if until is not None else (events[-1][0] + 400 * MS)
    timer = now
    for arrival, topic, message in [*events, (horizon, None, None)]:
        while (due := end.next_deadline_ns()) is not None and due < arrival:
            out += [(due, sample) for sample in end.poll(max(due, now))]
            now = max(due, now)
        while poll_ms and timer < arrival:
            out += [(timer, sample) for sample in end.poll(timer)]
            end.reports(timer)
            timer += round(poll_ms * MS)
        samples = end.poll(arrival) if topic is None else end.push(topic, message, arrival)
        out += [(arrival, sample) for sample in samples]
        now = arrival
    return out


def check_truth(out, drive: Drive, tolerance_ms: float = 55, oldest_ms: float = 150) -> None:
    """Hold samples against the schedule: labels, stamps, ages, nothing foreign.

    A frame that is used again or older than the tolerance is the newest that had come.

    Invariants "Label first", "Nothing stale" and "Rising stamps".
    """
    used: set[tuple[str, int]] = set()
    previous = None
    for time, sample in out:
        assert previous is None or sample.stamp_ns > previous, 'stamps increase'
        previous = sample.stamp_ns
        there = {name for name, picture in sample.cameras.items() if picture is not None}
        if sample.sweep is not None:
            there.add(LIDAR)
        assert set(sample.used_sensors) == there
        assert [report.name for report in sample.sensors] == list(SENSORS)
        assert sample.modality is Modality.from_presence(bool(there - {LIDAR}), LIDAR in there)
        for name in there:
            data = sample.sweep if name == LIDAR else sample.cameras[name]
            number = int(data.points[0, 3]) if name == LIDAR else image_number(data.pixels)
            assert number in drive.sent[name], f'{name} never sent {number}'
            sent, arrival = drive.sent[name][number]
            age = sample.stamp_ns - sent
            assert report(sample, name).age_ns == age and arrival <= time
            assert data.stamp_ns == (sample.stamp_ns if name == LIDAR else sent)
            assert -tolerance_ms * MS <= age <= oldest_ms * MS
            if (name, number) in used or age > tolerance_ms * MS:
                newest = max(k for k, (_, came) in drive.sent[name].items() if came <= time)
                assert number == newest, f'{name} {number} used when {newest} had come'
            used.add((name, number))


def run(drive: Drive, config: SensingConfig | None = None):
    end = set_up(front_end(config))
    out = play(end, drive.events)
    check_truth(out, drive)
    return end, [sample for _, sample in out]


def report(sample, name):
    return next(r for r in sample.sensors if r.name == name)


def faulty(name: str, begin: int, end: int, make):
    """A `make` for Drive: messages begin..end of one sensor are `make(number, stamp)`."""
    return lambda sensor, k, at: make(k, at) if sensor == name and begin <= k < end else None
