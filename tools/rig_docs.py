"""Write config/rig.schema.json and docs/rig.md from metabev_ros/config/rig.py.

    .venv/bin/metabev-env python tools/rig_docs.py

Meanings come from the docstrings, types and defaults from the fields; units and ranges stand
below. Tests compare both files with what this makes, and the ranges with what a rig accepts.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import textwrap
import types
import typing
from pathlib import Path
from typing import Any

from metabev_ros.config import (
    CameraConfig,
    EgoBox,
    IntrinsicsConfig,
    LidarConfig,
    PointTime,
    RigConfig,
)
from metabev_ros.config.rig import MAX_CAMERAS, MAX_LIDARS, MAX_OFFSET, MAX_RATE, MIN_RATE
from metabev_ros.sensing.encodings import ENCODINGS

ROOT = Path(__file__).resolve().parent.parent
COMMAND = '.venv/bin/metabev-env python tools/rig_docs.py'
PARTS: dict[type, str] = {  # in the order of the page
    RigConfig: 'The rig',
    CameraConfig: 'A camera',
    LidarConfig: 'A LiDAR',
    IntrinsicsConfig: 'Fixed intrinsics',
    PointTime: "Each point's own time",
    EgoBox: 'The box around the vehicle',
}
TOPIC = r'^(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$'
NO_TOPIC = rf'^$|{TOPIC}'
UNITS = {
    'rate_hz': 'Hz',
    'time_offset': 's',
    'width': 'pixels',
    'height': 'pixels',
    'matrix': 'pixels',
    'ego_from_camera': 'm',
    'ego_from_lidar': 'm',
    **{f'{axis}_{end}': 'm' for axis in 'xyz' for end in ('min', 'max')},
}
BOX: dict[str, Any] = {'minimum': -30, 'maximum': 30}
POSE: dict[str, Any] = {'minItems': 16, 'maxItems': 16}
SENSOR: dict[str, dict[str, Any]] = {
    'name': {'pattern': r'^\S{1,64}$'},
    'topic': {'pattern': TOPIC},
    'frame': {'pattern': '[^/]'},
    'rate_hz': {'minimum': MIN_RATE, 'maximum': MAX_RATE},
    'time_offset': {'minimum': -MAX_OFFSET, 'maximum': MAX_OFFSET},
}
LIMITS: dict[type, dict[str, dict[str, Any]]] = {  # what a value must be, as JSON schema says it
    RigConfig: {
        'cameras': {'maxItems': MAX_CAMERAS},
        'lidars': {'maxItems': MAX_LIDARS},
        'ego_frame': {'pattern': '[^/]'},
        'odometry_topic': {'pattern': NO_TOPIC},
    },
    CameraConfig: {**SENSOR, 'info_topic': {'pattern': NO_TOPIC}, 'ego_from_camera': POSE},
    LidarConfig: {
        **SENSOR,
        'ego_from_lidar': POSE,
        'intensity_scale': {'exclusiveMinimum': 0, 'maximum': 1e6},
    },
    IntrinsicsConfig: {
        'width': {'minimum': 1, 'maximum': 65535},
        'height': {'minimum': 1, 'maximum': 65535},
        'matrix': {'minItems': 9, 'maxItems': 9},
        'distortion': {'maxItems': 14},
    },
    PointTime: {},
    EgoBox: {f'{axis}_{end}': BOX for axis in 'xyz' for end in ('min', 'max')},
}
JSON_TYPES = {str: 'string', float: 'number', int: 'integer', bool: 'boolean'}
PAGE_HEAD = f"""\
# The rig file

What sensors a vehicle has is said in one YAML file, the parameter `rig` of the node and `--rig` of
the commands. [config/rigs](../config/rigs) holds examples. A misspelt key, a wrong type or a value
out of range stops the start with one line that says where, what was expected, what came and what
to do.

Editors with a YAML language server check the file and explain its keys while it is written, from
`config/rig.schema.json`. The first line of the file tells them where that lies:

```yaml
# yaml-language-server: $schema=../rig.schema.json
```

Nothing is guessed from names: `transport` and `rectified` must be given. Transforms are
`<target>_from_<source>`; a camera's frame is optical (x right, y down, z forward), that of the
vehicle has x forward, y left, z up.

Made from `metabev_ros/config/rig.py` by `{COMMAND}`.
"""
PAGE_TAIL = f"""
## Lenses

| `distortion_model` | numbers in D | |
|---|---|---|
| `plumb_bob` | 4 or 5 | |
| `rational_polynomial` | 8, 12 or 14 | |
| `equidistant`, in CameraInfo also `fisheye` | 4 | seen as by a pin-hole of at most 120 degrees |

