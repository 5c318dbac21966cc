"""Rigs, drives and faults by chance: what every sensor sent and when it came, drawn from a seed.

Nothing here knows the front end: the schedule is what its labels are held against. Times are
integer nanoseconds. A `number` is the content of one message; it is counted over all sensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from support import fake_drive
from support.fake_drive import MS, T0

from metabev_ros.config import (
    CameraConfig,
    LidarConfig,
    PointTime,
    RigConfig,
    SensingConfig,
    Transport,
)

SECOND = 1_000_000_000
RATES = (5.0, 10.0, 12.0, 15.0, 20.0, 30.0)
SECONDS = 40.0  # of a drive
QUIET = 2.5  # seconds at the start without a fault
POINTS = 120
LIDAR_POSE = (1.0, 0.0, 1.8)  # metres
MARK_SECONDS = -0.04  # time of the first point of a sweep that has times
GRID = 2 * MS  # of the true motion
FAULTS_OF_LIDAR = (
    'off',
    'drops',
    'slow',
    'late',
    'stuck',
    'cycle',
    'empty',
    'stamp',
    'early',
    'frame',
)
FAULTS = (*FAULTS_OF_LIDAR, 'black')
FLAWS = ('stuck', 'cycle', 'empty', 'stamp', 'frame', 'black')  # of messages themselves


@dataclass(frozen=True)
class Sent:
    """One message of a camera or a LiDAR.

    Attributes:
        number: of its content; 0 for a black picture.
        clock: how often the clocks had stepped.
        stamp_ns: in its header, the sensor's own offset taken out.
        taken_ns: when it was truly captured, as far as its stamp is right.
        came_ns: when it truly came.
        arrival_ns: the same on the clock of the node.
        may_count: it is as it should be, so that none before it is to be used in its place.
        may_serve: its content can be used.
        message: object with the fields of its type.
    """

    sensor: str
    number: int
    clock: int
    stamp_ns: int
    taken_ns: int
    came_ns: int
    arrival_ns: int
    may_count: bool
    may_serve: bool
    message: object


@dataclass(frozen=True)
class Step:
    """The clocks step at a moment of the true time.

    Attributes:
        stamps_ns: what is added to all stamps from then on.
        node_ns: what is added to the clock of the node.
        is_new_epoch: whether the front end must begin anew.
    """

    at_ns: int
    stamps_ns: int
    node_ns: int
    is_new_epoch: bool


@dataclass(frozen=True)
class Timing:
    """How one sensor sends.

    Attributes:
        period_ns, phase_ns: of its captures.
        latency_ns, jitter_ns: from capture to arrival; of both ends, drawn evenly.
        offset_ns: of its own clock.
    """

    period_ns: int
    phase_ns: int
    latency_ns: int
    jitter_ns: int
    offset_ns: int


class Motion:
    """Where the vehicle truly is: a speed, and a turn that changes like a sine."""

    def __init__(self, dice: np.random.Generator) -> None:
        speed = float(dice.choice([0.0, dice.uniform(0, 15), 15.0]))
        turn, change = dice.uniform(0, 0.5), dice.uniform(0.1, 1.0)
        seconds = np.arange(-2.0, SECONDS + 3.0, GRID / 1e9)
        rate = turn * np.sin(change * seconds)
        self.yaw = np.cumsum(rate) * GRID / 1e9
        self.x = np.cumsum(speed * np.cos(self.yaw)) * GRID / 1e9
        self.y = np.cumsum(speed * np.sin(self.yaw)) * GRID / 1e9

    def at(self, ns: int) -> tuple[float, float, float]:
        """(x, y, yaw) at a true time."""
        place = (ns - T0) / GRID + 2.0 * SECOND / GRID
        low = min(max(int(place), 0), len(self.yaw) - 2)
        share = place - low
        return tuple(
            float(values[low] + share * (values[low + 1] - values[low]))
            for values in (self.x, self.y, self.yaw)
        )

    def pose(self, ns: int) -> np.ndarray:
        """(4, 4) world_from_ego."""
        x, y, yaw = self.at(ns)
        cos, sin = np.cos(yaw), np.sin(yaw)
        return np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, 0], [0, 0, 0, 1.0]])

    def between(self, target_ns: int, source_ns: int) -> np.ndarray:
        """(4, 4) ego(target)_from_ego(source)."""
        return np.linalg.inv(self.pose(target_ns)) @ self.pose(source_ns)


@dataclass
class Scenario:
    """All that a seed stands for.

    Attributes:
        sent: every message of a sensor that reached the node, in order of arrival.
        others: (true time, arrival, topic, message) of TF, CameraInfo and odometry.
        is_clean: nothing goes wrong: every sensor is in every output.
        knows_motion: odometry or TF comes all the time and is right.
    """

    seed: int
    rig: RigConfig
    config: SensingConfig
    sweeps: int
    timings: dict[str, Timing]
    motion: Motion
    steps: list[Step]
    is_clean: bool
    knows_motion: bool
    lag_ns: int
    sent: list[Sent] = field(default_factory=list)
    others: list[tuple[int, int, str, object]] = field(default_factory=list)

    def clock(self, true_ns: int) -> tuple[int, int, int]:
        """How often the clocks have stepped; what is added to stamps and to the node's clock."""
        past = [step for step in self.steps if step.at_ns <= true_ns]
        stamps = sum(step.stamps_ns for step in past)
        return len(past), stamps, sum(step.node_ns for step in past) + self.lag_ns


