"""Argoverse 2's folders as records, held against the figures of the real pair of sweeps."""

from __future__ import annotations

import json
import pickle
import shutil
import sys

import numpy as np
import pyarrow
import pyarrow.feather
import pytest
from scipy.spatial import cKDTree
from support.av2_folder import (
    AXLE_HEIGHT,
    CAMERA_YAW,
    IMAGE_LAG_NS,
    LOG,
    RealAv2,
    write_av2_folder,
)
from support.made_sources import made_av2_pair
from support.tiny import TINY

from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    points_in_box,
    project_points,
    transform_points,
)
from metabev_ros.lab.datasets.sources import feather
from metabev_ros.lab.datasets.sources.argoverse import AV2_CLASSES, Argoverse2
from metabev_ros.lab.datasets.sources.argoverse_files import (
    RING_CAMERAS,
    read_cameras,
    read_poses,
)
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES

CAR = DETECTION_CLASSES.index('car')


@pytest.fixture(scope='module', params=['made', 'real'])
def pair(request) -> RealAv2:
    """Two sweeps: made-up ones, and the real ones where they are."""
    if request.param == 'made':
        return made_av2_pair()
    folder = request.getfixturevalue('shared_data') / 'real_lidar'
    if not folder.is_dir():
        pytest.skip(f'no real sweeps at {folder}')
    return RealAv2.read(folder)


@pytest.fixture(scope='module')
def laid_out(pair, tmp_path_factory):
    """The folder of `pair`."""
    return write_av2_folder(tmp_path_factory.mktemp('av2'), pair)


@pytest.fixture(scope='module')
def records(laid_out):
    source = pickle.loads(pickle.dumps(Argoverse2(laid_out)))
    assert source.scenes() == {LOG: 2}
    return list(source.records(LOG, RecordMaker(TINY), frozenset()))


@pytest.fixture(scope='module')
def made() -> RealAv2:
    return made_av2_pair()


@pytest.fixture(scope='module')
def whole(made, tmp_path_factory):
    """The folder of the made-up sweeps."""
    return write_av2_folder(tmp_path_factory.mktemp('av2'), made)


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(whole, tmp_path / 'av2')


def read_all(folder, **changes):
    return list(Argoverse2(folder, **changes).records(LOG, RecordMaker(TINY), frozenset()))


# ---------------------------------------------------------------------------- pairs made and real
def test_boxes_classes_and_points_in_boxes_are_those_of_the_pair(records, pair):
    assert [r.token for r in records] == [f'{LOG}_{stamp}' for stamp in pair.stamps]
    for record, sweep in zip(records, pair.sweeps, strict=True):
        assert record.scene == LOG and record.cameras == RING_CAMERAS
        assert np.abs(record.boxes[:, :7] - sweep['boxes']).max() < 2e-5
        assert [DETECTION_CLASSES[k] for k in record.labels] == sweep['labels'].tolist()
        assert record.num_lidar_pts.tolist() == sweep['num_lidar_pts'].tolist()
        assert record.attributes is None and record.objects_known is None
        assert np.isnan(record.visibility).all()


def test_published_counts_are_those_of_the_points_of_the_record(records):
    """Boxes lie on points; at a border the last digit of half precision decides."""
    for record in records:
        points = record.points[:, :3].astype(np.float64)
        counted = [points_in_box(points, box).sum() for box in record.boxes.astype(np.float64)]
        same = np.array(counted) == record.num_lidar_pts
        assert same.sum() >= 0.9 * len(same)
        assert np.abs(np.array(counted) - record.num_lidar_pts)[~same].max(initial=0) <= 3


def test_points_are_taken_where_they_were_at_the_stamp_as_the_publisher_left_them(records, pair):
    for record, sweep in zip(records, pair.sweeps, strict=True):
        expected = sweep['points'][:, :3] + np.float32([0, 0, AXLE_HEIGHT])
        assert np.abs(record.points[:, :3] - expected).max() < 1e-4
        assert np.array_equal(record.points[:, 3], sweep['points'][:, 3])
        assert not record.points[:, 4].any()


def static(points, sweep):
    distance = np.linalg.norm(points[:, :2], axis=1)
    kept = (distance > 3) & (distance < 60)
    for box in sweep['boxes']:
        wide = np.concatenate([box[:3], box[3:6] + 0.6, box[6:]])
        kept &= ~points_in_box(points, wide)
    return points[kept]