Others (Mei's omnidirectional model, double sphere, EUCM, f-theta) are refused by name: let the
driver undistort, and say `rectified: true`.

Images are undistorted, scaled to cover the network's input and cropped. What is too wide loses
both sides, what is too high its top; of pictures higher than 16:9 the part around the principal
point counts.

## Encodings of raw images

`8UC` and `16UC` are read as grey or as blue, green, red. 16 bits are scaled by 255 / 65535, as
cv_bridge does it.

{textwrap.fill(', '.join(f'`{name}`' for name in ENCODINGS), 99)}
"""


def meanings(kind: type) -> dict[str, str]:
    """Field -> its text in the docstring; a LiDAR's common ones are a camera's."""
    if kind is EgoBox:
        ends = {'min': 'lowest', 'max': 'highest'}
        names = [field.name for field in dataclasses.fields(EgoBox)]
        return {name: f'{ends[name[2:]]} {name[0]} of the box' for name in names}
    section = inspect.cleandoc(kind.__doc__ or '').split('Attributes:\n')[1]
    found: dict[str, str] = {}
    for entry in re.split(r'\n(?= {4}\w)', section):
        names, text = ' '.join(entry.split()).split(': ', 1)
        found.update(dict.fromkeys(names.split(', '), text.rstrip('.')))
    if kind is LidarConfig:
        common = meanings(CameraConfig) | {'topic': 'of its point clouds', 'frame': 'its TF frame'}
        as_camera = [name for name, text in found.items() if text == "as a camera's"]
        found.update({name: common[name] for name in as_camera})
    return found


def field_schema(hint: Any, limits: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of a value of this type, within these limits."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in typing.get_args(hint) if a is not type(None))
        return {'anyOf': [field_schema(inner, limits), {'type': 'null'}]}
    if origin is tuple:
        items = field_schema(typing.get_args(hint)[0], {})
        return {'type': 'array', 'items': items, **limits}
    if dataclasses.is_dataclass(hint):
        return {'$ref': f'#/definitions/{typing.cast("type", hint).__name__}'}
    if issubclass(hint, enum.Enum):
        return {'enum': [member.value for member in hint]}
    return {'type': JSON_TYPES[hint], **limits}


def part_schema(kind: type) -> dict[str, Any]:
    """JSON schema of one dataclass."""
    hints, texts, limits = typing.get_type_hints(kind), meanings(kind), LIMITS[kind]
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in dataclasses.fields(kind):
        schema = field_schema(hints[field.name], limits.get(field.name, {}))
        schema['description'] = texts[field.name]
        if field.default is dataclasses.MISSING:
            required.append(field.name)
        else:
            schema['default'] = plain(field.default)
        properties[field.name] = schema
    made: dict[str, Any] = {'type': 'object', 'description': summary(kind)}
    made |= {'properties': properties, 'required': required, 'additionalProperties': False}
    if kind is CameraConfig:
        made['anyOf'] = [{'required': ['info_topic']}, {'required': ['intrinsics']}]
    return made


def summary(kind: type) -> str:
    """The first line of a docstring."""
    return inspect.cleandoc(kind.__doc__ or '').splitlines()[0]


def plain(value: Any) -> Any:
    """A default as JSON and YAML hold it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in typing.cast('tuple[Any, ...]', value)]
    return value


def schema_text() -> str:
    """Text of the schema file."""
    top: dict[str, Any] = {
        '$schema': 'http://json-schema.org/draft-07/schema#',
        '$comment': f'Made from metabev_ros/config/rig.py by {COMMAND}',
        'title': 'A rig of metabev_ros',
        **part_schema(RigConfig),
        'definitions': {kind.__name__: part_schema(kind) for kind in list(PARTS)[1:]},
    }
    return json.dumps(top, indent=2) + '\n'


def kind_of_value(hint: Any) -> str:
    """A type in words."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return kind_of_value(next(a for a in typing.get_args(hint) if a is not type(None)))
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return f'list of {"numbers" if item is float else link(item)}'
    if dataclasses.is_dataclass(hint):
        return link(typing.cast('type', hint))
    if issubclass(hint, enum.Enum):
        return ', '.join(f'`{member.value}`' for member in hint)
    return {str: 'text', float: 'number', int: 'integer', bool: '`true` or `false`'}[hint]


def link(kind: type) -> str:
    """A link to the table of a part."""
    title = PARTS[kind]
    anchor = re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
    return f'[{title.lower().replace("lidar", "LiDAR")}](#{anchor})'


def limits_text(limits: dict[str, Any]) -> str:
    """A range in words; '' for none."""
    if 'exclusiveMinimum' in limits:
        return f'above {limits["exclusiveMinimum"]:g}, to {limits["maximum"]:g}'
    if 'maximum' in limits:
        return f'{limits["minimum"]:g}..{limits["maximum"]:g}'
    if 'minItems' in limits:
        return f'{limits["minItems"]} of them'
    if 'maxItems' in limits:
        return f'at most {limits["maxItems"]}'
    words = {TOPIC: 'a ROS topic', NO_TOPIC: 'a ROS topic or empty'}
    return words.get(limits.get('pattern', ''), '')


def table(kind: type) -> str:
    """The section of one part: a row for each key."""
    hints, texts = typing.get_type_hints(kind), meanings(kind)
    rows = [f'\n## {PARTS[kind]}\n', f'{summary(kind)}\n']
    rows.append('| key | type | unit | default | range | meaning |\n|---|---|---|---|---|---|')
    if kind is EgoBox:
        names = ', '.join(f'`{name}`' for name in texts)
        rows.append(f'| {names} | number | m | required | -30..30 | ends of the box |')
        return '\n'.join(rows) + '\n'
    for field in dataclasses.fields(kind):
        default = 'required'
        if field.default is not dataclasses.MISSING:
            default = 'none'
            if field.default is not None:
                default = f'`{json.dumps(plain(field.default))}`'
        cells = [
            f'`{field.name}`',
            kind_of_value(hints[field.name]),
            UNITS.get(field.name, ''),
            default,
            limits_text(LIMITS[kind].get(field.name, {})),
            texts[field.name],
        ]
        rows.append(f'| {" | ".join(cells)} |')
    return '\n'.join(rows) + '\n'


def texts() -> dict[str, str]:
    """Path in the checkout -> text of what is made."""
    return {
        'config/rig.schema.json': schema_text(),
        'docs/rig.md': PAGE_HEAD + ''.join(map(table, PARTS)) + PAGE_TAIL,
    }


if __name__ == '__main__':
    for path, text in texts().items():
        (ROOT / path).write_text(text, encoding='utf-8')
