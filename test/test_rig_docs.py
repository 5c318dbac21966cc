"""The schema and the page of rig files are made from the code, and say what a rig accepts."""

from __future__ import annotations

import copy
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from metabev_ros.config import RigConfig, from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.sensing.calibration import fixed_intrinsics, fixed_pose

UNIT = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
FULL: dict[str, Any] = {
    'ego_frame': 'base_link',
    'odometry_topic': '',
    'motion_frame': 'map',
    'ego_box': {'x_min': -1, 'x_max': 4, 'y_min': -1, 'y_max': 1, 'z_min': -0.5, 'z_max': 2},
    'cameras': [
        {
            'name': 'front',
            'topic': 'front/image_raw',
            'frame': 'front',
            'transport': 'raw',
            'rectified': False,
            'intrinsics': {
                'width': 1280,
                'height': 800,
                'matrix': [400, 0, 640, 0, 400, 400, 0, 0, 1],
                'distortion_model': 'equidistant',
                'distortion': [0.1, 0, 0, 0],
            },
            'ego_from_camera': UNIT,
            'rate_hz': 30,
            'time_offset': -0.01,
        },
        {
            'name': 'back',
            'topic': '/back/image_raw/compressed',
            'info_topic': 'back/camera_info',
            'frame': 'back',
            'transport': 'compressed',
            'rectified': True,
            'estimate_time_offset': True,
        },
    ],
    'lidars': [
        {
            'name': 'top',
            'topic': 'top/points',
            'frame': 'top',
            'rate_hz': 20.0,
            'ego_from_lidar': UNIT,
            'intensity_scale': 0.5,
            'point_time': {'field': 't', 'unit': 'ns', 'absolute': True},
        }
    ],
}
JSON_TYPES = {
    'object': dict,
    'array': list,
    'string': str,
    'number': (int, float),
    'integer': int,
    'boolean': bool,
    'null': type(None),
}


