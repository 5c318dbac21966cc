"""A rig file made from a bag: which topics are sensors, and what is to be written of each.

Nothing that a bag does not show is made up; what was chosen is said in words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.config import (
    CameraConfig,
    LidarConfig,
    RigConfig,
    Transport,
)
from metabev_ros.config.rig import MAX_CAMERAS, MAX_LIDARS, MAX_RATE, MIN_RATE
from metabev_ros.errors import SensorDataError
from metabev_ros.lab.rig_check.findings import Finding, Kind
from metabev_ros.lab.rig_check.look import (
    BagLook,
    CameraLook,
    CloudLook,
    InfoLook,
)
from metabev_ros.lab.rig_check.point_fields import find_intensity_scale, find_point_time
from metabev_ros.sensing.topics import image_type

EGO_FRAMES = ('base_link', 'base_footprint', 'ego', 'ego_vehicle', 'vehicle')  # the first counts
DEFAULT_RATE = 10.0  # Hz, of a sensor with too few messages to tell
_NOT_SENSORS = ('ground_truth', 'perception', 'compressedDepth', 'depth')  # parts of topics
_WORDS = {'image', 'raw', 'color', 'colour', 'rect', 'mono', 'compressed', 'points', 'camera'}


@dataclass(frozen=True)
class Proposal:
    """A rig made from a bag.

    Attributes:
        rig: None where there is no sensor that a rig file can name.
        findings: on what could not be put into it.
        choices: what was chosen where a bag leaves a choice, in words.
    """

    rig: RigConfig | None
    findings: tuple[Finding, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass
class _Made:
    """Parts so far."""

    cameras: list[CameraConfig] = field(default_factory=list)
    lidars: list[LidarConfig] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def leave_out(self, topic: str, got: str) -> None:
        self.findings.append(Finding(Kind.LEFT_OUT, 'bag', topic, 'a sensor of the rig', got))


def propose_rig(look: BagLook) -> Proposal:
    """Make the rig file of a bag."""
    made = _Made()
    _add_lidars(look, made)
    _add_cameras(look, made)
    if not made.cameras and not made.lidars:
        return Proposal(None, tuple(made.findings), tuple(made.choices))
    frames = [sensor.frame for sensor in (*made.cameras, *made.lidars)]
    ego = find_ego_frame(look, frames)
    odometry, motion = _find_motion(look, ego)
    made.choices.append(f'ego_frame: {ego}')
    made.choices.append(f'odometry_topic: {odometry or "none"}, motion_frame: {motion or "none"}')
    rig = RigConfig(tuple(made.cameras), tuple(made.lidars), ego, odometry, motion)
    return Proposal(rig, tuple(made.findings), tuple(made.choices))


def find_ego_frame(look: BagLook, frames: list[str]) -> str:
    """The vehicle's frame: one of the usual names, else the parent of most sensors."""
    known = {*look.links, *(link.parent for link in look.links.values())}
    named = [name for name in EGO_FRAMES if name in known]
    if named:
        return named[0]
    parents = Counter(
        look.links[frame].parent
        for frame in frames
        if frame in look.links and look.links[frame].is_static
    )
    return parents.most_common(1)[0][0] if parents else EGO_FRAMES[0]


def _find_motion(look: BagLook, ego: str) -> tuple[str, str]:
    """Topic of the odometry, and the frame that TF gives the vehicle's pose in; '' for none."""
    topics = [
        topic
        for topic, odometry in look.odometry.items()
        if not _is_product(topic) and ego in odometry.children
    ]
    others = [topic for topic in look.odometry if not _is_product(topic)]
    link, motion = look.links.get(ego), ''
    if link is not None and not link.is_static:
        motion = link.parent
    return next(iter(sorted(topics, key=len) or sorted(others, key=len)), ''), motion


def _is_product(topic: str) -> bool:
    """Tell whether a topic is an output or truth, or a picture of distances."""
    return any(part in _NOT_SENSORS for part in topic.split('/'))


# ------------------------------------------------------------------------------------- LiDARs
def _add_lidars(look: BagLook, made: _Made) -> None:
    by_frame: dict[str, list[CloudLook]] = {}
    for topic, cloud in look.clouds.items():
        if _is_product(topic):
            made.leave_out(topic, 'an output or truth')
        else:
            by_frame.setdefault(cloud.frame or topic, []).append(cloud)
    chosen: list[CloudLook] = []
    for clouds in by_frame.values():
        clouds.sort(key=lambda cloud: (-cloud.most_points, cloud.topic))
        chosen.append(clouds[0])
        for other in clouds[1:]:
            made.leave_out(other.topic, f'fewer points in the frame of {clouds[0].topic}')
    chosen.sort(key=lambda cloud: (-cloud.most_points, cloud.topic))
    for cloud in chosen[MAX_LIDARS:]:
        made.leave_out(cloud.topic, f'more than {MAX_LIDARS} LiDARs')
    for cloud in sorted(chosen[:MAX_LIDARS], key=lambda cloud: -cloud.most_points):
        made.lidars.append(_lidar(cloud, made))


