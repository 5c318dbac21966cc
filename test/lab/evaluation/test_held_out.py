"""Held-out drives: the same samples for whoever asks, in either world."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

SEED = 990_010


@pytest.fixture(scope='module')
def pipeline() -> Pipeline:
    return Pipeline.load(resource_path('models/metabev_nano'), threads=1)


@pytest.mark.parametrize('world', World)
def test_samples_of_a_drive_lie_apart_and_know_what_was_before_them(
    world: World, pipeline: Pipeline
):
    test_set = HeldOutDrives(1, 2, SEED, spacing_s=0.5, world=world)
    (drive,) = test_set.all_drives
    first, second = test_set.samples(drive, pipeline)
    assert second.sample.stamp_ns - first.sample.stamp_ns == 500_000_000
    for frame in (first, second):
        assert frame.sample.sweep is not None and len(frame.truth.boxes)
        before = frame.earlier(500)
        assert frame.sample.stamp_ns - before.stamp_ns == 500_000_000
        assert frame.earlier(500) is before  # rendered once
    assert ('streets' in test_set.words) is (world is World.STREETS)
    earlier = second.earlier(500)
    assert earlier.stamp_ns == first.sample.stamp_ns


def test_a_drive_through_streets_is_the_same_when_it_is_rendered_again(pipeline: Pipeline):
    test_set = HeldOutDrives(1, 1, SEED, world=World.STREETS)
    (drive,) = test_set.all_drives
    one, other = (next(iter(test_set.samples(drive, pipeline))) for _ in range(2))
    np.testing.assert_array_equal(one.sample.sweep.points, other.sample.sweep.points)
    for name, image in one.sample.cameras.items():
        np.testing.assert_array_equal(image.pixels, other.sample.cameras[name].pixels)


def test_worlds_and_lengths_are_part_of_a_drives_identity():
    sets = (
        HeldOutDrives(world=World.BOXES),
        HeldOutDrives(world=World.STREETS),
        HeldOutDrives(per_drive=3),
        HeldOutDrives(spacing_s=0.5),
    )
    identities = [str(sorted(s.all_drives[0].identity.items(), key=str)) for s in sets]
    assert len(set(identities)) == len(sets)


def test_a_spacing_between_the_steps_is_refused():
    with pytest.raises(ConfigError, match='steps'):
        HeldOutDrives(spacing_s=0.33)
