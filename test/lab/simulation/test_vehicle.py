"""A vehicle's drive through a street against OpenCV, the terrain and the node's own deskewing."""

from __future__ import annotations

import dataclasses
import pickle

import cv2
import numpy as np
import pytest
from support.street_drives import (
    LENSES,
    OWN_BOX,
    SECONDS,
    event_near,
    street_config,
    street_drive,
    street_rig,
    tilted,
)

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.synthetic.ground import DRIVABLE
from metabev_ros.lab.datasets.synthetic.measured import OWN
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_timing
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind, TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle_config import CameraMount
from metabev_ros.lab.simulation.carrier import carrier_mesh
from metabev_ros.lab.simulation.drives import drive_through
from metabev_ros.lab.simulation.vehicle import StreetVehicleDrive
from metabev_ros.lab.simulation.worlds import World, find_world
from metabev_ros.resources import resource_path
from metabev_ros.sensing.sweeps import moved_points, points_in_ego
from metabev_ros.structures import CameraCalibration, DistortionModel

AT = 1.0  # seconds


# -------------------------------------------------------------------------------------- images
def projected(camera: CameraCalibration, points: np.ndarray) -> np.ndarray:
    """(P, 2) pixels of (P, 3) optical points, by OpenCV."""
    k, distortion = camera.intrinsics, camera.distortion.astype(np.float64)
    still = np.zeros(3)
    if camera.distortion_model is DistortionModel.EQUIDISTANT and len(distortion):
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], still, still, k, distortion)
    else:
        given = distortion if len(distortion) else np.zeros(5)
        pixels, _ = cv2.projectPoints(points[:, None], still, still, k, given)
    return pixels.reshape(-1, 2)


def outlines(drive: StreetVehicleDrive, event: Event) -> np.ndarray:
    """(K, 2, 4) left, top, right and bottom of whoever is wholly seen: of bodies, and of masks."""
    camera, view, instant = drive.camera_of(event), drive.view(event), drive.instant(event)
    world_from_ego = drive.ego.world_from_ego(event.time_ns * 1e-9)
    camera_from_world = inverse_rigid(world_from_ego @ camera.ego_from_camera)
    found = []
    for k, track in enumerate(instant.tracks.tolist()):
        visible, alone = view.seen.get(track, (0, 0))
        if visible < 60 or visible < alone:
            continue
        body = drive.street.ray_bodies[instant.movers.body[k]].mesh.vertices
        world = transform_points(instant.movers.world_from_box[k], body.astype(np.float64))
        optical = transform_points(camera_from_world, world)
        if optical[:, 2].min() < 0.5:
            continue
        pixels = projected(camera, optical)
        edges = np.concatenate([pixels.min(0), pixels.max(0)])
        inside = (edges[:2] > 0).all() and (
            edges[2:] < (camera.width - 1, camera.height - 1)
        ).all()
        if inside:
            rows, columns = np.nonzero(view.owner == track)
            mask = (columns.min(), rows.min(), columns.max(), rows.max())
            found.append((edges, np.array(mask, dtype=float)))
    return np.array(found).reshape(-1, 2, 4)


@pytest.mark.parametrize('lens', LENSES)
def test_everybody_is_seen_where_opencv_projects_his_body(lens: str):
    drive = street_drive()
    pairs = np.concatenate(
        [outlines(drive, event_near(drive, lens, t)) for t in (0.2, 0.7, 1.2, 1.5)]
    )
    assert len(pairs) >= 3
    inwards = (pairs[:, 1] - pairs[:, 0]) * (1, 1, -1, -1)
    # Rays go through the middles of pixels: a mask begins within a pixel of the body's edge.
    assert inwards.min() > -0.1
    assert np.median(inwards, axis=0).max() < 1.0


def test_nobody_is_seen_where_he_was_50_ms_before():
    drive = street_drive()
    event = event_near(drive, 'plumb', 1.2)
    late = dataclasses.replace(event, time_ns=event.time_ns + 50_000_000)
    assert (drive.view(event).owner != drive.view(late).owner).sum() > 100