# ---------------------------------------------------------------------------------- the rig
def _rig(dice: np.random.Generator) -> tuple[RigConfig, dict[str, Timing]]:
    """0 to 12 cameras and 0 to 4 LiDARs; few of them more often than many."""
    cameras = int(
        dice.choice([0, 1, 2, 3, 4, 6, 8, 12], p=[0.1, 0.2, 0.2, 0.15, 0.1, 0.15, 0.05, 0.05])
    )
    lidars = int(dice.choice([0, 1, 2, 3, 4], p=[0.2, 0.5, 0.15, 0.1, 0.05]))
    if cameras + lidars == 0:
        lidars = 1
    timings: dict[str, Timing] = {}
    is_estimated = cameras + lidars > 1 and dice.random() < 0.15
    camera_rate, lidar_rate = (float(dice.choice(RATES)) for _ in range(2))
    names = [*(f'cam{k}' for k in range(cameras)), *(f'lidar{k}' for k in range(lidars))]
    estimated = str(dice.choice(names[1:])) if is_estimated else ''
    found: dict[str, CameraConfig | LidarConfig] = {}
    for name in names:
        is_camera = name.startswith('cam')
        rate = camera_rate if is_camera else lidar_rate
        if dice.random() < 0.2:
            rate = float(dice.choice(RATES))
        offset = 0 if name != estimated else int(dice.integers(-40, 41))
        if not is_estimated and dice.random() < 0.1:
            offset = -37
        timings[name] = Timing(
            round(SECOND / rate),
            int(dice.integers(0, round(SECOND / rate))),
            int(dice.integers(0, 25 * MS)),
            int(dice.choice([0, 1, 3])) * MS,
            offset * SECOND,
        )
        common = {
            'rate_hz': rate,
            'time_offset': 0.0 if name == estimated else float(-offset),
            'estimate_time_offset': name == estimated,
        }
        if is_camera:
            found[name] = CameraConfig(
                name, f'{name}/image', name, Transport.RAW, False, f'{name}/camera_info', **common
            )
        else:
            time = PointTime('t') if dice.random() < 0.3 else None
            found[name] = LidarConfig(name, f'{name}/points', name, point_time=time, **common)
    motion = dice.choice(['odometry', 'tf', 'none'], p=[0.5, 0.25, 0.25])
    rig = RigConfig(
        tuple(s for s in found.values() if isinstance(s, CameraConfig)),
        tuple(s for s in found.values() if isinstance(s, LidarConfig)),
        odometry_topic='odom' if motion == 'odometry' else '',
        motion_frame='odom' if motion == 'tf' else '',
    )
    return rig, timings


