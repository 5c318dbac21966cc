"""KITTI's folders as records, held against the figures of the real frames."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from support.kitti_folder import (
    RealKitti,
    dont_care_line,
    label_line,
    oxts_line,
    write_object_folder,
    write_tracking_folder,
)
from support.made_sources import made_kitti_frames
from support.tiny import TINY

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import NUSCENES_MAP_GRID, inverse_rigid, project_points, transform_points
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.kitti import KittiObject, KittiTracking
from metabev_ros.lab.datasets.sources.kitti_calibration import EARTH_RADIUS
from metabev_ros.structures import DETECTION_CLASSES

TOKENS = ('000002', '000008', '000134')
CAR, PEDESTRIAN = (DETECTION_CLASSES.index(name) for name in ('car', 'pedestrian'))


@pytest.fixture(scope='module', params=['made', 'real'])
def every(request, tmp_path_factory) -> dict[str, RealKitti]:
    """Frames by token: made-up ones, and the real ones where they are."""
    if request.param == 'made':
        frames = made_kitti_frames(tmp_path_factory.mktemp('drawn'))
    else:
        folder = request.getfixturevalue('shared_data') / 'real_lidar'
        if not folder.is_dir():
            pytest.skip(f'no real frames at {folder}')
        frames = [RealKitti.read(folder, token) for token in TOKENS]
    return {frame.token: frame for frame in frames}


@pytest.fixture(scope='module')
def laid_out(every, tmp_path_factory):
    """The folder of `every`."""
    return write_object_folder(tmp_path_factory.mktemp('kitti'), list(every.values()))


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> dict[str, RealKitti]:
    frames = made_kitti_frames(tmp_path_factory.mktemp('drawn'))
    return {frame.token: frame for frame in frames}


@pytest.fixture(scope='module')
def whole(made, tmp_path_factory):
    """The folder of the made-up frames."""
    return write_object_folder(tmp_path_factory.mktemp('kitti'), list(made.values()))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(whole, tmp_path / 'kitti')


def rewrite(path, change):
    path.write_text(change(path.read_text()))


def read_all(source):
    maker = RecordMaker(TINY)
    return [r for scene in source.scenes() for r in source.records(scene, maker, frozenset())]


# --------------------------------------------------------------------------- frames made and real
def test_boxes_classes_and_points_in_boxes_are_those_of_the_frames(laid_out, every):
    source = pickle.loads(pickle.dumps(KittiObject(laid_out)))
    assert source.scenes() == {'object_00': 2, 'object_01': 1}
    records = read_all(source)
    assert [record.token for record in records] == list(TOKENS)
    for record in records:
        arrays = every[record.token].arrays
        assert np.abs(record.boxes[:, :7] - arrays['boxes']).max() < 1e-5
        assert [DETECTION_CLASSES[k] for k in record.labels] == arrays['labels'].tolist()
        assert record.num_lidar_pts.tolist() == arrays['num_lidar_pts'].tolist()
        assert np.isnan(record.boxes[:, 7:]).all() and np.isnan(record.world_from_ego).all()
        assert record.attributes is None and not record.map_known.any()
        assert np.array_equal(record.visibility, np.ones(len(record.boxes), np.float32))
        assert record.truth.is_asked(record.boxes[:, :3], record.labels).all()
    assert [record.stamp_ns for record in records] == sorted(r.stamp_ns for r in records)


def test_reflectance_of_0_to_1_becomes_an_intensity_of_0_to_255(laid_out, every):
    points = KittiObject(laid_out).frame('000002').sweeps[0].points
    published = every['000002'].arrays['points']
    assert np.array_equal(points[:, :3], published[:, :3])
    assert np.allclose(points[:, 3], published[:, 3] * 255) and 200 < points[:, 3].max() <= 255
    assert not points[:, 4].any()


def test_the_camera_projects_as_the_frame_does(laid_out, every):
    for token in TOKENS:
        arrays = every[token].arrays
        image = KittiObject(laid_out).frame(token).images[0]
        calibration = image.calibration
        assert (calibration.width, calibration.height) == every[token].size
        points = arrays['boxes'][:, :3].astype(np.float64)
        seen = transform_points(inverse_rigid(calibration.ego_from_camera), points)
        pixels, _ = project_points(calibration.intrinsics, seen)
        rect = transform_points(arrays['rect_from_ego'], points)
        expected = np.column_stack([rect, np.ones(len(rect))]) @ arrays['image_from_rect'].T
        assert np.abs(pixels - expected[:, :2] / expected[:, 2:]).max() < 1e-3


def test_only_what_is_in_the_picture_is_asked_for(laid_out, every):
    truth = KittiObject(laid_out).frame('000008').truth
    behind, beside, ahead = [-20.0, 0, 1], [10.0, 30.0, 1], [20.0, 0.0, 1]
    asked = truth.is_asked(np.array([behind, beside, ahead]), np.full(3, CAR))
    assert asked.tolist() == [False, False, True]


def test_objects_known_is_what_a_loop_over_cells_and_heights_finds(laid_out, every):
    for token in ('000008', '000134'):
        arrays, (width, height) = every[token].arrays, every[token].size
        known = KittiObject(laid_out).frame(token).truth.objects_known
        rng = np.random.default_rng(0)
        cells = rng.integers(0, known.shape, (3000, 2)).tolist()
        cells += np.argwhere(known)[::5].tolist()
        for row, column in cells:
            x = NUSCENES_MAP_GRID.x_min + (column + 0.5) * NUSCENES_MAP_GRID.cell
            y = NUSCENES_MAP_GRID.y_min + (row + 0.5) * NUSCENES_MAP_GRID.cell
            seen, hidden = 0, [0] * len(arrays['ignored_image_regions'])
            for z in np.arange(9) * 0.25:
                rect = arrays['rect_from_ego'] @ [x, y, z, 1]
                u, v, w = arrays['image_from_rect'] @ rect
                if w <= 0.1:
                    continue
                u, v = u / w, v / w
                seen += 0 <= u <= width - 1 and 0 <= v <= height - 1
                for r, (left, top, right, low) in enumerate(arrays['ignored_image_regions']):
                    hidden[r] += left <= u <= right and top <= v <= low
            assert known[row, column] == (seen > 0 and all(h < 4.5 for h in hidden))


def test_what_lies_in_a_dont_care_region_is_not_asked_for_and_what_stands_before_it_is(
    folder, made
):
    labels = folder / 'training/label_2/000134.txt'
    far = label_line('Car', [42, 10, 1.0, 4, 2, 1.6, 0], made['000134'].arrays, (1224, 370))
    region = np.array([float(word) for word in far.split()[4:8]])
    rewrite(labels, lambda text: text + dont_care_line(region) + '\n')
    truth = KittiObject(folder).frame('000134').truth
    places = np.array([[42, 10, 1.0], [21, 5, 1.0], [42, 5, 1.0]])
    assert truth.is_asked(places, np.full(3, CAR)).tolist() == [False, True, True]


def test_vans_and_sitting_people_are_ignored_and_a_class_can_be_mapped_otherwise(folder):
    labels = folder / 'training/label_2/000008.txt'
    rewrite(labels, lambda text: text.replace('Car', 'Van', 1).replace('Car', 'Tram', 1))
    truth = KittiObject(folder).frame('000008').truth
    assert len(truth.boxes) == 4 and len(truth.ignored) == 2
    assert not truth.is_asked(truth.ignored[:, :3], np.full(2, CAR)).any()
    as_car = KittiObject(folder, classes={'Van': 'car', 'Tram': 'background'})
    truth = as_car.frame('000008').truth
    assert len(truth.boxes) == 5 and not len(truth.ignored)
    assert as_car.info.classes['Van'] == 'car'


def test_levels_of_occlusion_and_the_truncated_share_become_visibility(folder):
    path = folder / 'training/label_2/000008.txt'
    lines = [line.split() for line in path.read_text().splitlines()]
    for line, (share, level) in zip(
        lines,
        (('0.00', '0'), ('0.00', '1'), ('0.50', '1'), ('0.00', '2'), ('0.00', '3')),
        strict=False,
    ):
        line[1:3] = share, level
    path.write_text('\n'.join(' '.join(line) for line in lines))
    visibility = KittiObject(folder).frame('000008').truth.visibility
    assert np.allclose(visibility[:4], [1, 0.6, 0.3, 0.2]) and np.isnan(visibility[4])


def test_a_split_is_a_list_of_image_sets(folder):
    (folder / 'ImageSets').mkdir()
    (folder / 'ImageSets/val.txt').write_text('000134\n000002\n')
    source = KittiObject(folder, 'val')
    assert source.tokens() == ['000002', '000134'] and list(source.scenes()) == [
        'object_00',
        'object_01',
    ]
    left = list(source.records('object_01', RecordMaker(TINY), frozenset({'000002'})))
    assert [(record.token, record.scene) for record in left] == [('000134', 'object_01')]
    assert not list(source.records('object_00', RecordMaker(TINY), frozenset({'000002'})))


# ----------------------------------------------------------------------------------- errors
def damage(folder, kind, token, change):
    path = next((folder / 'training' / kind).glob(f'{token}.*'))
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    'kind,change,said',
    [
        ('velodyne', lambda data: data[:-3], 'points of 16 bytes'),
        ('velodyne', lambda data: b'', 'points of 16 bytes'),
        ('velodyne', lambda data: data[16:] + np.float32([1, 1, 1, 40]).tobytes(), 'reflectance'),
        ('velodyne', lambda data: data[16:] + np.float32([np.nan] * 4).tobytes(), 'finite'),
        ('image_2', lambda data: b'\xff\xd8' + data[2:], 'a PNG'),
        ('image_2', lambda data: data[:2000], '000008'),
        ('label_2', lambda data: data.replace(b'Car', b'Submarine', 1), "--class 'Submarine=car'"),
        ('label_2', lambda data: data[: len(data) // 2], 'a type and 14 numbers'),
        ('label_2', lambda data: b'\x00\xff' * 40, 'text'),
        ('label_2', lambda data: data.replace(b'.0', b'.x', 1), 'numbers'),
        ('calib', lambda data: data.replace(b'P2', b'other'), 'a line P2'),
        ('calib', lambda data: data.replace(b'R0_rect: ', b'R0_rect: 3'), 'a rotation'),
        (
            'calib',
            lambda data: data.replace(b'Tr_velo_to_cam: ', b'Tr_velo_to_cam: 1 '),
            '12 finite',
        ),
    ],
)
def test_damaged_files_are_named_with_what_was_expected(folder, kind, change, said):
    damage(folder, kind, '000008', change)
    with pytest.raises(ConfigError, match=said) as error:
        read_all(KittiObject(folder))
    assert '000008' in str(error.value) or 'Submarine' in str(error.value)


@pytest.mark.parametrize('kind', ['velodyne', 'image_2', 'calib'])
def test_a_missing_file_is_an_error_and_no_record(folder, kind):
    next((folder / 'training' / kind).glob('000008.*')).unlink()
    with pytest.raises(ConfigError, match='000008.*no such file'):
        read_all(KittiObject(folder))


def test_points_of_another_frame_are_found_out(folder):
    shutil.copyfile(
        folder / 'training/velodyne/000134.bin', folder / 'training/velodyne/000008.bin'
    )
    moved = folder / 'training/velodyne/000008.bin'
    points = np.frombuffer(moved.read_bytes(), '<f4').reshape(-1, 4).copy()
    points[:, :3] += [0, 0, 40]
    moved.write_bytes(points.tobytes())
    with pytest.raises(ConfigError, match='000008.*points in some of the 5 boxes'):
        KittiObject(folder).frame('000008')


@pytest.mark.parametrize('split', ['testing', '../training', 'a/b'])
def test_a_split_without_labels_or_of_another_place_is_refused(whole, split):
    with pytest.raises(ConfigError, match='training, or a list of ImageSets'):
        KittiObject(whole, split).scenes()


def test_a_foreign_layout_is_said_with_what_is_there(tmp_path, whole):
    with pytest.raises(ConfigError, match='no such folder'):
        KittiObject(tmp_path / 'nowhere').scenes()
    with pytest.raises(ConfigError, match=r"training/label_2, got a folder with \['calib'"):
        KittiObject(whole / 'training').scenes()
    with pytest.raises(ConfigError, match='training/label_02'):
        KittiTracking(whole).scenes()
    (tmp_path / 'training/label_2').mkdir(parents=True)
    with pytest.raises(ConfigError, match='frames named by six digits, got none'):
        KittiObject(tmp_path).scenes()


# --------------------------------------------------------------------------------- tracking
SPEED = 8.0  # m/s to the north-east
LATITUDE, LONGITUDE = 49.011, 8.4228


@pytest.fixture
def drive(made, tmp_path):
    """Four frames in a straight line at a constant speed; one car stands, one drives before us."""
    frame = made['000134']
    lines, oxts = [], []
    cloud = frame.arrays['points']
    for index in range(4):
        gone = SPEED * 0.1 * index
        standing = [20 - gone, 5, 0.8, 4, 1.8, 1.5, 0]
        ahead = [15, -2, 0.8, 4, 1.8, 1.5, 0]
        for track, box in ((0, standing), (7, ahead)):
            if (track, index) != (7, 3):
                label = label_line('Car', box, frame.arrays, frame.size, truncated='2')
                lines.append(f'{index} {track} {label}')
        lines.append(f'{index} -1 {dont_care_line(np.array([1, 2, 30, 40]))}')
        step = np.degrees(gone / np.sqrt(2) / EARTH_RADIUS)
        east = step / np.cos(np.radians(LATITUDE))
        oxts.append(oxts_line(LATITUDE + step, LONGITUDE + east, 112, 0.01, -0.02, np.pi / 4))
    return write_tracking_folder(tmp_path, '0003', frame, [cloud] * 4, lines, oxts)


def test_a_sequence_has_poses_velocities_tracks_and_sweeps_in_order(drive):
    source = pickle.loads(pickle.dumps(KittiTracking(drive)))
    assert source.scenes() == {'0003': 4}
    records = list(source.records('0003', RecordMaker(TINY), frozenset({'0003_000001'})))
    assert [r.token for r in records] == ['0003_000000', '0003_000002', '0003_000003']
    assert {r.scene for r in records} == {'0003'}
    first, third, last = records
    moved = inverse_rigid(first.world_from_ego) @ third.world_from_ego
    # Level but for half a degree of the IMU's mounting and what the drive was given.
    assert np.abs(moved[:3, 3] - [1.6, 0, 0]).max() < 0.06
    assert abs(np.linalg.norm(moved[:3, 3]) - 1.6) < 1e-4
    assert third.track_ids.tolist() == [0, 7] and last.track_ids.tolist() == [0]
    assert np.abs(third.boxes[0, 7:]).max() < 0.35  # stands
    assert np.abs(third.boxes[1, 7:] - [SPEED, 0]).max() < 0.35
    assert np.abs(last.boxes[0, 7:]).max() < 0.35
    assert np.allclose(third.visibility, 1)
    frame = source._sequence('0003').frame(2, 10)
    assert [frame.stamp_ns - sweep.stamp_ns for sweep in frame.sweeps] == [0, 10**8, 2 * 10**8]
    assert (
        np.abs(frame.motion(frame.stamp_ns, frame.sweeps[2].stamp_ns) @ moved - np.eye(4)).max()
        < 1e-6
    )


def test_relative_poses_follow_the_mounting_of_the_imu(drive):
    """A turn on the spot of the IMU moves the rear axle by its distance from the IMU."""
    oxts = [oxts_line(LATITUDE, LONGITUDE, 112, 0, 0, yaw) for yaw in (0, 0.1, 0.2, 0.3)]
    (drive / 'training/oxts/0003.txt').write_text('\n'.join(oxts))
    first, second = list(KittiTracking(drive).records('0003', RecordMaker(TINY), frozenset()))[:2]
    moved = inverse_rigid(first.world_from_ego) @ second.world_from_ego
    assert abs(np.arccos((np.trace(moved[:3, :3]) - 1) / 2) - 0.1) < 1e-6
    # 0.05 m behind and 0.32 m beside the axle's middle: a chord of 0.1 rad, and the tilt's part.
    assert 0.02 < np.linalg.norm(moved[:2, 3]) < 0.05


def test_without_oxts_velocity_and_pose_are_unknown_and_one_sweep_is_given(drive):
    (drive / 'training/oxts/0003.txt').unlink()
    source = KittiTracking(drive)
    record = list(source.records('0003', RecordMaker(TINY), frozenset()))[2]
    assert np.isnan(record.boxes[:, 7:]).all() and np.isnan(record.world_from_ego).all()
    assert len(source._sequence('0003').frame(2, 10).sweeps) == 1


def test_a_sequence_that_lacks_a_sweep_or_a_pose_stops(drive):
    lines = (drive / 'training/oxts/0003.txt').read_text().splitlines()
    (drive / 'training/oxts/0003.txt').write_text('\n'.join(lines[:3]))
    with pytest.raises(ConfigError, match='a line for frame 3, got 3 lines'):
        list(KittiTracking(drive).records('0003', RecordMaker(TINY), frozenset()))
    (drive / 'training/oxts/0003.txt').write_text('\n'.join(lines))
    (drive / 'training/velodyne/0003/000001.bin').unlink()
    with pytest.raises(ConfigError, match='000001.bin.*no such file'):
        list(KittiTracking(drive).records('0003', RecordMaker(TINY), frozenset()))
    with pytest.raises(ConfigError, match='four digits'):
        list(KittiTracking(drive).records('../0003', RecordMaker(TINY), frozenset()))


def test_what_the_benchmark_itself_lacks_is_left_out_and_said(drive):
    for kind in ('calib', 'label_02', 'oxts'):
        folder = drive / 'training' / kind
        (folder / '0003.txt').rename(folder / '0001.txt')
    for kind in ('velodyne', 'image_02'):
        (drive / 'training' / kind / '0003').rename(drive / 'training' / kind / '0001')
    pictures = drive / 'training/image_02/0001'
    shutil.copyfile(pictures / '000000.png', pictures / '000177.png')
    source = KittiTracking(drive)
    assert source.scenes() == {'0001': 4}
    assert any('177' in note for note in source.info.notes)
