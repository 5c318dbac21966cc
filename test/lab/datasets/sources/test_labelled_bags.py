"""A team's labelled bags: records are the samples of a replay, with the truth of the drive."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from mcap.writer import Writer
from support.labelled_drives import (
    LONG_SCENE,
    TRUTH,
    Maker,
    rewrite,
    scene_cdr,
    small_rig,
    vision_cdr,
    write_drive,
)
from support.tiny import TINY

from metabev_ros.bags import BagReader
from metabev_ros.config import SensingConfig
from metabev_ros.errors import BackendError, ConfigError
from metabev_ros.geometry import inverse_rigid, points_in_box, transform_points
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.datasets.synthetic.vehicle_config import OdometryNoise
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import resource_path
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES
from metabev_ros.wire.definitions import DEFINITIONS, SCENE, VISION

MS = 1_000_000


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp('drive'))


@pytest.fixture(scope='module')
def maker():
    return Maker()


def imported(source, model=TINY, scene=None):
    """Records of the only bag, and what was noted."""
    maker = RecordMaker(model)
    scene = scene or next(iter(source.scenes()))
    return list(source.records(scene, maker, frozenset())), maker.notes


def labelled(made, tmp_path, messages, schemas=None, **options):
    path = rewrite(made.path, tmp_path / 'labelled.mcap', messages, schemas=schemas)
    return LabelledBags((path,), made.rig, **options)


def shown_boxes(made, stamp):
    truth, shown = made.shown(stamp)
    return truth.boxes[shown], truth.labels[shown], [str(t) for t in truth.track_ids[shown]]


def test_records_are_the_samples_that_a_replay_makes_bit_for_bit(made, tmp_path, monkeypatch):
    samples = []

    def refuse(pipeline, sample):
        samples.append(sample)
        raise BackendError('test', 'nothing', 'a sample')

    monkeypatch.setattr(Pipeline, '__call__', refuse)
    folder = resource_path('models/metabev_nano/contract.json').parent
    replay_bag(made.path, tmp_path / 'out.mcap', folder, made.rig, SensingConfig(), threads=1)
    model = Pipeline.load(folder, threads=1).config
    records, _ = imported(LabelledBags((made.path,), made.rig), model)
    assert len(records) == len(made.truths) == 9
    samples = {sample.stamp_ns: sample for sample in samples}
    ages = set()
    for record in records:
        sample, again = samples[record.stamp_ns], record.sample
        used = {name: image for name, image in sample.cameras.items() if image is not None}
        assert list(used) == list(record.cameras)
        for name, image in used.items():
            copy = again.cameras[name]
            assert np.array_equal(copy.pixels, image.pixels) and copy.stamp_ns == image.stamp_ns
            for matrix in ('intrinsics', 'ego_from_camera'):
                assert np.array_equal(
                    getattr(copy.calibration, matrix), getattr(image.calibration, matrix)
                )
            ages.add(sample.stamp_ns - image.stamp_ns)
        assert np.array_equal(again.sweep.points, sample.sweep.points)
        assert np.array_equal(again.sweep.ego_from_lidar, sample.sweep.ego_from_lidar)
        assert again.modality == sample.modality
    assert len(ages) > 3 and len(used) == 2


def test_the_truth_of_a_simulated_drive_comes_back_without_a_loss(made):
    records, notes = imported(LabelledBags((made.path,), made.rig))
    for record in records:
        truth, shown = made.shown(record.stamp_ns)
        assert len(shown) > 20
        names = ('boxes', 'labels', 'num_lidar_pts', 'visibility', 'track_ids')
        for name in names:
            have, want = getattr(record, name), getattr(truth, name)[shown]
            assert np.array_equal(have, want) and have.dtype == want.dtype, name
        assert np.array_equal(record.map_layers, truth.map_layers) and record.map_known is None
        assert not len(record.ignored) and record.objects_known is None
        assert record.attributes is None
        pose = made.drive.odometry.true_pose(made.seconds(record.stamp_ns))
        assert np.allclose(record.world_from_ego, pose, atol=1e-9)
    assert notes == [
        'drive: 1 of 10 samples left out: no labels within 50 ms',
        'drive: labels of /ground_truth/detections (metabev_ros/msg/DetectionArray)',
    ]


def test_records_keep_the_distance_in_time_that_is_asked_for(made):
    every, _ = imported(LabelledBags((made.path,), made.rig))
    some, notes = imported(LabelledBags((made.path,), made.rig, spacing_s=0.25))
    stamps = [record.stamp_ns for record in every]
    assert [record.stamp_ns for record in some] == stamps[::3]
    assert any('6 of 10 samples left out: less than 0.25 s after another' in n for n in notes), (
        notes
    )


def test_where_the_vehicle_is_does_not_bear_the_noise_of_its_odometry(tmp_path):
    noisy = OdometryNoise(position=0.05, drift=0.5)
    made = write_drive(tmp_path, noisy, 0.5)
    records, _ = imported(LabelledBags((made.path,), made.rig))
    bare = rewrite(made.path, tmp_path / 'bare.mcap', keep=lambda t: t != '/ground_truth/odometry')
    believed, _ = imported(LabelledBags((bare,), made.rig))
    errors = []
    for record, other in zip(records, believed, strict=True):
        pose = made.drive.odometry.true_pose(made.seconds(record.stamp_ns))
        assert np.allclose(record.world_from_ego, pose, atol=1e-9)
        errors.append(np.linalg.norm(other.world_from_ego[:3, 3] - pose[:3, 3]))
    assert 0.05 < max(errors) < 1


@pytest.mark.parametrize('kind', ['vision', 'scene', 'long scene'])
def test_the_same_truth_in_foreign_messages_gives_the_same_boxes(made, tmp_path, kind):
    maker = Maker(LONG_SCENE if kind.startswith('long') else DEFINITIONS[SCENE])
    more = {'uuid': 'one of its own'} if kind.startswith('long') else {}
    added = []
    for stamp in made.truths:
        boxes, labels, tracks = shown_boxes(made, stamp)
        if kind == 'vision':
            cdr = vision_cdr(maker, stamp, 'base_link', boxes, labels, tracks)
            added.append(('/labels', VISION, stamp, cdr))
        else:
            cdr = scene_cdr(maker, stamp, 'base_link', boxes, labels, tracks, **more)
            added.append(('/labels', SCENE, stamp, cdr))
    schemas = {**DEFINITIONS, SCENE: LONG_SCENE if more else DEFINITIONS[SCENE]}
    records, _ = imported(labelled(made, tmp_path, added, schemas))
    assert [record.stamp_ns for record in records] == sorted(made.truths)
    number, errors = {}, []
    for record in records:
        truth, shown = made.shown(record.stamp_ns)
        assert np.allclose(record.boxes[:, :6], truth.boxes[shown, :6], atol=1e-5)
        turned = record.boxes[:, 6] - truth.boxes[shown, 6]
        assert np.abs(np.sin(turned)).max() < 1e-5 and np.cos(turned).min() > 0.9
        assert np.array_equal(record.labels, truth.labels[shown])
        for mine, true in zip(record.track_ids, truth.track_ids[shown], strict=True):
            assert number.setdefault(mine, true) == true, 'a track keeps its number'
        assert np.isnan(record.visibility).all() and not record.map_known.any()
        cloud = transform_points(record.ego_from_lidar, record.points[:, :3].astype(float))
        counted = [points_in_box(cloud, box.astype(float)).sum() for box in truth.boxes[shown]]
        assert np.abs(record.num_lidar_pts - counted).max() <= 3, 'but for points on a face'
        apart = np.linalg.norm(record.boxes[:, 7:] - truth.boxes[shown, 7:], axis=1)
        errors += apart[np.isfinite(apart)].tolist()
        assert np.isfinite(apart).mean() > 0.9
    assert len(set(number.values())) == len(number)
    assert np.median(errors) < 0.05 and np.percentile(errors, 95) < 0.5


@pytest.mark.parametrize('frame', ['odom', 'top'])
def test_labels_in_another_frame_are_moved_to_the_vehicle(made, maker, tmp_path, frame):
    added = []
    for stamp in made.truths:
        boxes, labels, tracks = shown_boxes(made, stamp)
        pose = made.drive.odometry.true_pose(made.seconds(stamp))
        pose = pose if frame == 'odom' else inverse_rigid(made.drive.mounts.poses['top'])
        cdr = vision_cdr(maker, stamp, frame, boxes, labels, tracks, pose)
        added.append(('/labels', VISION, stamp, cdr))
    records, _ = imported(labelled(made, tmp_path, added))
    assert len(records) == 9
    moved = np.linalg.norm(records[-1].world_from_ego[:3, 3] - records[0].world_from_ego[:3, 3])
    assert moved > 5
    for record in records:
        truth, shown = made.shown(record.stamp_ns)
        assert np.allclose(record.boxes[:, :6], truth.boxes[shown, :6], atol=2e-4)
        turned = record.boxes[:, 6] - truth.boxes[shown, 6]
        assert np.abs(np.sin(turned)).max() < 1e-4 and np.cos(turned).min() > 0.9


def between(made, maker, frame='base_link', with_tracks=True, shift_ns=30 * MS):
    """Labels between the stamps of the samples, from the drive's world at those times."""
    added = []
    for stamp in (s + shift_ns for s in sorted(made.truths)):
        _, boxes, tracks = made.drive.scene(made.seconds(stamp))
        near = np.hypot(boxes[:, 0], boxes[:, 1]) < 50
        boxes, tracks = boxes[near], tracks[near]
        labels = made.drive.world.population.labels[tracks]
        names = [str(track) if with_tracks else '' for track in tracks]
        cdr = vision_cdr(maker, stamp, frame, boxes, labels, names)
        added.append(('/labels', VISION, stamp + 300 * MS, cdr))
    return added


