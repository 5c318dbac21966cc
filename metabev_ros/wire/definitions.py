"""Message types of other packages that this one speaks or reads; only the fields, in order.

Those of vision_msgs 4, autoware_perception_msgs 1 and grid_map_msgs (ROS 2 Humble to Kilted), and
of foxglove_msgs. The packages need not be installed: bytes are made and read from these layouts.
"""

from __future__ import annotations

VISION = 'vision_msgs/msg/Detection3DArray'
AUTOWARE = 'autoware_perception_msgs/msg/DetectedObjects'
AUTOWARE_TRACKS = 'autoware_perception_msgs/msg/TrackedObjects'
GRID_MAP = 'grid_map_msgs/msg/GridMap'
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
_KNOWN_OF_ORIENTATION = 'uint8 UNAVAILABLE=0\nuint8 SIGN_UNKNOWN=1\nuint8 AVAILABLE=2'
_CLASSES_AND_SHAPE = {
    'autoware_perception_msgs/ObjectClassification': (
        'uint8 UNKNOWN=0\nuint8 CAR=1\nuint8 TRUCK=2\nuint8 BUS=3\nuint8 TRAILER=4\n'
        'uint8 MOTORCYCLE=5\nuint8 BICYCLE=6\nuint8 PEDESTRIAN=7\nuint8 label\n'
        'float32 probability'
    ),
    'autoware_perception_msgs/Shape': (
        'uint8 BOUNDING_BOX=0\nuint8 CYLINDER=1\nuint8 POLYGON=2\nuint8 type\n'
        'geometry_msgs/Polygon footprint\ngeometry_msgs/Vector3 dimensions'
    ),
}
_AUTOWARE_TYPES = {
    '': 'std_msgs/Header header\nautoware_perception_msgs/DetectedObject[] objects',
    'autoware_perception_msgs/DetectedObject': (
        'float32 existence_probability\n'
        'autoware_perception_msgs/ObjectClassification[] classification\n'
        'autoware_perception_msgs/DetectedObjectKinematics kinematics\n'
        'autoware_perception_msgs/Shape shape'
    ),
    'autoware_perception_msgs/DetectedObjectKinematics': (
        f'{_KNOWN_OF_ORIENTATION}\ngeometry_msgs/PoseWithCovariance pose_with_covariance\n'
        'bool has_position_covariance\nuint8 orientation_availability\n'
        'geometry_msgs/TwistWithCovariance twist_with_covariance\nbool has_twist\n'
        'bool has_twist_covariance'
    ),
    **_CLASSES_AND_SHAPE,
}
_AUTOWARE_TRACK_TYPES = {
    '': 'std_msgs/Header header\nautoware_perception_msgs/TrackedObject[] objects',
    'autoware_perception_msgs/TrackedObject': (
        'unique_identifier_msgs/UUID object_id\nfloat32 existence_probability\n'
        'autoware_perception_msgs/ObjectClassification[] classification\n'
        'autoware_perception_msgs/TrackedObjectKinematics kinematics\n'
        'autoware_perception_msgs/Shape shape'
    ),
    'autoware_perception_msgs/TrackedObjectKinematics': (
        f'{_KNOWN_OF_ORIENTATION}\ngeometry_msgs/PoseWithCovariance pose_with_covariance\n'
        'geometry_msgs/TwistWithCovariance twist_with_covariance\n'
        'geometry_msgs/AccelWithCovariance acceleration_with_covariance\n'
        'uint8 orientation_availability\nbool is_stationary'
    ),
    **_CLASSES_AND_SHAPE,
}
_GRID_MAP_TYPES = {
    '': (
        'std_msgs/Header header\ngrid_map_msgs/GridMapInfo info\nstring[] layers\n'
        'string[] basic_layers\nstd_msgs/Float32MultiArray[] data\nuint16 outer_start_index\n'
        'uint16 inner_start_index'
    ),
    'grid_map_msgs/GridMapInfo': (
        'float64 resolution\nfloat64 length_x\nfloat64 length_y\ngeometry_msgs/Pose pose'
    ),
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


DEFINITIONS = {
    VISION: _text(_VISION_TYPES),
    AUTOWARE: _text(_AUTOWARE_TYPES),
    AUTOWARE_TRACKS: _text(_AUTOWARE_TRACK_TYPES),
    GRID_MAP: _text(_GRID_MAP_TYPES),
    SCENE: _text(_SCENE_TYPES),
}