def test_static_points_of_both_sweeps_lie_on_each_other_by_the_relative_pose(
    records, pair, laid_out
):
    frame = Argoverse2(laid_out).frame(LOG, pair.stamps[1], sweeps=2)
    assert [sweep.stamp_ns for sweep in frame.sweeps] == pair.stamps[::-1]
    older, newer = (
        static(record.points[:, :3].astype(np.float64), sweep)
        for record, sweep in zip(records, pair.sweeps, strict=True)
    )
    newer_from_older = inverse_rigid(records[1].world_from_ego) @ records[0].world_from_ego
    assert np.abs(newer_from_older - frame.motion(*pair.stamps[::-1])).max() < 1e-9
    tree = cKDTree(newer)
    together = np.median(tree.query(transform_points(newer_from_older, older))[0])
    assert together < 0.05 and np.median(tree.query(older)[0]) > 1.5 * together


def test_poses_are_the_published_ones_moved_to_the_ground_and_between_them_a_slerp(laid_out, pair):
    poses = read_poses(laid_out / 'val' / LOG)
    begin, end = pair.stamps
    for stamp in (begin, end, begin + 17_000_000, begin + 70_000_000):
        turn, offset = pair.city_from_axle(stamp)
        pose = poses.at(stamp)
        assert np.abs(pose[:3, :3] - turn.as_matrix()).max() < 1e-6
        assert np.abs(transform_points(pose, np.array([0, 0, AXLE_HEIGHT])) - offset).max() < 1e-5
    assert poses.at(begin - 10**9) is None and poses.at(end + 10**9) is None
    assert poses.motion(begin, end + 10**9) is None


def test_parked_cars_stand_and_those_that_drive_have_the_speed_of_their_track(records, pair):
    names = pair.tracks()
    speeds = np.linalg.norm(records[1].boxes[:, 7:9], axis=1)
    is_new = np.array([name.startswith('track-new') for name in names[1]])
    assert np.isnan(speeds[is_new]).all() and not np.isnan(speeds[~is_new]).any()
    cars = (records[1].labels == CAR) & ~is_new
    assert np.median(speeds[cars]) < 0.3
    seconds = (pair.stamps[1] - pair.stamps[0]) / 1e9
    row = int(np.nanargmax(np.where(cars, speeds, -1)))
    before = names[0].index(names[1][row])
    places = []
    for sweep, stamp, at in zip(pair.sweeps, pair.stamps, (before, row), strict=True):
        turn, offset = pair.city_from_axle(stamp)
        places.append(turn.apply(sweep['boxes'][at, :3] - [0, 0, AXLE_HEIGHT]) + offset)
    moved = pair.city_from_axle(pair.stamps[1])[0].inv().apply((places[1] - places[0]) / seconds)
    assert np.abs(moved[:2] - records[1].boxes[row, 7:9]).max() < 1e-3
    assert records[0].track_ids[before] == records[1].track_ids[row]


def test_pictures_are_the_nearest_ones_and_their_cameras_stand_where_they_were(
    records, pair, laid_out
):
    cameras = read_cameras(laid_out / 'val' / LOG)
    assert list(cameras) == list(RING_CAMERAS)
    for record, stamp, lag in zip(records, pair.stamps, IMAGE_LAG_NS, strict=True):
        assert record.camera_ages_ns.tolist() == [-lag] * 7
        (turn, offset), (then, place) = (pair.city_from_axle(s) for s in (stamp, stamp + lag))
        for pose, calibration in zip(record.ego_from_camera, cameras.values(), strict=True):
            centre = calibration.ego_from_camera[:3, 3] - [0, 0, AXLE_HEIGHT]
            moved = turn.inv().apply(then.apply(centre) + place - offset) + [0, 0, AXLE_HEIGHT]
            assert np.abs(pose[:3, 3] - moved).max() < 1e-5
            axes = (turn.inv() * then).as_matrix() @ calibration.ego_from_camera[:3, :3]
            assert np.abs(pose[:3, :3] - axes).max() < 1e-6


def test_a_camera_sees_along_its_axis_and_its_lens_is_that_of_a_rectified_picture(laid_out):
    for name, calibration in read_cameras(laid_out / 'val' / LOG).items():
        yaw = np.radians(CAMERA_YAW[name])
        ahead = np.array([1.35 + 10 * np.cos(yaw), 10 * np.sin(yaw), 1.4 + AXLE_HEIGHT])
        seen = transform_points(inverse_rigid(calibration.ego_from_camera), ahead)
        pixel, depth = project_points(calibration.intrinsics, seen)
        centre = [calibration.width / 2 + 0.5, calibration.height / 2 - 0.5]
        assert np.abs(pixel - centre).max() < 1e-6 and abs(depth - 9.7) < 1e-6
        assert calibration.distortion.size == 0


