"""A vehicle's drive against oracles of its own: float64 geometry, OpenCV, finite differences."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import box_corners, inverse_rigid, points_in_box, transform_points
from metabev_ros.lab.datasets.synthetic.presets import find_drive, find_timing
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind
from metabev_ros.lab.datasets.synthetic.vehicle import BANDS, VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_config import OdometryNoise
from metabev_ros.resources import resource_path
from metabev_ros.structures import DistortionModel

SEED, SECONDS = 5, 12.0


def drive_of(name: str, seconds: float = SECONDS, timing: str = '', seed: int = SEED, **changes):
    rig = load_config(RigConfig, resource_path(f'config/rigs/{name}.yaml'))
    config = dataclasses.replace(find_drive(name), **changes)
    return VehicleDrive(rig, seed, seconds, config, find_timing(timing or config.timing))


@pytest.fixture(scope='module')
def drive():
    return drive_of('nuscenes_like')


def speeds(drive: VehicleDrive) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, speeds and yaw rates over a drive."""
    times = np.arange(0.1, drive.seconds, 0.05)
    velocity = np.array([drive.world.ego.velocity(t) for t in times])
    return times, velocity[:, 0], velocity[:, 2]


def moments(drive: VehicleDrive) -> dict[str, float]:
    """The fastest moment and that of the sharpest turn, seconds."""
    times, speed, turn = speeds(drive)
    return {'fast': float(times[speed.argmax()]), 'turn': float(times[np.abs(turn).argmax()])}


def event_near(drive: VehicleDrive, source: str, t: float) -> Event:
    mine = [event for event in drive.events if event.source == source]
    return min(mine, key=lambda event: abs(event.time_ns * 1e-9 - t))


# ------------------------------------------------------------------------------------- motion
def test_the_vehicle_is_fast_on_the_straight_and_slow_in_the_turn(drive):
    times, speed, turn = speeds(drive)
    assert 10.5 < speed.max() <= 15.0
    sharp = np.abs(turn).argmax()
    assert speed[sharp] < 6.0 and abs(turn[sharp]) > 0.4
    assert 6.0 < speed[sharp] / abs(turn[sharp]) < 12.5  # the radius, metres
    assert np.abs(np.diff(speed) / np.diff(times)).max() < 3.0


def test_velocity_is_the_finite_difference_of_the_pose(drive):
    for t in np.arange(0.5, SECONDS, 0.37):
        before, now, after = drive.world.ego.planar(np.array([t - 0.005, t, t + 0.005]))
        c, s = np.cos(now[2]), np.sin(now[2])
        moved = (after - before) / 0.01
        body = np.array([c * moved[0] + s * moved[1], c * moved[1] - s * moved[0], moved[2]])
        assert np.allclose(drive.world.ego.velocity(t), body, atol=0.05), t


def test_the_vehicle_stays_on_the_road_and_meets_nobody(drive):
    for t in np.arange(0.0, SECONDS, 0.5):
        scene, boxes, _ = drive.scene(t)
        assert drive.world.map_layers(scene.world_from_ego)[0, 100, 100], t
        ego = ((1.35, 0.0), (4.7, 1.9), 0.0)
        for box in boxes[np.hypot(boxes[:, 0], boxes[:, 1]) < 15]:
            other = ((box[0], box[1]), (box[3], box[4]), float(np.rad2deg(box[6])))
            assert cv2.rotatedRectangleIntersection(ego, other)[0] == cv2.INTERSECT_NONE


def test_long_drives_turn_again_and_again():
    drive = drive_of('lidar_only', seconds=60.0)
    _, _, turn = speeds(drive)
    sharp = np.abs(turn) > 0.35
    turns = np.flatnonzero(np.diff(sharp.astype(int)) == 1)
    assert len(turns) >= 3
    assert len({np.sign(turn[k + 1]) for k in turns}) == 2  # to both sides


