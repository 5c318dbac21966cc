"""Messages of labels into labels: our ground truth, vision_msgs and Foxglove's scenes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol, cast

from metabev_ros import wire
from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.lab.datasets.sources.labels import (
    MAX_NAME,
    MOST_BOXES,
    LabelList,
    Labels,
    TrackNumbers,
)
from metabev_ros.sensing.messages import Header
from metabev_ros.sensing.untrusted import header_stamp_ns
from metabev_ros.wire.definitions import DEFINITIONS, SCENE, VISION

DETECTIONS = wire.OUTPUT_TYPES[wire.DETECTIONS]
BOX_TYPES = (DETECTIONS, VISION, SCENE)
MESSAGE_LIMIT = 8 * 2**20  # bytes of a message of ours: 50 000 boxes
CLASS_KEYS = ('class', 'label', 'category')
_NUMBERED = re.compile(r'^(.*?)[\s_:/#.-]*\d*$')
_NEEDED = {
    VISION: (
        'header.stamp',
        'header.frame_id',
        'detections.results.hypothesis.class_id',
        'detections.bbox.center.position',
        'detections.bbox.center.orientation',
        'detections.bbox.size',
    ),
    SCENE: (
        'deletions.timestamp',
        'deletions.type',
        'deletions.id',
        'entities.timestamp',
        'entities.frame_id',
        'entities.id',
        'entities.lifetime',
        'entities.frame_locked',
        'entities.metadata.key',
        'entities.cubes.pose.position',
        'entities.cubes.size',
    ),
}


class LabelReader(Protocol):
    """Reads the messages of one topic, in the order of their log times."""

    def read(self, cdr: bytes) -> Labels | None:
        """The labels after a message; None where it says nothing.

        Raises:
            SensorDataError: for bytes that are no such message.
        """
        ...


def reader_for(
    msgtype: str, schemas: Mapping[str, str], class_keys: tuple[str, ...], dropped: Counter[str]
) -> LabelReader:
    """The reader of a topic of labels.

    Args:
        msgtype: one of BOX_TYPES.
        schemas: message type -> its definition in the bag; where there is none, those of ROS 2
            Humble and Jazzy count.
        class_keys: of the metadata of Foxglove's entities.
        dropped: why -> boxes left out; is added to.

    Raises:
        ConfigError: for a definition without what labels need.
    """
    if msgtype == DETECTIONS:
        return _OurLabels(dropped)
    foreign = _foreign(msgtype, schemas.get(msgtype) or DEFINITIONS[msgtype])
    if msgtype == VISION:
        return _VisionLabels(foreign, dropped)
    return _SceneLabels(foreign, class_keys, dropped)


def _foreign(msgtype: str, text: str) -> wire.ForeignType:
    try:
        foreign = wire.ForeignType(msgtype, text)
    except SensorDataError as error:
        raise ConfigError(
            error.where, error.expected, error.got, 'record the bag again'
        ) from error
    missing = [path for path in _NEEDED[msgtype] if not foreign.has(path)]
    if missing:
        raise ConfigError(
            f'labels: definition of {msgtype} in the bag',
            'that of ROS 2 Humble or later',
            f'one without {", ".join(missing)}',
            'convert the labels to it',
        )
    return foreign


def _require_few(count: int, msgtype: str) -> None:
    if count > MOST_BOXES:
        raise SensorDataError('elements', msgtype, f'at most {MOST_BOXES} boxes', str(count))


class _OurLabels:
    """metabev_ros/DetectionArray, as `metabev simulate` writes it."""

    def __init__(self, dropped: Counter[str]) -> None:
        self._dropped = dropped

    def read(self, cdr: bytes) -> Labels:
        if len(cdr) > MESSAGE_LIMIT:
            raise SensorDataError('size', DETECTIONS, f'at most {MESSAGE_LIMIT} B', str(len(cdr)))
        message = wire.deserialize(cdr, DETECTIONS)
        stamp_ns, frame = header_stamp_ns(message.header), str(message.header.frame_id)
        _require_few(len(message.detections), DETECTIONS)
        found = LabelList(self._dropped)
        for one in message.detections:
            size = one.size.x, one.size.y, one.size.z
            velocity = one.velocity.x, one.velocity.y
            yaw = float(one.yaw)
            found.add(one.class_name, -1, frame, stamp_ns, _xyz(one.center), size, yaw, velocity)
        return found.done(stamp_ns)


class _VisionLabels:
    """vision_msgs/Detection3DArray: the first hypothesis names the class, `id` the track."""

    def __init__(self, foreign: wire.ForeignType, dropped: Counter[str]) -> None:
        self._foreign, self._dropped, self._tracks = foreign, dropped, TrackNumbers()
        self._has_id = foreign.has('detections.id')

    def read(self, cdr: bytes) -> Labels:
        message = self._foreign.read(cdr)
        stamp_ns = header_stamp_ns(message.header)
        _require_few(len(message.detections), VISION)
        found = LabelList(self._dropped)
        for one in message.detections:
            frame = one.header.frame_id or message.header.frame_id
            name = one.results[0].hypothesis.class_id if one.results else ''
            track = self._tracks.of(one.id) if self._has_id else -1
            pose = one.bbox.center
            found.add(
                name,
                track,
                frame,
                stamp_ns,
                _xyz(pose.position),
                _xyz(one.bbox.size),
                pose.orientation,
            )
        return found.done(stamp_ns)


@dataclass(frozen=True)
class _Entity:
    """One entity of a scene."""

    stamp_ns: int
    end_ns: int | None
    frame: str
    is_locked: bool
    class_name: str
    cubes: Sequence[Any]


class _SceneLabels:
    """foxglove_msgs/SceneUpdate: what is shown after each message; cubes are boxes."""

    def __init__(
        self, foreign: wire.ForeignType, class_keys: tuple[str, ...], dropped: Counter[str]
    ) -> None:
        self._foreign, self._keys, self._dropped = foreign, class_keys, dropped
        self._tracks = TrackNumbers()
        self._shown: dict[str, _Entity] = {}

    def read(self, cdr: bytes) -> Labels | None:
        message = self._foreign.read(cdr)
        _require_few(len(message.entities) + len(self._shown), SCENE)
        deletions = [(_stamp_ns(one.timestamp), one) for one in message.deletions]
        entities = [(_stamp_ns(one.timestamp), one) for one in message.entities]
        if not deletions and not entities:
            return None
        for stamp_ns, one in deletions:
            self._delete(stamp_ns, None if one.type == 1 else one.id)
        for stamp_ns, one in entities:
            lasts_ns = one.lifetime.sec * 10**9 + one.lifetime.nanosec
            self._shown[one.id[:MAX_NAME]] = _Entity(
                stamp_ns,
                stamp_ns + lasts_ns if lasts_ns > 0 else None,
                one.frame_id[: MAX_NAME + 1],
                one.frame_locked,
                self._class_of(one),
                one.cubes,
            )
        now_ns = max(stamp_ns for stamp_ns, _ in entities or deletions)
        for name, entity in list(self._shown.items()):
            if entity.end_ns is not None and entity.end_ns <= now_ns:
                del self._shown[name]
        return self._labels(now_ns)

    def _delete(self, stamp_ns: int, name: str | None) -> None:
        """Delete what is earlier than a stamp: one entity, or all of them."""
        for known, entity in list(self._shown.items()):
            if (name is None or name[:MAX_NAME] == known) and entity.stamp_ns < stamp_ns:
                del self._shown[known]

    def _labels(self, now_ns: int) -> Labels:
        """Boxes that are shown; an entity not locked to its frame stays where it was put."""
        _require_few(sum(len(one.cubes) for one in self._shown.values()), SCENE)
        found = LabelList(self._dropped)
        for name, entity in self._shown.items():
            placed_ns = now_ns if entity.is_locked else entity.stamp_ns
            for number, cube in enumerate(entity.cubes):
                found.add(
                    entity.class_name,
                    self._tracks.of(f'{name}#{number}' if number else name),
                    entity.frame,
                    placed_ns,
                    _xyz(cube.pose.position),
                    _xyz(cube.size),
                    cube.pose.orientation,
                )
        return found.done(now_ns)

    def _class_of(self, content: Any) -> str:
        """The class in the metadata, else the id without the number that ends it."""
        metadata = {pair.key: pair.value for pair in content.metadata}
        for key in self._keys:
            if metadata.get(key):
                return metadata[key][: MAX_NAME + 1]
        found = _NUMBERED.match(content.id[: MAX_NAME + 1])
        return found[1] if found else ''


def _xyz(vector: Any) -> tuple[float, float, float]:
    return float(vector.x), float(vector.y), float(vector.z)


def _stamp_ns(stamp: Any) -> int:
    return header_stamp_ns(cast(Header, SimpleNamespace(stamp=stamp, frame_id='')))
