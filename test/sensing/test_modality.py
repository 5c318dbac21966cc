"""The modality is a pure function of what is present."""

import itertools

import pytest

from metabev_ros.sensing.modality import choose_modality
from metabev_ros.structures import Modality, SensorKind

KINDS = {
    'a': SensorKind.CAMERA,
    'b': SensorKind.CAMERA,
    'c': SensorKind.CAMERA,
    'top': SensorKind.LIDAR,
}


@pytest.mark.parametrize('least', [1, 2, 3])
def test_every_combination_gives_exactly_what_is_present(least):
    for there in itertools.product([False, True], repeat=4):
        modality = choose_modality(dict(zip(KINDS, there, strict=True)), KINDS, least)
        assert modality.has_lidar == there[3]
        assert modality.has_camera == (sum(there[:3]) >= least)


def test_nothing_present_is_none():
    assert choose_modality({}, KINDS, 1) is Modality.NONE
