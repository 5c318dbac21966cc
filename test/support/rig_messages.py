"""Messages of a small rig for the tests: two cameras and a LiDAR, every frame different."""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, Transport
from support.camera_info import INFO_TYPE, camera_info_bytes

CAMERAS = ('CAM_FRONT', 'CAM_BACK')
LIDAR = 'LIDAR_TOP'
SENSORS = (*CAMERAS, LIDAR)
RATE_HZ = 5.0
PERIOD_NS = 200_000_000
WIDTH, HEIGHT = 352, 198
VARIANTS = 23  # more than the frames that count as frozen content if they come again

IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
CLOUD_TYPE = 'sensor_msgs/msg/PointCloud2'
TF_TYPE = 'tf2_msgs/msg/TFMessage'
ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'
ODOMETRY_EVERY_NS = 50_000_000


def rig() -> RigConfig:
    """The rig of these messages."""
    return RigConfig(
        tuple(
            CameraConfig(
                name,
                f'{name}/image_rect/compressed',
                name,
                Transport.COMPRESSED,
                True,
                f'{name}/camera_info',
                RATE_HZ,
            )
            for name in CAMERAS
        ),
        (LidarConfig(LIDAR, f'{LIDAR}/points', LIDAR, RATE_HZ),),
    )


def topic_of(sensor: str) -> str:
    """The data topic of a sensor."""
    return f'/{sensor}/points' if sensor == LIDAR else f'/{sensor}/image_rect/compressed'


def type_of(sensor: str) -> str:
    return CLOUD_TYPE if sensor == LIDAR else IMAGE_TYPE


def image(sensor: str, variant: int, stamp_ns: int) -> bytes:
    """A smooth random picture as a JPEG in a CompressedImage."""
    random = np.random.default_rng([SENSORS.index(sensor), variant])
    small = random.integers(30, 220, (6, 11, 3), np.uint8)
    pixels = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode('.jpg', pixels)[1].reshape(-1)
    return wire.serialize(
        wire.message_class(IMAGE_TYPE)(
            header=wire.header(stamp_ns, sensor), format='jpeg', data=data
        ),
        IMAGE_TYPE,
    )


def cloud(variant: int, stamp_ns: int, points: int = 3000) -> bytes:
    """Points all around the vehicle as a PointCloud2 of x y z intensity."""
    random = np.random.default_rng([9, variant])
    angle, distance = random.uniform(-np.pi, np.pi, points), random.uniform(3, 45, points)
    data = np.stack(
        [
            distance * np.cos(angle),
            distance * np.sin(angle),
            random.uniform(-1.8, 1, points),
            random.uniform(0, 255, points),
        ],
        -1,
    )
    field = wire.message_class('sensor_msgs/msg/PointField')
    fields = [
        field(name=name, offset=4 * index, datatype=7, count=1)
        for index, name in enumerate(('x', 'y', 'z', 'intensity'))
    ]
    return wire.serialize(
        wire.message_class(CLOUD_TYPE)(
            header=wire.header(stamp_ns, LIDAR),
            height=1,
            width=points,
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * points,
            data=data.astype(np.float32).view(np.uint8).reshape(-1),
            is_dense=True,
        ),
        CLOUD_TYPE,
    )


def frame(sensor: str, variant: int, stamp_ns: int) -> bytes:
    """Frame number `variant % VARIANTS` of a sensor."""
    variant %= VARIANTS
    return cloud(variant, stamp_ns) if sensor == LIDAR else image(sensor, variant, stamp_ns)


def camera_info(sensor: str, stamp_ns: int) -> bytes:
    """A 90 degree pin-hole camera."""
    focal = WIDTH / 2
    k = np.array([focal, 0, WIDTH / 2 - 0.5, 0, focal, HEIGHT / 2 - 0.5, 0, 0, 1.0])
    return camera_info_bytes(sensor, stamp_ns, k, WIDTH, HEIGHT)


def static_transforms(stamp_ns: int) -> bytes:
    """base_link to every sensor: cameras look forward and back, the LiDAR sits on the roof."""
    half = 0.5
    poses = {
        'CAM_FRONT': ((1.5, 0, 1.5), (-half, half, -half, half)),
        'CAM_BACK': ((-1.0, 0, 1.5), (half, half, -half, -half)),
        LIDAR: ((0.9, 0, 1.8), (0, 0, 0, 1.0)),
    }
    transforms = []
    for child, (translation, rotation) in poses.items():
        transforms.append(
            wire.message_class('geometry_msgs/msg/TransformStamped')(
                header=wire.header(stamp_ns, 'base_link'),
                child_frame_id=child,
                transform=wire.message_class('geometry_msgs/msg/Transform')(
                    translation=wire.message_class('geometry_msgs/msg/Vector3')(
                        *map(float, translation)
                    ),
                    rotation=wire.message_class('geometry_msgs/msg/Quaternion')(
                        *map(float, rotation)
                    ),
                ),
            )
        )
    return wire.serialize(wire.message_class(TF_TYPE)(transforms=transforms), TF_TYPE)


def odometry(stamp_ns: int) -> bytes:
    """A vehicle that stands somewhere."""
    made = wire.message_class
    xyz = made('geometry_msgs/msg/Vector3')(0.0, 0.0, 0.0)
    pose = made('geometry_msgs/msg/Pose')(
        position=made('geometry_msgs/msg/Point')(40.0, -7.0, 0.0),
        orientation=made('geometry_msgs/msg/Quaternion')(0.0, 0.0, 0.6, 0.8),
    )
    twist = made('geometry_msgs/msg/Twist')(linear=xyz, angular=xyz)
    message = made(ODOMETRY_TYPE)(
        header=wire.header(stamp_ns, 'odom'),
        child_frame_id='base_link',
        pose=made('geometry_msgs/msg/PoseWithCovariance')(pose=pose, covariance=np.zeros(36)),
        twist=made('geometry_msgs/msg/TwistWithCovariance')(twist=twist, covariance=np.zeros(36)),
    )
    return wire.serialize(message, ODOMETRY_TYPE)


def write_drive(
    writer,
    ticks: int,
    start_ns: int = 1_700_000_000_000_000_000,
    skip=lambda sensor, tick: False,
    with_odometry: bool = False,
) -> None:
    """Write a drive into a BagWriter: every sensor at every tick unless `skip(sensor, tick)`."""
    writer.write('/tf_static', TF_TYPE, start_ns - PERIOD_NS, static_transforms(start_ns))
    for tick in range(ticks):
        stamp = start_ns + tick * PERIOD_NS
        for back in range(PERIOD_NS // ODOMETRY_EVERY_NS if with_odometry else 0, 0, -1):
            told = stamp - (back - 1) * ODOMETRY_EVERY_NS
            writer.write('/odom', ODOMETRY_TYPE, told, odometry(told))
        for order, sensor in enumerate(SENSORS):
            if skip(sensor, tick):
                continue
            arrival = stamp + order * 5_000_000
            if sensor != LIDAR:
                writer.write(
                    f'/{sensor}/camera_info', INFO_TYPE, arrival, camera_info(sensor, stamp)
                )
            writer.write(
                topic_of(sensor), type_of(sensor), arrival + 1_000_000, frame(sensor, tick, stamp)
            )