def distances(record, truth):
    """Of each truth within 45 m: to the nearest box of its class."""
    found = []
    for box, label in zip(truth.boxes, truth.labels, strict=True):
        same = record.boxes[record.labels == label]
        if np.hypot(box[0], box[1]) < 45:
            assert len(same)
            found.append(np.linalg.norm(same[:, :3] - box[:3], axis=1).min())
    return np.array(found)


def test_labels_between_the_samples_are_moved_to_them_along_their_tracks(made, maker, tmp_path):
    added = between(made, maker)
    records, notes = imported(labelled(made, tmp_path, added))
    assert len(records) == 9
    moved = []
    for record in records[1:-1]:
        assert distances(record, made.truths[record.stamp_ns]).max() < 0.05
        assert not len(record.ignored) and not record.map_known.any()
        _, boxes, _ = made.drive.scene(made.seconds(record.stamp_ns + 30 * MS))
        unmoved = dataclasses.replace(
            record, boxes=boxes[: len(record.boxes)], labels=record.labels[: len(boxes)]
        )
        moved.append(np.linalg.norm(unmoved.boxes[:, :2] - record.boxes[:, :2], axis=1).max())
    assert min(moved) > 0.3, 'the vehicle drives that far in 30 ms'


def test_what_nobody_knows_the_motion_of_is_ignored_and_not_guessed(made, maker, tmp_path):
    added = between(made, maker, with_tracks=False)
    records, notes = imported(labelled(made, tmp_path, added))
    lost = sum(len(record.ignored) for record in records)
    assert lost > 100 and any(f'{lost} boxes are ignored' in note for note in notes)
    for record in records:
        names = {DETECTION_CLASSES[label] for label in record.labels}
        assert names <= {'barrier', 'traffic_cone'}
        assert (record.ignored_labels >= 0).all()


