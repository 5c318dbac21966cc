"""The settings: complete, deterministic, nested, and telling what is absent from what is bad."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import (
    ALL,
    BEYOND,
    CLEAN,
    HEADLINE,
    IMAGES,
    PAPER,
    Failure,
    Setting,
    corrupt,
)
from metabev_ros.lab.datasets.corruptions.images import ImageKind
from metabev_ros.lab.datasets.corruptions.lidar import BeamChoice
from metabev_ros.lab.datasets.corruptions.suite import fitted_depth
from metabev_ros.lab.datasets.samples import SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.preprocess.images import fit_image
from metabev_ros.structures import Modality

CONFIG = DriveConfig(frames=11, rate_hz=20, image_width=176, image_height=64, lidar_azimuths=180)


@pytest.fixture(scope='module')
def labelled():
    return next(iter(SyntheticSamples((31,), 1, CONFIG, first=10)))


def digest(sample) -> str:
    total = hashlib.sha256(sample.modality.name.encode())
    for name, image in sample.cameras.items():
        total.update(name.encode())
        if image is not None:
            total.update(image.pixels.tobytes() + image.calibration.ego_from_camera.tobytes())
    if sample.sweep is not None:
        total.update(sample.sweep.points.tobytes())
    return total.hexdigest()


def changed_views(sample, other) -> set[str]:
    return {
        name
        for name, image in sample.cameras.items()
        if not np.array_equal(image.pixels, other.cameras[name].pixels)
    }


def test_the_papers_settings_stand_at_every_degree():
    degrees = {}
    for setting in PAPER:
        degrees.setdefault(setting.code, []).append(setting.degree)
    assert degrees == {
        'lf': [360, 240, 180, 120],
        'mo': [0, 0.1, 0.3, 0.5, 0.7, 1],
        'br': [32, 16, 8, 4, 1],
        'br_even': [32, 16, 8, 4, 1],
        'vd': [1, 2, 3, 4, 5, 6],
        'vn': [1, 2, 3, 4, 5, 6],
        'oo': [0, 1],
        'mc': [1],
        'ml': [1],
    }
    assert {s.code for s in HEADLINE} == {'lf', 'mo', 'br', 'vd', 'vn', 'oo', 'mc', 'ml'}
    assert set(HEADLINE) < set(PAPER) and len(HEADLINE) == 8
    assert len({s.id for s in ALL}) == len(ALL)
    assert len(ALL) == 1 + len(PAPER) + len(BEYOND) + len(IMAGES)
    assert {s.id for s in ALL} >= {'mo.0_3', 'jitter.0_5', 'lf.120', 'br_even.4', 'clean.0'}


@pytest.mark.parametrize('setting', ALL, ids=lambda s: s.id)
def test_a_setting_changes_the_sample_unless_its_degree_says_nothing_fails(labelled, setting):
    before = digest(labelled.sample)
    sample = corrupt(labelled, setting, 4)
    assert digest(labelled.sample) == before, 'the input was modified'
    assert digest(corrupt(labelled, setting, 4)) == digest(sample)
    harmless = setting in (
        CLEAN,
        Setting(Failure.LIMITED_FIELD, 360),
        Setting(Failure.MISSING_OBJECTS, 0),
        Setting(Failure.OCCLUSION, 0),
    ) or (setting.failure is Failure.BEAM_REDUCTION and setting.degree == 32)
    lucky = setting.failure is Failure.INDEPENDENT or setting.code in ('mo', 'fog', 'frozen')
    if harmless:
        assert sample is labelled.sample
    elif not lucky:
        assert digest(sample) != before


@pytest.mark.parametrize('failure', [Failure.VIEW_DROP, Failure.VIEW_NOISE, Failure.FROZEN_VIEWS])
def test_more_failed_views_are_a_superset_and_the_sample_decides_which(labelled, failure):
    before = set()
    for count in range(1, 7):
        views = changed_views(labelled.sample, corrupt(labelled, Setting(failure, count), 4))
        assert len(views) == count and before < views
        before = views
    firsts = [
        changed_views(labelled.sample, corrupt(labelled, Setting(failure, 1), seed))
        for seed in range(12)
    ]
    assert len({tuple(views) for views in firsts}) >= 4


def test_view_drop_is_fed_and_missing_camera_is_absent(labelled):
    dropped = corrupt(labelled, Setting(Failure.VIEW_DROP, 6), 0)
    assert dropped.modality is Modality.FUSED
    assert all(not image.pixels.any() for image in dropped.cameras.values())
    missing = corrupt(labelled, Setting(Failure.MISSING_CAMERA, 1), 0)
    assert missing.modality is Modality.LIDAR and not any(missing.cameras.values())
    blind = corrupt(labelled, Setting(Failure.MISSING_LIDAR, 1), 0)
    assert blind.modality is Modality.CAMERA and blind.sweep is None


def test_the_paper_s_lidar_settings_leave_the_images_and_its_camera_settings_the_points(labelled):
    for setting in PAPER:
        sample = corrupt(labelled, setting, 1)
        if setting.failure in (
            Failure.LIMITED_FIELD,
            Failure.MISSING_OBJECTS,
            Failure.BEAM_REDUCTION,
        ):
            assert sample.cameras is labelled.sample.cameras
        elif setting.failure in (Failure.VIEW_DROP, Failure.VIEW_NOISE, Failure.OCCLUSION):
            assert sample.sweep is labelled.sample.sweep


def test_frozen_and_skewed_views_show_the_earlier_frame_under_todays_calibration(labelled):
    drive = SyntheticDrive(31, CONFIG)
    for setting, index in (
        (Setting(Failure.FROZEN_VIEWS, 6), 0),
        (Setting(Failure.TIME_SKEW, 50), 9),
        (Setting(Failure.TIME_SKEW, 500), 0),
    ):
        sample = corrupt(labelled, setting, 0)
        for name, pixels in drive[index].images.items():
            np.testing.assert_array_equal(sample.cameras[name].pixels, pixels)
            assert sample.cameras[name].stamp_ns == labelled.sample.stamp_ns
        assert sample.sweep is labelled.sample.sweep


def test_earlier_frames_are_refused_where_there_are_none(labelled):
    with pytest.raises(ConfigError, match='earlier frames'):
        corrupt(dataclasses.replace(labelled, earlier=None), Setting(Failure.TIME_SKEW, 50), 0)
    for milliseconds in (25, 550):
        with pytest.raises(ConfigError, match='multiple of 50 ms'):
            corrupt(labelled, Setting(Failure.TIME_SKEW, milliseconds), 0)


@pytest.mark.parametrize('degree', [0.5, 5])
def test_every_camera_is_turned_by_exactly_the_degree_about_an_axis_of_its_own(labelled, degree):
    from scipy.spatial.transform import Rotation

    sample = corrupt(labelled, Setting(Failure.MISCALIBRATION, degree), 0)
    axes = []
    for name, image in sample.cameras.items():
        true = labelled.sample.cameras[name].calibration.ego_from_camera
        wrong = np.linalg.inv(true) @ image.calibration.ego_from_camera
        turn = Rotation.from_matrix(wrong[:3, :3]).as_rotvec(degrees=True)
        assert np.linalg.norm(turn) == pytest.approx(degree, abs=1e-6)
        assert np.linalg.norm(wrong[:3, 3]) == pytest.approx(0.03)
        axes.append(turn / degree)
    assert len(np.unique(np.round(axes, 3), axis=0)) == 6


def test_independent_losses_come_at_their_chance_and_may_take_everything(labelled):
    counts, modalities = [], set()
    for seed in range(400):
        sample = corrupt(labelled, Setting(Failure.INDEPENDENT, 0.5), seed)
        counts.append(len(sample.used_sensors))
        modalities.add(sample.modality)
    assert np.mean(counts) == pytest.approx(3.5, abs=0.25)
    assert modalities == set(Modality)


def test_depth_is_cropped_as_the_images_are(labelled):
    frame = SyntheticDrive(
        31, DriveConfig(frames=1, image_width=400, image_height=200, lidar_azimuths=36)
    )[0]
    name = 'CAM_FRONT'
    coded = np.repeat(frame.ground_truth.depth[name].clip(0, 200)[..., None], 3, axis=2)
    for height, width in ((128, 352), (64, 352), (128, 160)):
        pixels, _ = fit_image(coded.astype(np.uint8), frame.calibrations[name], height, width)
        ours = fitted_depth(frame.ground_truth.depth[name], height, width).clip(0, 200)
        close = np.abs(ours - pixels[..., 0]) <= 3
        assert close.mean() > 0.9


@pytest.mark.parametrize(
    ('failure', 'degree', 'variant'),
    [
        (Failure.VIEW_DROP, 7, None),
        (Failure.VIEW_DROP, 1.5, None),
        (Failure.LIMITED_FIELD, 0, None),
        (Failure.BEAM_REDUCTION, 4, None),
        (Failure.BEAM_REDUCTION, 2, BeamChoice.BEVFUSION),
        (Failure.NIGHT, 0, None),
        (Failure.SEVERAL, 9, None),
        (Failure.VIEW_DROP, 1, BeamChoice.BEVFUSION),
    ],
)
def test_settings_that_make_no_sense_are_refused(failure, degree, variant):
    with pytest.raises(ConfigError):
        Setting(failure, degree, variant)


IN_ANOTHER_PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
from test_corruptions_suite import CONFIG, digest
from metabev_ros.lab.datasets.corruptions import ALL, corrupt
from metabev_ros.lab.datasets.samples import SyntheticSamples
labelled = next(iter(SyntheticSamples((31,), 1, CONFIG, first=10)))
print(*(digest(corrupt(labelled, setting, 4)) for setting in ALL))
"""


