"""Layouts of foreign messages of labels, for bags that do not carry them.

Those of vision_msgs 4 (ROS 2 Humble to Jazzy) and of foxglove_msgs; only the fields, in order.
"""

from __future__ import annotations

VISION = 'vision_msgs/msg/Detection3DArray'
SCENE = 'foxglove_msgs/msg/SceneUpdate'
_SEPARATOR = '=' * 80

_VISION_TYPES = {
    '': 'std_msgs/Header header\nvision_msgs/Detection3D[] detections',
    'vision_msgs/Detection3D': (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox3D bbox\nstring id'
    ),
    'vision_msgs/ObjectHypothesisWithPose': (
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose'
    ),
    'vision_msgs/ObjectHypothesis': 'string class_id\nfloat64 score',
    'vision_msgs/BoundingBox3D': 'geometry_msgs/Pose center\ngeometry_msgs/Vector3 size',
}
_SHAPE = 'geometry_msgs/Pose pose\ngeometry_msgs/Vector3 size'
_COLOUR = 'foxglove_msgs/Color color'
_MANY = f'{_COLOUR}\nfoxglove_msgs/Color[] colors\nuint32[] indices'
_SCENE_TYPES = {
    '': 'foxglove_msgs/SceneEntityDeletion[] deletions\nfoxglove_msgs/SceneEntity[] entities',
    'foxglove_msgs/SceneEntityDeletion': (
        'builtin_interfaces/Time timestamp\nuint8 MATCHING_ID=0\nuint8 ALL=1\nuint8 type\n'
        'string id'
    ),
    'foxglove_msgs/SceneEntity': (
        'builtin_interfaces/Time timestamp\nstring frame_id\nstring id\n'
        'builtin_interfaces/Duration lifetime\nbool frame_locked\n'
        'foxglove_msgs/KeyValuePair[] metadata\nfoxglove_msgs/ArrowPrimitive[] arrows\n'
        'foxglove_msgs/CubePrimitive[] cubes\nfoxglove_msgs/SpherePrimitive[] spheres\n'
        'foxglove_msgs/CylinderPrimitive[] cylinders\nfoxglove_msgs/LinePrimitive[] lines\n'
        'foxglove_msgs/TriangleListPrimitive[] triangles\nfoxglove_msgs/TextPrimitive[] texts\n'
        'foxglove_msgs/ModelPrimitive[] models'
    ),
    'foxglove_msgs/KeyValuePair': 'string key\nstring value',
    'foxglove_msgs/Color': 'float64 r\nfloat64 g\nfloat64 b\nfloat64 a',
    'foxglove_msgs/ArrowPrimitive': (
        'geometry_msgs/Pose pose\nfloat64 shaft_length\nfloat64 shaft_diameter\n'
        f'float64 head_length\nfloat64 head_diameter\n{_COLOUR}'
    ),
    'foxglove_msgs/CubePrimitive': f'{_SHAPE}\n{_COLOUR}',
    'foxglove_msgs/SpherePrimitive': f'{_SHAPE}\n{_COLOUR}',
    'foxglove_msgs/CylinderPrimitive': (
        f'{_SHAPE}\nfloat64 bottom_scale\nfloat64 top_scale\n{_COLOUR}'
    ),
    'foxglove_msgs/LinePrimitive': (
        'uint8 LINE_STRIP=0\nuint8 LINE_LOOP=1\nuint8 LINE_LIST=2\nuint8 type\n'
        'geometry_msgs/Pose pose\nfloat64 thickness\nbool scale_invariant\n'
        f'geometry_msgs/Point[] points\n{_MANY}'
    ),
    'foxglove_msgs/TriangleListPrimitive': (
        f'geometry_msgs/Pose pose\ngeometry_msgs/Point[] points\n{_MANY}'
    ),
    'foxglove_msgs/TextPrimitive': (
        'geometry_msgs/Pose pose\nbool billboard\nfloat64 font_size\nbool scale_invariant\n'
        f'{_COLOUR}\nstring text'
    ),
    'foxglove_msgs/ModelPrimitive': (
        f'geometry_msgs/Pose pose\ngeometry_msgs/Vector3 scale\n{_COLOUR}\nbool override_color\n'
        'string url\nstring media_type\nuint8[] data'
    ),
}


def _text(types: dict[str, str]) -> str:
    """The definition of a type and of those in it, as MCAP's `ros2msg` has it."""
    parts = [f'MSG: {name}\n{fields}' if name else fields for name, fields in types.items()]
    return f'\n{_SEPARATOR}\n'.join(parts) + '\n'


DEFINITIONS = {VISION: _text(_VISION_TYPES), SCENE: _text(_SCENE_TYPES)}
