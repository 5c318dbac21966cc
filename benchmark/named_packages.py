"""Images, clouds and transforms beside cv_bridge, sensor_msgs_py and tf2_ros: how many differ.

    . /opt/ros/$ROS_DISTRO/setup.sh
    python benchmark/named_packages.py [--record docs/results/named_packages.json]

Random messages as in test/sensing/test_same_as_ros_packages.py, of other seeds. Clouds are also
timed, both decoders in turns. Images and transforms are not: how fast those packages are depends
on how their libraries were compiled.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test')]  # test/ for `support`: the random messages

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from sensor_msgs_py import point_cloud2  # noqa: E402
from support.named_packages import (  # noqa: E402
    COMPARED,
    matrix_of_tf2,
    points_of_sensor_msgs_py,
    random_cloud,
    random_image,
    random_tree,
    rgb_of_cv_bridge,
    tf2_buffer,
    tf_messages,
)

from metabev_ros.lab.evaluation.records import make_record, merge_records  # noqa: E402
from metabev_ros.sensing.decoding import read_image  # noqa: E402
from metabev_ros.sensing.point_clouds import decode_point_cloud  # noqa: E402
from metabev_ros.sensing.tf_tree import TfTree  # noqa: E402

MESSAGES, TREES, ASKED, SEED = 200, 200, 5, 1000
POINTS, TURNS = 100_000, 50

Figure = tuple[str, float, str, int, str | None]  # id, value, unit, n, target


def images() -> list[Figure]:
    """Images that differ, over all encodings."""
    rng, differing = np.random.default_rng(SEED), 0
    for encoding in COMPARED:
        for _ in range(MESSAGES):
            message = random_image(encoding, rng)
            ours, _ = read_image(message).decode()
            differing += not np.array_equal(ours, rgb_of_cv_bridge(message))
    return [
        ('images.encodings', len(COMPARED), 'encodings', len(COMPARED), None),
        ('images.differing', differing, 'images', len(COMPARED) * MESSAGES, '== 0'),
    ]


def clouds() -> list[Figure]:
    """Clouds that differ, and what a cloud takes beside its peer."""
    rng, differing = np.random.default_rng(SEED), 0
    for _ in range(MESSAGES):
        message = random_cloud(rng)
        ours = decode_point_cloud(message)[0][:, :4]
        differing += ours.tobytes() != points_of_sensor_msgs_py(message).tobytes()
    return [
        ('clouds.differing', differing, 'clouds', MESSAGES, '== 0'),
        ('clouds.ratio', _time_ratio(), "of sensor_msgs_py's time", TURNS, None),
    ]


def _time_ratio() -> float:
    """Median time of our decoder for a plain cloud, by that of sensor_msgs_py."""
    names = ('x', 'y', 'z', 'intensity')
    message = PointCloud2(height=1, width=POINTS, point_step=16, row_step=16 * POINTS)
    message.fields = [
        PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1)
        for k, name in enumerate(names)
    ]
    message.data = np.random.default_rng(SEED).uniform(0, 50, (POINTS, 4)).astype('<f4').tobytes()
    taken: dict[str, list[float]] = {'ours': [], 'theirs': []}
    readers: dict[str, Callable[[], Any]] = {
        'ours': lambda: decode_point_cloud(message),
        'theirs': lambda: point_cloud2.read_points_numpy(message, list(names)),
    }
    for _ in range(TURNS):
        for name, read in readers.items():
            begin = time.perf_counter()
            read()
            taken[name].append(time.perf_counter() - begin)
    return statistics.median(taken['ours']) / statistics.median(taken['theirs'])


def transforms() -> list[Figure]:
    """Largest differences between looked-up transforms."""
    rng, count, metres, radians = np.random.default_rng(SEED), 0, 0.0, 0.0
    for _ in range(TREES):
        tree = random_tree(rng)
        buffer, ego = tf2_buffer(tree), tree.frames[int(rng.integers(0, len(tree.frames)))]
        ours = TfTree(ego, tree.frames)
        for message, is_static in tf_messages(tree):
            ours.update(message, is_static)
        for frame in tree.frames:
            for stamp_ns in rng.integers(*tree.known, ASKED, endpoint=True):
                wanted = matrix_of_tf2(buffer, ego, frame, int(stamp_ns))
                apart = ours.ego_from(frame, int(stamp_ns)) - wanted
                metres = max(metres, float(np.linalg.norm(apart[:3, 3])))
                radians = max(radians, float(np.linalg.norm(apart[:3, :3])) / np.sqrt(2))
                count += 1
    return [
        ('transforms.metres', metres, 'm', count, '<= 0.000000001'),
        ('transforms.radians', radians, 'rad', count, '<= 0.000000001'),
    ]


def main() -> None:
    """Compare, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--record', type=Path)
    arguments = parser.parse_args()
    figures = [*images(), *clouds(), *transforms()]
    command = shlex.join(['python', *sys.argv])
    for name, value, unit, n, _ in figures:
        print(f'{name}: {value:g} {unit} (of {n})')
    if arguments.record:
        merge_records(
            arguments.record,
            [
                make_record(f'named_packages.{name}', value, unit, command, n, target)
                for name, value, unit, n, target in figures
            ],
        )


if __name__ == '__main__':
    main()
