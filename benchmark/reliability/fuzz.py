"""Hostile messages on every input of the node, and nothing ends, leaks or stays broken.

In the process: bytes -> `wire.deserialize` -> `SensorFrontEnd` -> sample, as the sensing thread of
the node does it, by blocks of 1000 messages. A block is a drive whose messages are damaged. After
it the good messages go on, and every sensor must be used again: no message may leave damage.
"""

from __future__ import annotations

import functools
import gc
import os
import resource
import sys
from collections import Counter

import cv2
import numpy as np
from support.fake_drive import MS, T0, ring
from support.injected_drive import cloud_bytes, image_bytes, info_bytes, tf_bytes

from benchmark.reliability.detection import Stop
from benchmark.reliability.figures import Figure
from benchmark.reliability.mutator import Mutator
from metabev_ros import wire
from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, SensingConfig, Transport
from metabev_ros.errors import SensorDataError
from metabev_ros.preprocess.images import fit_image
from metabev_ros.sensing.checks import MOST_POINTS
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.topics import INJECTION_TOPIC
from metabev_ros.structures import Sample

BLOCK = 1000
STEP = 14 * MS  # seven messages a period of 100 ms
REST = 20_000 * MS  # a block may leave a quarantine of 10 s behind
HEIGHT, WIDTH = 36, 64
RAW, PACKED = ('cam0', 'cam1', 'cam2', 'cam3'), ('cam4', 'cam5')
CAMERAS = (*RAW, *PACKED)
BIG = (1600, 900)  # pixels of a large picture
BIG_POINTS = 34_000


def rig() -> RigConfig:
    """Four cameras that send Image, two that send CompressedImage, a LiDAR, odometry."""
    cameras = [
        CameraConfig(name, topic, name, transport, False, f'{name}/camera_info')
        for names, kind, transport in (
            (RAW, 'image', Transport.RAW),
            (PACKED, 'image/compressed', Transport.COMPRESSED),
        )
        for name, topic in ((name, f'{name}/{kind}') for name in names)
    ]
    return RigConfig(tuple(cameras), (LidarConfig('lidar', 'lidar/points', 'lidar'),))


