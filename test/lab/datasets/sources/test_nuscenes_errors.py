"""nuScenes folders that are not whole, foreign, damaged or hostile: one clear error each."""

from __future__ import annotations

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
from support.nuscenes_folder import LOCATION, VERSION, rows_of, write_folder, write_rows
from support.nuscenes_keyframes import Plan, invented_keyframe
from support.nuscenes_maps import invented_map

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.nuscenes import NuScenes
from metabev_ros.lab.datasets.sources.nuscenes_tables import TABLES

SCENE = 'scene-0103'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    frame = invented_keyframe(4, 12)
    folder = write_folder(tmp_path_factory.mktemp('whole'), frame, Plan(keyframes=2, sweeps=2))
    invented_map(4, frame.world_from_ego[:2, 3], shapes=1).write(folder, LOCATION)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / 'copy')


@pytest.fixture(scope='module')
def maker(repo_root):
    model = load_config(ModelConfig, repo_root / 'models' / 'metabev_nano' / 'config.yaml')
    lidar = dataclasses.replace(model.lidar, sweeps=3)
    return RecordMaker(dataclasses.replace(model, lidar=lidar))


def refused(folder, maker, **options) -> str:
    """The error of an import of everything."""
    with pytest.raises(ConfigError) as caught:
        source = NuScenes(folder, **options)
        for scene in source.scenes():
            list(source.records(scene, maker, frozenset()))
    assert str(caught.value).count('\n') == 0 and len(str(caught.value)) < 1200
    return str(caught.value)


def changed(folder, table, change, index=0) -> None:
    rows = rows_of(folder, table)
    change(rows[index])
    write_rows(folder, table, rows)


def file_of(folder, channel, is_key_frame=True):
    name = next(
        row['filename']
        for row in rows_of(folder, 'sample_data')
        if f'/{channel}/' in row['filename'] and row['is_key_frame'] == is_key_frame
    )
    return folder / name


def test_the_whole_folder_is_accepted(folder, maker):
    source = NuScenes(folder)
    assert len(list(source.records(SCENE, maker, frozenset()))) == 2


# ------------------------------------------------------------------------------------------ tables
@pytest.mark.parametrize('table', TABLES)
def test_a_missing_table_is_named(folder, maker, table):
    (folder / VERSION / f'{table}.json').unlink()
    message = refused(folder, maker)
    assert f'{table}.json' in message and 'metadata' in message


@pytest.mark.parametrize('table', [t for t in TABLES if t != 'map'])
def test_a_table_that_was_cut_off_is_named(folder, maker, table):
    path = folder / VERSION / f'{table}.json'
    path.write_bytes(path.read_bytes()[:-40])
    message = refused(folder, maker)
    assert str(path) in message and 'damaged' in message and 'again' in message


@pytest.mark.parametrize('table', [t for t in TABLES if t not in ('map', 'sample_annotation')])
def test_a_table_without_rows_is_a_contradiction(folder, maker, table):
    write_rows(folder, table, [])
    if table == 'scene':
        assert NuScenes(folder).scenes() == {}
    else:
        named = 'a key frame of LIDAR_TOP' if table == 'sample_data' else f'{table}.json'
        assert named in refused(folder, maker)


def test_the_test_set_is_refused_as_it_has_no_labels(folder, maker):
    write_rows(folder, 'sample_annotation', [])
    assert 'labels of the test set are not published' in refused(folder, maker)


def test_a_version_that_is_not_there_is_answered_by_those_that_are(folder, maker):
    assert f'take version {VERSION}' in refused(folder, maker, version='v1.0-trainval')
    assert 'check the path' in refused(folder / 'samples', maker)
    assert 'folder above' in refused(folder / VERSION, maker)


@pytest.mark.parametrize('version', ['', '../v1.0-mini', '/etc', '.', 'v1.0\x00'])
def test_a_version_is_the_name_of_a_folder(folder, maker, version):
    assert 'version' in refused(folder, maker, version=version)


def test_a_wrong_target_of_a_class_is_refused(folder, maker):
    assert 'animal' in refused(folder, maker, classes={'animal': 'horse'})