def test_another_process_makes_the_same_corruptions(labelled, repo_root):
    result = subprocess.run(
        [sys.executable, '-c', IN_ANOTHER_PROCESS, str(repo_root / 'test/lab/datasets')],
        cwd=repo_root,
        text=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, 'PYTHONHASHSEED': '7'},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [digest(corrupt(labelled, s, 4)) for s in ALL]


def test_a_wider_hole_holds_the_narrower_one_and_lies_anywhere(labelled):
    azimuth, before = [], set(map(bytes, labelled.sample.sweep.points))
    for degrees in (60, 120, 180):
        sample = corrupt(labelled, Setting(Failure.LOST_SECTOR, degrees), 4)
        kept = set(map(bytes, sample.sweep.points))
        assert kept < before
        before = kept
    for seed in range(8):
        points = corrupt(labelled, Setting(Failure.LOST_SECTOR, 300), seed).sweep.points
        azimuth.append(np.rad2deg(np.arctan2(points[:, 0].mean(), points[:, 1].mean())))
    assert np.ptp(azimuth) > 90


def test_an_absent_view_is_out_of_the_sample_and_all_of_them_leave_the_lidar(labelled):
    for count in range(7):
        sample = corrupt(labelled, Setting(Failure.ABSENT_VIEWS, count), 4)
        assert sum(image is None for image in sample.cameras.values()) == count
        assert sample.modality is (Modality.LIDAR if count == 6 else Modality.FUSED)


def test_every_view_is_spoilt_by_a_draw_of_its_own(labelled):
    sample = corrupt(labelled, Setting(Failure.IMAGE, 3, ImageKind.GAUSSIAN_NOISE), 4)
    assert len(changed_views(labelled.sample, sample)) == 6
    noise = [
        (image.pixels.astype(int) - labelled.sample.cameras[name].pixels)[:4]
        for name, image in sample.cameras.items()
    ]
    assert not np.array_equal(noise[0], noise[1])
    assert [s.degree for s in IMAGES] == [3] * 12 and len({s.variant for s in IMAGES}) == 12
    with pytest.raises(ConfigError):
        Setting(Failure.IMAGE, 3)
    with pytest.raises(ConfigError):
        Setting(Failure.IMAGE, 3, BeamChoice.BEVFUSION)
