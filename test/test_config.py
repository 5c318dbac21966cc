import pytest

from metabev_ros.config import (
    DecoderConfig,
    LidarBranchConfig,
    ModelConfig,
    RigConfig,
    SensingConfig,
    from_plain,
    load_config,
    save_config,
    to_plain,
)
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BevGrid


def test_a_saved_configuration_loads_to_the_same_value_and_hash(tmp_path):
    config = ModelConfig(decoder=DecoderConfig(points=7))
    save_config(config, tmp_path / 'c.yaml')
    loaded = load_config(ModelConfig, tmp_path / 'c.yaml')
    assert loaded == config and loaded.hash == config.hash != ModelConfig().hash


def test_the_shipped_rig_names_six_cameras_and_a_lidar(repo_root):
    rig = load_config(RigConfig, repo_root / 'config/rigs/nuscenes_like.yaml')
    assert len(rig.cameras) == 6 and rig.sensor_names[-1] == 'LIDAR_TOP'


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'nmae': 'x'}, 'model'),
        ({'camera': {'height': 100}}, 'model.camera.height'),
        ({'camera': {'depth_min': 9.0, 'depth_max': 3.0}}, 'model.camera.depth'),
        ({'camera': {'backbone': 'resnet'}}, 'model.camera.backbone'),
        ({'camera': {'height': 'tall'}}, 'model.camera.height'),
        ({'camera': {'height': True}}, 'model.camera.height'),
        ({'decoder': {'channels': 97}}, 'model.decoder.channels'),
        ({'head': {'max_detections': 501}}, 'model.head.max_detections'),
        ({'lidar': {'pillar': 0.5}}, 'model.lidar.pillar'),
        (
            {'bev_grid': {'x_min': 0, 'x_max': 10, 'y_min': 0, 'y_max': 10, 'cell': 3.0}},
            'BevGrid.x',
        ),
        ({'bev_grid': {'x_min': 0}}, 'model.bev_grid'),
        ('text', 'model'),
    ],
)
def test_a_wrong_model_field_is_refused_by_its_path(change, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, change, 'model')
    assert error.value.where == where


def test_a_class_that_the_package_does_not_know_is_refused_with_the_place_to_add_it():
    with pytest.raises(ConfigError, match='class_sizes.py') as error:
        ModelConfig(detection_classes=('car', 'wheelchair'))
    assert error.value.where == 'model.detection_classes' and 'wheelchair' in error.value.got


def test_a_map_without_the_drivable_area_is_refused():
    with pytest.raises(ConfigError, match='drivable_area') as error:
        ModelConfig(map_classes=('walkway',))
    assert error.value.where == 'model.map_classes'


@pytest.mark.parametrize('field', ['deadline', 'tolerance', 'quarantine'])
@pytest.mark.parametrize('value', [0.0, -1.0, 1e9, float('nan')])
def test_sensing_times_must_be_positive_and_finite(field, value):
    with pytest.raises(ConfigError, match=f'sensing.{field}'):
        SensingConfig(**{field: value})


def test_two_sensors_must_not_share_a_name_or_topic(repo_root):
    plain = to_plain(load_config(RigConfig, repo_root / 'config/rigs/nuscenes_like.yaml'))
    for key, words in (('name', 'distinct sensor names'), ('topic', 'a topic of its own')):
        broken = {**plain, 'cameras': [dict(camera) for camera in plain['cameras']]}
        broken['cameras'][1][key] = broken['cameras'][0][key]
        with pytest.raises(ConfigError, match=words):
            from_plain(RigConfig, broken, 'rig')


def test_broken_yaml_and_missing_files_are_one_clear_error(tmp_path):
    (tmp_path / 'bad.yaml').write_text('a: [1')
    for name in ('bad.yaml', 'absent.yaml'):
        with pytest.raises(ConfigError, match=name):
            load_config(ModelConfig, tmp_path / name)


