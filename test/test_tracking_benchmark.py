"""What `benchmark/tracking.py` measures with: failures, identities that live on, the devkit."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from support.tracked_worlds import CAR, boxes, found, pose

from metabev_ros.config import TrackingConfig
from metabev_ros.structures import (
    DETECTION_CLASSES,
    CameraCalibration,
    CameraImage,
    Modality,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
    Sweep,
)
from metabev_ros.tracks import TrackedObjects

sys.path.insert(0, str(Path(__file__).parents[1] / 'benchmark'))
import tracking as benchmark  # noqa: E402
import tracking_errors as errors  # noqa: E402
import tracking_runs as runs  # noqa: E402

DEVKIT = os.environ.get('METABEV_DEVKIT_PYTHON')
PERIOD_NS = 250_000_000
CARS = np.array([[12.0, 3.0], [20.0, -4.0], [24.0, 6.0]])


def sample(stamp_ns: int) -> Sample:
    """Two cameras and points all around."""
    calibration = CameraCalibration(8, 4, np.eye(3), np.eye(4))
    image = CameraImage(stamp_ns, np.zeros((4, 8, 3), np.uint8), calibration)
    angle = np.linspace(-np.pi, np.pi, 361)[:-1]
    points = np.zeros((360, 5), np.float32)
    points[:, 0], points[:, 1] = 10 * np.cos(angle), 10 * np.sin(angle)
    kinds = {'FRONT': SensorKind.CAMERA, 'BACK': SensorKind.CAMERA, 'TOP': SensorKind.LIDAR}
    reports = tuple(
        SensorReport(name, kind, SensorState.OK, True, stamp_ns, 0) for name, kind in kinds.items()
    )
    return Sample(
        stamp_ns,
        {'FRONT': image, 'BACK': image},
        Sweep(stamp_ns, points, np.eye(4)),
        Modality.FUSED,
        reports,
        ego_poses=pose(frame=runs.REST),
    )


def drive(count: int = 28) -> list[runs.Frame]:
    """Three cars that drive ahead of a vehicle that stands."""
    frames = []
    for k in range(count):
        places = CARS + [0.4 * k * 0.25, 0.0]
        truth = boxes(*map(tuple, places), velocity=(0.4, 0.0)).astype(np.float64)
        ids, points = np.arange(3) + 70, np.full(3, 9)
        frames.append(runs.Frame(sample(k * PERIOD_NS), truth, np.full(3, CAR), ids, points))
    return frames


def perfect(frames, failure=runs.Failure.CLEAN, lost=()):
    """Boxes that are the truth; of `lost` none while something fails."""
    every = []
    for k, frame in enumerate(frames):
        failed = runs.failing(frame.sample, failure) if failure.lasts(k * 0.25) else frame.sample
        if failed is None:
            every.append(None)
            continue
        kept = [i for i in range(3) if not (failure.lasts(k * 0.25) and i in lost)]
        seen = found(frame.boxes[kept].astype(np.float32))
        every.append(runs.Found(seen, failed.modality))
    return every


def told(frames, seen, **limits) -> list[TrackedObjects]:
    return runs.follow(frames, seen, TrackingConfig(**limits), DETECTION_CLASSES)


def test_every_failure_is_what_its_name_says():
    whole = sample(0)
    modality = {f: runs.failing(whole, f) for f in runs.Failure}
    assert modality[runs.Failure.CLEAN] is whole and modality[runs.Failure.ALL_DEAD] is None
    assert modality[runs.Failure.LIDAR_DEAD].modality is Modality.CAMERA
    assert modality[runs.Failure.CAMERAS_DEAD].modality is Modality.LIDAR
    assert modality[runs.Failure.CAMERA_DEAD].cameras['FRONT'] is None
    assert modality[runs.Failure.CAMERA_DEAD].modality is Modality.FUSED
    kept = modality[runs.Failure.SECTOR].sweep.points
    azimuth = np.degrees(np.arctan2(kept[:, 1], kept[:, 0]))
    assert len(kept) == pytest.approx(270, abs=2) and np.abs(azimuth).min() >= 44.9


def test_failures_begin_at_three_seconds_and_last_as_long_as_they_say():
    times = np.arange(0, 8, 0.25)
    lasting = {f: [t for t in times if f.lasts(t)] for f in runs.Failure}
    assert lasting[runs.Failure.CLEAN] == []
    assert (lasting[runs.Failure.LIDAR_DEAD][0], lasting[runs.Failure.LIDAR_DEAD][-1]) == (3, 4.75)
    assert lasting[runs.Failure.ALL_DEAD] == [3.0, 3.25, 3.5, 3.75]
    assert lasting[runs.Failure.SECTOR][-1] == times[-1]


def test_identities_that_live_on_are_counted_and_a_baseline_without_coasting_loses_them():
    frames = drive()
    seen = perfect(frames, runs.Failure.LIDAR_DEAD, lost=(0, 2))
    assert errors.identities(frames, told(frames, seen)) == [True] * 3
    short = dict.fromkeys(('coast_lidar', 'coast_camera', 'coast_blind'), benchmark.SHORT)
    assert errors.identities(frames, told(frames, seen, **short)) == [False, True, False]


def test_tracks_coast_while_everything_is_dead():
    frames = drive()
    objects = told(frames, perfect(frames, runs.Failure.ALL_DEAD))
    dead = [o for k, o in enumerate(objects) if runs.Failure.ALL_DEAD.lasts(k * 0.25)]
    assert len(dead) == 4 and all(o.is_heartbeat and len(o.tracks) == 3 for o in dead)


def test_box_errors_are_those_along_and_across_the_ray():
    (frame,) = drive(1)
    off = frame.boxes.copy()
    off[0, :2] += 0.5 * CARS[0] / np.linalg.norm(CARS[0])
    seen = runs.Found(found(off[:1].astype(np.float32)), Modality.CAMERA)
    said = dict(errors.box_errors([(frame, seen)]))
    assert said['camera.0_15.along.m'] == pytest.approx(0.5, abs=1e-3)
    assert said['camera.0_15.across.m'] == pytest.approx(0.0, abs=1e-3)
    assert said['camera.0_15.yaw.rad'] == pytest.approx(0.0, abs=1e-6)


def test_a_deviation_is_that_of_most_errors_and_wrong_matches_leave_it():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, 0.3, 20_000)
    assert errors.deviation(drawn) == pytest.approx(0.3, rel=0.03)
    assert errors.deviation(np.append(drawn, np.full(600, 4.0))) == pytest.approx(0.3, rel=0.08)


def test_the_error_of_perfect_boxes_is_small_beside_the_covariance():
    frames = drive(12)
    ratios = errors.consistency(frames, told(frames, perfect(frames)))
    assert len(ratios) == 3 * 10 and max(ratios) < 0.1


@pytest.mark.devkit
def test_the_devkit_scores_perfect_tracks_with_one_and_counts_a_switch():
    frames = drive()
    objects = told(frames, perfect(frames))
    scene = benchmark.scene_of(frames, objects, DETECTION_CLASSES)
    right = benchmark.devkit_answer(DEVKIT, {'drive': scene[2:]})
    assert right['amota'] == pytest.approx(1.0) and right['ids'] == 0 and right['recall'] == 1
    swapped = []
    for k, each in enumerate(objects):
        first, second, *rest = each.tracks
        if k >= 15:
            first, second = (
                dataclasses.replace(first, id=second.id),
                dataclasses.replace(second, id=first.id),
            )
        swapped.append(dataclasses.replace(each, tracks=(first, second, *rest)))
    scene = benchmark.scene_of(frames, swapped, DETECTION_CLASSES)
    wrong = benchmark.devkit_answer(DEVKIT, {'drive': scene[2:]})
    assert wrong['ids'] == 2 and wrong['amota'] < 1