def _lidar(cloud: CloudLook, made: _Made) -> LidarConfig:
    name = _name(cloud.topic, made.names)
    scale, time = find_intensity_scale(cloud.sweeps), find_point_time(cloud.sweeps)
    if scale != 1.0:
        made.choices.append(f'{name}: intensity_scale {scale:.6g}, from the intensities seen')
    if time is not None:
        since = 'since 1970' if time.absolute else 'from the stamp'
        made.choices.append(f'{name}: point_time {time.field}, {time.unit.value} {since}')
    return LidarConfig(
        name,
        cloud.topic,
        cloud.frame or 'unknown',
        _rate(cloud.rate_hz, name, made),
        intensity_scale=scale,
        point_time=time,
    )


# ------------------------------------------------------------------------------------ cameras
def _add_cameras(look: BagLook, made: _Made) -> None:
    groups: dict[str, list[CameraLook]] = {}
    for topic, camera in look.cameras.items():
        if _is_product(topic):
            made.leave_out(topic, 'an output, or distances')
        else:
            groups.setdefault(camera_root(topic), []).append(camera)
    added = 0
    for root in sorted(groups):
        cameras = sorted(groups[root], key=_preference)
        for other in cameras[1:]:
            made.leave_out(other.topic, f'another picture of {cameras[0].topic}')
        info = find_info(look, cameras[0])
        if info is None:
            made.findings.append(
                Finding(
                    Kind.NO_CAMERA_INFO,
                    _name(cameras[0].topic, made.names),
                    cameras[0].topic,
                    f'sensor_msgs/CameraInfo on {root}/camera_info',
                    'none for it',
                )
            )
        elif added >= MAX_CAMERAS:
            made.leave_out(cameras[0].topic, f'more than {MAX_CAMERAS} cameras')
        else:
            made.cameras.append(_camera(cameras[0], info, made))
            added += 1


def _preference(camera: CameraLook) -> tuple[bool, bool, str]:
    return not camera.is_readable, not is_named_rectified(camera.topic), camera.topic


def camera_root(topic: str) -> str:
    """The namespace of a camera: its topic without the words for pictures at the end."""
    parts = topic.split('/')
    while len(parts) > 2 and set(re.split('_', parts[-1])) & (_WORDS - {'camera'}):
        parts.pop()
    return '/'.join(parts)


def is_named_rectified(topic: str) -> bool:
    """Tell whether a topic is called as that of rectified images, like `image_rect_color`."""
    return any('rect' in part.split('_') for part in topic.split('/'))


def find_info(look: BagLook, camera: CameraLook) -> InfoLook | None:
    """The CameraInfo of a camera: beside its images, else the only one that bears its frame."""
    root = camera_root(camera.topic)
    beside = [info for topic, info in look.infos.items() if topic.rpartition('/')[0] == root]
    parent = camera.topic.rpartition('/')[0]
    beside += [info for topic, info in look.infos.items() if topic.rpartition('/')[0] == parent]
    if beside:
        return beside[0]
    alike = [info for info in look.infos.values() if info.frame and info.frame == camera.frame]
    return alike[0] if len(alike) == 1 else None


def _camera(camera: CameraLook, info: InfoLook, made: _Made) -> CameraConfig:
    name = _name(camera.topic, made.names)
    rectified = is_rectified(camera, info)
    made.choices.append(f'{name}: rectified {str(rectified).lower()}')
    rate = _rate(camera.rate_hz, name, made)
    frame = camera.frame or 'unknown'
    configs = [
        CameraConfig(name, camera.topic, frame, transport, rectified, info.topic, rate)
        for transport in Transport
    ]
    return next(config for config in configs if image_type(config) == camera.msgtype)


def is_rectified(camera: CameraLook, info: InfoLook) -> bool:
    """Judge by the name; without the word, by a lens without distortion whose P is its K."""
    if is_named_rectified(camera.topic):
        return True
    last = info.last
    if last is None or last.distortion_model in ('equidistant', 'fisheye'):
        return False
    try:
        k, p = np.asarray(last.k, float).reshape(3, 3), np.asarray(last.p, float).reshape(3, 4)
        bent = np.asarray(last.d, float).any()
    except (ValueError, TypeError, SensorDataError):
        return False
    return not bent and bool(np.allclose(k, p[:, :3]))


# -------------------------------------------------------------------------------------- names
def _name(topic: str, taken: set[str]) -> str:
    """A short name for a sensor: the last part of its topic that is no word for pictures."""
    parts = [part for part in topic.split('/') if part]
    telling = [part for part in parts if not set(part.split('_')) <= _WORDS] or parts
    name = telling[-1][:48]
    if name in taken:
        name = '_'.join(telling[-2:])[:56]
    base, number = name, 2
    while name in taken:
        name, number = f'{base}_{number}', number + 1
    taken.add(name)
    return name


def _rate(measured: float, name: str, made: _Made) -> float:
    if not measured:
        made.choices.append(f'{name}: rate_hz {DEFAULT_RATE:g}, too few messages to tell')
    if not MIN_RATE <= measured <= MAX_RATE:
        return DEFAULT_RATE
    return round(measured, 1) if measured >= 1 else round(measured, 2)
