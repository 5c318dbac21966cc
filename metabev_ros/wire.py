"""Results into ROS 2 messages and CDR bytes, CDR bytes into message objects; no ROS needed.

The node publishes these bytes as they are and replay writes the same bytes into a bag, so both
say the same by construction. Types are those of ROS 2 Jazzy plus this package's `msg/*.msg`.
"""
from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from metabev_ros.errors import BackendError, SensorDataError
from metabev_ros.geometry import box_corners
from metabev_ros.resources import resource_path
from metabev_ros.structures import (
    Detections,
    Modality,
    PerceptionResult,
    SensorKind,
    SensorReport,
    SensorState,
)

PACKAGE = 'metabev_ros'
HASH_DIGITS = 16
TEXT_LIMIT = 64
INJECTION_ACTIVE = 'INJECTION ACTIVE'  # begins the reason of a status while faults are injected
MARKER_SCORE = 0.2  # boxes below are in DetectionArray, but only clutter a view
MARKER_LIMIT = 100
MOST_BOXES = 2000  # of one output; more is a broken model, not a crowded road
MARKER_LIFETIME_NS = 500_000_000
BOX_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4),
             (0, 4), (1, 5), (2, 6), (3, 7), (0, 7), (3, 4))  # the last two cross the front face
CLASS_COLOURS = (
    (1.0, 0.62, 0.0), (1.0, 0.39, 0.28), (0.91, 0.59, 0.48), (1.0, 0.5, 0.31), (1.0, 0.55, 0.0),
    (0.44, 0.5, 0.56), (1.0, 0.24, 0.39), (0.86, 0.08, 0.24), (0.25, 0.45, 1.0),
    (0.18, 0.31, 0.31))

DETECTIONS, BEV_MAP, STATUS = 'detections', 'bev_map', 'status'
MARKERS, DRIVABLE_AREA, DIAGNOSTICS = 'markers', 'drivable_area', '/diagnostics'
OUTPUT_TYPES = {
    STATUS: f'{PACKAGE}/msg/PerceptionStatus',
    DETECTIONS: f'{PACKAGE}/msg/DetectionArray',
    BEV_MAP: f'{PACKAGE}/msg/BevMap',
    MARKERS: 'visualization_msgs/msg/MarkerArray',
    DRIVABLE_AREA: 'nav_msgs/msg/OccupancyGrid',
    DIAGNOSTICS: 'diagnostic_msgs/msg/DiagnosticArray',
}
_OK, _WARN, _ERROR = 0, 1, 2
_WARN_STATES = (SensorState.LATE, SensorState.MISSING, SensorState.SUSPECT,
                SensorState.RECOVERING)


@dataclass(frozen=True)
class OutMessage:
    """One output: topic relative to the node ('/...' is absolute), type, serialized bytes."""

    topic: str
    msgtype: str
    cdr: bytes


@dataclass(frozen=True)
class Counters:
    """Totals since the start, as in PerceptionStatus.msg."""

    outputs: int = 0
    dropped_samples: int = 0
    rejected_messages: int = 0
    failed_samples: int = 0


@dataclass(frozen=True)
class StatusReport:
    """What one PerceptionStatus says.

    Attributes:
        stamp_ns: reference stamp of the output, or now for a heartbeat.
        latency_s: stage name -> seconds; empty in a heartbeat.
        latency: seconds from the reference stamp to publication.
        fault: why nothing can be looked at although sensors may be well.
        injection: what injects faults into the inputs; '' when nothing does.
    """

    stamp_ns: int
    modality: Modality
    sensors: tuple[SensorReport, ...]
    counters: Counters = Counters()
    epoch: int = 0
    is_heartbeat: bool = False
    latency_s: Mapping[str, float] = field(default_factory=dict)
    latency: float = 0.0
    fault: str = ''
    injection: str = ''

    @property
    def reason(self) -> str:
        """Why this modality: the sensors that are not well; until the first output, that too."""
        bad = [f'{r.name} {r.state.name}' for r in self.sensors if r.state is not SensorState.OK]
        if self.fault:
            bad = [self.fault, *bad]
        elif self.is_heartbeat and not self.counters.outputs:
            bad = ['STARTING: no output yet', *bad]
        text = clean_text(', '.join(bad), 256) if bad else 'all sensors are well'
        if self.injection:
            text = f'{INJECTION_ACTIVE} ({clean_text(self.injection)}): {text}'
        return text

    @property
    def is_degraded(self) -> bool:
        return bool(self.injection) or any(report.state is not SensorState.OK
                                           for report in self.sensors)