def test_a_rolling_shutter_shows_each_row_at_its_own_time():
    readout = 0.06
    drive, still = street_drive(readout), street_drive()
    event = event_near(drive, 'plumb', 1.2)
    rolled = drive.view(event).owner
    for row in (10, 68, 125):
        then = event.time_ns + round((row / 135 - 0.5) * readout * 1e9)
        frozen = still.view(dataclasses.replace(event, time_ns=then)).owner
        assert (rolled[row] == frozen[row]).mean() > 0.98
    early = still.view(dataclasses.replace(event, time_ns=event.time_ns - 30_000_000)).owner
    assert (early[75:] != rolled[75:]).sum() > 50


def test_the_noise_of_a_picture_is_that_of_its_event():
    drive = street_drive()
    first, second = [e for e in drive.events if e.source == 'ideal'][:2]
    same_time = dataclasses.replace(second, time_ns=first.time_ns)
    assert np.array_equal(drive.view(first).pixels, drive.view(first).pixels)
    assert not np.array_equal(drive.view(first).pixels, drive.view(same_time).pixels)


# -------------------------------------------------------------------------------------- sweeps
def in_world(
    drive: StreetVehicleDrive, event: Event, deskew: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) points of a sweep in the world, by the node's functions, and their owners."""
    sweep, _ = drive.sweep(event)
    raw = np.zeros((len(sweep.xyz), 5), np.float32)
    raw[:, :3], raw[:, 3] = sweep.xyz, sweep.intensity
    mount = drive.mounts.poses[event.source]

    def motion(target_ns: int, source_ns: int) -> np.ndarray:
        target, source = (
            drive.odometry.measure('odometry', 0, (ns - drive.start_ns) * 1e-9).odom_from_ego
            for ns in (target_ns, source_ns)
        )
        return inverse_rigid(target) @ source

    stamp = drive.start_ns + event.time_ns
    if deskew:
        points, note = points_in_ego(raw, sweep.lag, stamp, mount, motion)
        assert note == ''
    else:
        points = moved_points(raw, mount)
    pose = drive.ego.world_from_ego(event.time_ns * 1e-9)
    return transform_points(pose, points[:, :3].astype(np.float64)), sweep.owner


@pytest.mark.parametrize('lidar', ['top', 'side'])
def test_points_lie_on_the_ground_after_the_deskewing_of_the_node(lidar: str):
    drive = street_drive()
    points, owner = in_world(drive, event_near(drive, lidar, AT))
    ground, terrain = drive.street.floor.ground, drive.street.floor.terrain
    away = np.hypot(*(points[:, :2] - drive.ego.planar(np.array([AT]))[0, :2]).T)
    road = (ground.sample(ground.labels, points[:, :2]) & DRIVABLE) > 0
    above = points[:, 2] - terrain.height(points[:, :2])
    mine = (owner == -1) & road & (away < 20) & (np.abs(above) < 1.0)
    assert mine.sum() > 100
    assert np.quantile(np.abs(above[mine]), 0.8) < 0.08


def test_who_stands_comes_together_by_the_times_of_the_points():
    drive = street_drive()
    event = event_near(drive, 'top', AT)
    instant, away = drive.instant(event), {}
    still = np.flatnonzero(np.hypot(instant.boxes[:, 7], instant.boxes[:, 8]) < 0.01)
    for deskew in (True, False):
        points, owner = in_world(drive, event, deskew)
        found = [np.zeros(0)]
        for k in still:
            pose = instant.movers.world_from_box[k]
            size = np.linalg.norm(pose[:3, :3], axis=0)
            local = (points[owner == k] - pose[:3, 3]) @ (pose[:3, :3] / size)
            found.append(np.linalg.norm(np.maximum(np.abs(local) - size / 2, 0), axis=1))
        away[deskew] = np.concatenate(found)
    assert len(away[True]) > 100
    # The range is noisy by 2 cm. Who is moved along his own length mostly stays in his box.
    assert np.quantile(away[True], 0.98) < 0.06
    assert np.quantile(away[False], 0.98) > 0.12


