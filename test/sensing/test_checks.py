"""What the data says of its sensor: noise, and beams that went dark on flat ground."""

from __future__ import annotations

from operator import ge, lt
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from metabev_ros.sensing.checks import (
    COUNT_CHECKS,
    IMAGE_CHECKS,
    INTENSITY_CHECKS,
    MOST_POINTS,
    PAST_CHECKS,
    SWEEP_CHECKS,
    Check,
    CloudCheck,
    ImageCheck,
    Judge,
    Verdict,
    limit_points,
)
from metabev_ros.sensing.decoding import REDUCTIONS, read_compressed_image
from metabev_ros.sensing.measures import look_at_picture
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


def file_of(pixels: np.ndarray, quality: int = 90) -> bytes:
    """A JPEG of RGB pixels."""
    encoded = cv2.imencode('.jpg', pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return encoded.tobytes()


def judged(data: bytes, reduce: int, check: ImageCheck | None = None) -> Verdict:
    """The verdict on a JPEG that is decoded at reduced size."""
    packed = read_compressed_image(SimpleNamespace(data=data))
    return (check or ImageCheck()).check(look_at_picture(*packed.decode(reduce)))


def scene(seed: int = 0, size: tuple[int, int] = (1080, 1920)) -> np.ndarray:
    """A soft picture with the noise of a sensor."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(20, 230, (9, 16, 3), dtype=np.uint8)
    soft = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
    soft += dice.normal(0, 4, size)[..., None]
    return soft.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('quality', [95, 40])
@pytest.mark.parametrize('reduce', REDUCTIONS)
def test_row_020_a_picture_of_noise_is_suspect_however_it_was_compressed_and_reduced(
    quality, reduce
):
    pixels = np.random.default_rng(0).integers(0, 256, (450, 800, 3), dtype=np.uint8)
    verdicts = [judged(file_of(pixels, quality), reduce)]
    verdicts.append(ImageCheck().check(look_at_picture(pixels)))
    for verdict in verdicts:
        assert verdict.state is SensorState.SUSPECT and verdict.check == 'noise'


@pytest.mark.parametrize('reduce', REDUCTIONS)
@pytest.mark.parametrize('share', [0.35, 0.6])
def test_a_jpeg_without_its_tail_is_torn_at_every_size(reduce, share):
    data = file_of(scene())
    cut = data[: int(len(data) * (1 - share))] + b'\xff\xd9'
    verdict = judged(cut, reduce)
    assert verdict.state is SensorState.SUSPECT and verdict.check == 'torn', verdict


@pytest.mark.parametrize('reduce', REDUCTIONS)
@pytest.mark.parametrize('level', [0, 128])
def test_a_picture_with_filled_rows_is_torn_at_every_size(reduce, level):
    pixels = scene()
    pixels[600:] = level
    assert judged(file_of(pixels), reduce).check == 'torn'


@pytest.mark.parametrize('reduce', REDUCTIONS)
@pytest.mark.parametrize('level,name', [(2, 'dark'), (255, 'over_exposed')])
def test_dark_and_white_pictures_are_found_at_every_size(reduce, level, name):
    noise = np.random.default_rng(1).normal(0, 1.5, (1080, 1920, 3))
    pixels = (level + noise).clip(0, 255).astype(np.uint8)
    check = ImageCheck()
    verdicts = [judged(file_of(pixels), reduce, check) for _ in range(2)]
    assert [verdict.check for verdict in verdicts] == [name, name]
    assert [v.state for v in verdicts] == [SensorState.SUSPECT, SensorState.INVALID]


@pytest.mark.parametrize('reduce', REDUCTIONS)
def test_sound_pictures_are_no_alarm_at_any_size(reduce):
    check = ImageCheck()
    for seed in range(4):
        for pixels in (scene(seed), scene(seed, (270, 480)), scene(seed) // 8):
            assert judged(file_of(pixels), reduce, check).state is SensorState.OK


@pytest.mark.parametrize('reduce', REDUCTIONS)
def test_row_020_real_pictures_with_sensor_noise_are_no_alarm(reduce, shared_data):
    dice = np.random.default_rng(1)
    for path in sorted((shared_data / 'nuscenes_keyframe').glob('*.jpg')):
        assert judged(path.read_bytes(), reduce).state is SensorState.OK
        pixels = cv2.imread(str(path))[..., ::-1]
        noise = 10 * dice.standard_normal(pixels.shape, dtype=np.float32)
        noisy = (pixels + noise).clip(0, 255).astype(np.uint8)
        for picture in (noisy, noisy // 8):
            assert judged(file_of(picture), reduce).state is SensorState.OK


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


@pytest.mark.parametrize('order', ['aaa', 'abab', 'abcabc'])
def test_sweeps_that_come_again_are_frozen_in_whatever_order(order):
    check, sweeps = warm(), {name: sweep(range(32), 50 + ord(name)) for name in 'abc'}
    verdicts = [check.check(sweeps[name].copy(), 40_000) for name in order]
    distinct = len(set(order))
    assert {v.state for v in verdicts[:distinct]} == {SensorState.OK}
    assert [v.state for v in verdicts[distinct:]] == [SensorState.SUSPECT] + [
        SensorState.FROZEN
    ] * (len(order) - distinct - 1)
    words = '3 identical frames' if distinct == 1 else f'repeats the frame {distinct} before'
    assert verdicts[-1].reason == words


def test_a_moving_sweep_whose_ground_repeats_itself_is_not_frozen():
    # Without noise, half the beams on flat ground measure the same wherever the vehicle is.
    check, still = CloudCheck(3), sweep(range(32))
    for number in range(12):
        points = still.copy().reshape(1080, 32, 5)
        points[:, 16:, :2] *= 1 + 0.01 * number
        verdict = check.check(points.reshape(-1, 5), 40_000)
        assert verdict.state is SensorState.OK, verdict


def lit(values) -> Verdict:
    points = sweep(range(32), 77)
    points[:, 3] = values(np.random.default_rng(4), len(points))
    return warm().check(points, len(points))


@pytest.mark.parametrize(
    'values,words',
    [
        (lambda dice, n: dice.uniform(0, 65535, n), 'intensity: up to 64'),
        (lambda dice, n: dice.exponential(400, n), 'intensity: up to 18'),
        (lambda dice, n: dice.uniform(0, 1, n), 'intensity: up to 0.99'),
        (lambda dice, n: -dice.uniform(1, 9, n), 'intensity: up to -1'),
    ],
    ids=['16 bits', 'photons', '0..1', 'negative'],
)
def test_intensities_of_another_range_are_suspect_with_what_to_do(values, words):
    verdict = lit(values)
    assert verdict.state is SensorState.SUSPECT and verdict.reason.startswith(words)
    assert verdict.reason.endswith('expected 0..255: set intensity_scale')


@pytest.mark.parametrize(
    'values',
    [
        lambda dice, n: np.zeros(n),
        lambda dice, n: dice.uniform(0, 255, n),
        lambda dice, n: dice.exponential(8, n).clip(0, 255),
        lambda dice, n: np.where(dice.random(n) < 0.005, 4000, dice.uniform(0, 90, n)),
    ],
    ids=['not measured', '0..255', 'dim', 'a few wild ones'],
)
def test_intensities_that_are_right_or_not_measured_are_no_alarm(values):
    assert lit(values).state is SensorState.OK


def test_a_wrong_range_of_intensity_hides_no_worse_fault():
    check = CloudCheck(3)
    for number in range(8):
        points = sweep(range(32), number)
        points[:, 3] = 9000
        assert check.check(points, len(points)).check == 'intensity_high'
    noise = np.random.default_rng(0).uniform(-60, 60, (30_000, 5)).astype(np.float32)
    assert check.check(noise * [1, 1, 1, 500, 0], 30_000).state is SensorState.INVALID


def test_a_sweep_that_is_clipped_keeps_each_point_with_its_time():
    points = np.arange((MOST_POINTS + 7) * 5, dtype=np.float64).reshape(-1, 5)
    few, seconds, verdict = limit_points(points, points[:, 0] + 1)
    assert len(few) == MOST_POINTS and np.array_equal(seconds, few[:, 0] + 1)
    assert verdict.state is SensorState.SUSPECT and verdict.reason == 'clipped: 7 points left out'
    assert limit_points(points[:9])[0] is not None and limit_points(points[:9])[1] is None


@pytest.mark.parametrize(
    'checks', [IMAGE_CHECKS, (*COUNT_CHECKS, *SWEEP_CHECKS, *PAST_CHECKS, *INTENSITY_CHECKS)]
)
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
