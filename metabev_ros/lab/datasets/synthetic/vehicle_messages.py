"""Messages of the events of a drive, as bytes, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metabev_ros import wire
from metabev_ros.config import Transport
from metabev_ros.errors import assert_never
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic import bag_messages as made
from metabev_ros.lab.datasets.synthetic.sensor_drive import SensorDrive
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind
from metabev_ros.sensing.topics import image_type

TF_TYPE = 'tf2_msgs/msg/TFMessage'


@dataclass(frozen=True)
class OutMessage:
    """One message of the bag.

    Attributes:
        log_ns: when it arrives.
        cdr: its bytes.
    """

    topic: str
    msgtype: str
    log_ns: int
    cdr: bytes


@dataclass(frozen=True)
class Rendered:
    """Result of an event.

    Attributes:
        messages: of the event.
        seen: of an image: track id -> (pixels that show the actor, pixels it would cover).
        truth: at the stamps of the drive's `truth_source`, without visibility.
    """

    messages: tuple[OutMessage, ...]
    seen: dict[int, tuple[int, int]]
    truth: GroundTruth | None


def render_event(drive: SensorDrive, event: Event) -> Rendered:
    """Measure, and put it into messages."""
    seen: dict[int, tuple[int, int]] = {}
    points: dict[int, int] = {}
    if event.kind is Kind.IMAGE:
        view = drive.view(event)
        seen, messages = view.seen, _image_messages(drive, event, view.pixels)
    elif event.kind is Kind.SWEEP:
        sweep, points = drive.sweep(event)
        lidar = next(one for one in drive.rig.lidars if one.name == event.source)
        cloud = made.swept_cloud(event.stamp_ns, lidar, sweep)
        messages = [message_of(lidar.topic, 'sensor_msgs/msg/PointCloud2', event, cloud)]
    else:
        messages = [_motion_message(drive, event)]
    is_truth = event.source == drive.truth_source
    return Rendered(tuple(messages), seen, drive.bare_truth(event, points) if is_truth else None)


def message_of(topic: str, msgtype: str, event: Event, message: Any) -> OutMessage:
    """A message of an event, on an absolute topic."""
    return OutMessage(
        '/' + topic.lstrip('~/'), msgtype, event.log_ns, wire.serialize(message, msgtype)
    )


def _image_messages(drive: SensorDrive, event: Event, pixels: Any) -> list[OutMessage]:
    camera = next(one for one in drive.rig.cameras if one.name == event.source)
    messages: list[OutMessage] = []
    if camera.info_topic:
        info = made.camera_info(event.stamp_ns, camera.frame, drive.mounts.cameras[camera.name])
        messages.append(message_of(camera.info_topic, 'sensor_msgs/msg/CameraInfo', event, info))
    match camera.transport:
        case Transport.RAW:
            image = made.raw_image(event.stamp_ns, camera.frame, pixels)
        case Transport.COMPRESSED:
            image = made.image(event.stamp_ns, camera.frame, pixels)
        case _:
            assert_never(camera.transport)
    messages.append(message_of(camera.topic, image_type(camera), event, image))
    return messages


def _motion_message(drive: SensorDrive, event: Event) -> OutMessage:
    rig, noise = drive.rig, drive.config.odometry
    believed = drive.odometry.measure(event.source, event.index, event.time_ns * 1e-9)
    odom = rig.motion_frame or made.ODOM_FRAME
    if event.kind is Kind.TF:
        link = (odom, rig.ego_frame, believed.odom_from_ego)
        return message_of('tf', TF_TYPE, event, made.transforms(event.stamp_ns, [link]))
    message = made.odometry(
        event.stamp_ns,
        believed.odom_from_ego,
        believed.velocity,
        (odom, rig.ego_frame),
        (noise.position, noise.yaw, noise.velocity, noise.yaw_rate),
    )
    return message_of(rig.odometry_topic, 'nav_msgs/msg/Odometry', event, message)
