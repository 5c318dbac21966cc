"""Rigs, drives and faults by chance: what every sensor sent and when it came, drawn from a seed.

Nothing here knows the front end: the schedule is what its labels are held against. Times are
integer nanoseconds. A `number` is the content of one message; it is counted over all sensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
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
AHEAD = 50_000_000  # nanoseconds that stamps may be ahead of the clock
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
        epochs: how many times the front end must begin anew.
        is_ahead: stamps are ahead of the node's clock from then on. How far is told by the first
            messages; where these are late, later ones seem to come from the future, and a further
            epoch begins.
    """

    at_ns: int
    stamps_ns: int
    node_ns: int
    epochs: int
    is_ahead: bool


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
def draw_rig(dice: np.random.Generator) -> tuple[RigConfig, dict[str, Timing]]:
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


def draw_steps(dice: np.random.Generator, lag_ns: int) -> list[Step]:
    """Clocks that step: those of all together, or of the sensors alone."""
    steps: list[Step] = []
    at = T0 + round((QUIET + dice.uniform(3, 8)) * SECOND)
    while at < T0 + (SECONDS - 6) * SECOND and len(steps) < 3:
        size = int(dice.uniform(1.5, 6.0) * SECOND)
        kind = str(dice.choice(['together back', 'together ahead', 'stamps back', 'node back']))
        if kind == 'node back' and (lag_ns == 0 or abs(lag_ns - size) < 2 * AHEAD):
            kind = 'together back'  # whether stamps are ahead of the clock must be plain
        stamps, node = {
            'together back': (-size, -size),
            'together ahead': (size, size),
            'stamps back': (-size, 0),
            'node back': (0, -size),
        }[kind]
        lag_ns += node - stamps
        # A node's clock that goes back begins an epoch; that the stamps did not begins another.
        epochs = {'together ahead': 0, 'node back': 2}.get(kind, 1)
        steps.append(Step(at, stamps, node, epochs, lag_ns < -AHEAD))
        at += round(dice.uniform(8, 14) * SECOND)
    return steps