# ------------------------------------------------------------------------------- types, bytes
@functools.cache
def typestore():
    """The message types this package can read and write (rosbags Jazzy store + msg/*.msg)."""
    store = get_typestore(Stores.ROS2_JAZZY)
    definitions = {}
    for path in sorted(resource_path('msg').glob('*.msg')):
        text = path.read_text(encoding='utf-8')
        definitions.update(get_types_from_msg(text, f'{PACKAGE}/msg/{path.stem}'))
    store.register(definitions)
    return store


def knows_type(msgtype: str) -> bool:
    """Whether `deserialize` and `serialize` can handle this type."""
    return msgtype in typestore().types


def type_definition(msgtype: str) -> str:
    """The complete .msg text with its dependencies, as MCAP's `ros2msg` encoding wants it."""
    return typestore().generate_msgdef(msgtype, ros_version=2)[0]


def message_class(msgtype: str) -> type:
    """The class of a message; constructed with all its fields."""
    return typestore().types[msgtype]


def deserialize(cdr: bytes | memoryview, msgtype: str):
    """A message object with ROS field names; arrays of numbers are NumPy arrays.

    Raises:
        SensorDataError: reason 'cdr' if the bytes are no such message, 'type' if it is unknown.
    """
    if not knows_type(msgtype):
        raise SensorDataError('type', 'wire.deserialize', 'a known message type',
                              clean_text(msgtype))
    try:
        return typestore().deserialize_cdr(cdr, msgtype)
    except Exception as error:  # hostile bytes: whatever the parser trips over, it is the message
        raise SensorDataError('cdr', msgtype, 'a well-formed serialized message',
                              f'{len(cdr)} bytes ({clean_text(str(error))})') from error


def serialize(message, msgtype: str) -> bytes:
    """CDR bytes, little endian."""
    return bytes(typestore().serialize_cdr(message, msgtype, little_endian=True))


def clean_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Foreign text made safe for logs and diagnostics: printable, one line, bounded."""
    safe = ''.join(c if c.isprintable() else '?' for c in text[:limit + 1])
    return safe if len(safe) <= limit else safe[:limit - 1] + '…'


def stamp_to_ns(stamp) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def has_header_first(msgtype: str) -> bool:
    """Whether a message of this type begins with std_msgs/Header."""
    if not knows_type(msgtype):
        return False
    first = next(iter(typestore().fielddefs[msgtype][1]), None)
    return first is not None and first[1] == (Nodetype.NAME, 'std_msgs/msg/Header')


def read_stamp(cdr: bytes) -> int:
    """Nanoseconds of the header stamp in the bytes of a header-first message."""
    seconds, nanoseconds = struct.unpack_from(_stamp_format(cdr), cdr, 4)
    return seconds * 1_000_000_000 + nanoseconds


def with_stamp(cdr: bytes, stamp_ns: int) -> bytes:
    """The same header-first message with another header stamp; nothing else is touched."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return cdr[:4] + struct.pack(_stamp_format(cdr), seconds, nanoseconds) + cdr[12:]


def _stamp_format(cdr: bytes) -> str:
    return '<iI' if cdr[1] & 1 else '>iI'


# -------------------------------------------------------------------------------- construction
def _time(stamp_ns: int):
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return message_class('builtin_interfaces/msg/Time')(sec=seconds, nanosec=nanoseconds)


def header(stamp_ns: int, frame: str):
    """std_msgs/Header."""
    return message_class('std_msgs/msg/Header')(stamp=_time(stamp_ns), frame_id=frame)


def _point(x, y, z):
    return message_class('geometry_msgs/msg/Point')(x=float(x), y=float(y), z=float(z))


def _vector(x, y, z):
    return message_class('geometry_msgs/msg/Vector3')(x=float(x), y=float(y), z=float(z))


def _pose(x: float, y: float, z: float):
    quaternion = message_class('geometry_msgs/msg/Quaternion')(x=0.0, y=0.0, z=0.0, w=1.0)
    return message_class('geometry_msgs/msg/Pose')(position=_point(x, y, z),
                                                   orientation=quaternion)


def _out(topic: str, message) -> OutMessage:
    msgtype = OUTPUT_TYPES[topic]
    return OutMessage(topic, msgtype, serialize(message, msgtype))


def _seconds(nanoseconds: int | None) -> float:
    return math.nan if nanoseconds is None else nanoseconds * 1e-9


def _used(result: PerceptionResult) -> tuple[list[str], np.ndarray]:
    reports = [report for report in result.sample.sensors if report.used]
    ages = np.array([_seconds(report.age_ns) for report in reports], np.float32)
    return [report.name for report in reports], ages


