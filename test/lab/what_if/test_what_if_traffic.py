"""Recorded traffic driven again: its failures cost what the evaluation says they cost."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.faults.inject import inject_bag
from metabev_ros.geometry import points_in_box, transform_points
from metabev_ros.lab.datasets.record_folder import labelled
from metabev_ros.lab.datasets.sources.bag_records import ego_points
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.datasets.synthetic import find_drive, find_timing, write_vehicle_bag
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.simulation.drives import drive_through
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.lab.what_if.failures import FailureKind
from metabev_ros.lab.what_if.question import Question
from metabev_ros.lab.what_if.run import ask
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

CAMERAS, LIDAR = ('CAM_FRONT', 'CAM_BACK'), 'LIDAR_TOP'
SECONDS, EVERY = 2.0, 0.3


@pytest.fixture(scope='module')
def source(shared_data, tmp_path_factory):
    """A bag of two cameras and a LiDAR that measure as those of nuScenes do."""
    scene = shared_data / 'nuscenes_mini_traffic' / 'scene-0061.npz'
    whole = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    cameras = tuple(camera for camera in whole.cameras if camera.name in CAMERAS)
    rig = dataclasses.replace(whole, cameras=cameras)
    mounts = find_drive('nuscenes_like')
    seen = tuple(mount for mount in mounts.cameras if mount.name in CAMERAS)
    config = dataclasses.replace(mounts, cameras=seen)
    timing = find_timing(config.timing)
    drive = drive_through(World.STREETS, rig, 7, SECONDS, config, timing, scene)
    path = tmp_path_factory.mktemp('bag') / 'traffic.mcap'
    write_vehicle_bag(drive, path)
    return LabelledBags((path,), rig)


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(resource_path('models/metabev_nano'), threads=1)


@pytest.fixture(scope='module')
def report(source, pipeline):
    question = Question(source, (FailureKind.KILL,), every=EVERY)
    return ask(question, pipeline, lambda *_: None, lambda _: None).report


def samples_of(source, pipeline):
    """Stamp -> sample of `metabev evaluate --bag`, and the vehicle's pose."""
    (scene,) = source.scenes()
    found = source.records(scene, RecordMaker(pipeline.config), frozenset())
    return {record.stamp_ns: (labelled(record), record.world_from_ego) for record in found}


def figures_of(runs, samples):
    score = Score()
    for sample, truth in samples:
        score.add(*runs(sample), truth)
    return score.result().figures


def require_equal(share, wanted, of):
    for name, value in share.items():
        figure = getattr(value, of)
        same = math.isclose(figure, wanted[name], abs_tol=1e-9)
        assert same or (math.isnan(figure) and math.isnan(wanted[name])), (name, of)


def asked_for(lost, lost_pose, seen, seen_pose):
    """The truth of a sample in a failure.

    `metabev evaluate` of a vehicle without LiDAR knows of no points; a what-if asks for the
    objects that all sensors together were asked for: points are counted where they were seen.
    """
    if lost.sample.sweep is not None:
        return lost.truth
    assert not lost.truth.num_lidar_pts.any()
    moved = np.linalg.inv(lost_pose) @ seen_pose
    points = transform_points(moved, ego_points(seen.sample))
    counts = [points_in_box(points, box).sum() for box in lost.truth.boxes]
    return dataclasses.replace(lost.truth, num_lidar_pts=np.array(counts, np.int64))


@pytest.mark.slow
def test_each_lost_sensor_costs_what_the_evaluation_of_the_injected_bag_says(
    source, pipeline, report, tmp_path
):
    """Of the same failure in the same drive.

    Without LiDAR a camera leads, and the samples are others. Without a camera a sample closes at
    another time, and what is left of it is sometimes moved by another motion of the vehicle: to
    take the camera out of the healthy sample would not be the same.
    """
    healthy, runs = samples_of(source, pipeline), SharedRuns(pipeline)
    whole = [healthy[stamp][0] for stamp in report.stamps_ns]
    clean = figures_of(runs, [(one.sample, one.truth) for one in whole])
    assert clean['map'] > 0.001 and len(whole) >= 4  # trained on boxes, not on streets
    assert {o.failure.sensors for o in report.outcomes} == {(n,) for n in (*CAMERAS, LIDAR)}
    for outcome in report.outcomes:
        plan = outcome.failure.plan(report.begin_s, source.rig.kinds)
        path = tmp_path / f'{outcome.failure.id}.mcap'
        inject_bag(source.paths[0], path, plan, source.rig, 0, True, tmp_path / 'truth.jsonl')
        found, left = samples_of(dataclasses.replace(source, paths=(path,)), pipeline), []
        for stamp in report.stamps_ns:
            lost, pose = found[min(at for at in found if at >= stamp - 10**6)]
            assert outcome.failure.sensors[0] not in lost.sample.used_sensors
            assert (lost.sample.stamp_ns == stamp) is (lost.sample.sweep is not None)
            left.append((lost.sample, asked_for(lost, pose, *healthy[stamp])))
        require_equal(outcome.figures, clean, 'before')
        require_equal(outcome.figures, figures_of(runs, left), 'after')
        branch = 'CAMERA' if outcome.failure.sensors == (LIDAR,) else 'FUSED'
        assert outcome.branches == {branch: len(left)} and outcome.label_s < 0.5
    assert report.outcomes[0].failure.sensors == (LIDAR,)