def test_labels_a_rounding_away_from_the_sample_are_its_own(made, maker, tmp_path):
    added = between(made, maker, with_tracks=False, shift_ns=400)
    records, _ = imported(labelled(made, tmp_path, added))
    assert len(records) == 9
    for record in records:
        assert not len(record.ignored)
        assert distances(record, made.truths[record.stamp_ns]).max() < 1e-3


def test_without_ego_motion_labels_of_other_stamps_make_no_record(made, maker, tmp_path):
    path = rewrite(
        made.path,
        tmp_path / 'still.mcap',
        between(made, maker),
        lambda topic: not topic.startswith(TRUTH) and topic not in ('/odom', '/tf'),
    )
    with pytest.raises(ConfigError, match='no ego motion between labels and sample'):
        imported(LabelledBags((path,), made.rig))


def test_labels_farther_away_than_the_tolerance_make_no_record(made, maker, tmp_path):
    source = labelled(made, tmp_path, between(made, maker), tolerance_s=0.02)
    with pytest.raises(ConfigError) as caught:
        imported(source)
    text, first = str(caught.value), min(made.truths)
    for part in (
        '/labels (vision_msgs/msg/Detection3DArray, 9 messages)',
        f'first label at {first + 30 * MS} ns, the first sample at {first} ns',
        'no labels within 20 ms',
    ):
        assert part in text