def check_result(result: PerceptionResult, classes: int) -> None:
    """Only finite, possible outputs leave this process (rule R4).

    Args:
        classes: how many the model tells apart.

    Raises:
        BackendError: naming what is wrong.
    """
    found = result.detections
    count = len(found.scores)
    shapes = (found.boxes.shape, found.scores.shape, found.labels.shape)
    checks = (
        ('shapes', shapes == ((count, 9), (count,), (count,)), '(M, 9), (M,) and (M,)'),
        ('number', count <= MOST_BOXES, f'at most {MOST_BOXES} boxes'),
        ('labels', bool(((found.labels >= 0) & (found.labels < classes)).all()),
         f'classes 0..{classes - 1}'),
        ('boxes', bool(np.isfinite(found.boxes).all()), 'finite numbers'),
        ('sizes', bool((found.boxes[:, 3:6] > 0).all()), 'sizes above zero'),
        ('scores', bool(((found.scores >= 0) & (found.scores <= 1)).all()), 'scores in [0, 1]'),
        ('map', bool(np.isfinite(result.map_probabilities).all()), 'finite probabilities'),
    )
    for what, passed, expected in checks:
        if not passed:
            raise BackendError(f'pipeline output {what}', expected, 'other values',
                               'the sample is not published')


def encode_result(result: PerceptionResult, model, frame: str) -> list[OutMessage]:
    """DetectionArray, BevMap, MarkerArray and OccupancyGrid of one result.

    The bytes are a pure function of the arguments.

    Raises:
        BackendError: if the result is not finite and valid.
    """
    check_result(result, len(model.config.detection_classes))
    head = header(result.sample.stamp_ns, frame)
    return [
        _out(DETECTIONS, _detection_array(result, model, head)),
        _out(BEV_MAP, _bev_map(result, model, head)),
        _out(MARKERS, _marker_array(result.detections, model, head)),
        _out(DRIVABLE_AREA, _occupancy_grid(result, model, head)),
    ]


def _detection_array(result: PerceptionResult, model, head):
    names, ages = _used(result)
    classes = model.config.detection_classes
    kind = message_class(f'{PACKAGE}/msg/Detection')
    found = result.detections
    detections = [
        kind(class_name=classes[label], class_id=int(label), score=float(score),
             center=_point(*box[:3]), size=_vector(*box[3:6]), yaw=float(box[6]),
             velocity=_vector(box[7], box[8], 0.0), has_covariance=False,
             position_covariance=np.zeros(9))
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)]
    return message_class(OUTPUT_TYPES[DETECTIONS])(
        header=head, modality=int(result.sample.modality), sensors=names, sensor_ages=ages,
        model_hash=model.hash[:HASH_DIGITS], detections=detections)


def _bev_map(result: PerceptionResult, model, head):
    names, ages = _used(result)
    grid = model.config.map_grid
    data = np.rint(np.clip(result.map_probabilities, 0, 1) * np.float32(255)).astype(np.uint8)
    return message_class(OUTPUT_TYPES[BEV_MAP])(
        header=head, modality=int(result.sample.modality), sensors=names, sensor_ages=ages,
        model_hash=model.hash[:HASH_DIGITS], class_names=list(model.config.map_classes),
        resolution=grid.cell, width=grid.columns, height=grid.rows,
        origin=_point(grid.x_min, grid.y_min, 0.0), data=data.reshape(-1))


def _occupancy_grid(result: PerceptionResult, model, head):
    grid = model.config.map_grid
    layer = model.config.map_classes.index('drivable_area')
    free = np.clip(result.map_probabilities[layer], 0, 1)
    info = message_class('nav_msgs/msg/MapMetaData')(
        map_load_time=head.stamp, resolution=grid.cell, width=grid.columns, height=grid.rows,
        origin=_pose(grid.x_min, grid.y_min, 0.0))
    return message_class(OUTPUT_TYPES[DRIVABLE_AREA])(
        header=head, info=info,
        data=np.rint((1 - free) * np.float32(100)).astype(np.int8).reshape(-1))


# ------------------------------------------------------------------------------------ markers
def _marker_array(found: Detections, model, head):
    """One LINE_LIST a class: a handful of markers however many boxes (a cube each costs 10x)."""
    shown = found.scores >= MARKER_SCORE
    shown[MARKER_LIMIT:] = False  # best first
    edges = box_corners(found.boxes[shown])[:, np.array(BOX_EDGES).reshape(-1)]
    labels = found.labels[shown]
    names = model.config.detection_classes
    return message_class(OUTPUT_TYPES[MARKERS])(markers=[
        _line_list(head, index, name, edges[labels == index].reshape(-1, 3))
        for index, name in enumerate(names)])