@pytest.mark.parametrize(
    ('table', 'change'),
    [
        ('sample', lambda r: r.pop('timestamp')),
        ('sample', lambda r: r.update(timestamp='now')),
        ('sample', lambda r: r.update(timestamp=1.5)),
        ('sample', lambda r: r.update(timestamp=True)),
        ('sample', lambda r: r.update(timestamp=10**30)),
        ('sample', lambda r: r.update(token=['a'])),
        ('sample', lambda r: r.update(token='x' * 5000)),
        ('sample_data', lambda r: r.pop('filename')),
        ('sample_data', lambda r: r.update(filename=5)),
        ('calibrated_sensor', lambda r: r.update(rotation=[1, 0, 0])),
        ('calibrated_sensor', lambda r: r.update(rotation=[2, 0, 0, 0])),
        ('calibrated_sensor', lambda r: r.update(translation=[0, 0, float('nan')])),
        ('calibrated_sensor', lambda r: r.update(translation=[0, 0, float('inf')])),
        ('ego_pose', lambda r: r.update(rotation=[0, 0, 0, 0])),
        ('ego_pose', lambda r: r.update(translation='here')),
        ('sample_annotation', lambda r: r.update(size=[1, 0, 1])),
        ('sample_annotation', lambda r: r.update(size=[1, -1, 1])),
        ('sample_annotation', lambda r: r.update(rotation=[1, 1, 0, 0])),
        ('sample_annotation', lambda r: r.update(attribute_tokens='x')),
        ('sample_annotation', lambda r: r.update(num_lidar_pts=None)),
        ('visibility', lambda r: r.update(level='high')),
        ('scene', lambda r: r.update(nbr_samples='2')),
        ('log', lambda r: r.update(location=None)),
    ],
)
def test_a_row_with_a_wrong_value_is_named(folder, maker, table, change):
    changed(folder, table, change)
    message = refused(folder, maker)
    assert f'{table}.json: row 0' in message and 'again' in message


@pytest.mark.parametrize('intrinsics', [[], [[1, 0, 0]] * 2, [[0, 0, 0]] * 3, [[1, 2]] * 3, 'no'])
def test_a_camera_without_intrinsics_is_refused(folder, maker, intrinsics):
    changed(folder, 'calibrated_sensor', lambda r: r.update(camera_intrinsic=intrinsics), 1)
    assert 'calibrated_sensor.json: row 1' in refused(folder, maker)


def test_a_picture_without_a_size_is_refused(folder, maker):
    index = next(i for i, r in enumerate(rows_of(folder, 'sample_data')) if r['width'])
    changed(folder, 'sample_data', lambda r: r.update(width=0), index)
    assert f'sample_data.json: row {index}' in refused(folder, maker)


@pytest.mark.parametrize('table', ['sample', 'sample_data', 'sample_annotation', 'ego_pose'])
def test_a_token_that_comes_twice_is_refused(folder, maker, table):
    rows = rows_of(folder, table)
    write_rows(folder, table, [*rows, rows[0]])
    assert f'{table}.json' in (message := refused(folder, maker)) and 'twice' in message


def test_a_scene_that_comes_twice_is_refused(folder, maker):
    rows = rows_of(folder, 'scene')
    write_rows(folder, 'scene', [*rows, {**rows[0], 'token': 'b' * 32}])
    assert f'{SCENE} twice' in refused(folder, maker)


@pytest.mark.parametrize(
    ('table', 'column', 'named'),
    [
        ('scene', 'log_token', 'log'),
        ('scene', 'first_sample_token', 'sample'),
        ('sample', 'next', 'sample'),
        ('sample_data', 'sample_token', 'sample'),
        ('sample_data', 'ego_pose_token', 'ego_pose'),
        ('sample_data', 'calibrated_sensor_token', 'calibrated_sensor'),
        ('calibrated_sensor', 'sensor_token', 'sensor'),
        ('sample_annotation', 'instance_token', 'instance'),
        ('sample_annotation', 'visibility_token', 'visibility'),
        ('sample_annotation', 'next', 'sample_annotation'),
        ('instance', 'category_token', 'category'),
    ],
)
def test_a_token_that_no_row_has_is_a_contradiction_between_two_tables(
    folder, maker, table, column, named
):
    rows = rows_of(folder, table)
    for row in rows:
        row[column] = 'f' * 32
    write_rows(folder, table, rows)
    message = refused(folder, maker)
    assert f'{named}.json' in message and 'f' * 32 in message


def test_a_sweep_before_that_no_row_has_is_a_contradiction(folder, maker):
    rows = rows_of(folder, 'sample_data')
    for row in rows:
        row['prev'] = row['prev'] and 'f' * 32
    write_rows(folder, 'sample_data', rows)
    assert 'sample_data.json' in refused(folder, maker)


def test_sweeps_that_go_back_in_a_circle_are_refused(folder, maker):
    rows = rows_of(folder, 'sample_data')
    for row in rows:
        row['prev'] = row['token']
    write_rows(folder, 'sample_data', rows)
    assert 'before that of' in refused(folder, maker)