def test_labels_at_the_stamps_of_a_sensor_whose_clock_is_off_belong_to_its_frames(made, tmp_path):
    # The rig file says that the LiDAR's clock is 40 ms late; its truth bears its stamps.
    rig = dataclasses.replace(made.rig, lidars=(small_rig(time_offset=0.04).lidars))
    records, _ = imported(LabelledBags((made.path,), rig))
    assert records and all(record.stamp_ns - 40 * MS in made.truths for record in records)
    for record in records:
        truth, shown = made.shown(record.stamp_ns - 40 * MS)
        assert np.array_equal(record.boxes, truth.boxes[shown]) and record.map_known is None


def test_hostile_labels_cost_themselves_and_are_counted(made, maker, tmp_path):
    stamp, later = sorted(made.truths)[2:4]
    eye, nan, long = np.eye(3), float('nan'), 'x' * 1_000_000
    size = (4.0, 2.0, 1.5)
    wrong = [
        maker.detection('car', (nan, 0, 0), size, eye),
        maker.detection('car', (1e30, 0, 0), size, eye),
        maker.detection('car', (5, 0, 0), (4, -2, 1), eye),
        maker.detection('car', (5, 0, 0), (4, 2, 0), eye),
        maker.detection('car', (5, 0, 0), (nan, 2, 1), eye),
        maker.detection('car', (5, 0, 0), (1e9, 2, 1), eye),
        maker.detection(long, (5, 0, 0), size, eye),
        maker.detection('', (5, 0, 0), size, eye),
        maker.detection('car', (5, 0, 0), size, np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])),
    ]
    good = maker.detection('car', (5, 0, 1), size, eye, long)
    turned = maker.detection('car', (5, 0, 0), size, eye)
    turned.bbox.center.orientation.w = 0.0
    many = maker.detections(later, 'base_link', [])[:-4] + (10**9).to_bytes(4, 'little')
    added = [
        ('/labels', VISION, stamp, maker.detections(stamp, 'base_link', [*wrong, turned, good])),
        ('/labels', VISION, later, many),
        ('/labels', VISION, later + 1, b'\0\1\0\0rubbish'),
        ('/labels', VISION, later + 2, b''),
        ('/labels', VISION, later + 3, maker.detections(0, 'base_link', [good])),
    ]
    records, notes = imported(labelled(made, tmp_path, added))
    assert [record.stamp_ns for record in records] == [stamp]
    assert np.allclose(records[0].boxes[:, :7], [[5, 0, 1, *size, 0]])
    text = ' '.join(notes)
    for part in (
        '2 x a place that is none',
        '4 x a size outside of 0..100 m',
        '1 x a turn that is none',
        '1 x more than 60 degrees from upright',
        '1 x without a class,',
        '/labels: cdr',
        '/labels: stamp',
    ):
        assert part in text + ',', text


