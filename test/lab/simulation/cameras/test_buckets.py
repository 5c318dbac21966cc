"""Points in cells are found like by looking at all of them."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.cameras.buckets import Buckets


def test_all_points_near_a_place_are_found_and_few_others() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-40, 60, (4000, 2)).astype(np.float32)
    centre = rng.uniform(-60, 80, (50, 2))
    radius = rng.uniform(0.2, 8, 50)
    found = dict(Buckets(points, 1.0).each_near(centre, radius))
    for k in range(50):
        rows = found.get(k, np.zeros(0, int))
        assert len(set(rows.tolist())) == len(rows)
        aside = np.abs(points - centre[k]).max(1)
        assert set(np.flatnonzero(aside < radius[k])) <= set(rows.tolist())
        assert not len(rows) or aside[rows].max() < radius[k] + 1.01


def test_points_that_are_none_have_nobody_near() -> None:
    buckets = Buckets(np.zeros((0, 2), np.float32), 1.0)
    assert buckets.each_near(np.zeros((1, 2)), np.ones(1)) == []