# -------------------------------------------------------------------------------------- sweeps
def deskewed(drive: VehicleDrive, event: Event, correct: bool = True):
    """Points of a sweep in the ego frame at its stamp, by float64 poses written out here."""
    sweep, counts = drive.sweep(event)
    t, mount = event.time_ns * 1e-9, drive.mounts.poses[event.source]
    body = sweep.xyz.astype(np.float64) @ mount[:3, :3].T + mount[:3, 3]
    if not correct:
        return body, sweep, counts
    pose = drive.world.ego.planar(t + sweep.lag.astype(np.float64))
    c, s = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    world = np.stack(
        [
            pose[:, 0] + c * body[:, 0] - s * body[:, 1],
            pose[:, 1] + s * body[:, 0] + c * body[:, 1],
            body[:, 2],
        ],
        axis=-1,
    )
    return transform_points(inverse_rigid(drive.world.ego.world_from_ego(t)), world), sweep, counts


def distance_to_solids(points: np.ndarray, cuboids, rows: np.ndarray) -> np.ndarray:
    """(P,) metres from each point to the nearest surface of the chosen cuboids."""
    best = np.full(len(points), np.inf)
    for k in rows:
        delta = points - cuboids.centre[k]
        c, s = np.cos(cuboids.yaw[k]), np.sin(cuboids.yaw[k])
        local = np.stack(
            [c * delta[:, 0] + s * delta[:, 1], c * delta[:, 1] - s * delta[:, 0], delta[:, 2]], -1
        )
        over = np.abs(local) - cuboids.size[k] / 2
        outside = np.linalg.norm(np.maximum(over, 0), axis=1)
        best = np.minimum(best, np.abs(outside + np.minimum(over.max(1), 0)))
    return best


@pytest.mark.parametrize('moment', ['fast', 'turn'])
@pytest.mark.parametrize('name', ['nuscenes_like', 'two_lidars'])
def test_static_solids_of_one_sweep_come_together_by_the_times_of_the_points(name, moment):
    drive = drive_of(name)
    for lidar in drive.rig.lidars:
        event = event_near(drive, lidar.name, moments(drive)[moment])
        scene, boxes, _ = drive.scene(event.time_ns * 1e-9)
        still = np.flatnonzero(np.hypot(boxes[:, 7], boxes[:, 8]) < 0.01)
        errors = {}
        for correct in (True, False):
            points, sweep, _ = deskewed(drive, event, correct)
            found = [np.zeros(0)]
            for actor in still[np.hypot(*boxes[still, :2].T) < 25]:
                mine = sweep.owner == actor
                rows = np.flatnonzero(scene.cuboids.owner == actor)
                found.append(distance_to_solids(points[mine], scene.cuboids, rows))
            errors[correct] = np.concatenate(found)
        assert len(errors[True]) > 100
        # The range is noisy by 2 cm: that is all there is.
        assert np.quantile(errors[True], 0.99) < 0.06 and np.median(errors[True]) < 0.02
        assert np.quantile(errors[False], 0.9) > 0.15


