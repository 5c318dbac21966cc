"""The modality is a pure function of what is present."""

from __future__ import annotations

import itertools

import pytest
from support.fake_drive import LIDAR, Drive, run

from metabev_ros.sensing.modality import TABLES_PENDING, choose_modality, fall_back
from metabev_ros.structures import Modality, Sample, SensorKind, SensorState

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


class Tables:
    """Camera tables that are there or not, and for which calibrations they were asked for."""

    def __init__(self, come: bool) -> None:
        self.come, self.asked = come, 0

    def come_in_time(self, calibrations) -> bool:
        self.asked = len(calibrations)
        return self.come


def newest_sample(dead: str | None = None) -> Sample:
    return run(Drive(4, dead={dead: [(0, 9)]} if dead else None))[1][-1]


def test_without_its_tables_a_fused_sample_becomes_one_of_the_lidar_and_says_why():
    sample, tables = newest_sample('cam4'), Tables(False)
    fallen = fall_back(sample, tables)
    assert tables.asked == 5 and sample.modality is Modality.FUSED
    assert fallen.modality is Modality.LIDAR and fallen.used_sensors == (LIDAR,)
    assert set(fallen.cameras.values()) == {None} and fallen.sweep is sample.sweep
    for before, after in zip(sample.sensors, fallen.sensors, strict=True):
        if before.name in ('cam4', LIDAR):  # not in the sample, or still in it
            assert after == before
        else:
            assert (after.state, after.reason) == (SensorState.RECOVERING, TABLES_PENDING)


def test_a_sample_whose_tables_are_there_stays_as_it_is():
    sample = newest_sample()
    assert fall_back(sample, Tables(True)) is sample


def test_a_sample_of_cameras_alone_or_of_the_lidar_alone_never_falls_back():
    for dead in (LIDAR, None):
        sample, tables = newest_sample(dead), Tables(False)
        sample = sample if dead else fall_back(sample, tables)
        tables.asked = 0
        assert fall_back(sample, tables) is sample and tables.asked == 0
