"""Actors of a world, also where there are none."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.layout import draw_layout


def test_nobody_is_nowhere_at_any_time():
    everybody = draw_layout(3, 2.0).population
    nobody = everybody.take(np.zeros(0, dtype=np.int64))
    boxes, exists = nobody.at(1.5)
    assert boxes.shape == (0, 9)
    assert exists.shape == (0,)
