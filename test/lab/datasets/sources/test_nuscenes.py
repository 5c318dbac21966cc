"""nuScenes: a real key frame in the official schema, and invented drives."""

from __future__ import annotations

import dataclasses
import pickle

import cv2
import numpy as np
import pytest
from support.nuscenes_folder import LOCATION, rows_of, write_folder, write_rows
from support.nuscenes_keyframes import (
    Object,
    Plan,
    invented_keyframe,
    real_annotations,
    real_keyframe,
    with_racks,
)
from support.nuscenes_maps import MadeMap

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.geometry import inverse_rigid, points_in_box, project_points, transform_points
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.nuscenes import NuScenes
from metabev_ros.lab.datasets.sources.nuscenes_drive import CAMERAS
from metabev_ros.lab.datasets.sources.nuscenes_rows import LIDAR
from metabev_ros.lab.spreading import Spread
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES

SCENE = 'scene-0103'


@pytest.fixture(scope='module')
def model(repo_root) -> ModelConfig:
    return load_config(ModelConfig, repo_root / 'models' / 'metabev_nano' / 'config.yaml')


@pytest.fixture(scope='module')
def annotations(shared_data) -> dict:
    return real_annotations(shared_data)['data_list'][0]


@pytest.fixture(scope='module')
def real(shared_data, tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp('real'), real_keyframe(shared_data))


@pytest.fixture(scope='module')
def frame(real):
    (frame,) = NuScenes(real).frames(SCENE, 1)
    return frame


def frames_of(folder, sweeps=1, **options):
    return list(NuScenes(folder, **options).frames(SCENE, sweeps))


def ego_points(frame, sweep=0) -> np.ndarray:
    data = frame.sweeps[sweep]
    return transform_points(data.ego_from_lidar, data.points[:, :3].astype(np.float64))


# --------------------------------------------------------------------------------- real key frame
def test_a_real_key_frame_has_six_cameras_34688_points_and_its_own_token(frame, annotations):
    assert tuple(image.name for image in frame.images) == CAMERAS
    assert frame.token == annotations['token'] and frame.scene == SCENE
    assert frame.stamp_ns == 1532402927647951000 and len(frame.sweeps[0].points) == 34688
    assert frame.sweeps[0].seconds is None and not frame.sweeps[0].points[:, 4].any()


def test_all_84_camera_instances_are_met_by_the_boxes_within_a_thousandth_of_a_pixel(
    frame, annotations
):
    met = 0
    centres = frame.truth.boxes[:, :3].astype(np.float64)
    for image in frame.images:
        pose = frame.motion(frame.stamp_ns, image.stamp_ns) @ image.calibration.ego_from_camera
        seen = transform_points(inverse_rigid(pose), centres)
        pixels, depth = project_points(image.calibration.intrinsics, seen)
        for instance in annotations['cam_instances'][image.name]:
            apart = np.abs(pixels - instance['center_2d']).max(axis=1)
            row = int(np.where(depth > 0, apart, np.inf).argmin())
            assert apart[row] < 1e-3
            assert depth[row] == pytest.approx(instance['depth'], abs=1e-4)
            met += 1
    assert met == 84


def test_points_inside_boxes_are_as_many_as_annotated(frame, annotations):
    points = ego_points(frame)
    counts = [
        int(points_in_box(points, box.astype(np.float64)).sum()) for box in frame.truth.boxes
    ]
    known = [i for i in annotations['instances'] if i['bbox_label_3d'] >= 0]
    lidar = [i['num_lidar_pts'] for i in known]
    assert len(counts) == 68  # of 69; one is no class of the benchmark
    assert np.equal(counts, lidar).sum() >= 61
    both = [i['num_lidar_pts'] + i['num_radar_pts'] for i in known]
    assert frame.truth.num_lidar_pts.tolist() == both != lidar


