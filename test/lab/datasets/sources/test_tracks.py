"""Velocities from tracks, against hand-made cases."""

import numpy as np

from metabev_ros.lab.datasets.sources.tracks import track_velocities

S = 1_000_000_000


def test_the_labels_before_and_after_say_the_velocity_in_any_order_of_the_rows():
    stamps = np.array([2, 0, 1, 1, 0, 5]) * S // 10
    tracks = np.array([4, 4, 4, 9, 9, 4])
    x = np.array([0.9, 0.0, 0.3, 1.0, 3.0, 2.4])
    centres = np.column_stack([x, -x, 0 * x])
    velocity = track_velocities(stamps, tracks, centres)
    assert np.allclose(velocity[:, 0], [(2.4 - 0.3) / 0.4, 3, 4.5, -20, -20, 5])
    assert np.allclose(velocity[:, 1], -velocity[:, 0]) and np.allclose(velocity[:, 2], 0)


def test_a_label_alone_without_a_track_or_after_a_gap_has_no_velocity():
    stamps = np.array([0, 1, 2, 10, 0, 1]) * S // 10
    tracks = np.array([-1, -1, 3, 3, 5, 6])
    assert np.isnan(track_velocities(stamps, tracks, np.zeros((6, 3)))).all()
    empty = np.zeros(0, np.int64)
    assert track_velocities(empty, empty, np.zeros((0, 3))).shape == (0, 3)