def test_the_sweep_of_a_tilted_lidar_ends_where_its_mount_says():
    drive = street_drive()
    sweep, _ = drive.sweep(event_near(drive, 'side', AT))
    assert (np.diff(sweep.lag) >= 0).all()
    assert -0.1 < sweep.lag.min() < -0.09
    assert -0.005 < sweep.lag.max() <= 0
    last = sweep.xyz[sweep.lag > -0.002].astype(np.float64) @ tilted()[:3, :3].T
    level = last[np.abs(last[:, 2]) < 0.3 * np.hypot(last[:, 0], last[:, 1])]
    bearing = np.rad2deg(np.arctan2(level[:, 1], level[:, 0]))
    assert len(level) > 5
    assert np.abs(bearing - 90).max() < 15  # exactly 90 only in the plane of the ego


def test_points_at_once_have_no_times():
    sweep, _ = street_drive(spin=False).sweep(event_near(street_drive(spin=False), 'top', AT))
    assert (sweep.lag == 0).all()


def test_returns_of_our_own_vehicle_lie_in_its_box_and_count_for_nobody():
    drive = street_drive()
    event = event_near(drive, 'side', AT)
    sweep, counts = drive.sweep(event)
    own = sweep.xyz[sweep.owner == OWN].astype(np.float64)
    assert len(own) >= 5
    place = transform_points(drive.mounts.poses['side'], own)
    low = np.array([OWN_BOX.x_min, OWN_BOX.y_min, OWN_BOX.z_min]) - 0.1
    high = np.array([OWN_BOX.x_max, OWN_BOX.y_max, OWN_BOX.z_max]) + 0.1
    assert ((place > low) & (place < high)).all()
    assert sum(counts.values()) == (sweep.owner >= 0).sum()


def test_a_rig_that_does_not_say_how_large_the_vehicle_is_has_no_returns_of_it():
    rng = np.random.default_rng(1)
    assert len(carrier_mesh(None, {'side': tilted()}, rng).triangles) == 0


@pytest.mark.parametrize('place', [(3.6, 0.3, 0.7), (1.2, 0.0, 1.7), (0.5, -0.9, 1.2)])
def test_a_lidar_inside_of_the_box_of_the_vehicle_looks_at_it_from_outside(place):
    pose = np.eye(4)
    pose[:3, 3] = place
    mesh = carrier_mesh(OWN_BOX, {'in': pose}, np.random.default_rng(1))
    low, high = mesh.bounds
    outside = np.concatenate([low[:2] - place[:2], place - high])
    assert outside.max() == pytest.approx(0.1, abs=1e-3)
    free = carrier_mesh(OWN_BOX, {'in': tilted()}, np.random.default_rng(1)).bounds
    assert np.allclose(np.concatenate(free), (-1, -0.95, 0, 3.7, 0.95, 1.75), atol=1e-3)


# --------------------------------------------------------------------------- motion and truth
def test_the_vehicle_goes_up_and_down_with_the_terrain_and_odometry_says_so():
    drive = street_drive()
    times = np.arange(0.0, SECONDS, 0.1)
    poses = np.array([drive.ego.world_from_ego(t) for t in times])
    ground = drive.street.floor.terrain.height(poses[:, :2, 3])
    assert np.abs(poses[:, 2, 3] - ground).max() < 0.15
    assert np.ptp(poses[:, 2, 3]) > 0.002 or np.abs(poses[:, 2, 0]).max() > 0.002
    first = drive.odometry.true_pose(0.0)
    assert np.allclose(first[:3, 3], 0)
    assert first[0, 2] == pytest.approx(poses[0, :, 2] @ [*poses[0, :2, 0], 0, 0], abs=0.01)
    for t, pose in zip(times, poses, strict=True):
        believed = drive.odometry.measure('tf', 0, t).odom_from_ego
        moved = inverse_rigid(first) @ believed
        assert np.allclose(moved, inverse_rigid(poses[0]) @ pose, atol=1e-9)
        assert believed[2, 2] == pytest.approx(pose[2, 2])  # odom stands upright