def test_points_of_the_lidar_alone_can_be_asked_for(real, annotations):
    (frame,) = frames_of(real, radar_points=False)
    known = [i for i in annotations['instances'] if i['bbox_label_3d'] >= 0]
    assert frame.truth.num_lidar_pts.tolist() == [i['num_lidar_pts'] for i in known]


@pytest.mark.parametrize(
    ('cell', 'reach', 'inside', 'voxels'),
    [
        ((0.075, 0.075, 0.2), 54.0, 32330, 17509),
        ((0.1, 0.1, 0.2), 51.2, 32264, 15307),
        ((0.2, 0.2, 8.0), 51.2, 32264, 7896),
    ],
)
def test_the_sweep_has_the_known_number_of_points_and_voxels(frame, cell, reach, inside, voxels):
    points = frame.sweeps[0].points[:, :3]
    low, high = np.array([-reach, -reach, -5], np.float32), np.array([reach, reach, 3], np.float32)
    found = points[((points >= low) & (points < high)).all(axis=1)]
    index = np.floor((found - low) / np.array(cell, np.float32)).astype(np.int64)
    assert (len(found), len(np.unique(index, axis=0))) == (inside, voxels)


def test_relative_poses_are_those_of_the_data_set(frame, annotations):
    ego_from_lidar = frame.sweeps[0].ego_from_lidar
    np.testing.assert_allclose(
        ego_from_lidar, annotations['lidar_points']['lidar2ego'], rtol=0, atol=1e-7
    )
    np.testing.assert_allclose(frame.world_from_ego, annotations['ego2global'], atol=2e-7)
    for image in frame.images:
        said = annotations['images'][image.name]
        np.testing.assert_allclose(image.calibration.intrinsics, said['cam2img'], rtol=0, atol=0)
        camera_from_ego = inverse_rigid(
            frame.motion(frame.stamp_ns, image.stamp_ns) @ image.calibration.ego_from_camera
        )
        np.testing.assert_allclose(
            camera_from_ego @ ego_from_lidar, said['lidar2cam'], rtol=0, atol=2e-6
        )


def test_a_real_key_frame_becomes_a_whole_record(real, model, tmp_path):
    source = NuScenes(real)
    entries = import_records(source, tmp_path / 'out', model, Spread(), lambda *_: None)
    (path,) = RecordFolder(tmp_path / 'out').paths
    record = read_record(path)
    assert len(entries) == 1 and record.modality.name == 'FUSED'
    assert record.pixels.shape[0] == 6 and record.boxes.shape == (68, 9)
    assert record.map_known is not None and not record.map_known.any()
    assert np.isfinite(record.depth).sum() > 500
    notes = RecordFolder(tmp_path / 'out').manifest.source.notes
    assert any(LOCATION in note for note in notes)


# --------------------------------------------------------------------------------- invented drives
@pytest.fixture(scope='module')
def invented():
    return invented_keyframe(7)


@pytest.fixture(scope='module')
def drive(tmp_path_factory, invented):
    plan = Plan(keyframes=3, sweeps=4, scenes=(SCENE, 'scene-0061'))
    return write_folder(tmp_path_factory.mktemp('drive'), invented, plan)


def test_the_source_can_be_sent_to_another_process(drive):
    source = NuScenes(drive, split='mini_val')
    assert pickle.loads(pickle.dumps(source)) == source
    assert pickle.loads(pickle.dumps(source)).scenes() == {SCENE: 3}


def test_drives_are_listed_with_their_samples_and_splits_choose_among_them(drive, tmp_path):
    assert NuScenes(drive).scenes() == {SCENE: 3, 'scene-0061': 3}
    assert NuScenes(drive, split='mini_train').scenes() == {'scene-0061': 3}
    (tmp_path / 'mine.txt').write_text('\nscene-0061\n \n')
    assert NuScenes(drive, split=str(tmp_path / 'mine.txt')).scenes() == {'scene-0061': 3}


