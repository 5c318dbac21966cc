"""What messages contain, through the whole front end, with a fake clock."""

from __future__ import annotations

import numpy as np
import pytest
from support.fake_drive import (
    LIDAR,
    MS,
    T0,
    Drive,
    cloud,
    faulty,
    front_end,
    image,
    numbered_image,
    numbered_pixels,
    play,
    report,
    ring,
    run,
    set_up,
)

from metabev_ros.structures import Modality, SensorState


def test_a_frozen_camera_is_named_at_the_third_identical_frame_and_left_out():
    drive = Drive(
        4, make=faulty('cam1', 10, 25, lambda k, at: image(numbered_pixels(10), at, 'cam1'))
    )
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    states = [report(s, 'cam1').state for s in samples]
    used = [report(s, 'cam1').used for s in samples]
    assert states[10:13] == [SensorState.OK, SensorState.SUSPECT, SensorState.FROZEN]
    assert set(states[12:25]) == {SensorState.FROZEN} and not any(used[12:25])
    assert states[25] is SensorState.RECOVERING and not used[25]
    assert all(used[26:]) and states[26] is SensorState.OK
    assert 'identical' in report(samples[14], 'cam1').reason
    assert all(len(s.used_sensors) == 6 for s in samples[12:25])
    assert report(samples[-1], 'cam1').rejected == 13


def test_row_016_noise_of_one_grey_level_in_one_pixel_is_not_frozen():
    def twin(k, at):
        pixels = numbered_pixels(10).copy()
        pixels[0, 0] = 0, 0, k
        pixels[17, 13, 1] ^= k & 1
        return image(pixels, at, 'cam1')

    _, samples = run(Drive(3, make=faulty('cam1', 5, 30, twin)))
    assert {report(s, 'cam1').state for s in samples} == {SensorState.OK}


def test_a_frozen_lidar_hands_the_trigger_to_the_cameras():
    drive = Drive(3, make=faulty(LIDAR, 10, 30, lambda k, at: cloud(ring(10), at)))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    late = [s for s in samples if s.stamp_ns > T0 + 1400 * MS]
    assert len(late) >= 14 and all(s.modality is Modality.CAMERA for s in late)
    assert {report(s, LIDAR).state for s in late} == {SensorState.FROZEN}


@pytest.mark.parametrize('value,word', [(0, 'dark'), (255, 'over-exposed')])
def test_black_and_white_pictures_are_suspect_once_then_invalid(value, word):
    def flat(k, at):
        pixels = np.full((32, 32, 3), value, np.uint8)
        pixels[0, 0] = 0, 0, k
        return image(pixels, at, 'cam3')

    _, samples = run(Drive(3, make=faulty('cam3', 10, 20, flat)))
    reports = [report(s, 'cam3') for s in samples]
    assert reports[10].state is SensorState.SUSPECT and reports[10].used
    assert {r.state for r in reports[11:20]} == {SensorState.INVALID}
    assert not any(r.used for r in reports[11:21]) and word in reports[12].reason
    assert all(r.used for r in reports[21:])


def test_row_018_a_night_picture_with_a_few_lights_is_used_without_a_flag():
    def night(k, at):
        pixels = np.random.default_rng(k).integers(0, 9, (32, 32, 3), dtype=np.uint8)
        pixels[4:6, 4:9] = 230
        pixels[0, 0] = 0, 0, k
        return image(pixels, at, 'cam3')

    _, samples = run(Drive(3, make=faulty('cam3', 5, 30, night)))
    assert {report(s, 'cam3').state for s in samples} == {SensorState.OK}


def test_a_torn_picture_is_used_but_suspect():
    def torn(k, at):
        message = numbered_image(k, at, 'cam3')
        pixels = np.frombuffer(message.data, np.uint8).reshape(32, 32, 3).copy()
        pixels[16:] = 0
        return image(pixels, at, 'cam3')

    _, samples = run(Drive(2, make=faulty('cam3', 10, 20, torn)))
    flagged = [report(s, 'cam3') for s in samples[10:]]
    assert all(r.used and r.state is SensorState.SUSPECT and 'torn' in r.reason for r in flagged)


@pytest.mark.parametrize(
    'make,state,word',
    [
        (lambda k, at: cloud(ring(k)[:0], at), SensorState.INVALID, 'empty'),
        (lambda k, at: cloud(ring(k) * np.nan, at), SensorState.INVALID, 'empty'),
        (
            lambda k, at: cloud(np.where(np.arange(720)[:, None] < 40, ring(k), np.nan), at),
            SensorState.INVALID,
            'non-finite',
        ),
        (
            lambda k, at: cloud(ring(k) * (1e-3, 1e-3, 1e-3, 1), at),
            SensorState.INVALID,
            'in range',
        ),
        (lambda k, at: cloud(ring(k)[::5], at), SensorState.SUSPECT, 'sparse'),
        (lambda k, at: cloud(ring(k)[:360], at), SensorState.SUSPECT, 'blocked'),
    ],
)
def test_a_damaged_sweep_is_named_and_only_suspect_ones_are_used(make, state, word):
    drive = Drive(3, make=faulty(LIDAR, 12, 30, make))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    hit = [report(s, LIDAR) for s in samples if s.stamp_ns > T0 + 1450 * MS]
    assert {r.state for r in hit} == {state} and all(word in r.reason for r in hit)
    assert all(r.used == (state is SensorState.SUSPECT) for r in hit)
    assert len(samples) >= 28


def test_one_truncated_image_is_left_out_and_the_next_good_one_is_used():
    drive = Drive(
        2,
        make=faulty(
            'cam2', 10, 11, lambda k, at: image(numbered_pixels(k), at, 'cam2', data=b'short')
        ),
    )
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    assert report(samples[10], 'cam2').state is SensorState.INVALID
    assert report(samples[10], 'cam2').reason.startswith('size')
    assert not report(samples[10], 'cam2').used and report(samples[11], 'cam2').used


def test_two_bad_images_in_a_row_need_recovery():
    drive = Drive(
        2,
        make=faulty(
            'cam2', 8, 12, lambda k, at: image(numbered_pixels(k), at, 'cam2', encoding='bgr9')
        ),
    )
    samples = [sample for _, sample in play(set_up(front_end()), drive.events)]
    states = [report(s, 'cam2').state for s in samples]
    assert set(states[8:12]) == {SensorState.INVALID}
    assert states[12] is SensorState.RECOVERING and states[13] is SensorState.OK