@pytest.mark.parametrize('stamp', [lambda a: a, lambda a: a - 1])
def test_samples_out_of_order_are_refused(folder, maker, stamp):
    rows = rows_of(folder, 'sample')
    rows[1]['timestamp'] = stamp(rows[0]['timestamp'])
    write_rows(folder, 'sample', rows)
    assert 'later than the last' in refused(folder, maker)


@pytest.mark.parametrize('count', [0, 1, 3])
def test_a_scene_with_another_number_of_samples_is_refused(folder, maker, count):
    changed(folder, 'scene', lambda r: r.update(nbr_samples=count))
    assert f'{count} samples' in refused(folder, maker)


def test_a_chain_of_samples_in_a_circle_ends(folder, maker):
    rows = rows_of(folder, 'sample')
    rows[1]['next'] = rows[0]['token']
    write_rows(folder, 'sample', rows)
    assert 'later than the last' in refused(folder, maker)


def test_annotations_out_of_order_are_refused(folder, maker):
    rows = rows_of(folder, 'sample_annotation')
    later = next(r for r in rows if r['prev'])
    earlier = next(r for r in rows if r['token'] == later['prev'])
    later['sample_token'], earlier['sample_token'] = earlier['sample_token'], later['sample_token']
    write_rows(folder, 'sample_annotation', rows)
    assert 'neighbours in the order of their stamps' in refused(folder, maker)


def test_a_second_attribute_and_an_unknown_one_are_refused(folder, maker):
    tokens = [row['token'] for row in rows_of(folder, 'attribute')]
    rows = rows_of(folder, 'sample_annotation')
    rows[0]['attribute_tokens'] = tokens[:2]
    write_rows(folder, 'sample_annotation', rows)
    assert 'one attribute of' in refused(folder, maker)
    rows[0]['attribute_tokens'] = tokens[:1]
    write_rows(folder, 'sample_annotation', rows)
    changed(folder, 'attribute', lambda r: r.update(name='vehicle.flying'))
    assert 'vehicle.flying' in refused(folder, maker)


def test_a_category_of_another_data_set_has_to_be_mapped(folder, maker):
    index = next(
        i for i, r in enumerate(rows_of(folder, 'category')) if r['name'] == 'vehicle.car'
    )
    changed(folder, 'category', lambda r: r.update(name='vehicle.tram'), index)
    assert "--class 'vehicle.tram=car'" in refused(folder, maker)
    source = NuScenes(folder, classes={'vehicle.tram': 'bus'})
    assert len(list(source.records(SCENE, maker, frozenset()))) == 2


@pytest.mark.parametrize('channel', ['LIDAR_TOP', 'CAM_BACK'])
def test_a_sample_without_a_sensor_is_refused(folder, maker, channel):
    rows = [
        r for r in rows_of(folder, 'sample_data') if f'samples/{channel}/' not in r['filename']
    ]
    write_rows(folder, 'sample_data', rows)
    assert f'a key frame of {channel}' in refused(folder, maker)


# ------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize(
    ('channel', 'is_key_frame'), [('LIDAR_TOP', True), ('LIDAR_TOP', False), ('CAM_BACK', True)]
)
def test_a_missing_file_is_named(folder, maker, channel, is_key_frame):
    path = file_of(folder, channel, is_key_frame)
    path.unlink()
    message = refused(folder, maker)
    assert str(path) in message and 'no such file' in message
    path.mkdir()
    assert str(path) in refused(folder, maker)


@pytest.mark.parametrize('content', [b'', b'x' * 19, b'x' * 21])
def test_a_sweep_of_another_size_is_named(folder, maker, content):
    path = file_of(folder, 'LIDAR_TOP')
    path.write_bytes(content)
    message = refused(folder, maker)
    assert str(path) in message and f'{len(content)} bytes' in message


def test_a_sweep_that_is_too_large_is_not_read(folder, maker):
    path = file_of(folder, 'LIDAR_TOP')
    with open(path, 'wb') as file:
        file.truncate(20 * 1_500_000 + 20)
    assert 'at most 30000000 bytes' in refused(folder, maker)


@pytest.mark.parametrize('content', [b'', b'no picture', b'\xff\xd8\xff\xe0' + b'x' * 100])
def test_a_picture_that_is_none_is_named(folder, maker, content):
    path = file_of(folder, 'CAM_FRONT')
    path.write_bytes(content)
    message = refused(folder, maker)
    assert str(path) in message and 'again' in message