def test_records_come_in_order_and_what_is_done_is_left_out(drive, model):
    maker = RecordMaker(model)
    tokens = [r.token for r in NuScenes(drive).records(SCENE, maker, frozenset())]
    stamps = [r.stamp_ns for r in NuScenes(drive).records(SCENE, maker, frozenset())]
    assert len(tokens) == 3 and stamps == sorted(stamps)
    left = NuScenes(drive).records(SCENE, maker, frozenset(tokens[:2]))
    assert [r.token for r in left] == tokens[2:]


def test_the_motion_is_exact_at_the_stamps_of_the_data(drive, invented):
    plan, first = Plan(keyframes=3, sweeps=4), frames_of(drive)[0]
    origin = invented.stamp_us
    for offset in (-200_000, -50_000, 0, 300_000, 500_000, 1_000_000):
        now = first.motion(first.stamp_ns, (origin + offset) * 1000)
        np.testing.assert_allclose(now, plan.moved(offset), rtol=0, atol=1e-9)


def test_between_the_stamps_the_motion_is_interpolated_and_outside_it_is_unknown(drive, invented):
    plan, first = Plan(keyframes=3, sweeps=4), frames_of(drive)[0]
    between = first.motion(first.stamp_ns, (invented.stamp_us - 130_000) * 1000)
    np.testing.assert_allclose(between, plan.moved(-130_000), rtol=0, atol=1e-3)
    assert first.motion(first.stamp_ns, (invented.stamp_us - 200_001) * 1000) is None
    assert first.motion((invented.stamp_us + 1_000_001) * 1000, first.stamp_ns) is None


def test_a_still_world_stands_still_in_ten_merged_sweeps(drive, invented, model):
    lidar = dataclasses.replace(model.lidar, sweeps=10)
    maker = RecordMaker(dataclasses.replace(model, lidar=lidar))
    source = NuScenes(drive, remove_close=False)
    *_, last = source.records(SCENE, maker, frozenset())
    lags, counts = np.unique(last.points[:, 4].round(4), return_counts=True)
    np.testing.assert_allclose(
        lags, [0, 0.05, 0.1, 0.15, 0.2, 0.5, 0.55, 0.6, 0.65, 0.7], atol=1e-4
    )
    assert counts.tolist() == [3000] * 10
    for index in range(1, 10):
        moved = last.points[3000 * index : 3000 * (index + 1), :4]
        np.testing.assert_allclose(moved, last.points[:3000, :4], rtol=0, atol=5e-4)


def test_the_sweeps_before_the_newest_lose_what_is_near_the_sensor(drive):
    thinned, whole = frames_of(drive, 3)[0], frames_of(drive, 3, remove_close=False)[0]
    assert len(thinned.sweeps) == len(whole.sweeps) == 3
    assert np.array_equal(thinned.sweeps[0].points, whole.sweeps[0].points)
    for ours, all_of_them in zip(thinned.sweeps[1:], whole.sweeps[1:], strict=True):
        near = (np.abs(all_of_them.points[:, :2]) < 1).all(axis=1)
        assert 10 < near.sum() < 500
        assert np.array_equal(ours.points, all_of_them.points[~near])


def test_a_drive_begins_with_fewer_sweeps(tmp_path, invented):
    write_folder(tmp_path, invented, Plan(keyframes=2))
    assert [len(f.sweeps) for f in frames_of(tmp_path, 10)] == [1, 2]


def test_points_that_are_not_finite_are_left_out(tmp_path, invented):
    points = invented.points.copy()
    points[[3, 5, 8], [0, 2, 3]] = np.nan, np.inf, -np.inf
    write_folder(tmp_path, dataclasses.replace(invented, points=points))
    (frame,) = frames_of(tmp_path)
    assert np.array_equal(frame.sweeps[0].points[:, :4], np.delete(points, [3, 5, 8], 0)[:, :4])


def a_frame_with(*objects: Object, **changes):
    frame = invented_keyframe(1)
    return dataclasses.replace(frame, objects=objects, **changes)


