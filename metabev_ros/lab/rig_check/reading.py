"""One pass over a bag: headers of every message, contents of some, evenly chosen."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.lab.rig_check.look import (
    BagLook,
    CameraLook,
    CloudLook,
    InfoLook,
    Link,
    OdometryLook,
    Shot,
    SweepLook,
    TopicLook,
)
from metabev_ros.sensing.checks import IMAGE_CHECKS
from metabev_ros.sensing.decoding import (
    PackedImage,
    read_compressed_image,
    read_image,
)
from metabev_ros.sensing.measures import look_at_picture
from metabev_ros.sensing.messages import TransformStamped
from metabev_ros.sensing.point_clouds import decode_point_cloud
from metabev_ros.sensing.pose_track import read_pose
from metabev_ros.sensing.untrusted import byte_view, read_frame

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CLOUD, INFO = 'sensor_msgs/msg/PointCloud2', 'sensor_msgs/msg/CameraInfo'
ODOMETRY, TF = 'nav_msgs/msg/Odometry', 'tf2_msgs/msg/TFMessage'
LOOKED_AT = 12  # pictures or clouds of a topic that are decoded
KEPT_EVERY = 2  # of them one in so many is kept
SHOT_WIDTH = 640  # pixels
MOST_POSES = 100_000  # of a topic or transform that are kept
MOST_LINKS = 1000
TIME_END_NS = (2**31 - 3600) * 10**9  # an hour before the end of ROS's time
_PLACES = ('x', 'y', 'z', 'intensity')
_FARTHEST = 1000.0  # metres on an axis, of what `decode_point_cloud` keeps
_FIELD_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}

Progress = Callable[[int, int], None]  # messages done, messages in all


def read_bag(
    path: Path | str, topics: Collection[str] = (), progress: Progress | None = None
) -> BagLook:
    """Look at a bag.

    Args:
        path: an .mcap or .db3 file, or a bag folder.
        topics: of pictures, points, CameraInfo and odometry that are looked at; empty for all.
        progress: told how far it is.

    Raises:
        SensorDataError: nothing of it can be read.
    """
    reader = BagReader(path)
    wanted = {topic.lstrip('/') for topic in topics}
    reading = _Reading(reader, wanted, str(path))
    total = reader.integrity.messages
    for done, message in enumerate(reader, 1):
        reading.take(message)
        if progress is not None:
            progress(done, total)
    integrity = reader.integrity
    reading.look.losses = integrity.describe() if integrity.is_lossy else ''
    return reading.look


class _Reading:
    """The state of a pass; it keeps `look` up to date."""

    def __init__(self, reader: BagReader, wanted: Collection[str], path: str) -> None:
        self.look = BagLook(path, dict(reader.topics))
        self._wanted, self._counts, self._qos = wanted, reader.counts, reader.offered_qos
        self._chosen: dict[str, dict[int, int]] = {}  # topic -> message -> its place
        self._repeats: dict[str, tuple[int, int]] = {}  # checksum, frames in a row
        for topic, msgtype in reader.topics.items():  # one without a message has a QoS too
            if msgtype == TF and _is_static(topic):
                qos = self._qos.get(topic, '')
                self.look.tf_static = TopicLook(topic, msgtype, qos)

    def take(self, message: BagMessage) -> None:
        """Take one message; one that cannot be read is counted."""
        look, topic = self.look, message.topic
        if message.log_time_ns >= TIME_END_NS:
            return  # later than ROS can say; a replay leaves it out too
        look.first_ns = look.first_ns or message.log_time_ns
        look.last_ns = max(look.last_ns, message.log_time_ns)
        is_tf = message.msgtype == TF
        if not is_tf and self._wanted and topic.lstrip('/') not in self._wanted:
            return
        try:
            if is_tf:
                self._take_tf(message)
            elif message.msgtype in (IMAGE, COMPRESSED):
                self._take_image(self._of(look.cameras, CameraLook, message), message)
            elif message.msgtype == CLOUD:
                self._take_cloud(self._of(look.clouds, CloudLook, message), message)
            elif message.msgtype == INFO:
                info = self._of(look.infos, InfoLook, message)
                info.last = self._open(info, message)
            elif message.msgtype == ODOMETRY:
                self._take_odometry(self._of(look.odometry, OdometryLook, message), message)
        except SensorDataError as error:
            self._refuse(topic, error)

    def _refuse(self, topic: str, error: SensorDataError) -> None:
        look = self.look
        for kinds in (look.cameras, look.clouds, look.infos, look.odometry):
            if topic in kinds:
                kinds[topic].refused[f'{error.reason}: {clean_text(error.got)}'] += 1

    def _of(self, kinds: dict[str, Any], kind: type[Any], message: BagMessage) -> Any:
        """The look of a topic, made with its first message."""
        topic = message.topic
        if topic not in kinds:
            kinds[topic] = kind(topic, message.msgtype, self._qos.get(topic, ''))
        return kinds[topic]

    def _open(self, look: TopicLook, message: BagMessage) -> Any:
        """The message, its header noted.

        Raises:
            SensorDataError: it is none.
        """
        look.seen += 1
        content = wire.deserialize(message.cdr, message.msgtype)
        look.logs.append(message.log_time_ns)
        stamp = content.header.stamp
        look.stamps.append(int(stamp.sec) * 10**9 + int(stamp.nanosec))
        look.frames[clean_text(read_frame(content.header))] += 1
        return content

    def _is_chosen(self, look: TopicLook, every: int = 1) -> bool:
        """Tell whether the newest message is one whose content is looked at.

        Args:
            every: of those one in so many.
        """
        topic, count = look.topic, self._counts.get(look.topic, 1)
        if topic not in self._chosen:
            places = np.unique(np.linspace(0, max(0, count - 1), LOOKED_AT).astype(int))
            self._chosen[topic] = {int(place): number for number, place in enumerate(places)}
        number = self._chosen[topic].get(len(look.logs) - 1)
        return number is not None and number % every == 0

    def _note_content(self, look: TopicLook, content: object) -> None:
        """Count frames in a row with the same bytes."""
        data = byte_view(content, look.topic)
        if not len(data):
            return
        checksum = zlib.crc32(np.ascontiguousarray(data).data)
        before, row = self._repeats.get(look.topic, (-1, 0))
        row = row + 1 if checksum == before else 0
        self._repeats[look.topic] = checksum, row
        look.longest_repeat = max(look.longest_repeat, row)

    # ------------------------------------------------------------------------------- pictures
    def _take_image(self, look: CameraLook, message: BagMessage) -> None:
        content = self._open(look, message)
        if message.msgtype == IMAGE:
            look.encodings[clean_text(content.encoding)] += 1
        self._note_content(look, content.data)
        packed = (read_image if message.msgtype == IMAGE else read_compressed_image)(content)
        look.sizes[packed.size] += 1
        if self._is_chosen(look):
            self._look_at(look, packed)

    def _look_at(self, look: CameraLook, packed: PackedImage) -> None:
        pixels, _ = packed.decode()
        picture = look_at_picture(pixels)
        look.looked_at += 1
        for check in IMAGE_CHECKS:
            value = check.measure(picture)
            if check.exceeds(value, check.invalid_at):
                look.faults[check.words.format(value=value, look=picture)] += 1
        if self._is_chosen(look, KEPT_EVERY):
            scale = min(1.0, SHOT_WIDTH / pixels.shape[1])
            size = (round(pixels.shape[1] * scale), max(1, round(pixels.shape[0] * scale)))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            look.shots.append(Shot(look.stamps[-1], small, scale))

    # ----------------------------------------------------------------------------------- clouds
    def _take_cloud(self, look: CloudLook, message: BagMessage) -> None:
        content = self._open(look, message)
        self._note_content(look, content.data)
        look.most_points = max(look.most_points, int(content.width) * int(content.height))
        if not self._is_chosen(look, KEPT_EVERY):
            return
        points, _, _ = decode_point_cloud(content)
        values = _fields(content)
        xyz = np.stack([values[name].astype(np.float64) for name in 'xyz'], axis=1)
        with np.errstate(over='ignore', invalid='ignore'):
            ranges = np.linalg.norm(xyz, axis=1)
        ranges = ranges[np.isfinite(ranges) & (ranges > 0)]
        keep = (np.abs(xyz) <= _FARTHEST).all(axis=1)
        keep &= np.isfinite(values.get('intensity', values.get('i', xyz[:, 0])))
        if keep.sum() != len(points):
            keep = np.ones(len(xyz), bool)
        others = {name: values[name][keep] for name in values if name not in _PLACES}
        sweep = SweepLook(
            look.stamps[-1],
            points,
            float(np.median(ranges)) if len(ranges) else 0.0,
            tuple(values),
            others,
        )
        look.sweeps.append(sweep)

    # ----------------------------------------------------------------------------------- motion
    def _take_odometry(self, look: OdometryLook, message: BagMessage) -> None:
        content = self._open(look, message)
        look.children[clean_text(str(content.child_frame_id).lstrip('/'))] += 1
        if len(look.poses) < MOST_POSES:
            pose = content.pose.pose
            look.poses.append(
                (look.stamps[-1], read_pose(pose.position, pose.orientation, look.topic))
            )

    def _take_tf(self, message: BagMessage) -> None:
        is_static, look = _is_static(message.topic), self.look.tf_static
        if is_static and look is not None:
            look.logs.append(message.log_time_ns)
        content = wire.deserialize(message.cdr, message.msgtype)
        for transform in content.transforms:
            self._take_link(transform, is_static)

    def _take_link(self, transform: TransformStamped, is_static: bool) -> None:
        links, child = self.look.links, str(transform.child_frame_id).lstrip('/')
        if child not in links and len(links) >= MOST_LINKS:
            return
        poses = links[child].poses if child in links else []
        links[child] = Link(transform, is_static, poses)
        if not is_static and len(poses) < MOST_POSES:
            moved = transform.transform
            stamp = wire.stamp_to_ns(transform.header.stamp)
            poses.append((stamp, read_pose(moved.translation, moved.rotation, '/tf')))


def _is_static(topic: str) -> bool:
    return topic.rsplit('/', 1)[-1] == 'tf_static'


def _fields(message: Any) -> dict[str, np.ndarray]:
    """Field -> (P,) values of a cloud that `decode_point_cloud` accepted.

    Fields of unknown types, of several values or that reach out of the point are left out.
    """
    step, count = int(message.point_step), int(message.width) * int(message.height)
    order = '>' if message.is_bigendian else '<'
    data = byte_view(message.data, 'PointCloud2')
    if not count:
        data = np.zeros((1, 0), np.uint8)
    rows = data.reshape(max(1, int(message.height)), -1)[:, : int(message.width) * step]
    packed = np.ascontiguousarray(rows).reshape(count, step)
    values: dict[str, np.ndarray] = {}
    for field in message.fields:
        kind = _FIELD_TYPES.get(int(field.datatype))
        offset, size = int(field.offset), int(kind[1]) if kind else 0
        if kind is None or int(field.count) != 1 or not 0 <= offset <= step - size:
            continue
        column = np.ascontiguousarray(packed[:, offset : offset + size])
        values[str(field.name)[:64]] = column.view(order + kind)[:, 0]
    return values
