"""A short drive of a small rig, and its truth as foreign labels, made with rosbags' own types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import (
    CameraConfig,
    IntrinsicsConfig,
    LidarConfig,
    PointTime,
    RigConfig,
    Transport,
)
from metabev_ros.geometry import rotation_to_quaternion, rotation_z
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.timing import TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_bag import write_vehicle_bag
from metabev_ros.lab.datasets.synthetic.vehicle_config import OdometryNoise, VehicleConfig
from metabev_ros.structures import DETECTION_CLASSES
from metabev_ros.wire.definitions import DEFINITIONS, SCENE, VISION

EXACT = OdometryNoise(0, 0, 0, 0, 0, 0)
SEED, SECONDS = 5, 0.9
TRUTH = '/ground_truth/'

# Long form of Foxglove's scene, as later releases write it: fields behind those that we know.
LONG_SCENE = DEFINITIONS[SCENE].replace(
    'foxglove_msgs/ModelPrimitive[] models', 'foxglove_msgs/ModelPrimitive[] models\nstring uuid'
)


def small_rig(**lidar: Any) -> RigConfig:
    """Two cameras of 192 x 96 and a LiDAR of 10 Hz."""
    fixed = IntrinsicsConfig(192, 96, (120.0, 0, 96, 0, 120.0, 48, 0, 0, 1))
    cameras = (
        CameraConfig(
            name, f'{name}/image', name, Transport.COMPRESSED, True, rate_hz=12.0, intrinsics=fixed
        )
        for name in ('front', 'back')
    )
    top = LidarConfig('top', 'top/points', 'top', point_time=PointTime('time'), **lidar)
    return RigConfig(tuple(cameras), (top,))


@dataclass(frozen=True)
class LabelledDrive:
    """A written drive."""

    rig: RigConfig
    drive: VehicleDrive
    path: Path
    truths: dict[int, GroundTruth]

    def seconds(self, stamp_ns: int) -> float:
        return (stamp_ns - self.drive.start_ns) * 1e-9

    def shown(self, stamp_ns: int) -> tuple[GroundTruth, np.ndarray]:
        """The truth at a stamp, and the rows of it that a sensor shows."""
        truth = self.truths[stamp_ns]
        return truth, np.flatnonzero((truth.num_lidar_pts > 0) | (truth.visibility > 0))


def write_drive(
    folder: Path,
    noise: OdometryNoise = EXACT,
    seconds: float = SECONDS,
    rig: RigConfig | None = None,
    timing: TimingConfig | None = None,
    **config: Any,
) -> LabelledDrive:
    """A drive at 12 m/s."""
    rig = rig or small_rig()
    drive = VehicleDrive(
        rig, SEED, seconds, VehicleConfig(cruise=12.0, odometry=noise, **config), timing
    )
    path = folder / 'drive.mcap'
    return LabelledDrive(rig, drive, path, write_vehicle_bag(drive, path, keep_truths=True))


def store(scene: str = DEFINITIONS[SCENE]):
    """Rosbags' types with those of labels."""
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(DEFINITIONS[VISION], VISION))
    types.register(get_types_from_msg(scene, SCENE))
    return types


def rewrite(
    source: Path,
    target: Path,
    added: Iterable[tuple[str, str, int, bytes]] = (),
    keep: Callable[[str], bool] = lambda topic: not topic.startswith(TRUTH),
    schemas: dict[str, str] | None = None,
) -> Path:
    """The bag without its truth, with other messages (topic, type, log time, bytes)."""
    messages = [
        (m.log_time_ns, m.topic, m.msgtype, m.cdr) for m in BagReader(source) if keep(m.topic)
    ]
    messages += [(log, topic, kind, cdr) for topic, kind, log, cdr in added]
    messages.sort(key=lambda message: message[0])
    with BagWriter(target, DEFINITIONS if schemas is None else schemas) as writer:
        for log, topic, kind, cdr in messages:
            writer.write(topic, kind, log, cdr)
    return target


