from __future__ import annotations

import numpy as np
import pytest

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.demo.run import DemoConfig
from metabev_ros.lab.demo.world import RenderedDrive, make_drive

SMALL = DriveConfig(frames=3, image_width=176, image_height=64, lidar_azimuths=90)


def test_workers_render_what_the_drive_itself_would_in_order():
    rendered = list(RenderedDrive(900_321, SMALL, workers=2))
    for index, frame in enumerate(SyntheticDrive(900_321, SMALL)):
        assert rendered[index].stamp_ns == frame.stamp_ns
        np.testing.assert_array_equal(rendered[index].points, frame.points)
        for name, image in frame.images.items():
            np.testing.assert_array_equal(rendered[index].images[name], image)
        np.testing.assert_array_equal(rendered[index].ground_truth.boxes, frame.ground_truth.boxes)


def test_the_drive_is_written_and_its_truth_kept(tmp_path):
    seen = []
    truths = make_drive(
        tmp_path / 'drive.mcap', 900_321, SMALL, 1, lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    stamps = sorted(
        {
            wire.read_stamp(m.cdr)
            for m in BagReader(tmp_path / 'drive.mcap')
            if m.topic.endswith('/points')
        }
    )
    assert stamps == sorted(truths)


def test_a_world_that_may_have_been_trained_on_is_refused():
    with pytest.raises(ConfigError, match='held-out'):
        DemoConfig(seed=100_100)
