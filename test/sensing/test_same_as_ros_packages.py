"""Images, clouds and transforms are those of cv_bridge, sensor_msgs_py and tf2_ros.

Each test runs where its package is installed, which the wheels of ROS do not bring.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support import fake_drive
from support.named_packages import (
    COMPARED,
    SAME_AS,
    WITHOUT_PEER,
    has_cv_bridge,
    matrix_of_tf2,
    points_of_sensor_msgs_py,
    random_cloud,
    random_image,
    random_tree,
    rgb_of_cv_bridge,
    tf2_buffer,
    tf_messages,
)
from support.topic_traffic import MS

from metabev_ros.sensing.decoding import read_compressed_image, read_image
from metabev_ros.sensing.encodings import ENCODINGS
from metabev_ros.sensing.point_clouds import decode_point_cloud
from metabev_ros.sensing.tf_tree import TfTree

pytestmark = pytest.mark.ros_packages
MESSAGES, TREES = 200, 200


def test_every_encoding_is_compared_or_named_as_one_without_a_peer():
    assert set(COMPARED) | WITHOUT_PEER == set(ENCODINGS) and set(SAME_AS) <= set(COMPARED)


@pytest.mark.skipif(not has_cv_bridge(), reason='needs cv_bridge with its compiled part')
@pytest.mark.parametrize('encoding', COMPARED)
def test_200_random_images_are_those_of_cv_bridge_bit_for_bit(encoding):
    rng = np.random.default_rng(COMPARED.index(encoding))
    for _ in range(MESSAGES):
        message = random_image(encoding, rng)
        ours, _ = read_image(message).decode()
        theirs = rgb_of_cv_bridge(message)
        assert theirs.dtype == ours.dtype == np.uint8
        assert np.array_equal(ours, theirs), (message.width, message.height, message.step)


@pytest.mark.skipif(not has_cv_bridge(), reason='needs cv_bridge with its compiled part')
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_200_random_files_are_those_of_cv_bridge_bit_for_bit(suffix):
    from cv_bridge import CvBridge

    rng, bridge = np.random.default_rng(0), CvBridge()
    for _ in range(MESSAGES):
        height, width = rng.integers(1, 60, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        message = fake_drive.image(pixels)
        message.data = cv2.imencode(suffix, pixels)[1].tobytes()
        ours, _ = read_compressed_image(message).decode()
        assert np.array_equal(ours, bridge.compressed_imgmsg_to_cv2(message, 'rgb8'))


@pytest.mark.skipif(not has_cv_bridge(), reason='needs cv_bridge with its compiled part')
def test_rows_that_are_padded_by_part_of_a_pixel_are_read_here_and_not_by_cv_bridge():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    padded = np.pad(pixels.reshape(6, 15), ((0, 0), (0, 1))).tobytes()
    message = fake_drive.image(pixels, step=16, data=padded)
    assert np.array_equal(read_image(message).decode()[0], pixels)
    assert not np.array_equal(rgb_of_cv_bridge(message), pixels)


def test_200_random_clouds_are_those_of_sensor_msgs_py_bit_for_bit():
    pytest.importorskip('sensor_msgs_py')
    rng, kept, sent = np.random.default_rng(0), 0, 0
    for _ in range(MESSAGES):
        message = random_cloud(rng)
        points, _, _ = decode_point_cloud(message)
        sent, kept = sent + message.width * message.height, kept + len(points)
        assert not points[:, 4].any()
        assert points[:, :4].tobytes() == points_of_sensor_msgs_py(message).tobytes()
    assert 0.1 * sent < kept < 0.9 * sent  # some are left out, and not the most


def test_padded_rows_and_messages_that_stay_as_they_are_are_more_than_sensor_msgs_py_has():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    rng = np.random.default_rng(1)
    while not (message := random_cloud(rng)).is_bigendian or message.height * message.width < 20:
        pass
    sent = bytes(message.data)
    decode_point_cloud(message)
    assert bytes(message.data) == sent
    point_cloud2.read_points(message)
    assert bytes(message.data) != sent
    message.data = sent
    wanted, _, _ = decode_point_cloud(message)
    rows = np.frombuffer(sent, np.uint8).reshape(message.height, -1)
    message.data, message.row_step = np.pad(rows, ((0, 0), (0, 3))).tobytes(), rows.shape[1] + 3
    assert np.array_equal(decode_point_cloud(message)[0], wanted)
    assert points_of_sensor_msgs_py(message).tobytes() != wanted[:, :4].tobytes()


def test_transforms_of_200_random_trees_are_those_of_tf2_ros():
    pytest.importorskip('tf2_ros')
    rng = np.random.default_rng(0)
    for _ in range(TREES):
        tree = random_tree(rng)
        buffer, ego = tf2_buffer(tree), tree.frames[int(rng.integers(0, len(tree.frames)))]
        ours = TfTree(ego, tree.frames)
        for message, is_static in tf_messages(tree):
            assert not ours.update(message, is_static)
        for frame in tree.frames:
            for stamp_ns in rng.integers(*tree.known, 5, endpoint=True):
                found = ours.ego_from(frame, int(stamp_ns))
                wanted = matrix_of_tf2(buffer, ego, frame, int(stamp_ns))
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def test_a_camera_just_past_the_last_transform_has_a_place_here_and_none_in_tf2_ros():
    tf2_ros = pytest.importorskip('tf2_ros')
    tree = random_tree(np.random.default_rng(2))
    moving = next(link for link in tree.links if link.stamp_ns)
    last_ns = max(link.stamp_ns for link in tree.links if link.child == moving.child)
    ours = TfTree(moving.parent, tree.frames)
    for message, is_static in tf_messages(tree):
        ours.update(message, is_static)
    buffer, after_ns = tf2_buffer(tree), last_ns + 30 * MS
    with pytest.raises(tf2_ros.ExtrapolationException):
        matrix_of_tf2(buffer, moving.parent, moving.child, after_ns)
    held = matrix_of_tf2(buffer, moving.parent, moving.child, last_ns)
    found = ours.ego_from(moving.child, after_ns)
    np.testing.assert_allclose(found, held, rtol=0, atol=1e-9)