def test_classes_that_nobody_maps_are_named_all_together(made, maker, tmp_path):
    stamp = sorted(made.truths)[2]
    found = [
        maker.detection(name, (9, 3 * k, 1), (1, 1, 1), np.eye(3))
        for k, name in enumerate(('van', 'dog', 'car', 'gully'))
    ]
    added = [('/labels', VISION, stamp, maker.detections(stamp, 'base_link', found))]
    source = labelled(made, tmp_path, added)
    with pytest.raises(ConfigError, match=r"\['dog', 'gully', 'van'\].*--class 'dog=car'"):
        imported(source)
    classes = {'van': 'car', 'dog': 'ignore', 'gully': 'background'}
    (record,), _ = imported(dataclasses.replace(source, classes=classes))
    assert record.labels.tolist() == [0, 0] and record.boxes[:, 1].tolist() == [0, 6]
    assert record.ignored[:, 1].tolist() == [3]


def test_boxes_far_beyond_all_sensors_are_left_out_and_counted(made, maker, tmp_path):
    stamp = sorted(made.truths)[2]
    found = [maker.detection('car', (x, 0, 1), (4, 2, 1), np.eye(3)) for x in (20, 4e6, 299, 301)]
    added = [('/labels', VISION, stamp, maker.detections(stamp, 'base_link', found))]
    (record,), notes = imported(labelled(made, tmp_path, added))
    assert record.boxes[:, 0].tolist() == [20, 299]
    assert any('2 boxes more than 300 m away' in note for note in notes)


def test_a_recording_in_a_loop_gives_every_sample_once(made, tmp_path):
    messages = [(m.topic, m.msgtype, m.log_time_ns, m.cdr) for m in BagReader(made.path)]
    again = [(topic, kind, log + 3_000 * MS, cdr) for topic, kind, log, cdr in messages]
    path = rewrite(made.path, tmp_path / 'loop.mcap', [*messages, *again], lambda topic: False)
    records, notes = imported(LabelledBags((path,), made.rig))
    assert [record.stamp_ns for record in records] == sorted(made.truths)
    assert any('the clock began anew' in note for note in notes)


def test_objects_beyond_the_labelled_range_are_not_asked_for(made):
    (record, *_), _ = imported(LabelledBags((made.path,), made.rig, labelled_range_m=30))
    points = np.array([[29, 0, 0], [0, -29, 0], [25, 25, 0], [0, 31, 0]], float)
    assert record.truth.is_asked(points, np.zeros(4)).tolist() == [True, True, False, False]


def test_a_bag_without_labels_says_what_it_has(made, tmp_path):
    bare = rewrite(made.path, tmp_path / 'bare.mcap')
    with pytest.raises(ConfigError, match='no topic of their types'):
        imported(LabelledBags((bare,), made.rig))
    with pytest.raises(ConfigError, match='/none: expected one of .*no such topic'):
        imported(LabelledBags((made.path,), made.rig, labels=LabelTopics('/none')))


def test_two_topics_of_labels_have_to_be_told_apart(made, maker, tmp_path):
    stamp = sorted(made.truths)[0]
    cdr = maker.detections(stamp, 'base_link', [])
    added = [('/one', VISION, stamp, cdr), ('/two', VISION, stamp, cdr)]
    source = labelled(made, tmp_path, added)
    with pytest.raises(ConfigError, match=r'/one .*1 messages.*/two .*name the topic'):
        imported(source)
    (record,), _ = imported(dataclasses.replace(source, labels=LabelTopics('two')))
    assert record.stamp_ns == stamp and not len(record.boxes), 'looked, and found nothing'


def test_labels_in_another_encoding_are_refused_by_name(made, tmp_path):
    path = tmp_path / 'proto.mcap'
    with path.open('wb') as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema('foxglove.SceneUpdate', 'protobuf', b'')
        channel = writer.register_channel('/annotations', 'protobuf', schema)
        writer.add_message(channel, 1, b'', 1)
        writer.finish()
    for labels in (LabelTopics(), LabelTopics('/annotations')):
        with pytest.raises(ConfigError, match='annotations.*protobuf is not cdr.*convert'):
            imported(LabelledBags((path,), made.rig, labels=labels))


