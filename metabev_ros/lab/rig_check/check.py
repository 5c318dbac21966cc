"""All checks of a rig on a bag that was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig
from metabev_ros.lab.rig_check import camera_checks, lidar_checks
from metabev_ros.lab.rig_check.edges import View, find_turn, range_edges
from metabev_ros.lab.rig_check.findings import BAG, Finding, Kind
from metabev_ros.lab.rig_check.look import (
    BagLook,
    CameraLook,
    CloudLook,
    Placed,
    SweepLook,
    TopicLook,
)
from metabev_ros.lab.rig_check.motion import Motion, find_motion
from metabev_ros.lab.rig_check.offsets import on_one_clock
from metabev_ros.lab.rig_check.placing import (
    by_topic,
    info_of,
    lens_problem,
    place_sensors,
    points_at,
)
from metabev_ros.lab.rig_check.qos import latched_problem
from metabev_ros.lab.rig_check.report import RigReport, SensorVerdict
from metabev_ros.lab.rig_check.time_checks import check_lags, check_rate, check_stamps
from metabev_ros.sensing.topics import image_type

APART_NS = 150_000_000  # between a picture and the sweep that is laid over it
MOST_TURN, LEAST_GAIN, LEAST_CLEAR = 2.5, 1.4, 2.6  # degrees; see `edges.Meeting`
_CLOUD = 'sensor_msgs/msg/PointCloud2'
_CROOKED = (Kind.UPSIDE_DOWN, Kind.TILTED, Kind.LIDAR_TURNED)  # no picture would fit then


def check_rig(
    look: BagLook,
    rig: RigConfig | None,
    findings: tuple[Finding, ...] = (),
    choices: tuple[str, ...] = (),
) -> RigReport:
    """Judge every sensor of a rig by a bag.

    Args:
        look: the bag.
        rig: given or proposed; None where no sensor was found.
        findings, choices: of the proposal.

    Raises:
        ConfigError: a pose or lens of the rig file is none.
    """
    found, motion, placed = list(findings), Motion([]), dict[str, Placed]()
    if look.losses:
        found.append(Finding(Kind.LOSSY, BAG, look.path, 'a sound bag', look.losses))
    if rig is not None:
        look = on_one_clock(look, rig)
        placed = place_sensors(look, rig)
        motion = find_motion(look, rig.odometry_topic, rig.motion_frame, rig.ego_frame)
        found += _Check(look, rig, placed, motion).run()
    sensors = _verdicts(look, rig, found)
    return RigReport(look.path, look.seconds, rig, sensors, tuple(found), choices, motion, placed)


def _verdicts(
    look: BagLook, rig: RigConfig | None, found: list[Finding]
) -> tuple[SensorVerdict, ...]:
    """One verdict for each sensor of the rig, and for those that could not be put into it."""
    named: dict[str, tuple[str, str]] = {}
    for sensor in rig.sensors if rig is not None else ():
        kind = 'camera' if isinstance(sensor, CameraConfig) else 'lidar'
        named[sensor.name] = kind, sensor.topic
    for finding in found:
        if finding.sensor != BAG:
            named.setdefault(finding.sensor, ('camera', finding.where))
    verdicts: list[SensorVerdict] = []
    for name, (kind, topic) in named.items():
        data = by_topic({**look.cameras, **look.clouds}, topic)
        own = tuple(finding for finding in found if finding.sensor == name)
        count, rate = (data.seen, data.rate_hz) if data is not None else (0, 0.0)
        verdicts.append(SensorVerdict(name, kind, topic, count, rate, own))
    return tuple(verdicts)


class _Check:
    """The checks of one rig."""

    def __init__(
        self, look: BagLook, rig: RigConfig, placed: Mapping[str, Placed], motion: Motion
    ) -> None:
        self._look, self._rig, self._placed, self._motion = look, rig, placed, motion
        self._data: dict[str, TopicLook] = {}
        for sensor in rig.sensors:
            looks = look.cameras if isinstance(sensor, CameraConfig) else look.clouds
            data = by_topic({**looks}, sensor.topic)
            if data is not None and data.msgtype == _type_of(sensor):
                self._data[sensor.name] = data
        logs = [
            log
            for data in self._data.values()
            if data.logs
            for log in (min(data.logs), max(data.logs))
        ]
        self._span = (min(logs), max(logs)) if logs else (0, 0)
        self._is_straight = True
        self._edges: dict[tuple[str, int], np.ndarray] = {}  # (LiDAR, stamp) -> `range_edges`

    def run(self) -> Iterator[Finding]:
        """Yield all findings, in the order of the sensors."""
        of_lidars = [one for lidar in self._rig.lidars for one in self._check(lidar)]
        self._is_straight = not any(one.kind in _CROOKED for one in of_lidars)
        for camera in self._rig.cameras:
            yield from self._check(camera)
        yield from of_lidars
        measured = {one.name for one in self._rig.sensors if one.estimate_time_offset}
        known = {name: data for name, data in self._data.items() if name not in measured}
        yield from check_lags(known, list(self._look.odometry.values()))
        yield from self._check_motion()
        problem = latched_problem(self._look.tf_static)
        if problem and self._look.tf_static is not None:
            expected = 'reliable and transient_local, which a late node hears'
            yield Finding(Kind.QOS, BAG, self._look.tf_static.topic, expected, problem)

    def _check(self, sensor: CameraConfig | LidarConfig) -> Iterator[Finding]:
        name, data, placed = sensor.name, self._data.get(sensor.name), self._placed[sensor.name]
        if data is None:
            yield self._absent(sensor)
            return
        yield from self._check_frame(sensor, data)
        if placed.ego_from_sensor is None:
            expected = f'a chain {self._rig.ego_frame} -> {sensor.frame}'
            yield Finding(Kind.NO_TF, name, f'TF {sensor.frame}', expected, placed.why)
        yield from check_stamps(data, name)
        yield from check_rate(data, sensor, self._span)
        if isinstance(sensor, CameraConfig) and isinstance(data, CameraLook):
            yield from self._check_camera(sensor, data, placed)
        elif isinstance(sensor, LidarConfig) and isinstance(data, CloudLook):
            yield from self._check_lidar(sensor, data, placed)

    def _absent(self, sensor: CameraConfig | LidarConfig) -> Finding:
        wanted, expected = sensor.topic.lstrip('/'), _type_of(sensor)
        types = {topic.lstrip('/'): kind for topic, kind in self._look.types.items()}
        if wanted not in types:
            alike = [topic for topic, kind in self._look.types.items() if kind == expected]
            got = f'no such topic; of its type: {", ".join(sorted(alike)[:4]) or "none"}'
            return Finding(Kind.NOT_IN_BAG, sensor.name, sensor.topic, expected, got)
        if types[wanted] != expected:
            return Finding(Kind.WRONG_TYPE, sensor.name, sensor.topic, expected, types[wanted])
        return Finding(Kind.NOT_IN_BAG, sensor.name, sensor.topic, 'messages', 'none')

    def _check_frame(
        self, sensor: CameraConfig | LidarConfig, data: TopicLook
    ) -> Iterator[Finding]:
        """The frame of the messages is that of the rig file, and of CameraInfo."""
        expected, found = self._frame_of(sensor), data.frame
        for other in self._rig.sensors:
            theirs = self._data.get(other.name)
            if other.name == sensor.name or theirs is None or found == expected:
                continue
            if found == self._frame_of(other) and theirs.frame == expected:
                got = f'{found}, and {other.name} bears {expected}'
                yield Finding(
                    Kind.FRAMES_SWAPPED, sensor.name, data.topic, f'frame_id {expected}', got
                )
                return
        wrong = {
            frame: count
            for frame, count in data.frames.items()
            if frame != sensor.frame.lstrip('/')
        }
        if wrong:
            got = ', '.join(f'{frame!r} in {count}' for frame, count in list(wrong.items())[:3])
            expected = f'frame_id {sensor.frame}'
            yield Finding(Kind.FRAME, sensor.name, data.topic, expected, got)

    def _frame_of(self, sensor: CameraConfig | LidarConfig) -> str:
        """The frame that a sensor should bear: of its CameraInfo where that is in the bag."""
        if isinstance(sensor, CameraConfig):
            info = info_of(self._look, sensor)
            if info is not None and info.frame:
                return info.frame
        return sensor.frame.lstrip('/')

    def _check_camera(
        self, camera: CameraConfig, data: CameraLook, placed: Placed
    ) -> Iterator[Finding]:
        info, problem = info_of(self._look, camera), lens_problem(self._look, camera)
        yield from camera_checks.check_images(data, camera)
        yield from camera_checks.check_calibration(data, info, camera, placed, problem)
        yield from camera_checks.check_direction(camera, placed)
        yield from self._check_meeting(camera, data, placed)

    def _check_meeting(
        self, camera: CameraConfig, data: CameraLook, placed: Placed
    ) -> Iterator[Finding]:
        """Points of the first LiDAR against the camera's pictures, where its own pose is right."""
        lens, pose = placed.intrinsics, placed.ego_from_sensor
        if lens is None or pose is None or not self._is_straight:
            return
        if set(data.sizes) != {(lens.width, lens.height)}:
            return
        meeting = find_turn(self._views(data), lens, pose)
        if (
            meeting is not None
            and meeting.degrees >= MOST_TURN
            and meeting.gain >= LEAST_GAIN
            and meeting.clear >= LEAST_CLEAR
        ):
            got = (
                f'{meeting.gain:.1f} times as many where the camera is turned by '
                f'{meeting.yaw:+.0f} deg to the left and {meeting.pitch:+.0f} deg down'
            )
            expected = 'edges of the points on edges of the picture'
            yield Finding(Kind.CAMERA_TURNED, camera.name, f'TF {camera.frame}', expected, got)

    def _views(self, data: CameraLook) -> list[View]:
        views: list[View] = []
        for shot in data.shots:
            near = sweep_near(self._look, self._rig.lidars, self._placed, shot.stamp_ns)
            if near is not None:
                lidar, sweep, pose = near
                key = lidar.name, sweep.stamp_ns
                if key not in self._edges:
                    self._edges[key] = range_edges(sweep.points[:, :3].astype(np.float64))
                points = points_at(sweep, lidar, pose, self._motion, shot.stamp_ns)
                views.append(View(shot.pixels, shot.scale, points[self._edges[key]]))
        return views

    def _check_lidar(
        self, lidar: LidarConfig, data: CloudLook, placed: Placed
    ) -> Iterator[Finding]:
        yield from (found := list(lidar_checks.check_points(data, lidar)))
        is_read = not any(one.kind in (Kind.POINTS, Kind.POINT_UNIT) for one in found)
        if is_read and placed.ego_from_sensor is not None:
            yield from lidar_checks.check_pose(data, lidar, placed.ego_from_sensor, self._motion)

    def _check_motion(self) -> Iterator[Finding]:
        rig, ego = self._rig, self._rig.ego_frame.lstrip('/')
        data = by_topic({**self._look.odometry}, rig.odometry_topic)
        children = getattr(data, 'children', {})
        if data is not None and ego not in children:
            got = f'child_frame_id {", ".join(list(children)[:2]) or "none"}'
            yield Finding(Kind.ODOMETRY_FRAME, BAG, rig.odometry_topic, f'poses of {ego}', got)
        link = self._look.links.get(ego)
        if (data is None or ego not in children) and (link is None or link.is_static):
            where = rig.odometry_topic or '/tf'
            got = f'neither odometry nor a moving transform of {ego}'
            yield Finding(Kind.NO_ODOMETRY, BAG, where, 'the motion of the vehicle', got)


def sweep_near(
    look: BagLook,
    lidars: Sequence[LidarConfig],
    placed: Mapping[str, Placed],
    stamp_ns: int,
) -> tuple[LidarConfig, SweepLook, np.ndarray] | None:
    """The sweep of the first placed LiDAR that is nearest to a time.

    Returns:
        The LiDAR, the sweep and (4, 4) ego_from_lidar; None where none is near.
    """
    for lidar in lidars:
        data, pose = by_topic({**look.clouds}, lidar.topic), placed[lidar.name].ego_from_sensor
        if isinstance(data, CloudLook) and data.sweeps and pose is not None:
            sweep = min(data.sweeps, key=lambda sweep: abs(sweep.stamp_ns - stamp_ns))
            if abs(sweep.stamp_ns - stamp_ns) <= APART_NS:
                return lidar, sweep, pose
    return None


def _type_of(sensor: CameraConfig | LidarConfig) -> str:
    return image_type(sensor) if isinstance(sensor, CameraConfig) else _CLOUD
