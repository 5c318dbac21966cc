"""A drive as serialized messages, through a FaultPipe into the front end; the truth is the oracle.

Times of faults count from sweep 0 (T0), which is `LEAD` seconds after the stream's first message.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.faults.pipe import DAMAGED, DROPPED, PASSED, REPEATED, FaultPipe, Truth
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, Sample
from support.camera_info import camera_info_bytes
from support.fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    NUSCENES_OFFSETS,
    SENSORS,
    T0,
    front_end,
    image_number,
    numbered_image,
    rig,
    ring,
)

LEAD = 0.5
END = 9e3  # a fault until the end of the stream
DEADLINE = 50 * MS
FUTURE = 50 * MS  # a stamp further ahead of its arrival is refused
TOPICS = {name: f'{name}/image' for name in CAMERAS} | {LIDAR: 'lidar/points'}
TYPES = dict.fromkeys(TOPICS.values(), 'sensor_msgs/msg/Image') | {
    'lidar/points': 'sensor_msgs/msg/PointCloud2',
    'tf_static': 'tf2_msgs/msg/TFMessage',
    **{f'{name}/camera_info': 'sensor_msgs/msg/CameraInfo' for name in CAMERAS},
}


@dataclass(frozen=True)
class Pace:
    """How the sensors of a drive send.

    Attributes:
        lidar_hz, camera_hz: their rates.
        offsets: camera -> milliseconds of its first stamp after that of the first sweep.
        jitter_ms: largest shift of a stamp, either way.
        latency_ms: of the cameras; that of a LiDAR is 10.
    """

    lidar_hz: float = 20.0
    camera_hz: float = 12.0
    offsets: tuple[tuple[str, int], ...] = tuple(NUSCENES_OFFSETS.items())
    jitter_ms: float = 1.0
    latency_ms: float = 15.0

    def period(self, name: str) -> int:
        """Nanoseconds between two messages of a sensor."""
        return round(1e9 / (self.lidar_hz if name == LIDAR else self.camera_hz))

    def rig(self) -> RigConfig:
        """The rig, with these rates."""
        plain = rig()
        return replace(
            plain,
            cameras=tuple(replace(c, rate_hz=self.camera_hz) for c in plain.cameras),
            lidars=tuple(replace(item, rate_hz=self.lidar_hz) for item in plain.lidars),
        )


VEHICLE = Pace()
TOGETHER = Pace(10.0, 10.0, jitter_ms=0.0, latency_ms=5.0)  # every sweep has its own pictures
SIMULTANEOUS = replace(TOGETHER, offsets=())
PERIOD = TOGETHER.period(LIDAR)


def fault(
    kind: str, sensors, begin: float, end: float = END, name: str = '', **parameters
) -> PlannedFault:
    """A fault on sensors (a name or several) from `begin` to `end` seconds after sweep 0."""
    sensors = (sensors,) if isinstance(sensors, str) else tuple(sensors)
    return PlannedFault(
        name or f'{kind} {" ".join(sensors)} {begin:g}',
        FaultType(kind),
        begin + LEAD,
        end + LEAD,
        sensors=sensors,
        **parameters,
    )


# ---------------------------------------------------------------------------------- messages
def _make(msgtype: str, **fields):
    return wire.message_class(msgtype)(**fields)


def image_bytes(name: str, number: int, stamp_ns: int) -> bytes:
    plain = numbered_image(number, stamp_ns, name)
    return wire.serialize(
        _make(
            TYPES[TOPICS[name]],
            header=wire.header(stamp_ns, name),
            height=plain.height,
            width=plain.width,
            encoding=plain.encoding,
            is_bigendian=0,
            step=plain.step,
            data=_bytes(plain.data),
        ),
        TYPES[TOPICS[name]],
    )


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def cloud_bytes(points, stamp_ns: int, frame: str = LIDAR) -> bytes:
    fields = [
        _make('sensor_msgs/msg/PointField', name=name, offset=4 * k, datatype=7, count=1)
        for k, name in enumerate(('x', 'y', 'z', 'intensity'))
    ]
    return wire.serialize(
        _make(
            TYPES['lidar/points'],
            header=wire.header(stamp_ns, frame),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(points),
            data=_bytes(points.astype('<f4').tobytes()),
            is_dense=True,
        ),
        TYPES['lidar/points'],
    )


def info_bytes(
    name: str, stamp_ns: int, focal: float = 30.0, width: int = 32, height: int = 32
) -> bytes:
    k = np.array([focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1.0])
    return camera_info_bytes(name, stamp_ns, k, width, height)


def tf_bytes(names=SENSORS, stamp_ns: int = T0, xyz=(0.0, 0.0, 1.5)) -> bytes:
    links = [
        _make(
            'geometry_msgs/msg/TransformStamped',
            header=wire.header(stamp_ns, 'base_link'),
            child_frame_id=name,
            transform=_make(
                'geometry_msgs/msg/Transform',
                translation=_make('geometry_msgs/msg/Vector3', x=xyz[0], y=xyz[1], z=xyz[2]),
                rotation=_make('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
            ),
        )
        for name in names
    ]
    return wire.serialize(_make(TYPES['tf_static'], transforms=links), TYPES['tf_static'])


def message(topic: str, arrival_ns: int, cdr: bytes) -> BagMessage:
    return BagMessage(topic, TYPES[topic], arrival_ns, cdr)


@functools.lru_cache(maxsize=32)
def stream(
    seconds: float,
    start: int = T0,
    without: tuple[str, ...] = (),
    pace: Pace = VEHICLE,
) -> tuple[BagMessage, ...]:
    """Everything the rig sends: message k of a topic holds the number k."""
    early = start - round(LEAD * 1e9)
    found = [message('tf_static', early, tf_bytes(stamp_ns=early))]
    found += [
        message(f'{name}/camera_info', early + 1, info_bytes(name, early))
        for name in CAMERAS
        if f'{name}/camera_info' not in without
    ]
    dice, shifts = np.random.default_rng(3), dict(pace.offsets)
    for name in SENSORS:
        late = 10 if name == LIDAR else pace.latency_ms
        # Every sensor sends until the last sweep has all it can have.
        longer = 0.0 if pace.camera_hz == pace.lidar_hz or name == LIDAR else 0.15
        for k in range(round((seconds + longer) * 1e9 / pace.period(name))):
            shift = shifts.get(name, 0) + pace.jitter_ms * float(dice.uniform(-1, 1))
            at = start + k * pace.period(name) + round(shift * MS)
            cdr = cloud_bytes(ring(k), at) if name == LIDAR else image_bytes(name, k, at)
            found.append(message(TOPICS[name], at + round(late * MS), cdr))
    return tuple(sorted(found, key=lambda m: m.log_time_ns))


# --------------------------------------------------------------------------------------- run
@dataclass
class Run:
    """What came out of the front end, and the truth about what went in."""

    out: list[tuple[int, Sample]]
    truths: list[Truth]
    end: SensorFrontEnd
    touched: dict[str, int]
    rig: RigConfig

    @property
    def samples(self) -> list[Sample]:
        return [sample for _, sample in self.out]

    def of(self, name: str) -> list:
        """The reports of one sensor, sample by sample."""
        return [
            report for sample in self.samples for report in sample.sensors if report.name == name
        ]

    def truth_of(self, name: str) -> list[Truth]:
        return [truth for truth in self.truths if truth.topic == TOPICS[name]]

    def between(self, begin: float, end: float = END) -> list[tuple[int, Sample]]:
        """Outputs whose reference stamp lies in a span of seconds after sweep 0."""
        return [(time, s) for time, s in self.out if begin <= (s.stamp_ns - T0) / 1e9 < end]


def run(
    *faults: PlannedFault,
    seconds: float = 4.0,
    seed: int = 0,
    config: SensingConfig | None = None,
    messages: tuple[BagMessage, ...] | None = None,
    rig_config: RigConfig | None = None,
    check: bool = True,
    pace: Pace = VEHICLE,
) -> Run:
    """Inject, perceive, hold against the truth (`check_truth`)."""
    truths: list[Truth] = []
    is_usual = messages is None
    messages = stream(seconds, pace=pace) if messages is None else messages
    config_rig = rig_config or pace.rig()
    end = front_end(config, config_rig)
    sent = list(messages)
    touched = {}
    if faults:
        types = {m.topic: m.msgtype for m in messages}
        pipe = FaultPipe(FaultPlan('test', '', faults), config_rig, types, seed, truths.append)
        sent = [m for item in messages for m in pipe.feed(item)] + pipe.flush()
        touched = dict(pipe.touched)
    result = Run(perceive(end, sent), truths, end, touched, config_rig)
    if faults and check:
        assert all(touched.values()), f'a fault had no effect: {touched}'
        check_truth(result)
    if is_usual:  # behind the last sweep the cameras go on for a moment
        result.out = result.between(-LEAD, seconds - 1e-2)
    return result


def perceive(end: SensorFrontEnd, messages) -> list[tuple[int, Sample]]:
    """Push messages, polling at every deadline; (time it came out, sample) each."""
    out = []
    for item in [*messages, None]:
        now = item.log_time_ns if item else messages[-1].log_time_ns + 400 * MS
        while (due := end.next_deadline_ns()) is not None and due < now:
            out += [(due, sample) for sample in end.poll(due)]
        if item is None:
            return out + [(now, sample) for sample in end.poll(now)]
        try:
            content = wire.deserialize(item.cdr, item.msgtype)
        except SensorDataError as error:
            out += [(now, s) for s in end.reject(item.topic, error.reason, now)]
        else:
            out += [(now, s) for s in end.push(item.topic, content, now)]
    return out


def contents(truths: list[Truth]) -> dict[int, tuple[int | None, int]]:
    """Stamp that went out -> (number of the frame in it, arrival), of one sensor's truths."""
    found, last = {}, None
    for truth in truths:
        if truth.action == PASSED and not truth.fault:
            last = truth.number
        if truth.action == DROPPED:
            continue
        number = {REPEATED: last, DAMAGED: None}.get(truth.action, truth.number)
        if truth.out_stamp_ns is not None and truth.out_arrival_ns is not None:
            found.setdefault(truth.out_stamp_ns, (number, truth.out_arrival_ns))
    return found