def _line_list(head, index: int, name: str, points: np.ndarray):
    kind = message_class('visualization_msgs/msg/Marker')
    point = message_class('geometry_msgs/msg/Point')
    red, green, blue = CLASS_COLOURS[index % len(CLASS_COLOURS)]
    color = message_class('std_msgs/msg/ColorRGBA')(r=red, g=green, b=blue, a=1.0)
    clear = not len(points)  # an empty LINE_LIST is an error in RViz: delete the old one instead
    return kind(
        header=head, ns=name, id=0, type=kind.LINE_LIST,
        action=kind.DELETE if clear else kind.ADD, pose=_pose(0.0, 0.0, 0.0),
        scale=_vector(0.08, 0.0, 0.0), color=color,
        lifetime=message_class('builtin_interfaces/msg/Duration')(
            sec=0, nanosec=MARKER_LIFETIME_NS),
        frame_locked=False, points=[point(*xyz) for xyz in points.tolist()], colors=[],
        texture_resource='', texture=_no_texture(), uv_coordinates=[], text='',
        mesh_resource='', mesh_file=message_class('visualization_msgs/msg/MeshFile')(
            filename='', data=np.zeros(0, np.uint8)), mesh_use_embedded_materials=False)


def _no_texture():
    return message_class('sensor_msgs/msg/CompressedImage')(
        header=header(0, ''), format='', data=np.zeros(0, np.uint8))


# ------------------------------------------------------------------------ status, diagnostics
def encode_status(report: StatusReport, model, frame: str) -> OutMessage:
    """PerceptionStatus: the label of an output (sent before it) or a heartbeat."""
    return _out(STATUS, message_class(OUTPUT_TYPES[STATUS])(
        header=header(report.stamp_ns, frame), is_heartbeat=report.is_heartbeat,
        modality=int(report.modality), reason=report.reason,
        sensors=[_sensor_status(sensor, report.is_heartbeat) for sensor in report.sensors],
        stages=list(report.latency_s),
        stage_latencies=np.array(list(report.latency_s.values()), np.float32),
        latency=report.latency, model_name=model.name, model_hash=model.hash[:HASH_DIGITS],
        backend=model.backend, device=model.device, precision=model.precision,
        provider=model.provider, gpu_memory=model.gpu_memory,
        epoch=report.epoch, outputs=report.counters.outputs,
        dropped_samples=report.counters.dropped_samples,
        rejected_messages=report.counters.rejected_messages,
        failed_samples=report.counters.failed_samples))


def _sensor_status(sensor: SensorReport, is_heartbeat: bool):
    return message_class(f'{PACKAGE}/msg/SensorStatus')(
        name=sensor.name, kind=1 if sensor.kind is SensorKind.CAMERA else 2,
        state=int(sensor.state), used=sensor.used and not is_heartbeat,
        age=_seconds(sensor.age_ns), rate=sensor.rate_hz, reason=clean_text(sensor.reason),
        received=sensor.received, rejected=sensor.rejected)


def encode_diagnostics(report: StatusReport, model, node_name: str) -> OutMessage:
    """DiagnosticArray: one status for the node and one per sensor."""
    items = [_diagnostic(_node_level(report), node_name, report.reason, model.name, {
        'modality': report.modality.name, 'outputs': report.counters.outputs,
        'dropped samples': report.counters.dropped_samples,
        'rejected messages': report.counters.rejected_messages,
        'failed samples': report.counters.failed_samples, 'epoch': report.epoch,
        'model hash': model.hash[:HASH_DIGITS], 'backend': model.backend})]
    for sensor in report.sensors:
        text = sensor.state.name + (f': {clean_text(sensor.reason)}' if sensor.reason else '')
        items.append(_diagnostic(
            sensor_level(sensor.state), f'{node_name}: {sensor.name}', text, sensor.name, {
                'age (s)': f'{_seconds(sensor.age_ns):.3f}',
                'rate (Hz)': f'{sensor.rate_hz:.2f}', 'used': sensor.used,
                'received': sensor.received, 'rejected': sensor.rejected}))
    return _out(DIAGNOSTICS, message_class(OUTPUT_TYPES[DIAGNOSTICS])(
        header=header(report.stamp_ns, ''), status=items))


def sensor_level(state: SensorState) -> int:
    """The diagnostic level (OK 0, WARN 1, ERROR 2) of a sensor's state."""
    if state is SensorState.OK:
        return _OK
    return _WARN if state in _WARN_STATES else _ERROR


def _node_level(report: StatusReport) -> int:
    if report.modality is Modality.NONE:
        return _ERROR
    return _WARN if report.is_degraded else _OK


def _diagnostic(level: int, name: str, text: str, hardware: str, values: Mapping):
    pair = message_class('diagnostic_msgs/msg/KeyValue')
    return message_class('diagnostic_msgs/msg/DiagnosticStatus')(
        level=level, name=name, message=text, hardware_id=hardware,
        values=[pair(key=key, value=str(value)) for key, value in values.items()])
