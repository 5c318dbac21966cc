"""What the data says of its sensor: noise, and beams that went dark on flat ground."""

from __future__ import annotations

from operator import ge, lt

import cv2
import numpy as np
import pytest

from metabev_ros.sensing.checks import (
    COUNT_CHECKS,
    IMAGE_CHECKS,
    PAST_CHECKS,
    SWEEP_CHECKS,
    Check,
    CloudCheck,
    ImageCheck,
    Judge,
)
from metabev_ros.structures import SensorState

ELEVATIONS = np.deg2rad(np.linspace(-30.67, 10.67, 32))  # of the beams of an HDL-32E
HEIGHT, WALL = 1.8, 40.0


def sweep(beams, number: int = 0, columns: int = 1080, share: float = 1.0) -> np.ndarray:
    """(P, 5) points of some beams: the ground, or a wall all around; firing by firing."""
    dice = np.random.default_rng(number)
    azimuth, elevation = np.meshgrid(
        np.linspace(-np.pi, np.pi, columns, endpoint=False), ELEVATIONS[list(beams)], indexing='ij'
    )
    ground = np.where(elevation < -1e-3, HEIGHT / np.maximum(np.tan(-elevation), 1e-9), np.inf)
    distance = np.minimum(ground, WALL * (1 + 0.2 * np.sin(3 * azimuth + number)))
    distance = distance + dice.normal(0, 0.02, distance.shape)
    points = (
        np.stack(
            [
                distance * np.cos(azimuth),
                distance * np.sin(azimuth),
                distance * np.tan(elevation),
                np.zeros_like(distance),
                np.zeros_like(distance),
            ],
            -1,
        )
        .reshape(-1, 5)
        .astype(np.float32)
    )
    return points[dice.random(len(points)) < share]


def warm(count: int = 8) -> CloudCheck:
    check = CloudCheck(3)
    for number in range(count):
        points = sweep(range(32), number)
        assert check.check(points, len(points)).state is SensorState.OK
    return check


@pytest.mark.parametrize(
    'beams',
    [range(0, 32, 2), range(1, 32, 2), range(0, 32, 4), range(12, 32), range(0, 12)],
    ids=['16', 'the other 16', '8', 'upper 20', 'lowest 12'],
)
def test_row_012_lost_beams_are_said_on_the_first_sweep_without_them(beams):
    points = sweep(beams, 99)
    verdict = warm().check(points, len(points))
    assert verdict.state is SensorState.SUSPECT
    assert verdict.check in ('beams', 'sparse')


@pytest.mark.parametrize(
    'beams',
    [range(1, 32), range(0, 30), [*range(0, 10), *range(12, 32)]],
    ids=['lowest gone', 'two upper ones gone', 'two of the middle gone'],
)
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


@pytest.mark.parametrize('quality', [None, 95, 40], ids=['raw', 'jpeg 95', 'jpeg 40'])
@pytest.mark.parametrize('reduced', [False, True])
def test_row_020_a_picture_of_noise_is_suspect_however_it_was_compressed(quality, reduced):
    pixels = np.random.default_rng(0).integers(0, 256, (450, 800, 3), dtype=np.uint8)
    if quality is not None:
        data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2 if reduced else cv2.IMREAD_COLOR)
    verdict = ImageCheck(3).check(pixels)
    assert verdict.state is SensorState.SUSPECT and verdict.check == 'noise'


@pytest.mark.parametrize('scale', [1, 2, 4])
def test_row_020_real_pictures_with_sensor_noise_are_no_alarm(scale, shared_data):
    dice = np.random.default_rng(1)
    for path in sorted((shared_data / 'nuscenes_keyframe').glob('*.jpg')):
        pixels = cv2.imread(str(path))[..., ::-1]
        pixels = cv2.resize(pixels, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
        noisy = (pixels + dice.normal(0, 10, pixels.shape)).clip(0, 255).astype(np.uint8)
        for picture in (pixels, noisy, noisy // 8):
            assert ImageCheck(3).check(picture).state is SensorState.OK


def test_row_020_a_sweep_of_noise_is_invalid_and_one_of_another_firing_order_is_not():
    noise = np.random.default_rng(0).uniform(-60, 60, (30_000, 5)).astype(np.float32)
    verdict = warm().check(noise, len(noise))
    assert verdict.state is SensorState.INVALID and verdict.check == 'noise'
    points = sweep(range(32), 99).reshape(1080, 32, 5).transpose(1, 0, 2).reshape(-1, 5)
    assert warm().check(points, len(points)).state is SensorState.OK


def test_row_020_clouds_that_never_had_an_order_are_no_alarm():
    check, dice = CloudCheck(3), np.random.default_rng(3)
    for number in range(12):
        points = dice.permutation(sweep(range(32), number))
        assert check.check(points, len(points)).state is SensorState.OK


@pytest.mark.parametrize('checks', [IMAGE_CHECKS, (*COUNT_CHECKS, *SWEEP_CHECKS, *PAST_CHECKS)])
def test_each_check_of_a_kind_has_a_name_of_its_own_and_thresholds_in_order(checks):
    names = [check.name for check in checks]
    assert len(set(names)) == len(names) and all(name.isidentifier() for name in names)
    for check in checks:
        assert check.suspect_at is not None or check.invalid_at is not None, check.name
        assert check.invalid_after == 1 or check.invalid_at is not None, check.name
        if check.suspect_at is not None and check.invalid_at is not None:
            is_same = check.suspect_at == check.invalid_at
            assert is_same or check.is_beyond(check.invalid_at, check.suspect_at), check.name


def _value(look: float) -> float:
    return look


@pytest.mark.parametrize(
    'values, states, said',
    [
        ([4, 5, 8, 9], 'OK SUSPECT SUSPECT SUSPECT', 'high: 9'),
        ([9, 9, 9], 'SUSPECT INVALID INVALID', 'high: 9'),
        ([9, 8, 9, 9], 'SUSPECT SUSPECT SUSPECT INVALID', 'high: 9'),
        ([9, -1, 9], 'SUSPECT INVALID SUSPECT', 'high: 9'),  # not asked: begins anew
        ([-1, -2], 'INVALID INVALID', 'low: -2 of -2'),
    ],
)
def test_a_table_is_asked_row_by_row_and_frames_beyond_a_threshold_are_counted(
    values, states, said
):
    low = Check('low', _value, lt, 'low: {value} of {look}', invalid_at=0)
    high = Check('high', _value, ge, 'high: {value}', suspect_at=5, invalid_at=9, invalid_after=2)
    judge = Judge((low, high))
    verdicts = [judge.first_fault(value) for value in values]
    assert [verdict.state.name for verdict in verdicts] == states.split()
    assert verdicts[-1].reason == said and verdicts[-1].check == said.split(':')[0]
