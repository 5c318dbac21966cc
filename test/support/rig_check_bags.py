"""A short drive of a small rig, and the same with a fault planted in its messages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from metabev_ros import wire
from metabev_ros.bags.writer import LATCHED_QOS
from metabev_ros.config import CameraConfig, LidarConfig, PointTime, RigConfig, Transport
from metabev_ros.lab.datasets.synthetic.presets import find_timing
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_bag import VehicleBag
from metabev_ros.lab.datasets.synthetic.vehicle_config import (
    CameraMount,
    LidarMount,
    VehicleConfig,
)

SECONDS, SEED = 2.0, 5
BENT = (-0.2, 0.05, 0.0005, -0.0003, -0.004)
BEST_EFFORT = LATCHED_QOS.replace('reliability: 1', 'reliability: 2').replace(
    'durability: 1', 'durability: 2'
)


class Message(NamedTuple):
    """One message of a bag; `content` is what `wire.deserialize` gives."""

    topic: str
    msgtype: str
    log_ns: int
    content: Any


Change = Callable[[list[Message]], Iterable[Message]]


def _camera(name: str, rate: float, transport: Transport) -> CameraConfig:
    image = 'image_rect/compressed' if transport is Transport.COMPRESSED else 'image_raw'
    return CameraConfig(
        name,
        f'/{name}/{image}',
        f'{name}_optical',
        transport,
        transport is Transport.COMPRESSED,
        f'/{name}/camera_info',
        rate,
    )


def small_rig() -> RigConfig:
    """Two rectified cameras, one with its lens, and a LiDAR."""
    return RigConfig(
        (
            _camera('cam_front', 10.0, Transport.COMPRESSED),
            _camera('cam_rear', 10.0, Transport.COMPRESSED),
            _camera('cam_left', 10.0, Transport.RAW),
        ),
        (
            LidarConfig(
                'lidar_top', '/lidar_top/points', 'lidar_top', 10.0, point_time=PointTime('time')
            ),
        ),
    )


def small_drive(seconds: float = SECONDS) -> VehicleDrive:
    """Drive along a street of boxes."""
    size = {'width': 400, 'height': 224, 'focal': 260.0}
    config = VehicleConfig(
        cruise=10.0,
        cameras=(
            CameraMount('cam_front', (1.7, 0.0, 1.5), 0.0, **size),
            CameraMount('cam_rear', (-0.5, 0.0, 1.5), 180.0, **size),
            CameraMount('cam_left', (1.0, 0.8, 1.5), 90.0, distortion=BENT, **size),
        ),
        lidars=(LidarMount('lidar_top', (0.9, 0.0, 1.84), -90.0, azimuths=720),),
    )
    return VehicleDrive(small_rig(), SEED, seconds, config, find_timing('nuscenes'))


@functools.cache
def good_messages() -> tuple[tuple[str, str, int, bytes], ...]:
    """(topic, type, log time, bytes) of the drive, without the truth."""
    return tuple(
        (message.topic, message.msgtype, message.log_ns, message.cdr)
        for messages in VehicleBag(small_drive())
        for message in messages
        if not message.topic.startswith('/ground_truth')
    )


def opened() -> list[Message]:
    """All messages, opened anew: a change may alter them."""
    return [
        Message(topic, msgtype, log_ns, wire.deserialize(cdr, msgtype))
        for topic, msgtype, log_ns, cdr in good_messages()
    ]


def write(
    path: Path, change: Change = lambda messages: messages, qos: dict[str, str] | None = None
) -> Path:
    """Write the drive with a change."""
    messages = sorted(change(opened()), key=lambda message: message.log_ns)
    offered = {'/tf_static': LATCHED_QOS} | (qos or {})
    with path.open('wb') as file:
        writer = McapWriter(file, compression=CompressionType.NONE)
        writer.start(profile='ros2')
        schemas, channels = {}, {}
        for topic, msgtype, log_ns, content in messages:
            if msgtype not in schemas:
                text = wire.type_definition(msgtype).encode()
                schemas[msgtype] = writer.register_schema(msgtype, 'ros2msg', text)
            if topic not in channels:
                metadata = {'offered_qos_profiles': offered.get(topic, '')}
                channels[topic] = writer.register_channel(topic, 'cdr', schemas[msgtype], metadata)
            cdr = wire.serialize(content, msgtype)
            writer.add_message(channels[topic], log_ns, cdr, log_ns)
        writer.finish()
    return path