class Maker:
    """Foreign messages of labels.

    Args:
        scene: definition of Foxglove's scene.
    """

    def __init__(self, scene: str = DEFINITIONS[SCENE]) -> None:
        self.store = store(scene)

    def make(self, name: str, **fields: Any) -> Any:
        package, _, kind = name.rpartition('/')
        return self.store.types[f'{package}/msg/{kind}'](**fields)

    def time(self, stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        return self.make('builtin_interfaces/Time', sec=seconds, nanosec=nanoseconds)

    def header(self, stamp_ns: int, frame: str) -> Any:
        return self.make('std_msgs/Header', stamp=self.time(stamp_ns), frame_id=frame)

    def pose(self, centre, rotation) -> Any:
        x, y, z, w = (float(v) for v in rotation_to_quaternion(rotation))
        place = dict(zip('xyz', (float(v) for v in centre), strict=True))
        return self.make(
            'geometry_msgs/Pose',
            position=self.make('geometry_msgs/Point', **place),
            orientation=self.make('geometry_msgs/Quaternion', x=x, y=y, z=z, w=w),
        )

    def vector(self, values) -> Any:
        fields = dict(zip('xyz', (float(v) for v in values), strict=True))
        return self.make('geometry_msgs/Vector3', **fields)

    def detection(
        self, name: str, centre, size, rotation, track: str = '', frame: str = ''
    ) -> Any:
        pose = self.pose(centre, rotation)
        unsure = self.make('geometry_msgs/PoseWithCovariance', pose=pose, covariance=np.zeros(36))
        guess = self.make('vision_msgs/ObjectHypothesis', class_id=name, score=1.0)
        return self.make(
            'vision_msgs/Detection3D',
            header=self.header(0, frame),
            results=[
                self.make('vision_msgs/ObjectHypothesisWithPose', hypothesis=guess, pose=unsure)
            ],
            bbox=self.make('vision_msgs/BoundingBox3D', center=pose, size=self.vector(size)),
            id=track,
        )

    def detections(self, stamp_ns: int, frame: str, found: list[Any]) -> bytes:
        message = self.make(
            'vision_msgs/Detection3DArray', header=self.header(stamp_ns, frame), detections=found
        )
        return bytes(self.store.serialize_cdr(message, VISION))

    def entity(
        self,
        stamp_ns: int,
        frame: str,
        name: str,
        boxes,
        lifetime_ns: int = 0,
        is_locked: bool = False,
        metadata: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        """An entity; boxes are (centre, size, rotation)."""
        colour = self.make('foxglove_msgs/Color', r=1.0, g=0.0, b=0.0, a=1.0)
        seconds, nanoseconds = divmod(lifetime_ns, 10**9)
        empty = ('arrows', 'spheres', 'cylinders', 'lines', 'triangles', 'texts', 'models')
        return self.make(
            'foxglove_msgs/SceneEntity',
            timestamp=self.time(stamp_ns),
            frame_id=frame,
            id=name,
            lifetime=self.make('builtin_interfaces/Duration', sec=seconds, nanosec=nanoseconds),
            frame_locked=is_locked,
            metadata=[
                self.make('foxglove_msgs/KeyValuePair', key=key, value=value)
                for key, value in (metadata or {}).items()
            ],
            cubes=[
                self.make(
                    'foxglove_msgs/CubePrimitive',
                    pose=self.pose(centre, rotation),
                    size=self.vector(size),
                    color=colour,
                )
                for centre, size, rotation in boxes
            ],
            **{name: [] for name in empty},
            **more,
        )

    def deletion(self, stamp_ns: int, name: str | None) -> Any:
        return self.make(
            'foxglove_msgs/SceneEntityDeletion',
            timestamp=self.time(stamp_ns),
            type=1 if name is None else 0,
            id=name or '',
        )

    def scene(self, entities=(), deletions=()) -> bytes:
        message = self.make(
            'foxglove_msgs/SceneUpdate', deletions=list(deletions), entities=list(entities)
        )
        return bytes(self.store.serialize_cdr(message, SCENE))


def boxes_in(boxes: np.ndarray, target_from_ego: np.ndarray) -> list[SimpleNamespace]:
    """Centre, size and turn of (M, >=7) boxes in another frame."""
    return [
        SimpleNamespace(
            centre=target_from_ego[:3, :3] @ box[:3] + target_from_ego[:3, 3],
            size=box[3:6],
            rotation=target_from_ego[:3, :3] @ rotation_z(box[6]),
        )
        for box in boxes.astype(np.float64)
    ]


def vision_cdr(
    maker: Maker, stamp_ns: int, frame: str, boxes, labels, tracks, target_from_ego=None
) -> bytes:
    """Boxes of the ego frame as a Detection3DArray in another frame."""
    pose = np.eye(4) if target_from_ego is None else target_from_ego
    found = [
        maker.detection(DETECTION_CLASSES[k], b.centre, b.size, b.rotation, track)
        for b, k, track in zip(boxes_in(boxes, pose), labels, tracks, strict=True)
    ]
    return maker.detections(stamp_ns, frame, found)


def scene_cdr(maker: Maker, stamp_ns: int, frame: str, boxes, labels, tracks, **more) -> bytes:
    """Boxes of the ego frame as a scene that lasts for a tenth of a second."""
    found = [
        maker.entity(
            stamp_ns,
            frame,
            f'{DETECTION_CLASSES[k]}_{track}',
            [(b.centre, b.size, b.rotation)],
            lifetime_ns=100_000_000,
            **more,
        )
        for b, k, track in zip(boxes_in(boxes, np.eye(4)), labels, tracks, strict=True)
    ]
    return maker.scene(found, [maker.deletion(stamp_ns, None)])