def _steps(dice: np.random.Generator, lag_ns: int) -> list[Step]:
    """Clocks that step: those of all together, or of the sensors alone."""
    steps: list[Step] = []
    at = T0 + round((QUIET + dice.uniform(3, 8)) * SECOND)
    while at < T0 + (SECONDS - 6) * SECOND and len(steps) < 3:
        size = int(dice.uniform(1.5, 6.0) * SECOND)
        kind = str(dice.choice(['together back', 'together ahead', 'stamps back', 'node back']))
        if kind == 'node back' and lag_ns == 0:
            kind = 'together back'  # stamps ahead of the clock are simply refused
        stamps, node = {
            'together back': (-size, -size),
            'together ahead': (size, size),
            'stamps back': (-size, 0),
            'node back': (0, -size),
        }[kind]
        steps.append(Step(at, stamps, node, kind != 'together ahead'))
        lag_ns += node - stamps
        at += round(dice.uniform(8, 14) * SECOND)
    return steps


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = np.random.default_rng([20_261, seed])
    rig, timings = _rig(dice)
    is_clean = bool(dice.random() < 0.25)
    is_measured = any(sensor.estimate_time_offset for sensor in rig.sensors)
    is_offset = not is_clean and not is_measured and dice.random() < 0.2
    lag_ns = round(dice.uniform(5, 60)) * SECOND if is_offset else 0
    steps = _steps(dice, lag_ns) if not is_clean and dice.random() < 0.4 else []
    sweeps = int(dice.choice([1, 1, 2, 3])) if rig.lidars else 1
    scenario = Scenario(
        seed,
        rig,
        SensingConfig(),
        sweeps,
        timings,
        Motion(dice),
        steps,
        is_clean,
        bool(rig.odometry_topic or rig.motion_frame),
        lag_ns,
    )
    _set_up(scenario)
    _send_motion(scenario, dice)
    number = 0
    for sensor in rig.sensors:
        number = _send(scenario, sensor, dice, number)
    scenario.sent.sort(key=lambda message: message.came_ns)
    scenario.others.sort(key=lambda other: other[0])
    return scenario


# -------------------------------------------------------------------------------- messages
def _set_up(scenario: Scenario) -> None:
    true = T0 - SECOND // 2
    early = true + scenario.lag_ns
    links = [
        fake_drive.transform(
            'base_link', s.frame, LIDAR_POSE if s.name.startswith('lidar') else (1, 0, 1.5)
        )
        for s in scenario.rig.sensors
    ]
    scenario.others.append((true, early, 'tf_static', fake_drive.tf_message(*links)))
    for camera in scenario.rig.cameras:
        info = fake_drive.camera_info(camera.name, ns=early)
        scenario.others.append((true, early, camera.info_topic, info))