def test_velocity_is_the_finite_difference_of_the_pose():
    drive = street_drive()
    for t in np.arange(0.2, SECONDS - 0.1, 0.3):
        before, after = (drive.ego.world_from_ego(t + d) for d in (-0.01, 0.01))
        moved = inverse_rigid(drive.ego.world_from_ego(t))[:3, :3] @ (after - before)[:3, 3] / 0.02
        assert np.allclose(drive.ego.velocity(t)[:2], moved[:2], atol=0.15)


def test_truth_counts_the_points_of_the_sweep_and_sees_whom_the_pictures_show():
    drive = street_drive()
    event = event_near(drive, 'top', AT)
    sweep, counts = drive.sweep(event)
    views = {lens: drive.view(event_near(drive, lens, AT)) for lens in LENSES}
    truth, tracks = drive.truth(event, counts, views), drive.instant(event).tracks
    assert np.hypot(truth.boxes[:, 0], truth.boxes[:, 1]).max() < 60
    assert truth.map_layers.any()
    for track, count in zip(truth.track_ids, truth.num_lidar_pts, strict=True):
        assert count == (sweep.owner == np.flatnonzero(tracks == track)[0]).sum()
    assert (truth.num_lidar_pts > 0).sum() >= 5
    shown = {int(t) for view in views.values() for t in np.unique(view.owner)} - {-1}
    assert set(truth.track_ids[truth.visibility > 0].tolist()) <= shown
    assert truth.visibility.max() > 0.9


def test_a_drive_travels_as_what_it_is_made_of():
    drive = street_drive()
    _, made_of = drive.__reduce__()
    assert len(pickle.dumps(drive)) < 20_000
    other = StreetVehicleDrive(*made_of)
    event = event_near(drive, 'side', 0.5)
    assert np.array_equal(other.sweep(event)[0].xyz, drive.sweep(event)[0].xyz)


# ------------------------------------------------------------------------------ what is asked
def test_what_a_street_decides_itself_is_said():
    config = dataclasses.replace(street_config(), cruise=9.0)
    rig = dataclasses.replace(street_rig(), cameras=())
    drive = StreetVehicleDrive(rig, 21, 0.2, config, TimingConfig())
    assert any('cruise' in note for note in drive.notes)
    assert not street_drive().notes


@pytest.mark.parametrize(('name', 'world'), [(None, World.STREETS), ('boxes', World.BOXES)])
def test_streets_are_the_world_unless_boxes_are_asked_for(name: str | None, world: World):
    assert find_world(name) is world


def test_a_world_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match='boxes, streets'):
        find_world('mars')


def test_a_scaled_mount_sees_the_same_in_fewer_pixels():
    mount = CameraMount('a', (1, 0, 1), width=704, height=256, focal=500.0, centre=(351.5, 75.5))
    half = mount.scaled(0.5)
    assert (half.width, half.height, half.focal) == (352, 128, 250.0)
    # Left, right, top and bottom border of the picture lie in the same directions.
    for axis, size in ((0, 'width'), (1, 'height')):
        for whole, small in (
            (-0.5, -0.5),
            (getattr(mount, size) - 0.5, getattr(half, size) - 0.5),
        ):
            assert (whole - mount.centre[axis]) / 500 == (small - half.centre[axis]) / 250


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', sorted(path.stem for path in resource_path('config/rigs').glob('*.yaml'))
)
def test_every_shipped_rig_drives_through_a_street(name: str):
    path = resource_path(f'config/rigs/{name}.yaml')
    config = drive_for_rig(path)
    drive = drive_through(
        World.STREETS, load_config(RigConfig, path), 3, 0.2, config, find_timing(config.timing)
    )
    for sensor in drive.rig.sensors:
        event = next(e for e in drive.events if e.source == sensor.name)
        if event.kind is Kind.IMAGE:
            view = drive.view(event)
            assert view.pixels.std() > 5
        else:
            sweep, counts = drive.sweep(event)
            assert len(sweep.xyz) > 2000
            assert sum(counts.values()) > 50