def had_come(truth: dict[int, tuple[int | None, int]], time: int) -> list[int]:
    """The stamps of a sensor's messages that had come by a time, none from the future."""
    return [
        stamp
        for stamp, (_, arrival) in truth.items()
        if arrival <= time and stamp <= arrival + FUTURE
    ]


def check_truth(result: Run, tolerance_ms: float = 55) -> None:
    """Every label of every output is what the truth says was sent; counters agree.

    Where a frame is used again, or is older than the tolerance, none that was newer and nearer to
    the reference had come.

    Invariants "Label first", "Nothing stale", "Rising stamps" and "Contained faults".
    """
    truth = {name: contents(result.truth_of(name)) for name in SENSORS}
    oldest = {s.name: max(tolerance_ms, 1500 / s.rate_hz) for s in result.rig.sensors}
    used: set[tuple[str, int]] = set()
    before = None
    for time, sample in result.out:
        key = (sample.epoch, sample.stamp_ns)
        assert before is None or key > before, 'stamps increase inside an epoch'
        before = key
        there = {name for name, picture in sample.cameras.items() if picture is not None}
        there |= {LIDAR} if sample.sweep is not None else set()
        assert set(sample.used_sensors) == there, 'the label names what is in the sample'
        assert sample.modality is Modality.from_presence(bool(there - {LIDAR}), LIDAR in there)
        for name in there:
            data = sample.sweep if name == LIDAR else sample.cameras[name]
            label = next(report for report in sample.sensors if report.name == name)
            assert data.stamp_ns == (sample.stamp_ns if name == LIDAR else label.stamp_ns)
            assert label.stamp_ns in truth[name], f'{name}: a frame that nobody sent'
            number, arrival = truth[name][label.stamp_ns]
            got = int(data.points[0, 3]) if name == LIDAR else image_number(data.pixels)
            assert number is None or number == got, f'{name}: frame {got} under a foreign stamp'
            assert arrival <= time, f'{name}: used before it came'
            age = sample.stamp_ns - label.stamp_ns
            assert label.age_ns == age, f'{name}: its age'
            assert -tolerance_ms * MS <= age <= oldest[name] * MS, f'{name}: too old'
            frame = (name, label.stamp_ns, sample.epoch)
            if frame in used or age > tolerance_ms * MS:
                ahead = [s - sample.stamp_ns for s in had_come(truth[name], time)]
                nearer = [a for a in ahead if -age < a < min(age, tolerance_ms * MS)]
                assert not nearer, f'{name}: a newer one had come'
            used.add(frame)
    for report in result.end.reports(result.end._clock.now_ns):
        sent = sum(t.out_crc is not None for t in result.truth_of(report.name))
        assert report.received == sent, 'the injection reached the front end'
