"""What a picture of an instant shows: the frames that the output held, moved to its stamp."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import SensingConfig
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.moment import sample_at
from metabev_ros.lab.demo.scene import Mounting, scene_at, scene_points
from metabev_ros.lab.demo.world import TrueMotion, make_drive, planned_arrivals, vehicle_drive
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pages.messages import Output
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, DEFAULT_RIG, resource_path
from metabev_ros.structures import Modality

LATER_NS = 1_000_000_000  # the run is played so much after the time of the bag


@pytest.fixture(scope='module')
def drive():
    return vehicle_drive(resource_path(DEFAULT_RIG), 900_321, 0.45, World.BOXES)


@pytest.fixture(scope='module')
def written(drive, tmp_path_factory):
    path = tmp_path_factory.mktemp('scene') / 'drive.mcap'
    return path, make_drive(path, drive)


@pytest.fixture(scope='module')
def mounting(drive):
    lidar = drive.rig.lidars[0]
    return Mounting(
        drive.mounts.cameras, drive.mounts.poses[lidar.name], lidar.point_time, TrueMotion(drive)
    )


@pytest.fixture
def evidence(drive, written):
    """All that was sent, and no output."""
    run = Evidence(drive.start_ns + LATER_NS, drive.start_ns)
    names = {f'/{sensor.topic}': sensor.name for sensor in drive.rig.sensors}
    sent = {name: [] for name in names.values()}
    run.payloads = {name: {} for name in sent}
    run.results = {wire.DETECTIONS: {}, wire.BEV_MAP: {}}
    for message in BagReader(written[0]):
        if message.topic in names:
            stamp = wire.read_stamp(message.cdr) + LATER_NS
            sent[names[message.topic]].append((stamp, message.log_time_ns + LATER_NS))
            run.payloads[names[message.topic]][stamp] = message.cdr
    run.published = {name: np.array(pairs, np.int64) for name, pairs in sent.items()}
    run.finish()
    return run


def reference(drive):
    """The stamp of a sweep in the bag, and in the run."""
    stamp = sorted(planned_arrivals(drive)['LIDAR_TOP'])[6]
    return stamp, stamp + LATER_NS


def with_output(evidence, stamp, ages):
    output = Output(wire.DETECTIONS, stamp, stamp + 1, Modality.FUSED, ages)
    run = dataclasses.replace(evidence, outputs=[output])
    run.finish()
    return run


def test_a_picture_shows_the_image_that_the_output_held_from_where_it_was_taken(
    drive, written, mounting, evidence
):
    in_bag, stamp = reference(drive)
    held = int(evidence.published['CAM_BACK'][2, 0])
    run = with_output(evidence, stamp, {'LIDAR_TOP': 0, 'CAM_BACK': stamp - held})
    scene = scene_at(run, written[1], drive.rig, mounting, stamp, '')
    shot = scene.shots['CAM_BACK']
    assert wire.read_stamp(shot.cdr) == held - LATER_NS
    moved = shot.calibration.ego_from_camera - mounting.calibrations['CAM_BACK'].ego_from_camera
    speed = mounting.motion.twist(in_bag)[0]
    # The vehicle drove on since the picture: it was taken further back.
    expected = -speed * (stamp - held) * 1e-9
    assert expected < -0.5 and moved[0, 3] == pytest.approx(expected, rel=0.05)
    assert scene.truth is written[1].at(in_bag)


def test_a_sensor_that_is_not_in_the_output_is_shown_with_the_newest_that_it_sent(
    drive, written, mounting, evidence
):
    _, stamp = reference(drive)
    run = with_output(evidence, stamp, {'LIDAR_TOP': 0})
    run.published['CAM_FRONT'] = run.published['CAM_FRONT'][:1]  # it died early
    scene = scene_at(run, written[1], drive.rig, mounting, stamp, '')
    assert scene.shots['CAM_FRONT'] is None
    newest = wire.read_stamp(scene.shots['CAM_BACK'].cdr) + LATER_NS
    assert 0 <= stamp - newest < 1e9 / 12
    assert wire.read_stamp(scene.cloud.cdr) + LATER_NS == stamp


def test_the_points_of_a_picture_are_without_the_motion_of_the_vehicle(
    drive, written, mounting, evidence
):
    in_bag, stamp = reference(drive)
    run = with_output(evidence, stamp, {'LIDAR_TOP': 0})
    scene = scene_at(run, written[1], drive.rig, mounting, stamp, '')
    pipeline = Pipeline.load(resource_path(DEFAULT_MODEL), threads=1)
    sample = sample_at(written[0], pipeline, drive.rig, SensingConfig(), in_bag)
    assert sample.stamp_ns == in_bag
    of_node = sample.sweep.points[::80, :3]

    def apart(points):
        """Metres from the node's points to the nearest of the picture's, in the median."""
        return np.median(
            [np.linalg.norm(points - point, axis=1).min() for point in of_node.tolist()]
        )

    still = dataclasses.replace(scene.cloud, twist=np.zeros(3))
    skewed = apart(scene_points(dataclasses.replace(scene, cloud=still)))
    assert 2 * apart(scene_points(scene)) < skewed  # the node's odometry is noisy
