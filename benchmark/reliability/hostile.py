"""A hostile peer: sends messages of one kind to one topic of the node, as large as it is told.

Run by `floods` as a process of its own: what it costs to send is not the node's.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.node import Node
from support import rig_messages

from metabev_ros import wire
from metabev_ros.node import ros_support

CAMERA = rig_messages.CAMERAS[0]


@dataclass(frozen=True)
class Flood:
    """Messages of `size` bytes or so every `period` seconds."""

    topic: str
    msgtype: str
    size: int
    period: float

    def message(self, stamp_ns: int) -> bytes:
        """One message that is well-formed."""
        if self.msgtype == rig_messages.TF_TYPE:
            content = wire.deserialize(rig_messages.static_transforms(stamp_ns), self.msgtype)
            content.transforms = [content.transforms[0]] * (self.size // 100)
        elif self.msgtype == rig_messages.INFO_TYPE:
            content = wire.deserialize(rig_messages.camera_info(CAMERA, stamp_ns), self.msgtype)
            content.d = np.zeros(self.size // 8)
        elif self.msgtype == rig_messages.IMAGE_TYPE:
            content = wire.deserialize(rig_messages.frame(CAMERA, 0, stamp_ns), self.msgtype)
            content.data = np.zeros(self.size, np.uint8)
        else:
            return rig_messages.cloud(0, stamp_ns, points=self.size // 16)
        return wire.serialize(content, self.msgtype)


_IMAGES, _CLOUDS = rig_messages.topic_of(CAMERA), rig_messages.topic_of(rig_messages.LIDAR)
_INFO = f'/{CAMERA}/camera_info'
FLOODS = {
    'transforms_26_MB': (Flood('/tf', rig_messages.TF_TYPE, 26_000_000, 1.0),),
    'transforms_and_calibrations_10_MB': (
        Flood('/tf', rig_messages.TF_TYPE, 8_800_000, 0.25),
        Flood(_INFO, rig_messages.INFO_TYPE, 10_000_000, 0.05),
    ),
    'transforms_within_budget': (Flood('/tf', rig_messages.TF_TYPE, 80_000, 0.01),),
    'images_300_MB': (Flood(_IMAGES, rig_messages.IMAGE_TYPE, 300_000_000, 0.5),),
    'images_within_budget': (Flood(_IMAGES, rig_messages.IMAGE_TYPE, 20_000_000, 0.1),),
    'clouds_within_budget': (Flood(_CLOUDS, rig_messages.CLOUD_TYPE, 24_000_000, 0.1),),
}


def main(name: str, seconds: float) -> None:
    """Print 'ready' when there are publishers, then send."""
    rclpy.init()
    node = Node('hostile')
    floods = FLOODS[name]
    publishers = [
        node.create_publisher(
            ros_support.message_type(flood.msgtype), flood.topic, ros_support.reliable_qos(5)
        )
        for flood in floods
    ]
    messages = [flood.message(time.time_ns()) for flood in floods]
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    time.sleep(1.5)  # to be discovered
    due = [time.monotonic()] * len(floods)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for index, flood in enumerate(floods):
            if time.monotonic() < due[index]:
                continue
            due[index] = time.monotonic() + flood.period
            message = messages[index]
            if flood.size < 10**8 and wire.has_header_first(flood.msgtype):
                message = wire.with_stamp(message, time.time_ns())
            publishers[index].publish(message)
        time.sleep(0.001)


if __name__ == '__main__':
    main(sys.argv[1], float(sys.argv[2]))
