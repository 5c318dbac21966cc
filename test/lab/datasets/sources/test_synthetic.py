"""Synthetic drives are a source like any other, and ours."""

import numpy as np
import pytest
from support.tiny import TINY

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives

DRIVES = SyntheticDrives(first_seed=12, worlds=2, frames_per_world=2)


def test_worlds_are_scenes_and_what_is_done_is_not_rendered_again():
    assert DRIVES.scenes() == {'0000012': 2, '0000013': 2}
    maker = RecordMaker(TINY)
    both = list(DRIVES.records('0000013', maker, frozenset()))
    assert [(r.scene, r.token) for r in both] == [
        ('0000013', '0000013_000'),
        ('0000013', '0000013_001'),
    ]
    [second] = DRIVES.records('0000013', maker, frozenset({'0000013_000'}))
    assert second.points.tobytes() == both[1].points.tobytes()
    assert np.array_equal(second.pixels, both[1].pixels)
    assert list(DRIVES.records('0000013', maker, frozenset(r.token for r in both))) == []


def test_they_are_free_and_their_name_says_which_they_are():
    info = DRIVES.info
    assert (info.licence, info.is_commercial) == ('Apache-2.0', True)
    assert '12..13' in info.name and '0.5 Hz' in info.name
    assert all(name == target for name, target in info.classes.items())


def test_impossible_drives_are_refused():
    with pytest.raises(ConfigError, match='synthetic.worlds'):
        SyntheticDrives(worlds=0)
    with pytest.raises(ConfigError, match='rate_hz'):
        SyntheticDrives(rate_hz=0)