def test_a_rig_that_is_not_that_of_the_bag_is_said_as_a_replay_says_it(made):
    rig = dataclasses.replace(
        made.rig, cameras=(), lidars=(dataclasses.replace(made.rig.lidars[0], topic='roof/cloud'),)
    )
    with pytest.raises(ConfigError, match=r'samples of the rig.*roof/cloud \(not in the bag\)'):
        imported(LabelledBags((made.path,), rig))
    cameras = (dataclasses.replace(made.rig.cameras[0], topic='nose/image'), made.rig.cameras[1])
    part = dataclasses.replace(made.rig, cameras=cameras)
    records, notes = imported(LabelledBags((made.path,), part, SensingConfig(start_timeout=0.1)))
    assert records[-1].cameras == ('back',)
    assert 'drive: not heard: nose/image (not in the bag)' in notes


def test_a_cut_bag_gives_what_it_holds_and_says_so(made, tmp_path):
    whole = made.path.read_bytes()
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    records, notes = imported(LabelledBags((cut,), made.rig))
    assert 2 <= len(records) < 9
    assert any('cut or damaged' in note for note in notes)
    with pytest.raises(ConfigError, match='check the path'):
        imported(LabelledBags((tmp_path / 'none.mcap',), made.rig), scene='none')
    with pytest.raises(ConfigError, match='nothing there'):
        LabelledBags((tmp_path / 'none.mcap',), made.rig).scenes()


def test_a_map_of_another_grid_is_not_used(made, tmp_path):
    def shifted(message):
        if message.topic != '/ground_truth/bev_map':
            return message.cdr
        cdr = bytearray(message.cdr)
        at = cdr.find(np.array([-50.0, -50.0, 0.0]).tobytes())
        cdr[at : at + 8] = np.array(-40.0).tobytes()
        return bytes(cdr)

    added = [(m.topic, m.msgtype, m.log_time_ns, shifted(m)) for m in BagReader(made.path)]
    path = rewrite(made.path, tmp_path / 'shifted.mcap', added, lambda topic: False)
    records, notes = imported(LabelledBags((path,), made.rig))
    assert len(records) == 9 and not any(record.map_known.any() for record in records)
    assert records[0].map_known.shape[0] == len(MAP_CLASSES)
    assert '9 x /ground_truth/bev_map: grid' in ' '.join(notes)


def test_bags_are_imported_into_a_folder_and_again_only_what_is_missing(made, tmp_path):
    second = tmp_path / 'drive.mcap'
    second.write_bytes(made.path.read_bytes())
    source = LabelledBags((made.path, second), made.rig, licence='ours', classes={'van': 'car'})
    assert pickle.loads(pickle.dumps(source)).info == source.info
    folder = tmp_path / 'records'
    import_records(source, folder, TINY, Spread(), lambda done, total, scene: None)
    records = RecordFolder(folder)
    assert len(records) == 18 and len(records.scenes) == 2
    info = records.manifest.source
    assert info.licence == 'ours' and info.classes['van'] == 'car'
    assert sum('1 of 10 samples left out' in note for note in info.notes) == 2
    first = records.paths[0]
    before, kept = first.read_bytes(), records.paths[1].stat().st_mtime_ns
    first.unlink()
    import_records(source, folder, TINY, Spread(), lambda done, total, scene: None)
    assert first.read_bytes() == before and records.paths[1].stat().st_mtime_ns == kept
    assert read_record(first).stamp_ns == min(made.truths)
    other = dataclasses.replace(source, tolerance_s=0.01)
    with pytest.raises(ConfigError, match='name another folder'):
        import_records(other, folder, TINY, Spread(), lambda done, total, scene: None)


@pytest.mark.parametrize(
    'options',
    [{'paths': ()}, {'tolerance_s': 2.0}, {'labelled_range_m': 0.0}, {'classes': {'a': 'b'}}],
)
def test_a_wrong_option_is_refused(made, options):
    with pytest.raises(ConfigError):
        LabelledBags(**{'paths': (made.path,), 'rig': made.rig, **options})