# ----------------------------------------------------------------------------------- the map
def test_layers_are_the_shapes_of_a_hand_made_map_up_to_their_borders(records):
    layers = dict(zip(MAP_CLASSES, records[0].map_layers, strict=True))
    known = dict(zip(MAP_CLASSES, records[0].map_known, strict=True))
    assert {name for name, layer in known.items() if layer.all()} == {
        'drivable_area',
        'ped_crossing',
        'divider',
    }
    assert not any(known[name].any() for name in ('walkway', 'stop_line', 'carpark_area'))
    x, y = np.moveaxis(NUSCENES_MAP_GRID.centres(), -1, 0)
    road = np.maximum(np.abs(x) - 40, np.abs(y) - 8)
    crossing = np.maximum(np.abs(x - 12) - 2, np.abs(y) - 8)
    for name, outside in (('drivable_area', road), ('ped_crossing', crossing)):
        assert layers[name][outside < -0.05].all() and not layers[name][outside > 0.55].any()
    painted = np.minimum(np.abs(y - 4), np.abs(y))
    along = np.abs(x) < 39
    assert layers['divider'][(painted < 0.3) & along].all()
    assert not layers['divider'][(painted > 1.1) | (np.abs(x) > 41.1)].any()


def test_the_region_of_the_metric_reaches_five_metres_beside_the_road(laid_out):
    region = Argoverse2(laid_out).regions(LOG)
    assert list(region) == [f'{LOG}_{s}' for s in sorted(int(k.split('_')[1]) for k in region)]
    covers = next(iter(region.values())).covers
    boxes = np.array(
        [
            [0, 0, 1, 4, 2, 2, 0],
            [0, 12.9, 1, 0.1, 0.1, 2, 0],
            [0, 13.2, 1, 0.1, 0.1, 2, 0],
            [0, 13.9, 1, 2, 2, 2, 0],  # a corner is within
            [47, 0, 1, 1, 1, 2, 0],
        ]
    )
    assert covers(boxes).tolist() == [True, True, False, True, False]


# ------------------------------------------------------------------------ classes and errors
def test_every_published_category_has_a_target_and_riders_are_ignored(folder, made):
    assert len(AV2_CLASSES) == 30
    rewrite(folder, 'annotations.feather', category=lambda c: ['BICYCLIST', *c[1:]])
    truth = Argoverse2(folder).frame(LOG, made.stamps[0]).truth
    assert len(truth.boxes) == 9 and len(truth.ignored) == 1
    other = Argoverse2(folder, classes={'BICYCLIST': 'pedestrian'})
    assert len(other.frame(LOG, made.stamps[0]).truth.boxes) == 10
    assert 'barrier' not in other.detection_classes and 'car' in other.detection_classes


def rewrite(folder, name, **changes):
    """Change columns of a table; None drops one."""
    path = next(iter(sorted((folder / 'val' / LOG).glob(name))))
    table = pyarrow.feather.read_table(path).to_pydict()
    for column, change in changes.items():
        if change is None:
            del table[column]
        else:
            table[column] = change(table[column])
    pyarrow.feather.write_feather(pyarrow.table(table), path)


LIDAR = 'sensors/lidar/*.feather'


@pytest.mark.parametrize(
    'name,changes,said',
    [
        ('annotations.feather', {'category': lambda c: ['TANK', *c[1:]]}, "--class 'TANK=car'"),
        ('annotations.feather', {'track_uuid': None}, r"columns \['track_uuid'\]"),
        ('annotations.feather', {'length_m': lambda c: [0.0, *c[1:]]}, 'positive size'),
        ('annotations.feather', {'qw': lambda c: [9.0, *c[1:]]}, 'unit quaternion'),
        ('annotations.feather', {'tx_m': lambda c: [None, *c[1:]]}, 'a value in every row'),
        ('annotations.feather', {'tx_m': lambda c: [float('nan'), *c[1:]]}, 'finite numbers'),
        ('annotations.feather', {'tx_m': lambda c: ['a'] * len(c)}, 'tx_m: expected f8'),
        (
            'annotations.feather',
            {'timestamp_ns': lambda c: [5, *c[1:]]},
            'none for 1, the first 5',
        ),
        ('annotations.feather', {'tz_m': lambda c: [v + 30 for v in c]}, 'boxes nearer than 30 m'),
        (LIDAR, {'intensity': lambda c: [300.0, *map(float, c[1:])]}, 'intensity 0..255'),
        (LIDAR, {'x': None}, r"columns \['x'\]"),
        (
            'calibration/intrinsics.feather',
            {'sensor_name': lambda c: ['a'] * 7},
            'a row ring_front',
        ),
        (
            'calibration/egovehicle*',
            {'sensor_name': lambda c: ['a'] * 8},
            'a row ring_front_center',
        ),
        (
            'city_SE3_egovehicle.feather',
            {'timestamp_ns': lambda c: [v + 10**10 for v in c]},
            'a pose',
        ),
    ],
)
def test_wrong_tables_are_named_with_what_was_expected(folder, name, changes, said):
    rewrite(folder, name, **changes)
    with pytest.raises(ConfigError, match=said):
        read_all(folder)


