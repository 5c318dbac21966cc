"""Random messages, and what cv_bridge, sensor_msgs_py and tf2_ros make of them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from metabev_ros.sensing.encodings import ENCODINGS
from support import fake_drive
from support.topic_traffic import MS, T0

# cv_bridge makes rgb8 of colours only; OpenCV's types and new names are read as these here.
SAME_AS = {
    '8UC1': 'mono8',
    '8UC3': 'bgr8',
    '8UC4': 'bgra8',
    '16UC1': 'mono16',
    '16UC3': 'bgr16',
    '16UC4': 'bgra16',
    'uyvy': 'yuv422',
    'yuyv': 'yuv422_yuy2',
}
WITHOUT_PEER = {'nv12', 'nv21'}  # cv_bridge does not know them
COMPARED = sorted(set(ENCODINGS) - WITHOUT_PEER)
FARTHEST = 1000.0  # metres; what is beyond is left out, as docs and `decode_point_cloud` say
TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}


def has_cv_bridge() -> bool:
    """Tell whether cv_bridge is there with its compiled part, which converts colours."""
    try:
        importlib.import_module('cv_bridge.boost.cv_bridge_boost')
    except ImportError:
        return False
    return True


def random_image(encoding: str, rng: np.random.Generator) -> SimpleNamespace:
    """sensor_msgs/Image of random bytes, size, padding and order of bytes.

    Rows are padded by whole pixels: cv_bridge's Python reads no others.
    """
    layout = ENCODINGS[encoding]
    cell = (2, 2) if layout.is_mosaic else layout.cell
    width, height = (int(rng.integers(1, 20)) * side for side in cell)
    step = (width + int(rng.integers(0, 4))) * layout.pixel_bytes
    rows = rng.integers(0, 256, (height * layout.planes // 2, step), dtype=np.uint8)
    return fake_drive.image(
        np.zeros((height, width), np.uint8),
        encoding=encoding,
        step=step,
        data=rows.tobytes(),
        is_bigendian=int(rng.integers(0, 2)),
    )


def rgb_of_cv_bridge(message: SimpleNamespace) -> np.ndarray:
    """(H, W, 3) uint8 by cv_bridge."""
    from cv_bridge import CvBridge

    encoding = SAME_AS.get(message.encoding, message.encoding)
    named = SimpleNamespace(**{**vars(message), 'encoding': encoding})
    return CvBridge().imgmsg_to_cv2(named, 'rgb8')


def random_cloud(rng: np.random.Generator) -> Any:
    """sensor_msgs/PointCloud2: any types, order and gaps of fields; some NaN and some far."""
    from sensor_msgs.msg import PointCloud2, PointField

    names = ['x', 'y', 'z', ('intensity', 'i', 'ring')[rng.integers(0, 3)], 'stamp', 'extra']
    rng.shuffle(names)
    offset, fields = int(rng.integers(0, 5)), []
    for name in names:
        kind, count = int(rng.integers(1, 9)), 3 if name == 'extra' else 1
        fields.append(PointField(name=name, offset=offset, datatype=kind, count=count))
        offset += int(TYPES[kind][1]) * count + int(rng.integers(0, 5))
    message = PointCloud2(fields=fields, point_step=offset + int(rng.integers(0, 9)))
    message.height, message.width = int(rng.integers(1, 5)), int(rng.integers(0, 60))
    message.is_bigendian = bool(rng.integers(0, 2))
    message.row_step = message.width * message.point_step
    count = message.width * message.height
    data = rng.integers(0, 256, (count, message.point_step), dtype=np.uint8)
    for field in fields:
        kind = np.dtype(('>' if message.is_bigendian else '<') + TYPES[field.datatype])
        metres = rng.normal(0, 600, (count, field.count))
        if kind.kind == 'f':
            metres[rng.random(metres.shape) < 0.05] = np.nan
        else:
            metres = np.clip(metres, np.iinfo(kind).min, np.iinfo(kind).max)
        raw = metres.astype(kind).view(np.uint8).reshape(count, kind.itemsize * field.count)
        data[:, field.offset : field.offset + raw.shape[1]] = raw
    message.data = data.tobytes()
    return message


def points_of_sensor_msgs_py(message: Any) -> np.ndarray:
    """(P, 4) float32 x, y, z, intensity by sensor_msgs_py; points left out as here."""
    from sensor_msgs_py import point_cloud2

    names = [field.name for field in message.fields]
    # It swaps bytes where they lie, and would leave the message with the wrong ones.
    message.data = bytes(message.data)
    read = point_cloud2.read_points(message)
    found = next((name for name in ('intensity', 'i') if name in names), None)
    with np.errstate(over='ignore', invalid='ignore'):
        columns = [read[name].astype(np.float32) for name in ('x', 'y', 'z')]
        last = np.zeros(len(read), np.float32) if found is None else read[found].astype('f4')
    points = np.stack([*columns, last], axis=1)
    near = (np.abs(points[:, :3]) <= FARTHEST).all(axis=1) & np.isfinite(last)
    return points[near]


# --------------------------------------------------------------------------------- transforms
@dataclass(frozen=True)
class Link:
    """A transform: parent_from_child at a stamp; static ones have one of 0."""

    parent: str
    child: str
    stamp_ns: int
    translation: np.ndarray
    quaternion: np.ndarray


@dataclass(frozen=True)
class Tree:
    """A random tree of frames: its links in the order in which they are sent."""

    frames: tuple[str, ...]
    links: tuple[Link, ...]
    known: tuple[int, int]  # every dynamic link is known between these stamps


def random_tree(rng: np.random.Generator) -> Tree:
    """Three to twelve frames; half of the links move, each at a rate of its own."""
    frames = tuple(f'frame{k}' for k in range(int(rng.integers(3, 13))))
    links, begin, end = [], T0, T0 + 1800 * MS
    for number, child in enumerate(frames[1:], 1):
        parent = frames[int(rng.integers(0, number))]
        if rng.random() < 0.5:
            links.append(Link(parent, child, 0, *_pose(rng)))
            continue
        stamp_ns, turned = T0 + int(rng.integers(0, 50 * MS)), _pose(rng)
        stamps = []
        while stamp_ns < T0 + 1900 * MS:
            moved = Rotation.from_quat(turned[1]) * Rotation.from_rotvec(rng.normal(0, 0.1, 3))
            turned = turned[0] + rng.normal(0, 0.02, 3), moved.as_quat()
            links.append(Link(parent, child, stamp_ns, *turned))
            stamps.append(stamp_ns)
            stamp_ns += int(rng.integers(10 * MS, 90 * MS))
        begin, end = max(begin, stamps[1]), min(end, stamps[-1])
    return Tree(frames, tuple(sorted(links, key=lambda link: link.stamp_ns)), (begin, end))


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-1, 1, 3), Rotation.random(random_state=rng).as_quat()


def transform_message(link: Link) -> Any:
    """geometry_msgs/TransformStamped of a link."""
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(child_frame_id=link.child)
    message.header.frame_id = link.parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(link.stamp_ns, 10**9)
    for name, value in zip('xyz', link.translation, strict=True):
        setattr(message.transform.translation, name, float(value))
    for name, value in zip('xyzw', link.quaternion, strict=True):
        setattr(message.transform.rotation, name, float(value))
    return message


def tf2_buffer(tree: Tree) -> Any:
    """tf2_ros.Buffer that has heard all links of a tree."""
    from tf2_ros import Buffer

    buffer = Buffer()
    for link in tree.links:
        take = buffer.set_transform if link.stamp_ns else buffer.set_transform_static
        take(transform_message(link), 'test')
    return buffer


def matrix_of_tf2(buffer: Any, target: str, source: str, stamp_ns: int) -> np.ndarray:
    """(4, 4) float64 target_from_source by tf2."""
    from rclpy.time import Time

    found = buffer.lookup_transform_core(target, source, Time(nanoseconds=stamp_ns)).transform
    turn, moved = found.rotation, found.translation
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    matrix[:3, 3] = moved.x, moved.y, moved.z
    return matrix


def tf_messages(tree: Tree) -> Sequence[tuple[Any, bool]]:
    """tf2_msgs/TFMessage of every link, and whether it is static."""
    return [
        (SimpleNamespace(transforms=[transform_message(link)]), not link.stamp_ns)
        for link in tree.links
    ]