CAR = Object('vehicle.car', np.array([5.0, 9, 0, 4, 2, 1.5, 0.3]), np.array([3.0, 4.0]), 7, 2)


@pytest.mark.parametrize(
    ('keyframes', 'period_us', 'known'),
    [(1, 500_000, [False]), (2, 1_400_000, [True] * 2), (2, 1_600_000, [False] * 2)]
    + [(3, 1_490_000, [True] * 3), (3, 1_510_000, [False] * 3)],
)
def test_the_velocity_is_known_over_at_most_one_and_a_half_seconds(
    tmp_path, keyframes, period_us, known
):
    write_folder(tmp_path, a_frame_with(CAR), Plan(keyframes=keyframes, period_us=period_us))
    speeds = [np.hypot(*f.truth.boxes[0, 7:]) for f in frames_of(tmp_path)]
    assert np.isfinite(speeds).tolist() == known
    assert np.array(speeds)[known] == pytest.approx(5.0, abs=0.02)


def test_the_velocity_turns_with_the_ego_frame(tmp_path):
    plan = Plan(keyframes=3, turn_rate=0.8)
    write_folder(tmp_path, a_frame_with(CAR), plan)
    boxes = [f.truth.boxes[0] for f in frames_of(tmp_path)]
    headings = [np.arctan2(b[8], b[7]) for b in boxes]
    assert np.diff(headings) == pytest.approx([-0.4, -0.4], abs=0.01)
    assert np.diff([b[6] for b in boxes]) == pytest.approx([-0.4, -0.4], abs=0.01)


def test_visibility_is_the_middle_of_its_range_and_nan_where_nobody_said(tmp_path):
    things = [dataclasses.replace(CAR, visibility=v) for v in ('1', '2', '3', '4', '')]
    write_folder(tmp_path, a_frame_with(*things))
    (frame,) = frames_of(tmp_path)
    np.testing.assert_allclose(
        frame.truth.visibility, np.float32([0.2, 0.5, 0.7, 0.9, np.nan]), rtol=1e-6
    )


def test_inside_of_a_bicycle_rack_only_bicycles_and_motorcycles_are_not_asked_for(tmp_path):
    box = np.array([5.0, 8.0, 0, 4, 2, 2, 0.5])
    write_folder(tmp_path, with_racks(a_frame_with(CAR), [box]))
    (frame,) = frames_of(tmp_path)
    truth = frame.truth
    assert [DETECTION_CLASSES[k] for k in truth.ignored_labels] == ['bicycle', 'motorcycle']
    middle = np.repeat(truth.ignored[:1, :3].astype(np.float64), len(DETECTION_CLASSES), axis=0)
    asked = truth.is_asked(middle, np.arange(len(DETECTION_CLASSES)))
    assert [DETECTION_CLASSES[k] for k in np.flatnonzero(~asked)] == ['motorcycle', 'bicycle']


@pytest.mark.parametrize(
    ('target', 'kept', 'ignored'), [('background', 0, 0), ('pedestrian', 1, 0), ('ignore', 0, 1)]
)
def test_a_class_can_be_mapped_otherwise(tmp_path, target, kept, ignored):
    thing = dataclasses.replace(CAR, category='human.pedestrian.stroller')
    write_folder(tmp_path, a_frame_with(thing))
    source = NuScenes(tmp_path, classes={'human.pedestrian.stroller': target})
    (frame,) = source.frames(SCENE, 1)
    assert (len(frame.truth.boxes), len(frame.truth.ignored)) == (kept, ignored)
    assert source.info.classes['human.pedestrian.stroller'] == target


def test_a_sample_without_annotations_is_a_sample(tmp_path):
    once = dataclasses.replace(CAR, velocity=np.full(2, np.nan))  # in the first key frame only
    write_folder(tmp_path, a_frame_with(once), Plan(keyframes=2))
    assert [len(f.truth.boxes) for f in frames_of(tmp_path)] == [1, 0]


