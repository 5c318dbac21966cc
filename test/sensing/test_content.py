"""What a sweep says of its sensor: beams that went dark, of a 32-beam LiDAR on flat ground."""
from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.sensing.content import CloudCheck
from metabev_ros.structures import SensorState

ELEVATIONS = np.deg2rad(np.linspace(-30.67, 10.67, 32))  # of the beams of an HDL-32E
HEIGHT, WALL = 1.8, 40.0


def sweep(beams, number: int = 0, columns: int = 1080, share: float = 1.0) -> np.ndarray:
    """(P, 5) points of some beams: the ground, or a wall all around; firing by firing."""
    dice = np.random.default_rng(number)
    azimuth, elevation = np.meshgrid(np.linspace(-np.pi, np.pi, columns, endpoint=False),
                                     ELEVATIONS[list(beams)], indexing='ij')
    ground = np.where(elevation < -1e-3, HEIGHT / np.maximum(np.tan(-elevation), 1e-9), np.inf)
    distance = np.minimum(ground, WALL * (1 + 0.2 * np.sin(3 * azimuth + number)))
    distance = distance + dice.normal(0, 0.02, distance.shape)
    points = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth),
                       distance * np.tan(elevation), np.zeros_like(distance),
                       np.zeros_like(distance)], -1).reshape(-1, 5).astype(np.float32)
    return points[dice.random(len(points)) < share]


def warm(count: int = 8) -> CloudCheck:
    check = CloudCheck(3)
    for number in range(count):
        points = sweep(range(32), number)
        assert check.check(points, len(points)).state is SensorState.OK
    return check


@pytest.mark.parametrize('beams', [range(0, 32, 2), range(1, 32, 2), range(0, 32, 4),
                                   range(12, 32), range(0, 12)],
                         ids=['16', 'the other 16', '8', 'upper 20', 'lowest 12'])
def test_row_012_lost_beams_are_said_on_the_first_sweep_without_them(beams):
    points = sweep(beams, 99)
    verdict = warm().check(points, len(points))
    assert verdict.state is SensorState.SUSPECT
    assert 'rows empty' in verdict.reason or 'sparse' in verdict.reason


@pytest.mark.parametrize('beams', [range(1, 32), range(0, 30), [*range(0, 10), *range(12, 32)]],
                         ids=['lowest gone', 'two upper ones gone', 'two of the middle gone'])
def test_row_012_a_few_lost_beams_are_no_alarm(beams):
    points = sweep(beams, 99)
    assert warm().check(points, len(points)).state is SensorState.OK


def test_row_012_upper_beams_that_see_only_sky_are_no_alarm():
    points = sweep(range(32), 99)
    points = points[points[:, 2] < 0.2]
    assert warm().check(points, len(points)).state is SensorState.OK


def test_row_012_clean_noisy_sweeps_raise_no_alarm():
    check = warm()
    for number in range(10, 60):
        points = sweep(range(32), number, share=0.7 + 0.3 * np.random.default_rng(number).random())
        assert check.check(points, len(points)).state is SensorState.OK