def _send_motion(scenario: Scenario, dice: np.random.Generator) -> None:
    """Odometry or TF at 33 to 70 Hz, a few milliseconds late."""
    if not scenario.knows_motion:
        return
    period, late = round(SECOND / dice.uniform(33, 70)), int(dice.integers(0, 8 * MS))
    for taken in range(T0 - SECOND, T0 + round((SECONDS + 1) * SECOND), period):
        came = taken + late
        arrival = came + scenario.clock(came)[2]
        x, y, yaw = scenario.motion.at(taken)
        stamp = taken + scenario.clock(taken)[1]
        if scenario.rig.odometry_topic:
            message = fake_drive.odometry(stamp, x, yaw)
            message.pose.pose.position.y = y
            scenario.others.append((came, arrival, 'odom', message))
        else:
            turn = (0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
            link = fake_drive.transform('odom', 'base_link', (x, y, 0.0), turn, stamp)
            scenario.others.append((came, arrival, 'tf', fake_drive.tf_message(link)))


def _windows(
    scenario: Scenario, faults: tuple[str, ...], dice: np.random.Generator
) -> list[tuple[float, float, str]]:
    """(begin, end, fault) of one sensor, seconds; none overlap."""
    windows: list[tuple[float, float, str]] = []
    if scenario.is_clean or dice.random() < 0.3:
        return windows
    at = QUIET + float(dice.uniform(0, 6))
    while at < SECONDS:
        end = at + float(dice.choice([0.12, dice.uniform(0.1, 1.0), dice.uniform(1.0, 5.0)]))
        windows.append((at, end, str(dice.choice(faults))))
        at = end + float(dice.uniform(0.2, 8))
    return windows


def _send(
    scenario: Scenario, sensor: CameraConfig | LidarConfig, dice: np.random.Generator, number: int
) -> int:
    """All messages of one sensor; the first number that is still free."""
    faults = FAULTS if isinstance(sensor, CameraConfig) else FAULTS_OF_LIDAR
    timing, windows = scenario.timings[sensor.name], _windows(scenario, faults, dice)
    previous, contents = 0, [number]
    for k in range(round(SECONDS * SECOND / timing.period_ns)):
        number += 1
        taken = (
            T0
            + timing.phase_ns
            + k * timing.period_ns
            + int(dice.integers(0, timing.jitter_ns + 1))
        )
        seconds = (taken - T0) / 1e9
        fault = next((f for begin, end, f in windows if begin <= seconds < end), '')
        if fault == 'stamp' and (k % 3 or sensor.name != scenario.rig.sensor_names[-1]):
            fault = ''  # twice in a row, and of all that live, it would be a step of the clock
        chance = dice.random()
        if fault == 'off' or (fault == 'drops' and chance < 0.5) or (fault == 'slow' and k % 3):
            continue
        late = timing.latency_ns + int(dice.integers(0, timing.jitter_ns + 1))
        late += round(chance * 0.3 * SECOND) if fault == 'late' else 0
        clock, stamps, node = scenario.clock(taken)
        stamp = taken + stamps
        if fault == 'stamp':
            stamp += int(dice.choice([-10, 5])) * SECOND + int(dice.integers(1, MS))
        elif fault == 'early':  # nobody can tell it from a frame that was taken then
            stamp, taken = stamp - SECOND // 20, taken - SECOND // 20
        content = number
        if fault == 'stuck':
            content = contents[-1]
        elif fault == 'black':
            content = 0
        elif fault == 'cycle':
            content = contents[-3:][k % len(contents[-3:])]
        else:
            contents.append(number)
        came = max(taken + late, previous)  # a connection keeps the order
        previous = came
        if node != stamps and scenario.clock(came)[0] != clock:
            continue  # the first message of an epoch would be of the clock before it
        scenario.sent.append(
            Sent(
                sensor.name,
                content,
                clock,
                stamp,
                taken,
                came,
                came + scenario.clock(came)[2],
                fault not in FLAWS,
                fault not in ('stamp', 'empty', 'frame'),
                _message(sensor, content, stamp + timing.offset_ns, fault),
            )
        )
    return number + 1


def _message(sensor: CameraConfig | LidarConfig, number: int, stamp: int, fault: str) -> object:
    frame = 'elsewhere' if fault == 'frame' else sensor.frame
    if isinstance(sensor, CameraConfig):
        message = fake_drive.numbered_image(number, stamp, sensor.name)
        message.header.frame_id = frame
        if fault == 'black':
            message.data = bytes(len(message.data))
        elif fault == 'empty':
            message.data = message.data[:100]
        return message
    points = np.zeros((0, 4)) if fault == 'empty' else fake_drive.ring(number, POINTS)
    times = np.full(len(points), MARK_SECONDS, np.float32)
    message = fake_drive.cloud(np.column_stack([points, times])[:, :5], stamp, frame)
    message.fields.append(fake_drive.field('t', 16))
    message.point_step, message.row_step = 20, 20 * len(points)
    return message
