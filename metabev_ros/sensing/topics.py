"""The topics of a rig: what each of them carries, and of which sensor."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config import CameraConfig, RigConfig, Transport
from metabev_ros.errors import assert_never

# What injects faults says so here; a sample made after that bears the mark until a restart.
INJECTION_TOPIC, INJECTION_TYPE = 'fault_injection', 'std_msgs/msg/String'
TF_TYPE = 'tf2_msgs/msg/TFMessage'


class Content(enum.Enum):
    """Meaning of a topic's messages to the front end."""

    IMAGE = 'image'
    CAMERA_INFO = 'camera info'
    POINTS = 'points'
    ODOMETRY = 'odometry'
    INJECTION = 'injection'
    TF = 'tf'
    TF_STATIC = 'tf_static'


@dataclass(frozen=True)
class Topic:
    """One input of the front end.

    Attributes:
        msgtype: 'package/msg/Name'.
        sensor: to which the messages belong; '' for none.
    """

    content: Content
    msgtype: str
    sensor: str = ''

    @property
    def is_data(self) -> bool:
        """True for frames of the sensor itself: a bad one speaks against it."""
        return self.content in (Content.IMAGE, Content.POINTS)


def rig_topics(rig: RigConfig) -> dict[str, Topic]:
    """Topic, as the rig writes it, -> what it carries.

    A camera whose intrinsics stand in the rig file needs no CameraInfo.
    """
    topics: dict[str, Topic] = {}
    for camera in rig.cameras:
        topics[camera.topic] = Topic(Content.IMAGE, image_type(camera), camera.name)
        if camera.info_topic:
            topics[camera.info_topic] = Topic(
                Content.CAMERA_INFO, 'sensor_msgs/msg/CameraInfo', camera.name
            )
    for lidar in rig.lidars:
        topics[lidar.topic] = Topic(Content.POINTS, 'sensor_msgs/msg/PointCloud2', lidar.name)
    if rig.odometry_topic:
        topics[rig.odometry_topic] = Topic(Content.ODOMETRY, 'nav_msgs/msg/Odometry')
    topics[INJECTION_TOPIC] = Topic(Content.INJECTION, INJECTION_TYPE)
    topics['/tf'] = Topic(Content.TF, TF_TYPE)
    topics['/tf_static'] = Topic(Content.TF_STATIC, TF_TYPE)
    return topics


def image_type(camera: CameraConfig) -> str:
    """Message type of a camera's images."""
    match camera.transport:
        case Transport.RAW:
            return 'sensor_msgs/msg/Image'
        case Transport.COMPRESSED:
            return 'sensor_msgs/msg/CompressedImage'
        case _:
            assert_never(camera.transport)