def test_derived_numbers_follow_the_configuration():
    config = ModelConfig()
    assert config.bev_grid == BevGrid(-51.2, 51.2, -51.2, 51.2, 0.8)
    assert config.pillar_grid.shape == (256, 256) and config.query_grid.shape == (64, 64)
    assert config.camera.feature_shape == (16, 44) and config.camera.depth_bins == 40
    with pytest.raises(ConfigError):
        LidarBranchConfig(z_min=2.0, z_max=1.0)


@pytest.mark.parametrize(
    ('text', 'word'),
    [
        ('lidar: {', 'line 1'),
        ('min_cameras: 1\ndeadline: 0.1\nmin_cameras: 2\n', 'line 1'),
        ('a: &a [1, 1]\nb: *a\n', 'line 2'),
        ('misspelt: 1\n', 'misspelt'),
        ('', 'mapping'),
        ('[' * 3000, 'valid YAML'),
        ('? [1, 2]\n: 3\n', 'YAML'),
        ('a: !!python/name:os.system\n', 'line 1'),
        ('deadline: "\\x00"\n', 'deadline'),
        ('deadline: .nan\n', '0.001..5'),
    ],
)
def test_row_099_yaml_that_is_not_what_it_seems_is_refused_with_its_place(tmp_path, text, word):
    path = tmp_path / 'c.yaml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=word):
        load_config(SensingConfig, path)


def test_row_099_a_missing_or_unreadable_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match='none.yaml'):
        load_config(SensingConfig, tmp_path / 'none.yaml')
    (tmp_path / 'bytes.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigError, match='bytes.yaml'):
        load_config(SensingConfig, tmp_path / 'bytes.yaml')


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'cameras': [], 'lidars': []}, 'at least one camera or LiDAR'),
        ({'odometry_topic': 'tf'}, 'a topic of its own'),
        ({'odometry_topic': 'LIDAR_TOP/points'}, 'a topic of its own'),
        ({'odometry_topic': 'not a topic'}, 'the name of a ROS topic'),
        (
            {
                'ego_box': dict.fromkeys(
                    ('x_min', 'x_max', 'y_min', 'y_max', 'z_min', 'z_max'), 1.0
                )
            },
            'min < max',
        ),
        ({'lidar': {}}, "unknown \\['lidar'\\]"),
    ],
)
def test_a_rig_that_cannot_be_is_refused_with_what_is_wrong(repo_root, changes, words):
    plain = to_plain(load_config(RigConfig, repo_root / 'config/rigs/nuscenes_like.yaml'))
    with pytest.raises(ConfigError, match=words):
        from_plain(RigConfig, {**plain, **changes}, 'rig')


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'transport': 'compressedDepth'}, "one of \\['raw', 'compressed'\\]"),
        ({'topic': '1/x'}, 'the name of a ROS topic'),
        ({'rate_hz': 0.01}, '0.1..200'),
        ({'info_topic': ''}, 'CameraInfo, or fixed intrinsics'),
        ({'time_offset': 37.0, 'estimate_time_offset': True}, 'not both'),
        ({'name': 'front left'}, 'a name without spaces'),
        ({'intrinsics': {'width': '640', 'height': 480, 'matrix': [1.0] * 9}}, 'int'),
        ({'intrinsics': {'width': 640}}, r"every required key .* none of \['height', 'matrix'\]"),
        ({'info_topic': None}, "leave the key out, or write '' for none"),
        ({'rate_hz': None}, 'nothing .null.; leave the key out$'),
        ({1: 'a', 'b': 'c'}, "unknown \\[1, 'b'\\]"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_with_what_is_wrong(repo_root, changes, words):
    plain = to_plain(load_config(RigConfig, repo_root / 'config/rigs/nuscenes_like.yaml'))
    plain['cameras'][0] |= changes
    with pytest.raises(ConfigError, match=words):
        from_plain(RigConfig, plain, 'rig')