@pytest.mark.parametrize(
    'name',
    [
        LIDAR,
        'annotations.feather',
        'city_SE3_egovehicle.feather',
        'calibration/intrinsics.feather',
        'calibration/egovehicle_SE3_sensor.feather',
        'map/*.json',
    ],
)
@pytest.mark.parametrize('damage', ['missing', 'cut', 'other'])
def test_a_missing_or_damaged_file_is_an_error_that_names_it(folder, name, damage):
    path = next(iter(sorted((folder / 'val' / LOG).glob(name))))
    if damage == 'missing':
        path.unlink()
    elif damage == 'cut':
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b'\x80\x04\x95' + bytes(300))
    with pytest.raises(ConfigError) as error:
        read_all(folder)
    where = str(error.value)
    assert str(path) in where or str(path.parent) in where


def test_bytes_of_a_table_that_flip_give_an_error_or_a_table_and_nothing_else(folder):
    path = folder / 'val' / LOG / 'annotations.feather'
    whole_file = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole_file)
        for at in rng.integers(0, len(data), 4):
            data[at] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            read_all(folder)
        except ConfigError as error:
            assert error.expected


def test_cameras_without_pictures_or_with_broken_ones_stop(folder):
    pictures = sorted((folder / 'val' / LOG / 'sensors/cameras/ring_side_left').iterdir())
    pictures[0].write_bytes(b'\xff\xd8 no picture')
    with pytest.raises(ConfigError, match=LOG):
        read_all(folder)
    pictures[0].unlink()
    with pytest.raises(
        ConfigError, match='ring_side_left.*a picture near each of 2 samples, got 1'
    ):
        read_all(folder)
    pictures[1].unlink()
    with pytest.raises(ConfigError, match='ring_side_left'):
        read_all(folder)


def test_a_foreign_layout_is_said_with_what_is_there(tmp_path, whole, folder):
    with pytest.raises(ConfigError, match='no such folder'):
        Argoverse2(tmp_path / 'nowhere').scenes()
    with pytest.raises(ConfigError, match=rf"got a folder with \['{LOG}'\]"):
        Argoverse2(whole / 'val').scenes()
    for split in ('test', '../val', ''):
        with pytest.raises(ConfigError, match='train or val'):
            Argoverse2(whole, split).scenes()
    with pytest.raises(ConfigError, match='the name of a drive'):
        list(Argoverse2(whole).records('../x', RecordMaker(TINY), frozenset()))
    with pytest.raises(ConfigError, match='annotated sweep'):
        Argoverse2(whole).frame(LOG, 5)
    (folder / 'val' / LOG / 'annotations.feather').unlink()
    with pytest.raises(ConfigError, match='annotations.feather, got no such file'):
        Argoverse2(folder).scenes()


@pytest.mark.parametrize(
    'change',
    [
        lambda m: m.pop('lane_segments'),
        lambda m: m['drivable_areas']['1'].update(area_boundary=[]),
        lambda m: m['drivable_areas']['1']['area_boundary'][0].update(x='east'),
        lambda m: m.update(pedestrian_crossings=[1]),
    ],
)
def test_a_map_of_another_layout_is_an_error(folder, change):
    path = next((folder / 'val' / LOG / 'map').glob('*.json'))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match='a vector map of Argoverse 2'):
        read_all(folder)


def test_without_pyarrow_the_error_is_the_line_to_install_it(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(MissingDependencyError, match='pip install pyarrow'):
        read_all(whole)


def test_a_table_of_too_many_rows_or_bytes_is_refused(folder, monkeypatch):
    path = folder / 'val' / LOG / 'annotations.feather'
    for name in ('MAX_ROWS', 'MAX_FEATHER_BYTES'):
        with monkeypatch.context() as patch:
            patch.setattr(feather, name, 10)
            with pytest.raises(ConfigError, match='at most 10'):
                feather.read_feather(path, {'category': 'str'})