def test_what_has_to_be_said_is_said(drive):
    info = NuScenes(drive, split='mini_val').info
    assert info.name == 'nuScenes v1.0-mini mini_val' and not info.is_commercial
    assert info.licence == 'CC BY-NC-SA 4.0' and 'nuScenes' in info.attribution
    assert info.classes['vehicle.bus.bendy'] == 'bus' and info.classes['animal'] == 'background'
    assert len(info.classes) == 23 and any('radar' in note for note in info.notes)


def test_the_map_is_known_where_there_is_a_map_expansion(tmp_path):
    frame = a_frame_with(CAR)
    write_folder(tmp_path, frame)
    assert any(LOCATION in note for note in NuScenes(tmp_path).info.notes)
    (unmapped,) = frames_of(tmp_path)
    assert not unmapped.truth.map_known.any() and not unmapped.truth.map_layers.any()
    made, centre = MadeMap(), frame.world_from_ego[:2, 3]
    square = centre + 200.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    made.polygon('drivable_area', square)
    made.write(tmp_path, LOCATION)
    assert not any(LOCATION in note for note in NuScenes(tmp_path).info.notes)
    (mapped,) = frames_of(tmp_path)
    assert mapped.truth.map_known is None
    assert mapped.truth.map_layers.all(axis=(1, 2)).tolist() == [True] + [False] * 5
    assert len(MAP_CLASSES) == 6


def test_cameras_that_nuscenes_does_not_have_come_after_those_that_it_has(tmp_path):
    frame = invented_keyframe(2)
    extra = {'CAM_ZOOM': frame.cameras['CAM_FRONT'], **frame.cameras}
    write_folder(tmp_path, dataclasses.replace(frame, cameras=extra))
    (found,) = frames_of(tmp_path)
    assert tuple(image.name for image in found.images) == (*CAMERAS, 'CAM_ZOOM')
    assert LIDAR not in [image.name for image in found.images]


def test_pictures_are_the_files_bytes(drive, invented):
    found = frames_of(drive)[0]
    assert all(i.data == invented.cameras[i.name].jpeg for i in found.images)
    assert cv2.imdecode(np.frombuffer(found.images[0].data, np.uint8), 1).shape == (90, 160, 3)


def test_samples_may_be_a_link_to_another_disk(tmp_path):
    folder = write_folder(tmp_path / 'set', a_frame_with(CAR))
    (folder / 'samples').rename(tmp_path / 'elsewhere')
    (folder / 'samples').symlink_to(tmp_path / 'elsewhere')
    assert len(frames_of(folder)) == 1


def test_two_processes_import_the_records_that_one_makes(drive, model, tmp_path):
    source = NuScenes(drive)
    import_records(source, tmp_path / 'out', model, Spread(2), lambda *_: None)
    folder, maker = RecordFolder(tmp_path / 'out'), RecordMaker(model)
    assert list(folder.scenes) == [SCENE, 'scene-0061']
    for scene, paths in folder.scenes.items():
        records = list(source.records(scene, maker, frozenset()))
        assert len(paths) == len(records) == 3
        for path, record in zip(paths, records, strict=True):
            stored = read_record(path)
            for item in dataclasses.fields(record):
                ours, theirs = getattr(stored, item.name), getattr(record, item.name)
                np.testing.assert_array_equal(ours, theirs, err_msg=item.name)


def test_tables_that_change_are_read_again(tmp_path):
    write_folder(tmp_path, a_frame_with(CAR))
    assert frames_of(tmp_path)[0].truth.num_lidar_pts.tolist() == [9]
    rows = rows_of(tmp_path, 'sample_annotation')
    rows[0]['num_lidar_pts'] = 1000
    write_rows(tmp_path, 'sample_annotation', rows)
    assert frames_of(tmp_path)[0].truth.num_lidar_pts.tolist() == [1002]
