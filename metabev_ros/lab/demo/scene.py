"""One instant of a run as pictures: what the sensors gave, what was found, what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros import wire
from metabev_ros.config import PointTime, RigConfig
from metabev_ros.drawing import PanelLayout
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.demo.correctness import truth_of
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.world import TrueMotion, Truths
from metabev_ros.lab.report.film import VIDEO_LAYOUT
from metabev_ros.lab.report.panel import Instant, draw_instant
from metabev_ros.pages.messages import Frame, Status
from metabev_ros.sensing.decoding import read_compressed_image
from metabev_ros.sensing.point_clouds import decode_point_cloud
from metabev_ros.sensing.sweeps import points_in_ego
from metabev_ros.structures import CameraCalibration, CameraImage

HEARTBEAT_LAG_NS = 150_000_000  # an instant without output is described by what was said then
LONGEST_AGE_NS = 150_000_000  # a sensor that sent nothing for longer is shown as silent
IMAGE_TYPE, CLOUD_TYPE = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/PointCloud2'


@dataclass(frozen=True)
class Mounting:
    """Poses of the sensors and the vehicle's own motion, for drawing only."""

    calibrations: Mapping[str, CameraCalibration]
    ego_from_lidar: np.ndarray
    point_time: PointTime | None
    motion: TrueMotion


@dataclass(frozen=True)
class Shot:
    """One image as published.

    Attributes:
        calibration: `ego_from_camera` leads into the ego frame at the scene's stamp.
    """

    cdr: bytes
    calibration: CameraCalibration


@dataclass(frozen=True)
class Cloud:
    """One sweep as published.

    Attributes:
        ego_from_lidar: leads into the ego frame at the sweep's stamp.
        twist: (3,) vx, vy in m/s and yaw rate in rad/s of the vehicle then.
    """

    cdr: bytes
    ego_from_lidar: np.ndarray
    point_time: PointTime | None
    twist: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One instant; the sensors' data is still serialized, so that it travels cheaply.

    Attributes:
        shots, cloud: what the output was made from; of a sensor that is not in it, the newest
            that it had published; None where nothing was.
        frame: the output of this stamp, None if there was none.
        status: its label, or the heartbeat shortly after.
        caption: right end of the banner.
    """

    stamp_ns: int
    shots: dict[str, Shot | None]
    cloud: Cloud | None
    frame: Frame | None
    status: Status | None
    truth: GroundTruth | None
    caption: str


def scene_at(
    evidence: Evidence,
    truths: Truths,
    rig: RigConfig,
    mounting: Mounting,
    stamp_ns: int,
    caption: str,
) -> Scene:
    """The scene of a stamp of the drive."""
    frame = evidence.frame(stamp_ns)
    status = evidence.label_status(stamp_ns) if frame else None
    if status is None:
        status = evidence.last_heartbeat(stamp_ns + HEARTBEAT_LAG_NS)
    held = evidence.held(stamp_ns)
    shots = {c.name: _shot(evidence, mounting, c.name, stamp_ns, held) for c in rig.cameras}
    return Scene(
        stamp_ns,
        shots,
        _cloud(evidence, mounting, rig.lidars[0].name, stamp_ns, held),
        frame,
        status,
        truth_of(evidence, truths, stamp_ns),
        caption if frame else f'no output   {caption}',
    )


def _shown(evidence: Evidence, name: str, stamp_ns: int, held: Mapping[str, int]) -> int | None:
    """The stamp of what is shown of a sensor."""
    if name in held:
        return evidence.sent(name, held[name])
    return evidence.newest_sent(name, stamp_ns, LONGEST_AGE_NS)


def _shot(
    evidence: Evidence, mounting: Mounting, name: str, stamp_ns: int, held: Mapping[str, int]
) -> Shot | None:
    shown = _shown(evidence, name, stamp_ns, held)
    if shown is None:
        return None
    moved = mounting.motion.between(evidence.truth_stamp(stamp_ns), evidence.truth_stamp(shown))
    calibration = mounting.calibrations[name]
    pose = moved @ calibration.ego_from_camera
    return Shot(evidence.payloads[name][shown], replace(calibration, ego_from_camera=pose))


def _cloud(
    evidence: Evidence, mounting: Mounting, name: str, stamp_ns: int, held: Mapping[str, int]
) -> Cloud | None:
    shown = _shown(evidence, name, stamp_ns, held)
    if shown is None:
        return None
    twist = mounting.motion.twist(evidence.truth_stamp(shown))
    cdr = evidence.payloads[name][shown]
    return Cloud(cdr, mounting.ego_from_lidar, mounting.point_time, twist)


def as_instant(scene: Scene) -> Instant:
    """The scene decoded, ready to be drawn."""
    images = {name: None if shot is None else _decoded(shot) for name, shot in scene.shots.items()}
    points, status = scene_points(scene), scene.status
    return Instant(images, points, scene.frame, status, scene.truth, scene.caption)


def _decoded(shot: Shot) -> CameraImage:
    pixels = read_compressed_image(wire.deserialize(shot.cdr, IMAGE_TYPE)).decode()[0]
    return CameraImage(wire.read_stamp(shot.cdr), pixels, shot.calibration)


def scene_points(scene: Scene) -> np.ndarray | None:
    """(P, 3) in the ego frame, without the vehicle's motion during the sweep."""
    if scene.cloud is None:
        return None
    cloud = scene.cloud
    message = wire.deserialize(cloud.cdr, CLOUD_TYPE)
    points, seconds, _ = decode_point_cloud(message, cloud.point_time)

    def motion(target_ns: int, source_ns: int) -> np.ndarray:
        after = (source_ns - target_ns) * 1e-9
        vx, vy, turn = (cloud.twist * after).tolist()
        return rigid_transform(rotation_z(turn), (vx, vy, 0.0))

    stamp_ns = wire.read_stamp(cloud.cdr)
    placed, _ = points_in_ego(points, seconds, stamp_ns, cloud.ego_from_lidar, motion)
    return placed[:, :3].astype(np.float64)


def draw_scene(scene: Scene, layout: PanelLayout) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: cameras, bird's-eye view, labels."""
    return draw_instant(as_instant(scene), layout)


def draw_film_frame(scene: Scene) -> np.ndarray:
    """The scene as a picture of the film."""
    return draw_scene(scene, VIDEO_LAYOUT)