def test_a_picture_that_was_cut_off_is_named(folder, maker):
    path = file_of(folder, 'CAM_FRONT')
    path.write_bytes(path.read_bytes()[:-2000])
    assert str(path) in (message := refused(folder, maker)) and 'end early' in message


def test_a_picture_with_a_header_alone_names_its_sample(folder, maker):
    path = file_of(folder, 'CAM_FRONT')
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b'\xff\xda')] + b'\xff\xd9')
    token = rows_of(folder, 'sample')[0]['token']
    assert token in (message := refused(folder, maker)) and 'again' in message


def test_a_picture_of_another_size_than_the_table_says_is_refused(folder, maker):
    picture = cv2.imencode('.jpg', np.zeros((45, 80, 3), np.uint8))[1].tobytes()
    path = file_of(folder, 'CAM_FRONT')
    path.write_bytes(picture)
    message = refused(folder, maker)
    assert '160 x 90' in message and '80 x 45' in message and str(path) in message


@pytest.mark.parametrize('name', ['../outside.bin', '/etc/passwd', 'a/../../b', '', 'a\x00b'])
@pytest.mark.parametrize('channel', ['LIDAR_TOP', 'CAM_FRONT'])
def test_a_file_outside_of_the_folder_is_never_opened(folder, maker, name, channel):
    (folder.parent / 'outside.bin').write_bytes(file_of(folder, channel).read_bytes())
    (folder.parent / 'b').write_bytes(file_of(folder, channel).read_bytes())
    rows = rows_of(folder, 'sample_data')
    for row in rows:
        if f'/{channel}/' in row['filename']:
            row['filename'] = name
    write_rows(folder, 'sample_data', rows)
    assert 'files inside of it' in refused(folder, maker)


@pytest.mark.parametrize('name', ['../../up', '/tmp/x', '', '.hidden', 'a b', 'x' * 200])
def test_a_scene_or_a_city_that_is_no_name_of_a_file_is_refused(folder, maker, name):
    changed(folder, 'scene', lambda r: r.update(name=name))
    assert 'nuScenes: scene' in refused(folder, maker)
    changed(folder, 'scene', lambda r: r.update(name=SCENE))
    changed(folder, 'log', lambda r: r.update(location=name))
    assert 'nuScenes: location' in refused(folder, maker)


def test_boxes_that_do_not_belong_to_the_points_are_refused(folder, maker):
    rows = rows_of(folder, 'sample_annotation')
    for row in rows:
        row['translation'][2] += 40.0
        row['num_lidar_pts'] = 5
    write_rows(folder, 'sample_annotation', rows)
    assert 'none in any' in refused(folder, maker)


# ------------------------------------------------------------------------------------ maps, splits
@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda m: m.update(version='1.2'), 'version 1.3'),
        (lambda m: m.pop('version'), 'version 1.3'),
        (lambda m: m.pop('node'), "'node'"),
        (lambda m: m.pop('lane_divider'), "'lane_divider'"),
        (lambda m: m['node'][0].update(x=float('nan')), 'no finite number'),
        (lambda m: m['node'][0].pop('y'), "'y'"),
        (lambda m: m['polygon'][0].update(exterior_node_tokens=['gone']), 'gone'),
        (lambda m: m['walkway'][0].update(polygon_token='gone'), 'gone'),
        (lambda m: m['polygon'][0].update(holes=5), 'wrong'),
        (lambda m: m.update(line={}), 'nothing called'),
        (lambda m: m.update(polygon=7), 'wrong'),
    ],
)
def test_a_map_that_is_none_is_named(folder, maker, change, said):
    path = folder / 'maps' / 'expansion' / f'{LOCATION}.json'
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))
    message = refused(folder, maker)
    assert str(path) in message and said in message


@pytest.mark.parametrize('text', ['', '[]', '"map"', '{"version": "1.3"', '{}'])
def test_a_damaged_map_is_named(folder, maker, text):
    path = folder / 'maps' / 'expansion' / f'{LOCATION}.json'
    path.write_text(text)
    assert str(path) in refused(folder, maker)


def test_splits_that_do_not_fit_are_answered_by_what_fits(folder, maker, tmp_path):
    assert "['mini_train', 'mini_val']" in refused(folder, maker, split='val')
    assert 'none of' in refused(folder, maker, split='mini_train')
    assert 'or a file' in refused(folder, maker, split='valid')
    (tmp_path / 'mine.txt').write_text('scene-0103\nscene-9999\n')
    assert "'scene-9999'" in refused(folder, maker, split=str(tmp_path / 'mine.txt'))
    (tmp_path / 'none.txt').write_text('\n')
    assert 'none' in refused(folder, maker, split=str(tmp_path / 'none.txt'))
