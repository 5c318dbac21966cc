"""Camera failures on pixels."""

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import camera


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(40, 200, (128, 352, 3), dtype=np.uint8)


def test_a_dropped_view_is_black_and_a_noisy_one_holds_every_value_evenly(picture):
    assert not camera.zero_view(picture).any()
    noise = camera.noise_view(picture, np.random.default_rng(1))
    counts = np.bincount(noise.reshape(-1), minlength=256)
    assert counts.min() > 0.7 * noise.size / 256 and noise.dtype == np.uint8
    np.testing.assert_array_equal(noise, camera.noise_view(picture, np.random.default_rng(1)))


@pytest.mark.parametrize(('mask', 'expected'), [(1.0, 200), (0.0, 0), (0.5, 137)])
def test_occlusion_is_the_cubic_blend(mask, expected):
    """alpha = 0.125: 0.125 * 200 + 0.875 * 127.5 = 136.56."""
    pixels = np.full((4, 6, 3), 200, np.uint8)
    blended = camera.occlude(pixels, np.full((4, 6), mask, np.float32))
    assert (blended == expected).all()


def test_the_sixteen_masks_differ_hide_a_part_and_leave_a_part_free(picture):
    masks = [camera.obstacle_mask(i) for i in range(camera.MASKS)]
    assert len({mask.tobytes() for mask in masks}) == 16
    for mask in masks:
        assert mask.min() >= 0 and mask.max() <= 1
        hidden = (mask**3 < 0.5).mean()
        assert 0.05 < hidden < 0.5, hidden
        covered = camera.occlude(picture, mask)
        free = (np.abs(covered.astype(int) - picture).max(axis=2) <= 3).mean()
        assert free > 0.3
    with pytest.raises(ConfigError):
        camera.obstacle_mask(16)


def test_night_keeps_its_share_of_the_light_and_is_noisier_relative_to_it(picture):
    flat = np.full((64, 64, 3), 120, np.uint8)
    spread = []
    for gain in (0.5, 0.25, 0.1):
        dark = camera.night(flat, gain, np.random.default_rng(0)).astype(float)
        assert dark.mean() == pytest.approx(120 * gain * 0.957, rel=0.05)
        spread.append(dark.std() / dark.mean())
    assert spread[0] < spread[1] < spread[2]


def test_fog_follows_koschmieders_law_of_depth(picture):
    depth = np.full((128, 352), 50.0)
    depth[:64] = np.inf
    foggy = camera.fog(np.zeros_like(picture), 50.0, depth)
    assert foggy[0, 0].tolist() == [196, 200, 205]
    # at the distance of the visibility 2 % of the contrast is left
    assert foggy[100, 0].tolist() == [round(0.98 * v) for v in (196, 200, 205)]
    near = camera.fog(picture, 50.0, np.full((128, 352), 0.01))
    assert np.abs(near.astype(int) - picture).max() <= 1


def test_fog_without_depth_grows_from_the_bottom_to_the_horizon(picture):
    foggy = camera.fog(np.zeros_like(picture), 60.0)[:, 0, 0].astype(int)
    assert (np.diff(foggy) <= 0).all() and foggy[0] > 180 and foggy[-1] < 70


def test_nothing_modifies_its_input(picture):
    before, rng = picture.copy(), np.random.default_rng(0)
    camera.zero_view(picture)[:] = 9
    camera.noise_view(picture, rng)[:] = 9
    camera.occlude(picture, np.ones((128, 352)))[:] = 9
    camera.night(picture, 1.0, rng)[:] = 9
    camera.fog(picture, 1e9)[:] = 9
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    'call',
    [
        lambda p: camera.night(p, 0, np.random.default_rng(0)),
        lambda p: camera.fog(p, -1),
        lambda p: camera.fog(p, 50, np.ones((2, 2))),
    ],
)
def test_degrees_out_of_range_are_refused(picture, call):
    with pytest.raises(ConfigError):
        call(picture)