def fits(value: Any, schema: dict[str, Any], top: dict[str, Any]) -> bool:
    """Whether a value fits a schema: the part of JSON schema that this one uses."""
    unknown = set(schema) - KEYWORDS
    assert not unknown, unknown
    if '$ref' in schema:
        return fits(value, top['definitions'][schema['$ref'].rsplit('/', 1)[1]], top)
    if 'anyOf' in schema and not any(fits(value, each, top) for each in schema['anyOf']):
        return False
    if 'enum' in schema and value not in schema['enum']:
        return False
    if 'type' in schema:
        is_kind = isinstance(value, JSON_TYPES[schema['type']])
        if not is_kind or (isinstance(value, bool) and schema['type'] != 'boolean'):
            return False
    if isinstance(value, dict):
        properties = schema.get('properties', {})
        extra = set(value) - set(properties)
        if (extra and schema.get('additionalProperties', True) is False) or not (
            set(schema.get('required', ())) <= set(value)
        ):
            return False
        return all(fits(value[name], properties[name], top) for name in set(value) - extra)
    if isinstance(value, list):
        low, high = schema.get('minItems', 0), schema.get('maxItems', len(value))
        return low <= len(value) <= high and all(
            fits(item, schema.get('items', {}), top) for item in value
        )
    if isinstance(value, str):
        return 'pattern' not in schema or bool(re.search(schema['pattern'], value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get('minimum', value), schema.get('maximum', value)
        return low <= value <= high and value > schema.get('exclusiveMinimum', value - 1)
    return True


KEYWORDS = {
    *('$schema', '$comment', 'title', 'description', 'default', 'definitions'),
    *('type', 'enum', 'anyOf', '$ref', 'properties', 'required', 'additionalProperties'),
    *('items', 'minItems', 'maxItems', 'pattern', 'minimum', 'maximum', 'exclusiveMinimum'),
}


@pytest.fixture(scope='module')
def schema(repo_root: Path) -> dict[str, Any]:
    return json.loads((repo_root / 'config/rig.schema.json').read_text(encoding='utf-8'))


def is_taken(plain: dict[str, Any]) -> bool:
    """Whether the node starts with this rig."""
    try:
        rig = from_plain(RigConfig, plain, 'rig')
        for camera in rig.cameras:
            fixed_intrinsics(camera)
            if camera.ego_from_camera is not None:
                fixed_pose(camera.name, camera.ego_from_camera)
        for lidar in rig.lidars:
            if lidar.ego_from_lidar is not None:
                fixed_pose(lidar.name, lidar.ego_from_lidar)
    except ConfigError:
        return False
    return True


def changed(path: str, value: Any) -> dict[str, Any]:
    """The full rig with one value at a path of keys and indices; `...` takes it out."""
    rig: Any = copy.deepcopy(FULL)
    *way, last = [int(key) if key.isdigit() else key for key in path.split('/')]
    at = rig
    for key in way:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return rig


def test_the_schema_and_the_page_are_made_from_the_fields(repo_root: Path) -> None:
    tool = runpy.run_path(str(repo_root / 'tools/rig_docs.py'))
    for path, text in tool['texts']().items():
        assert (repo_root / path).read_text() == text, f'{path}: run {tool["COMMAND"]}'


def test_every_shipped_rig_fits_the_schema_that_it_names(repo_root: Path, schema) -> None:
    paths = sorted((repo_root / 'config/rigs').glob('*.yaml'))
    assert paths
    for path in paths:
        text = path.read_text(encoding='utf-8')
        plain = yaml.safe_load(text)
        assert fits(plain, schema, schema) and is_taken(plain), path.name
        named = re.search(r'\$schema=(\S+)', text)
        assert named, f'{path.name} names no schema'
        assert (path.parent / named[1]).resolve() == repo_root / 'config/rig.schema.json'


def test_a_rig_with_every_key_fits_and_is_taken(schema) -> None:
    assert fits(FULL, schema, schema) and is_taken(FULL)
    used = [FULL, *FULL['cameras'], *FULL['lidars'], FULL['ego_box']]
    used += [FULL['cameras'][0]['intrinsics'], FULL['lidars'][0]['point_time']]
    given = {name for part in used for name in part}
    parts = [schema, *schema['definitions'].values()]
    assert {name for part in parts for name in part['properties']} == given


@pytest.mark.parametrize(
    'path,value',
    [
        ('camera', []),
        ('lidars', {}),
        ('ego_frame', ''),
        ('odometry_topic', 'no topic!'),
        ('ego_box/x_min', ...),
        ('ego_box/x_max', 31),
        ('ego_box/x_min', '0'),
        ('cameras/0/name', 'two words'),
        ('cameras/0/topic', '1/image'),
        ('cameras/0/transport', 'h264'),
        ('cameras/0/transport', ...),
        ('cameras/0/rectified', 1),
        ('cameras/0/rectified', ...),
        ('cameras/0/rate_hz', 0.05),
        ('cameras/0/rate_hz', True),
        ('cameras/0/time_offset', 1e5),
        ('cameras/0/intrinsics', ...),
        ('cameras/0/intrinsics/width', 0),
        ('cameras/0/intrinsics/width', 1280.5),
        ('cameras/0/intrinsics/matrix', [1.0] * 8),
        ('cameras/0/intrinsics/distortion', [0.1] * 15),
        ('cameras/0/intrinsics/distortion_model', 'mei'),
        ('cameras/0/ego_from_camera', UNIT[:12]),
        ('cameras/1/reduce', 2),
        ('lidars/0/intensity_scale', 0),
        ('lidars/0/intensity_scale', 1e7),
        ('lidars/0/point_time/unit', 'ms'),
        ('lidars/0/point_time/field', ...),
        ('lidars/0/point_time', 't'),
    ],
)
def test_the_schema_refuses_what_the_node_refuses(path: str, value: Any, schema) -> None:
    rig = changed(path, value)
    assert not fits(rig, schema, schema) and not is_taken(rig)


def bounds(schema: dict[str, Any]) -> list[tuple[str, float]]:
    """Every lowest and highest number of the schema, with the path of a value in `FULL`."""
    ways = {
        'CameraConfig': 'cameras/0',
        'LidarConfig': 'lidars/0',
        'IntrinsicsConfig': 'cameras/0/intrinsics',
        'PointTime': 'lidars/0/point_time',
    }
    return [
        (f'{ways[kind]}/{name}', limits[end])
        for kind, part in schema['definitions'].items()
        for name, limits in part['properties'].items()
        for end in ('minimum', 'maximum')
        if kind in ways and end in limits
    ]


def test_every_range_of_the_schema_is_that_of_the_code(schema) -> None:
    found = bounds(schema)
    assert len(found) > 8
    for path, limit in found:
        # A tiny picture and a huge one want other matrices than that of the full rig.
        if not path.endswith(('width', 'height')):
            assert is_taken(changed(path, limit)), (path, limit)
        beyond = limit + (1 if limit > 1 else -1) if abs(limit) >= 1 else limit / 2
        assert not is_taken(changed(path, beyond)), (path, beyond)


@pytest.mark.parametrize('count,is_right', [(12, True), (13, False)])
def test_the_schema_counts_sensors_as_the_code_does(count: int, is_right: bool, schema) -> None:
    camera = FULL['cameras'][1]
    cameras = [
        camera | {key: f'{camera[key]}{k}' for key in ('name', 'topic', 'info_topic', 'frame')}
        for k in range(count)
    ]
    rig = FULL | {'cameras': cameras}
    assert fits(rig, schema, schema) is is_taken(rig) is is_right
