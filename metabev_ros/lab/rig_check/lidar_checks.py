"""Checks of one LiDAR: its points, and its pose against the ground and the motion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metabev_ros.config import LidarConfig
from metabev_ros.lab.rig_check.camera_checks import grouped
from metabev_ros.lab.rig_check.findings import Finding, Kind
from metabev_ros.lab.rig_check.ground import Ground, find_ground
from metabev_ros.lab.rig_check.look import CloudLook
from metabev_ros.lab.rig_check.motion import Motion
from metabev_ros.lab.rig_check.placing import points_at
from metabev_ros.lab.rig_check.point_fields import (
    find_intensity_scale,
    find_point_time,
    makes_sense,
)
from metabev_ros.lab.rig_check.turning import PlacedSweep, find_turn

FARTHEST_USUAL = 200.0  # metres, of the middle range of a sweep
MOST_TILT = 3.0  # degrees: a loaded vehicle on a cambered road stays below
MOST_HEIGHT = 0.7  # metres: an ego frame at the axle is not yet wrong
MOST_TURN, LEAST_GAIN = 2.5, 1.2  # degrees; agreement at the best turn over that without
_LEAST_BELOW = 0.25  # share of points below a LiDAR that hangs the right way up
_DIM = 1.0  # intensities up to here are not those of 0..255
_BRIGHT = 256.0


def check_points(look: CloudLook, lidar: LidarConfig) -> Iterator[Finding]:
    """Unreadable or empty clouds, the unit of lengths and of intensity, times of the points."""
    name, topic = lidar.name, look.topic
    for reason, count in grouped(look.refused).items():
        got = f'{reason.partition(": ")[2]} in {count} of {look.seen}'
        yield Finding(Kind.POINTS, name, topic, 'a readable PointCloud2', got)
    ranges = [sweep.raw_range for sweep in look.sweeps]
    middle = float(np.median(ranges)) if ranges else 0.0
    if middle > FARTHEST_USUAL:
        unit = 'millimetres' if middle > 1500 else 'centimetres'
        got = f'half of the points beyond {middle:.0f}: {unit}?'
        yield Finding(Kind.POINT_UNIT, name, topic, 'ranges in metres', got)
        return
    counts = [len(sweep.points) for sweep in look.sweeps]
    if counts and max(counts) == 0:
        yield Finding(Kind.POINTS, name, topic, 'finite points', 'none')
        return
    yield from _check_intensity(look, lidar)
    yield from _check_times(look, lidar)


def _check_intensity(look: CloudLook, lidar: LidarConfig) -> Iterator[Finding]:
    values = [np.quantile(sweep.points[:, 3], 0.99) for sweep in look.sweeps if len(sweep.points)]
    brightest = float(max(values, default=0.0)) * lidar.intensity_scale
    if brightest > _BRIGHT or 0 < brightest <= _DIM:
        scale = find_intensity_scale(look.sweeps)
        got = f'up to {brightest:.3g} with {lidar.intensity_scale:g}: intensity_scale {scale:.6g}'
        yield Finding(Kind.INTENSITY, lidar.name, look.topic, 'intensities of 0..255', got)


def _check_times(look: CloudLook, lidar: LidarConfig) -> Iterator[Finding]:
    if not look.sweeps:
        return
    name, topic, found = lidar.name, look.topic, find_point_time(look.sweeps)
    fields = ', '.join(look.sweeps[0].fields[:12])
    if lidar.point_time is None and found is not None:
        since = 'true' if found.absolute else 'false'
        got = (
            'none, though there is '
            f'{{field: {found.field}, unit: {found.unit.value}, absolute: {since}}}'
        )
        yield Finding(Kind.NO_POINT_TIME, name, topic, '`point_time` in the rig file', got)
    elif lidar.point_time is None:
        yield Finding(Kind.NO_POINT_TIME, name, topic, 'a field of times', f'fields {fields}')
    elif not makes_sense(look.sweeps, wanted := lidar.point_time):
        expected = f'{wanted.field} in {wanted.unit.value} as in the rig file'
        got = f'fields {fields}' if found is None else f'{found.field} in {found.unit.value}'
        yield Finding(Kind.NO_POINT_TIME, name, topic, expected, got)


def check_pose(
    look: CloudLook, lidar: LidarConfig, pose: np.ndarray, motion: Motion
) -> Iterator[Finding]:
    """The ground where it should be, and the yaw that the motion shows."""
    place = pose[:3, 3]
    sweeps = [sweep for sweep in look.sweeps if len(sweep.points)]
    placed = [points_at(sweep, lidar, pose, motion, sweep.stamp_ns) for sweep in sweeps]
    if not placed:
        return
    where = f'TF {lidar.frame}'
    ground = find_ground(np.concatenate(placed), place)
    if ground is not None:
        yield from _check_ground(ground, lidar.name, where, float(place[2]))
    moved = [
        PlacedSweep(points, rest_from_ego)
        for points, sweep in zip(placed, sweeps, strict=True)
        if (rest_from_ego := motion.rest_from_ego(sweep.stamp_ns)) is not None
    ]
    turn = find_turn(moved, place)
    if turn is not None and abs(turn.degrees) >= MOST_TURN and turn.gain >= LEAST_GAIN:
        got = (
            f'they agree {turn.gain:.1f} times as well with its yaw {turn.degrees:+.1f} deg '
            f'({turn.pairs} pairs of sweeps)'
        )
        expected = 'sweeps that odometry lays over each other'
        yield Finding(Kind.LIDAR_TURNED, lidar.name, where, expected, got)


def _check_ground(ground: Ground, name: str, where: str, lidar_z: float) -> Iterator[Finding]:
    if ground.at_lidar > lidar_z + 0.5 and ground.below < _LEAST_BELOW:
        got = f'a plane {ground.at_lidar - lidar_z:.1f} m above it'
        yield Finding(Kind.UPSIDE_DOWN, name, where, 'the ground below the LiDAR', got)
        return
    if ground.tilt > MOST_TILT:
        got = f'{ground.tilt:.1f} deg: roll {ground.roll:+.1f}, pitch {ground.pitch:+.1f}'
        expected = f'level ground, within {MOST_TILT:g} deg'
        yield Finding(Kind.TILTED, name, where, expected, got)
    if abs(ground.height) > MOST_HEIGHT:
        got = f'z = {ground.height:+.2f} m'
        expected = f'ground at z = 0 of the ego frame, within {MOST_HEIGHT:g} m'
        yield Finding(Kind.HEIGHT, name, where, expected, got)