def test_points_on_who_moves_lie_on_him_at_their_time(drive):
    event = event_near(drive, 'LIDAR_TOP', moments(drive)['fast'])
    points, sweep, _ = deskewed(drive, event)
    _, boxes, tracks = drive.scene(event.time_ns * 1e-9)
    checked = 0
    for k in np.flatnonzero(np.hypot(boxes[:, 7], boxes[:, 8]) > 3.0):
        mine = np.flatnonzero(sweep.owner == k)
        for row in mine[:: max(1, len(mine) // 5)]:
            then = event.time_ns * 1e-9 + float(sweep.lag[row])
            pose = drive.world.ego.world_from_ego(event.time_ns * 1e-9)
            box = drive.world.boxes_of(tracks[k : k + 1], then, pose)[0]
            box[3:6] += 0.14  # the range noise
            assert points_in_box(points[row : row + 1], box)[0], (k, row)
            checked += 1
    assert checked > 30


def test_the_times_of_the_points_are_those_of_their_columns(drive):
    event = event_near(drive, 'LIDAR_TOP', 3.0)
    sweep, _ = drive.sweep(event)
    assert sweep.lag.max() <= 0 and sweep.lag.min() > -0.05 and (np.diff(sweep.lag) >= 0).all()
    # x to the right, y ahead: it turns clockwise and ends at 106.4 degrees of the ego frame.
    azimuth = np.arctan2(-sweep.xyz[:, 0].astype(np.float64), sweep.xyz[:, 1])
    still = (azimuth - np.deg2rad(106.4)) % (2 * np.pi) / (2 * np.pi) * 0.05
    wrapped = (still + sweep.lag + 0.025) % 0.05 - 0.025
    assert np.abs(wrapped).max() < 2 * 0.05 / 1080
    elevation = np.arctan2(sweep.xyz[:, 2], np.hypot(sweep.xyz[:, 0], sweep.xyz[:, 1]))
    ring = np.rint((np.rad2deg(elevation) + 30.67) / (41.34 / 31))
    assert np.array_equal(ring, sweep.ring)


def test_truth_boxes_hold_the_points_that_they_count(drive):
    event = event_near(drive, 'LIDAR_TOP', moments(drive)['turn'])
    points, sweep, counts = deskewed(drive, event)
    truth = drive.truth(event, counts)
    _, boxes, tracks = drive.scene(event.time_ns * 1e-9)
    assert set(truth.track_ids) <= set(tracks)
    assert (truth.num_lidar_pts > 0).sum() >= 10
    inside = total = 0
    for box, track, count in zip(truth.boxes, truth.track_ids, truth.num_lidar_pts, strict=True):
        row = int(np.flatnonzero(tracks == track)[0])
        mine = sweep.owner == row
        assert mine.sum() == count
        if np.hypot(*box[7:9]) < 0.1:
            grown = box.astype(np.float64)
            grown[3:6] += 0.1
            inside, total = inside + points_in_box(points[mine], grown).sum(), total + count
    assert total > 200 and inside > 0.99 * total


def test_points_at_once_need_no_deskew():
    drive = drive_of('nuscenes_like', timing='simultaneous')
    event = event_near(drive, 'LIDAR_TOP', moments(drive)['fast'])
    sweep, _ = drive.sweep(event)
    assert (sweep.lag == 0).all()


# -------------------------------------------------------------------------------------- images
def projected(camera, points: np.ndarray) -> np.ndarray:
    """(P, 2) pixels of points in the ego frame, by OpenCV."""
    optical = transform_points(inverse_rigid(camera.ego_from_camera), points)
    k, distortion = camera.intrinsics, camera.distortion.astype(np.float64)
    if camera.distortion_model is DistortionModel.EQUIDISTANT and len(distortion):
        pixels, _ = cv2.fisheye.projectPoints(
            optical[:, None], np.zeros(3), np.zeros(3), k, distortion
        )
    else:
        pixels, _ = cv2.projectPoints(
            optical, np.zeros(3), np.zeros(3), k, distortion if len(distortion) else np.zeros(5)
        )
    return pixels.reshape(-1, 2)


def box_surface(box: np.ndarray) -> np.ndarray:
    """(P, 3) points all over the surface of a box, its edges included."""
    u = np.linspace(-0.5, 0.5, 15)
    a, b = (part.reshape(-1) for part in np.meshgrid(u, u))
    half = np.full_like(a, 0.5)
    sides = [
        np.stack(rows, -1)
        for end in (half, -half)
        for rows in ((end, a, b), (a, end, b), (a, b, end))
    ]
    local = np.concatenate(sides) * box[3:6]
    c, s = np.cos(box[6]), np.sin(box[6])
    x, y = c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1]
    return np.stack([x, y, local[:, 2]], -1) + box[:3]


def misfits(drive: VehicleDrive, event: Event, t: float) -> list[float]:
    """Pixels by which masks of owners leave the projections of their boxes at time `t`."""
    camera = drive.mounts.cameras[event.source]
    owner = drive.view(event).owner
    _, boxes, tracks = drive.scene(t)
    inverse = inverse_rigid(camera.ego_from_camera)
    found = []
    for box, track in zip(boxes, tracks, strict=True):
        rows, columns = np.nonzero(owner == track)
        in_front = transform_points(inverse, box_corners(box[None])[0])[:, 2].min() > 1.0
        if len(rows) < 60 or not in_front:
            continue
        pixels = projected(camera, box_surface(box))
        low, high = pixels.min(0), pixels.max(0)
        found.append(
            max(
                low[0] - columns.min(),
                columns.max() - high[0],
                low[1] - rows.min(),
                rows.max() - high[1],
            )
        )
    return found


@pytest.mark.parametrize(
    ('name', 'cameras'),
    [
        ('nuscenes_like', ('CAM_FRONT', 'CAM_BACK_LEFT')),
        ('eight_fisheye', ('fisheye_0', 'fisheye_3')),
        ('one_camera', ('front',)),
        ('four_cameras', ('left',)),
        ('twelve_cameras', ('cam_01', 'cam_04')),
    ],
)
def test_masks_lie_where_opencv_projects_the_boxes_at_the_time_of_the_image(name, cameras):
    drive = drive_of(name)
    for source in cameras:
        errors = []
        for t in (2.0, moments(drive)['turn']):
            event = event_near(drive, source, t)
            errors += misfits(drive, event, event.time_ns * 1e-9)
        assert len(errors) >= 4, source
        assert max(errors) < 2.0, source


def test_masks_do_not_lie_there_50_ms_later(drive):
    """What the test above says is not true of any time near the image."""
    event = event_near(drive, 'CAM_FRONT', moments(drive)['turn'])
    assert max(misfits(drive, event, event.time_ns * 1e-9 + 0.05)) > 4.0


def test_a_fisheye_pixel_shows_what_opencv_projects_there():
    """Points of a box that is wholly seen fall on its mask, all over the picture."""
    drive = drive_of('eight_fisheye')
    hits = total = 0
    for source in ('fisheye_0', 'fisheye_2', 'fisheye_5'):
        event = event_near(drive, source, moments(drive)['turn'])
        view, camera = drive.view(event), drive.mounts.cameras[source]
        _, boxes, tracks = drive.scene(event.time_ns * 1e-9)
        for box, track in zip(boxes, tracks, strict=True):
            visible, alone = view.seen.get(int(track), (0, 0))
            if visible < 150 or visible < 0.7 * alone:
                continue
            # The lower half of a box is where all classes have a body.
            inner = box.copy()
            inner[2], inner[3:6] = box[2] - 0.15 * box[5], box[3:6] * 0.3
            pixels = np.rint(projected(camera, box_surface(inner))).astype(int)
            inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(1)
            hits += (view.owner[pixels[inside, 1], pixels[inside, 0]] == track).sum()
            total += inside.sum()
    assert total > 1000 and hits > 0.9 * total


def test_a_rolling_shutter_shows_each_band_at_its_own_time():
    drive = drive_of('nuscenes_like', timing='rolling_shutter')
    still = drive_of('nuscenes_like', timing='nuscenes')
    event = event_near(drive, 'CAM_FRONT_LEFT', moments(drive)['turn'])
    rolled = drive.view(event).owner
    edges = np.linspace(0, rolled.shape[0], BANDS + 1).astype(int)
    for k in range(BANDS):
        then = event.time_ns + round(((k + 0.5) / BANDS - 0.5) * 0.016 * 1e9)
        frozen = still.view(dataclasses.replace(event, time_ns=then)).owner
        rows = slice(edges[k], edges[k + 1])
        assert (rolled[rows] == frozen[rows]).mean() > 0.995, k
    late = still.view(dataclasses.replace(event, time_ns=event.time_ns + 8_000_000)).owner
    early = still.view(dataclasses.replace(event, time_ns=event.time_ns - 8_000_000)).owner
    assert (early != late).sum() > 300


# ------------------------------------------------------------------------------------ odometry
def test_odometry_errs_as_configured():
    noise = OdometryNoise(0.02, 0.002, 0.1, 0.01, drift=0.05, yaw_drift=0.001)
    drive = drive_of('lidar_only', odometry=noise)
    offs, turns, velocities, times = [], [], [], []
    for event in drive.events:
        if event.kind is not Kind.TF:
            continue
        t = event.time_ns * 1e-9
        believed = drive.odometry.measure('tf', event.index, t)
        off = believed.odom_from_ego[:2, 3] - drive.odometry.true_pose(t)[:2, 3]
        turned = drive.odometry.true_pose(t)[:3, :3].T @ believed.odom_from_ego[:3, :3]
        offs.append(off)
        turns.append(np.arctan2(turned[1, 0], turned[0, 0]))
        velocities.append(believed.velocity - drive.world.ego.velocity(t))
        times.append(t)
    assert len(times) == 1200
    assert np.allclose(np.std(velocities, axis=0), (0.1, 0.1, 0.01), rtol=0.1)
    line = np.polyfit(times, turns, 1)
    assert np.isclose(abs(line[0]), 0.001, rtol=0.2)
    assert np.isclose(np.std(turns - np.polyval(line, times)), 0.002, rtol=0.1)
    # Noise apart from what changes slowly: the difference of neighbours has twice its variance.
    assert np.allclose(np.std(np.diff(offs, axis=0), axis=0) / np.sqrt(2), 0.02, rtol=0.1)
    grown = np.linalg.norm(offs[-1])
    assert 0.3 < grown < 0.05 * SECONDS + 0.001 * SECONDS * 150 + 0.1


def test_odometry_without_noise_is_the_truth():
    drive = drive_of('lidar_only', odometry=OdometryNoise(0, 0, 0, 0, 0, 0))
    for t in (0.0, 3.0, 7.0):
        believed = drive.odometry.measure('odometry', 3, t)
        assert np.allclose(believed.odom_from_ego, drive.odometry.true_pose(t), atol=1e-12)
        assert np.allclose(believed.velocity, drive.world.ego.velocity(t))
    assert np.allclose(drive.odometry.true_pose(0.0), np.eye(4), atol=1e-12)


# --------------------------------------------------------------------------------- what is asked
def test_another_seed_is_another_drive(drive):
    other = drive_of('nuscenes_like', seed=6)
    first, second = event_near(drive, 'LIDAR_TOP', 1.0), event_near(other, 'LIDAR_TOP', 1.0)
    assert not np.array_equal(drive.sweep(first)[0].xyz, other.sweep(second)[0].xyz)


def test_events_can_be_rendered_in_any_order(drive):
    again = drive_of('nuscenes_like')
    for source, t in (('CAM_BACK', 9.0), ('LIDAR_TOP', 7.0), ('CAM_FRONT', 1.0)):
        event = event_near(drive, source, t)
        if source == 'LIDAR_TOP':
            assert np.array_equal(drive.sweep(event)[0].xyz, again.sweep(event)[0].xyz)
        else:
            assert np.array_equal(drive.view(event).pixels, again.view(event).pixels)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match='not negative'):
        drive_of('lidar_only', seed=-5)


def test_a_lidar_that_lies_on_its_side_is_refused():
    drive = drive_of('two_lidars', seconds=0.2)
    tilted = np.eye(4)
    tilted[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    tilted[2, 3] = 1.8
    lidar = dataclasses.replace(drive.rig.lidars[0], ego_from_lidar=tuple(tilted.reshape(-1)))
    rig = dataclasses.replace(drive.rig, lidars=(lidar,))
    with pytest.raises(ConfigError, match='upright'):
        VehicleDrive(rig, 1, 0.2, drive.config, drive.timing)


def test_a_sensor_that_no_preset_knows_is_placed_and_said():
    drive = drive_of('nuscenes_like', seconds=0.2, cameras=(), lidars=())
    assert len(drive.mounts.notes) == 7
    assert 'LIDAR_TOP: no mount' in drive.mounts.notes[-1]
