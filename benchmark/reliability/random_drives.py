"""What the sensors of a random rig send, and what goes wrong with it: the schedule of a seed."""

from __future__ import annotations

import numpy as np
from support import fake_drive
from support.fake_drive import MS, T0

from benchmark.reliability.random_rigs import (
    FAULTS,
    FAULTS_OF_LIDAR,
    FLAWS,
    LIDAR_POSE,
    MARK_SECONDS,
    POINTS,
    QUIET,
    SECOND,
    SECONDS,
    Motion,
    Scenario,
    Sent,
    draw_rig,
    draw_steps,
)
from metabev_ros.config import CameraConfig, LidarConfig, SensingConfig


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = np.random.default_rng([20_261, seed])
    rig, timings = draw_rig(dice)
    is_clean = bool(dice.random() < 0.25)
    is_measured = any(sensor.estimate_time_offset for sensor in rig.sensors)
    is_offset = not is_clean and not is_measured and dice.random() < 0.2
    lag_ns = round(dice.uniform(5, 60)) * SECOND if is_offset else 0
    steps = draw_steps(dice, lag_ns) if not is_clean and dice.random() < 0.4 else []
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