class CountingFrontEnd(SensorFrontEnd):
    """Counts why messages were refused; `internal` is an exception that nobody foresaw."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.reasons: Counter[str] = Counter()

    def _refuse(self, name, error):
        self.reasons[error.reason] += 1
        if error.reason == 'internal':
            sys.stdout.write(f'internal: {error.where}: {error.got}\n')
        return super()._refuse(name, error)


# ------------------------------------------------------------------------------ good messages
@functools.cache
def _pictures(width: int, height: int) -> list[np.ndarray]:
    dice = np.random.default_rng(6)
    return [
        cv2.resize(
            dice.integers(20, 230, (6, 8, 3), np.uint8),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for _ in range(8)
    ]


@functools.cache
def _jpegs(width: int, height: int) -> list[np.ndarray]:
    return [cv2.imencode('.jpg', picture)[1].reshape(-1) for picture in _pictures(width, height)]


def compressed_bytes(name: str, number: int, at: int, size=(96, 64)) -> bytes:
    kind = 'sensor_msgs/msg/CompressedImage'
    files = _jpegs(*size)
    comment = b'\xff\xfe\x00\x06' + number.to_bytes(4, 'big')  # no two files are the same
    data = np.insert(files[number % len(files)], 2, np.frombuffer(comment, np.uint8))
    return wire.serialize(
        wire.message_class(kind)(header=wire.header(at, name), format='jpeg', data=data),
        kind,
    )


def odometry_bytes(at: int) -> bytes:
    def make(kind: str, **fields):
        return wire.message_class(f'geometry_msgs/msg/{kind}')(**fields)

    zero = make('Vector3', x=0.0, y=0.0, z=0.0)
    pose = make(
        'Pose',
        position=make('Point', x=(at - T0) * 1e-8, y=0.0, z=0.0),
        orientation=make('Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
    )
    kind = 'nav_msgs/msg/Odometry'
    return wire.serialize(
        wire.message_class(kind)(
            header=wire.header(at, 'odom'),
            child_frame_id='base_link',
            pose=make('PoseWithCovariance', pose=pose, covariance=np.zeros(36)),
            twist=make(
                'TwistWithCovariance',
                twist=make('Twist', linear=zero, angular=zero),
                covariance=np.zeros(36),
            ),
        ),
        kind,
    )


def _big_image(name: str, number: int, at: int) -> bytes:
    kind = 'sensor_msgs/msg/Image'
    pixels = _pictures(*BIG)[number % 8].copy()
    pixels[0, 0] = number >> 8 & 255, number & 255, 0  # no two are the same
    return wire.serialize(
        wire.message_class(kind)(
            header=wire.header(at, name),
            height=BIG[1],
            width=BIG[0],
            encoding='rgb8',
            is_bigendian=0,
            step=3 * BIG[0],
            data=pixels.reshape(-1),
        ),
        kind,
    )


def good(topic: str, number: int, at: int, big: bool) -> bytes:
    """What a sound driver sends on a topic at a time."""
    name = topic.split('/')[0]
    if topic == 'lidar/points':
        return cloud_bytes(ring(number, BIG_POINTS if big else 200), at)
    if topic.endswith('compressed'):
        return compressed_bytes(name, number, at, BIG if big else (96, 64))
    if topic.endswith('image'):
        return _big_image(name, number, at) if big else image_bytes(name, number, at)
    if topic.endswith('camera_info'):
        return info_bytes(
            name,
            at,
            *((1000.0, *BIG) if big else ((60.0, 96, 64) if name in PACKED else (30.0, 32, 32))),
        )
    if topic == 'odom':
        return odometry_bytes(at)
    if topic == INJECTION_TOPIC:
        kind = 'std_msgs/msg/String'
        return wire.serialize(wire.message_class(kind)(data='a test'), kind)
    return tf_bytes((*CAMERAS, 'lidar'), stamp_ns=at)


# --------------------------------------------------------------------------------- the target
class Target:
    """A front end, the clock of its drive, and what must hold of everything that comes out."""

    def __init__(self, big: bool) -> None:
        self.end = CountingFrontEnd(
            rig(), SensingConfig(), functools.partial(fit_image, height=HEIGHT, width=WIDTH)
        )
        self.types = {topic.lstrip('/'): kind for topic, kind in self.end.subscriptions().items()}
        self.topics = list(self.types)
        self.data = [t for t in self.topics if 'image' in t or t.endswith('points')]
        self.now, self.big, self.samples = T0, big, 0
        self.numbers: Counter[str] = Counter()
        self.last: Sample | None = None
        for topic in self.topics:
            if topic not in self.data:
                self.send(topic, self.good(topic))

    def good(self, topic: str) -> bytes:
        self.numbers[topic] += 1
        return good(topic, self.numbers[topic], self.now - 5 * MS, self.big)

    def send(self, topic: str, cdr: bytes) -> None:
        """As the sensing thread does it; whatever is raised here would end it."""
        while (due := self.end.next_deadline_ns()) is not None and due < self.now:
            self._check(self.end.poll(due))
        try:
            message = wire.deserialize(cdr, self.types[topic])
        except SensorDataError as error:
            self.end.reasons[error.reason] += 1
            self._check(self.end.reject(topic, error.reason, self.now))
        else:
            self._check(self.end.push(topic, message, self.now))

    def _check(self, samples: list[Sample]) -> None:
        for sample in samples:
            check_sample(sample)
            if self.last is not None:
                assert (sample.epoch, sample.stamp_ns) > (self.last.epoch, self.last.stamp_ns)
            self.last, self.samples = sample, self.samples + 1

    def recovers(self) -> bool:
        """Whether good messages lead back to good samples of all sensors."""
        self.now += REST
        for topic in ('tf_static', *(f'{name}/camera_info' for name in CAMERAS)):
            self.send(topic, self.good(topic))
        for _ in range(8):
            for topic in ('odom', *self.data):
                self.send(topic, self.good(topic))
                self.now += 2 * MS
            self.now += 100 * MS - 2 * MS * (1 + len(self.data))
        reports = self.last.sensors
        well = set(self.last.used_sensors) == {*CAMERAS, 'lidar'} and not any(
            'odometry' in report.reason for report in reports
        )
        if not well:
            sys.stdout.write(f'not back: {[(r.name, r.state.name, r.reason) for r in reports]}\n')
        return well


def check_sample(sample: Sample) -> None:
    """Finite, of the right shapes, labelled as it is."""
    there = {name for name, image in sample.cameras.items() if image is not None}
    for name in there:
        image = sample.cameras[name]
        assert image.pixels.shape == (HEIGHT, WIDTH, 3) and image.pixels.dtype == np.uint8
        assert np.isfinite(image.calibration.intrinsics).all()
        assert np.isfinite(image.calibration.ego_from_camera).all()
    if sample.sweep is not None:
        there.add('lidar')
        points = sample.sweep.points
        assert points.dtype == np.float32 and points.shape[1] == 5
        assert 0 < len(points) <= MOST_POINTS and np.isfinite(points).all()
        assert np.isfinite(sample.sweep.ego_from_lidar).all()
    assert there and set(sample.used_sensors) == there
    assert all(
        len(report.reason) <= 400 and report.reason.isprintable() for report in sample.sensors
    )


def run_block(seed: int, block: int, big: bool) -> Target:
    """1000 damaged messages; three in ten of the messages sent are good, or nothing would open."""
    dice = np.random.default_rng([seed, block, int(big)])
    mutator = Mutator(dice, 4096 if not big else 2**20)
    target, others = Target(big), []
    for topic in target.topics:
        others.append(target.good(topic))
    damaged = 0
    while damaged < BLOCK:
        target.now += STEP
        topics = target.data if big or dice.random() < 0.7 else target.topics
        topic = topics[dice.integers(len(topics))]
        cdr = target.good(topic)
        if dice.random() < 0.7:
            cdr, damaged = mutator.damage(cdr, target.types[topic], others), damaged + 1
        target.send(topic, cdr)
    return target


def _largest_memory() -> float:
    """Megabytes that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _memory_of_good_messages() -> float:
    """The largest memory after a thousand good messages of each size: what damaged ones add to."""
    for big in (False, True):
        target = Target(big)
        for number in range(BLOCK):
            target.now += STEP
            topic = target.data[number % len(target.data)]
            target.send(topic, target.good(topic))
    return _largest_memory()


