"""GT-paste against hand-made cases and an oracle of its own geometry."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from support.made_records import folder_of, made_record
from support.tiny import PLAIN, TINY
from test_train import config, log_of

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import points_in_box, rigid_transform, rotation_z, transform_points
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.training import object_cutting
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import open_records
from metabev_ros.lab.training.object_cutting import build_objects, has_objects
from metabev_ros.lab.training.object_database import FOLDER, ObjectDatabase
from metabev_ros.lab.training.outlines import outline_of
from metabev_ros.lab.training.pasting import (
    PasteConfig,
    PasteCounts,
    Pasting,
    candidate_rows,
    meets_any,
    paste_objects,
)
from metabev_ros.lab.training.run import cut_objects, say_nothing
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.lab.training.sampling import pasting_of
from metabev_ros.lab.training.train import Trainer
from metabev_ros.structures import DETECTION_CLASSES, Modality

CAR, BUS, PEDESTRIAN = (DETECTION_CLASSES.index(n) for n in ('car', 'bus', 'pedestrian'))


def corners_by_hand(box):
    x, y, _, length, width, _, yaw = box[:7]
    out = []
    for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        u, v = a * length / 2, b * width / 2
        out.append((x + u * np.cos(yaw) - v * np.sin(yaw), y + u * np.sin(yaw) + v * np.cos(yaw)))
    return out


def clipped_area(subject, clip):
    """Area of the common part of two convex polygons: Sutherland and Hodgman, then a shoelace."""
    for (ax, ay), (bx, by) in zip(clip, clip[1:] + clip[:1], strict=True):
        points, subject = subject, []
        for (px, py), (qx, qy) in zip(points, points[1:] + points[:1], strict=True):
            p = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
            q = (bx - ax) * (qy - ay) - (by - ay) * (qx - ax)
            if p >= 0:
                subject.append((px, py))
            if p * q < 0:
                t = p / (p - q)
                subject.append((px + t * (qx - px), py + t * (qy - py)))
        if not subject:
            return 0.0
    area = 0.0
    for (px, py), (qx, qy) in zip(subject, subject[1:] + subject[:1], strict=True):
        area += px * qy - qx * py
    return area / 2


def boxes_of(places, size=(4.0, 2.0, 1.5), z=0.0, yaw=0.0):
    boxes = np.zeros((len(places), 9), np.float32)
    boxes[:, :2], boxes[:, 2], boxes[:, 3:6], boxes[:, 6] = places, z, size, yaw
    return boxes


def record_with(boxes, labels, rng, per_box=8, **changes):
    """A record with points inside of its boxes and some between them."""
    inside = [
        b[:3] + (rotation_z(b[6]) @ (rng.uniform(-0.45, 0.45, (per_box, 3)) * b[3:6]).T).T
        for b in boxes
    ]
    ground = np.concatenate([rng.uniform(-30, 30, (400, 2)), np.full((400, 1), -1.0)], 1)
    places = np.concatenate([*inside, ground])
    lags = rng.choice([0.0, 0.05], len(places))
    points = np.concatenate(
        [places, rng.uniform(0, 255, (len(places), 1)), lags[:, None]], 1
    ).astype(np.float32)
    count = len(boxes)
    return made_record(
        boxes,
        points=points,
        labels=np.array(labels, np.int64),
        num_lidar_pts=np.full(count, per_box),
        **changes,
    )


def database_of(folder, records):
    folder_of(folder, records)
    build_objects(folder, lambda done, total: None)
    return ObjectDatabase(folder)


def some_records(seed, count=6):
    rng = np.random.default_rng(seed)
    records = []
    for i in range(count):
        places = rng.uniform(-25, 25, (7, 2))
        boxes = boxes_of(places, yaw=0.0)
        boxes[:, 6] = rng.uniform(-3, 3, 7)
        boxes[:, 2] = rng.uniform(-1, 1, 7)
        boxes[:, 3:6] *= rng.uniform(0.5, 2, (7, 1))
        boxes[:, 7:] = rng.normal(size=(7, 2))
        labels = rng.choice([CAR, BUS, PEDESTRIAN], 7)
        records.append(record_with(boxes, labels, rng, token=f't{i}', scene=f's{i % 2}'))
    return records


def test_footprints_meet_where_polygons_clipped_by_hand_do():
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(600):
        pair = np.concatenate(
            [
                rng.uniform(-3, 3, (2, 3)),
                rng.uniform(0.4, 5, (2, 3)),
                rng.uniform(-4, 4, (2, 1)),
            ],
            1,
        )
        area = clipped_area(corners_by_hand(pair[0]), corners_by_hand(pair[1]))
        if 0 < area < 1e-4:
            continue
        outcomes.append(area > 0)
        assert meets_any(pair[0], pair[1:]) == (area > 0)
    assert 0.2 < np.mean(outcomes) < 0.9
    assert not meets_any(pair[0], np.zeros((0, 7)))
    beside = boxes_of([(0, 0), (4, 0)]).astype(np.float64)  # they touch
    assert not meets_any(beside[0], beside[1:])
    around = boxes_of([(0.2, 0.1)], (20, 20, 1)).astype(np.float64)
    assert meets_any(beside[0], around)


@pytest.mark.parametrize('seed', range(5))
def test_what_is_pasted_equals_the_rule_by_brute_force(tmp_path, seed):
    """First come, first served; each class up to its count; the oracle clips polygons itself."""
    database = database_of(tmp_path / 'records', some_records(seed))
    rng = np.random.default_rng(100 + seed)
    target = record_with(
        boxes_of(rng.uniform(-25, 25, (3, 2))), [CAR, BUS, CAR], rng, token='target'
    )
    settings = PasteConfig(PasteCounts(car=9, bus=9, pedestrian=9))
    rows = candidate_rows(target, database, settings, np.random.default_rng(seed))
    kinds = [int(database.labels[row]) for row in rows]
    available = np.bincount(database.labels, minlength=10)
    for label, there in ((CAR, 2), (BUS, 1), (PEDESTRIAN, 0)):
        assert kinds.count(label) == min(9 - there, available[label])
    assert len(set(rows)) == len(rows)
    standing, expected = [corners_by_hand(b) for b in target.boxes], []
    for row in rows:
        outline = corners_by_hand(database.box(row))
        if all(clipped_area(outline, other) <= 1e-6 for other in standing):
            standing.append(outline)
            expected.append(row)
    pasted = paste_objects(target, database, settings, np.random.default_rng(seed))
    assert 0 < len(expected) < len(rows)
    assert np.array_equal(pasted.boxes[:3], target.boxes)
    assert np.array_equal(pasted.boxes[3:], np.stack([database.box(row) for row in expected]))
    assert pasted.labels[3:].tolist() == [int(database.labels[row]) for row in expected]


def test_points_come_with_their_object_and_take_the_place_of_what_was_there(tmp_path):
    rng = np.random.default_rng(1)
    source = record_with(boxes_of([(10, 3)], z=0.7), [BUS], rng, token='a')
    database = database_of(tmp_path / 'records', [source])
    item = database[0]
    inside = points_in_box(source.points[:, :3].astype(float), source.boxes[0].astype(float))
    assert np.array_equal(item.points, source.points[inside]) and item.seen == 8
    pose = rigid_transform(rotation_z(0.4), (1.0, 2.0, 1.8))
    crowded = rng.uniform((8, 2, 0), (12, 4, 1.4), (50, 3))
    cloud = transform_points(np.linalg.inv(pose), np.concatenate([crowded, [[20, 0, 0]]]))
    target = made_record(
        points=np.concatenate([cloud, np.ones((51, 2))], 1).astype(np.float32),
        ego_from_lidar=pose,
        token='b',
    )
    pasted = paste_objects(target, database, PasteConfig(), np.random.default_rng(0))
    assert np.array_equal(pasted.boxes, source.boxes)  # z as in its own record
    assert np.array_equal(pasted.boxes[:, 2], np.float32([0.7]))
    there = transform_points(pose, pasted.points[:, :3].astype(float))
    assert len(pasted.points) == inside.sum() + 1
    np.testing.assert_allclose(there[:-1], item.points[:, :3], atol=1e-5)
    assert np.array_equal(pasted.points[:-1, 3:], item.points[:, 3:])  # intensity and time lag
    np.testing.assert_allclose(there[-1], (20, 0, 0), atol=1e-5)
    assert pasted.num_lidar_pts.tolist() == [8] and pasted.track_ids.tolist() == [-1]


def test_nothing_is_pasted_where_nobody_looked_or_something_is_ignored(tmp_path):
    rng = np.random.default_rng(2)
    source = record_with(boxes_of([(10, 3), (-10, 3), (5, -8)]), [BUS] * 3, rng, token='a')
    database = database_of(tmp_path / 'records', [source])
    known = np.ones((200, 200), bool)
    known[:, :100] = False  # x below 0
    target = made_record(
        objects_known=known,
        ignored=np.array([[5, -7, 0, 3, 3, 3, 0]], np.float32),
        ignored_labels=np.array([ANY_LABEL]),
    )
    pasted = paste_objects(target, database, PasteConfig(), np.random.default_rng(0))
    assert pasted.boxes[:, :2].tolist() == [[10, 3]]


def test_few_points_other_drives_and_unasked_objects_are_left_out(tmp_path):
    rng = np.random.default_rng(3)
    first = record_with(boxes_of([(10, 3)]), [BUS], rng, per_box=4, token='a', scene='x')
    second = record_with(
        boxes_of([(-10, 3), (0, 9)]),
        [BUS, BUS],
        rng,
        token='b',
        scene='y',
        ignored=np.array([[0, 9, 0, 5, 5, 5, 0]], np.float32),
        ignored_labels=np.array([ANY_LABEL]),
    )
    database = database_of(tmp_path / 'records', [first, second])
    assert database.labels.tolist() == [BUS, BUS] and database.point_counts.tolist() == [4, 8]
    rng = np.random.default_rng(0)
    assert candidate_rows(made_record(), database, PasteConfig(), rng) == [1]
    assert sorted(candidate_rows(made_record(), database, PasteConfig(min_points=1), rng)) == [
        0,
        1,
    ]
    of_x = ObjectDatabase(tmp_path / 'records', ['x'])
    assert candidate_rows(made_record(), of_x, PasteConfig(min_points=1), rng) == [0]


def test_it_ends_with_the_last_part_and_leaves_samples_with_cameras_alone(tmp_path):
    rng = np.random.default_rng(4)
    database = database_of(
        tmp_path / 'records', [record_with(boxes_of([(10, 3)]), [BUS], rng, token='a')]
    )
    paste = Pasting(PasteConfig(fade_out=0.8), (database,), (0,), 100)
    target = made_record()

    def count(step, modality=Modality.LIDAR, paste=paste):
        return len(paste(target, 0, modality, step, np.random.default_rng(0)).boxes)

    assert [count(step) for step in (0, 79, 80, 99)] == [1, 1, 0, 0]
    assert count(0, Modality.FUSED) == 0
    both = dataclasses.replace(paste, config=PasteConfig(cameras=True))
    assert count(0, Modality.FUSED, both) == 1  # this record has no camera that would see it


def test_a_database_appears_whole_and_is_made_anew_for_other_records(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / 'records', some_records(0, 3))
    monkeypatch.setattr(object_cutting, 'read_record', lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_objects(folder, say_nothing)
    assert not has_objects(folder) and not list(folder.glob('.objects*'))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match='a database of objects'):
        _ = ObjectDatabase(folder).labels
    build_objects(folder, say_nothing)
    stamp = (folder / FOLDER / 'table.npz').stat().st_mtime_ns
    build_objects(folder, say_nothing)
    assert (folder / FOLDER / 'table.npz').stat().st_mtime_ns == stamp
    table = folder / FOLDER / 'table.npz'
    table.write_bytes(table.read_bytes()[:100])
    assert not has_objects(folder)  # damaged: it is made anew
    build_objects(folder, say_nothing)
    opened = ObjectDatabase(folder, ['s0'])
    assert opened[0].label == opened.labels[0]
    assert len(pickle.dumps(opened)) < 1000  # loaders map the files themselves
    folder_of(folder, some_records(0, 4))
    with pytest.raises(ConfigError, match='objects of these records'):
        _ = ObjectDatabase(folder).labels
    told = []
    cut_objects([open_records(folder, TINY)], told.append, say_nothing)
    assert told and len(ObjectDatabase(folder).labels) == 28


FACING = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # an optical frame that looks along x
LENS = np.array([[60.0, 0, 47.5], [0, 60.0, 15.5], [0, 0, 1]])


def with_camera(record, colour, intrinsics=LENS):
    """One camera 1.5 m above the ego frame; the picture is one colour, with some noise."""
    rng = np.random.default_rng(colour)
    pixels = rng.integers(colour, colour + 20, (1, 32, 96, 3)).astype(np.uint8)
    return dataclasses.replace(
        record,
        cameras=('front',),
        pixels=pixels,
        intrinsics=intrinsics[None],
        ego_from_camera=rigid_transform(FACING, (0, 0, 1.5))[None],
        camera_ages_ns=np.zeros(1, np.int64),
        depth=np.full((1, 4, 12), 7, np.float32),
    )


def test_pictures_are_pasted_pixel_for_pixel_and_what_is_nearer_stays_in_front(tmp_path):
    rng = np.random.default_rng(5)
    source = with_camera(record_with(boxes_of([(20, 0)], z=1.0), [BUS], rng, token='a'), 100)
    database = database_of(tmp_path / 'records', [source])
    nearer = boxes_of([(10, 0.9)], (3, 0.8, 1.5), z=1.0)
    target = with_camera(record_with(nearer, [PEDESTRIAN], rng, token='b'), 10)
    settings = PasteConfig(PasteCounts(pedestrian=1), cameras=True)
    pasted = paste_objects(target, database, settings, np.random.default_rng(0), True)
    assert pasted.labels.tolist() == [PEDESTRIAN, BUS]
    pose = target.ego_from_camera[0]
    bus = outline_of(source.boxes[0], LENS, pose, (32, 96)).mask(32, 96)
    person = outline_of(nearer[0], LENS, pose, (32, 96)).mask(32, 96)
    seen = bus & ~person
    assert 30 < seen.sum() < bus.sum()  # the person hides a part
    assert np.array_equal(pasted.pixels[0][seen], source.pixels[0][seen])
    assert np.array_equal(pasted.pixels[0][~seen], target.pixels[0][~seen])
    features = bus.reshape(4, 8, 12, 8).any((1, 3))
    assert np.array_equal(np.isinf(pasted.depth[0]), features)


def test_a_picture_is_fitted_to_another_lens_and_without_one_nothing_is_pasted(tmp_path):
    rng = np.random.default_rng(6)
    source = with_camera(record_with(boxes_of([(20, 0)], z=1.0), [BUS], rng, token='a'), 100)
    database = database_of(tmp_path / 'records', [source])
    longer = np.diag([1.5, 1.5, 1]) @ LENS
    longer[:2, 2] = LENS[:2, 2]
    target = with_camera(made_record(), 10, longer)
    settings = PasteConfig(cameras=True)
    pasted = paste_objects(target, database, settings, np.random.default_rng(0), True)
    mask = outline_of(source.boxes[0], longer, target.ego_from_camera[0], (32, 96)).mask(32, 96)
    changed = (pasted.pixels[0] != target.pixels[0]).any(-1)
    assert not (changed & ~mask).any() and changed.sum() > 0.8 * mask.sum()
    assert (pasted.pixels[0][changed] >= 50).all()
    other = dataclasses.replace(target, cameras=('side',))
    assert len(paste_objects(other, database, settings, rng, True).boxes) == 0


def test_a_run_with_pasted_objects_is_a_function_of_its_seed(tmp_path, tiny_records):
    cut_objects(tiny_records, say_nothing, say_nothing)
    training = config(paste=PasteConfig(fade_out=0.5, cameras=True))
    runs = []
    for name in ('a', 'b'):
        Trainer(tmp_path / name, TINY, training).run(tiny_records)
        runs.append([line['total'] for line in log_of(tmp_path / name)])
    Trainer(tmp_path / 'c', TINY, config()).run(tiny_records)
    plain = [line['total'] for line in log_of(tmp_path / 'c')]
    assert runs[0] == runs[1] and runs[0][0] != plain[0] and np.isfinite(runs[0]).all()
    samples = TrainingSamples(
        tiny_records[0].paths, TINY, PLAIN, CurriculumConfig(), pasting_of(tiny_records, training)
    )
    plain = TrainingSamples(tiny_records[0].paths, TINY, PLAIN, CurriculumConfig())
    early, late = (SampleKey(0, Modality.FUSED.value, 0, step, 0) for step in (1, 2))
    more, same = samples[early][2], samples[late][2]
    assert len(more['labels']) > len(plain[early][2]['labels'])
    assert torch.equal(same['channels'], plain[late][2]['channels'])


def test_pictures_of_rendered_records_agree_with_their_points(tmp_path, tiny_records):
    """A pasted object of a rendered drive: its points project into its picture."""
    record = read_record(tiny_records[0].paths[0])
    cut_objects(tiny_records, say_nothing, say_nothing)
    database = ObjectDatabase(tiny_records[0].folder)
    assert len(database.labels) > 5
    shown = 0
    for row in range(len(database.labels)):
        item = database[row]
        for picture in item.pictures:
            i = record.cameras.index(picture.camera)
            view = transform_points(
                np.linalg.inv(record.ego_from_camera[i]), item.points[:, :3].astype(float)
            )
            pixels = view @ record.intrinsics[i].T
            pixels = pixels[:, :2] / pixels[:, 2:3]
            left, top, right, bottom = picture.frame
            assert (pixels >= (left - 1, top - 1)).all()
            assert (pixels <= (right + 1, bottom + 1)).all()
            shown += 1
    assert shown > 3
