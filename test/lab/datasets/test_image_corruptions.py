"""The twelve image corruptions of the paper: as in the library, repeatable, by degrees."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import image_corruptions_reference as reference

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions.images import ImageKind, corrupt_image
from metabev_ros.lab.datasets.corruptions.textures import FROSTS, frost_texture, plasma

GOLDEN = json.loads(
    (Path(reference.__file__).parent / 'image_corruptions_golden.json').read_text()
)

# Saturation goes down, then up; spatter is water, then mud; frost darkens what it lightens.
TWO_WAYS = (ImageKind.SATURATION, ImageKind.SPATTER, ImageKind.FROST)


class OldGenerator:
    """NumPy's legacy generator, which the library draws from, under the names of the new one."""

    def __init__(self, seed):
        random = np.random.RandomState(seed)
        self.normal, self.uniform, self.integers = random.normal, random.uniform, random.randint


@pytest.fixture(scope='module')
def picture():
    return reference.picture()


@pytest.mark.parametrize('name', GOLDEN)
def test_pixels_are_those_of_imagecorruptions_to_one_grey_level(picture, name):
    kind, severity = name.rsplit('.', 1)
    spoilt = corrupt_image(ImageKind(kind), picture, int(severity), OldGenerator(int(severity)))
    at, expected = GOLDEN[name]['at'], np.array(GOLDEN[name]['values'])
    found = spoilt.reshape(-1, 3)[at].ravel().astype(int)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(picture.reshape(-1, 3)[at].ravel() - expected).max() > 5


def test_all_kinds_but_frost_are_held_against_the_library():
    assert {name.split('.')[0] for name in GOLDEN} == {k.value for k in ImageKind} - {'frost'}
    assert len(ImageKind) == 12 and len(GOLDEN) == 11 * 5


@pytest.mark.parametrize('kind', ImageKind)
def test_a_corruption_repeats_and_leaves_its_input_alone(picture, kind):
    before = picture.copy()
    first = corrupt_image(kind, picture, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(picture, before)
    assert first.shape == picture.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, corrupt_image(kind, picture, 3, np.random.default_rng(1)))
    assert not np.array_equal(first, picture)


@pytest.mark.parametrize('kind', [k for k in ImageKind if k not in TWO_WAYS])
def test_the_highest_severity_takes_more_of_the_picture_than_the_lowest(picture, kind):
    change = [
        np.abs(
            corrupt_image(kind, picture, severity, np.random.default_rng(1)).astype(float)
            - picture
        ).mean()
        for severity in (1, 5)
    ]
    assert change[1] > 1.1 * change[0]


def test_frost_is_ice_of_five_textures_over_the_darkened_picture(picture):
    textures = [frost_texture(i) for i in range(FROSTS)]
    assert len({texture.tobytes() for texture in textures}) == FROSTS
    for texture in textures:
        assert texture.std() > 20 and texture[..., 2].mean() > texture[..., 0].mean()
    black = corrupt_image(ImageKind.FROST, np.zeros_like(picture), 5, np.random.default_rng(0))
    index = np.random.default_rng(0).integers(5)
    white = corrupt_image(ImageKind.FROST, np.full_like(picture, 100), 5, np.random.default_rng(0))
    assert 59 <= np.median(white.astype(int) - black) <= 61  # six tenths of the picture
    assert black.max() <= 0.75 * textures[index].max()


def test_clouds_fill_the_range_and_are_rougher_with_less_decay():
    smooth, rough = (plasma(128, decay, np.random.default_rng(0)) for decay in (3, 1.3))
    for clouds in (smooth, rough):
        assert (clouds.min(), clouds.max()) == (0, 1)
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(smooth)).mean()


@pytest.mark.parametrize(
    'call',
    [
        lambda: corrupt_image(
            ImageKind.SNOW, np.zeros((8, 8, 3), np.uint8), 6, np.random.default_rng(0)
        ),
        lambda: frost_texture(5),
        lambda: plasma(100, 2, np.random.default_rng(0)),
    ],
)
def test_what_is_out_of_range_is_refused(call):
    with pytest.raises(ConfigError):
        call()