def fuzz(seed: int, blocks: list[tuple[bool, int]]) -> list[Figure]:
    """Run each block (of large messages or small ones, its number) in turn, in the process."""
    sys.stdout.write(f'seed {seed}\n')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libjpeg says each damaged file there
    reasons: Counter[str] = Counter()
    done: Counter[bool] = Counter()
    crashes = broken = samples = 0
    base = _memory_of_good_messages()
    for big, block in Stop().until(blocks, 'blocks of 1000 messages', 20):
        try:
            target = run_block(seed, block, big)
            reasons += target.end.reasons
            samples += target.samples
            broken += not target.recovers()
        except Exception as error:  # what would have ended the thread
            crashes += 1
            sys.stdout.write(f'crash: block {block}, big {big}: {type(error).__name__}: {error}\n')
        done[big] += BLOCK
        target = None
        gc.collect()  # a front end refers to itself; a node has one, not a thousand
    growth = _largest_memory() - base
    sys.stdout.write(f'{samples} samples; refused: {dict(reasons.most_common())}\n')
    n = sum(done.values())
    return [
        Figure('f6.damaged_messages', n, 'messages', n, '>= 1000000'),
        Figure('f6.damaged_large_messages', done[True], 'messages', n, '>= 100000'),
        Figure('f6.crashes', crashes, 'crashes', n, '== 0'),
        Figure('f6.exceptions_that_nobody_foresaw', reasons['internal'], 'messages', n, '== 0'),
        Figure('f6.blocks_after_which_a_sensor_stayed_out', broken, 'blocks', n // BLOCK, '== 0'),
        Figure('f6.growth_of_the_largest_memory', growth, 'MB', n, '<= 256'),
    ]
