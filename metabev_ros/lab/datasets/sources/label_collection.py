"""All labels of a bag, and the frames they are in: a first pass over it, without its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.lab.datasets.sources.label_frames import FrameLog
from metabev_ros.lab.datasets.sources.label_messages import (
    BOX_TYPES,
    CLASS_KEYS,
    DETECTIONS,
    reader_for,
)
from metabev_ros.lab.datasets.sources.label_truth import BEV_MAP, MapStore, TruthObjects
from metabev_ros.lab.datasets.sources.labels import Labels
from metabev_ros.lab.datasets.synthetic.bag import (
    TRUTH_DETECTIONS,
    TRUTH_MAP,
    TRUTH_OBJECTS,
    TRUTH_ODOMETRY,
)

_TF, _ODOMETRY, _CLOUD = (
    'tf2_msgs/msg/TFMessage',
    'nav_msgs/msg/Odometry',
    'sensor_msgs/msg/PointCloud2',
)
_TOPICS_TOLD = 10


@dataclass(frozen=True)
class LabelTopics:
    """Topics on which a bag has its labels.

    Attributes:
        boxes: topic of vision_msgs/Detection3DArray, foxglove_msgs/SceneUpdate or
            metabev_ros/DetectionArray. Empty: the truth of a simulation where there is one, else
            the only topic of one of the first two types.
        map_layers: topic of metabev_ros/BevMap; a bag need not have it.
        class_keys: keys of the metadata of Foxglove's entities that name the class, the first one
            that is there; without any it is the id without the number that ends it.
    """

    boxes: str = ''
    map_layers: str = TRUTH_MAP
    class_keys: tuple[str, ...] = CLASS_KEYS


@dataclass
class BagLabels:
    """Labels of a bag.

    Attributes:
        topic: of the boxes; msgtype: its type.
        labels: by rising stamps, which differ.
        maps: layers at some stamps.
        frames: where things are.
        dropped: why -> boxes left out.
        refused: why -> messages of labels that could not be used.
    """

    topic: str
    msgtype: str
    maps: MapStore
    frames: FrameLog
    labels: list[Labels] = field(default_factory=list[Labels])
    dropped: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])

    def notes(self) -> list[str]:
        """Sentences about what was left out."""
        notes = [
            f'boxes left out: {_counted(self.dropped)}' if self.dropped else '',
            f'messages of labels not used: {_counted(self.refused)}' if self.refused else '',
            f'{self.frames.refused} transforms or poses not used' if self.frames.refused else '',
        ]
        return [note for note in notes if note]


def _counted(counts: Counter[str]) -> str:
    return ', '.join(f'{count} x {what}' for what, count in counts.most_common(_TOPICS_TOLD))


def topics_of_labels(reader: BagReader) -> str:
    """The topics of a bag that could hold labels, with their types and counts, in words."""
    found = [
        f'{clean_text(topic)} ({msgtype}, {reader.counts[topic]} messages)'
        for topic, msgtype in reader.topics.items()
        if msgtype in BOX_TYPES
    ]
    foreign = [
        f'{clean_text(topic)} ({clean_text(why)})'
        for topic, why in reader.integrity.skipped_topics.items()
    ]
    more = f'; not readable: {", ".join(foreign[:_TOPICS_TOLD])}' if foreign else ''
    return (', '.join(found[:_TOPICS_TOLD]) or 'no topic of their types') + more


def choose_topic(reader: BagReader, topics: LabelTopics) -> tuple[str, str]:
    """The topic of the boxes and its type.

    Raises:
        ConfigError: where there is none, or more than one, or one that cannot be read.
    """
    types = {topic.lstrip('/'): (topic, kind) for topic, kind in reader.topics.items()}
    skipped = {t.lstrip('/'): why for t, why in reader.integrity.skipped_topics.items()}
    where = f'{reader.path}: labels'
    if topics.boxes:
        name = topics.boxes.lstrip('/')
        if name in skipped:
            raise ConfigError(
                f'{where} on {topics.boxes}',
                'messages of ROS 2 (cdr)',
                clean_text(skipped[name]),
                'convert the topic to vision_msgs/Detection3DArray or foxglove_msgs/SceneUpdate '
                'of ROS 2, or record it so',
            )
        topic, kind = types.get(name, ('', 'no such topic'))
        if kind not in BOX_TYPES:
            got = f'{clean_text(kind)}; the bag has {topics_of_labels(reader)}'
            raise ConfigError(f'{where} on {topics.boxes}', f'one of {list(BOX_TYPES)}', got)
        return topic, kind
    if types.get(TRUTH_DETECTIONS.lstrip('/'), ('', ''))[1] == DETECTIONS:
        return types[TRUTH_DETECTIONS.lstrip('/')][0], DETECTIONS
    found = [pair for pair in types.values() if pair[1] in BOX_TYPES[1:]]
    if len(found) != 1:
        raise ConfigError(
            where,
            f'{TRUTH_DETECTIONS}, or one topic of {" or ".join(BOX_TYPES[1:])}',
            topics_of_labels(reader),
            'name the topic' if found else 'record labels, or convert them to one of these types',
        )
    return found[0]


def collect(reader: BagReader, rig: RigConfig, topics: LabelTopics) -> BagLabels:
    """Read the labels of a bag and where its frames are.

    Raises:
        ConfigError: see `choose_topic`.
    """
    topic, msgtype = choose_topic(reader, topics)
    found = BagLabels(topic, msgtype, MapStore(rig.ego_frame), FrameLog(rig))
    boxes = reader_for(msgtype, reader.schemas, topics.class_keys, found.dropped)
    labels: dict[int, Labels] = {}
    objects: dict[int, TruthObjects] = {}

    def take_boxes(message: BagMessage) -> None:
        one = boxes.read(message.cdr)
        if one is not None:
            found.refused['an earlier one of the same stamp'] += one.stamp_ns in labels
            labels[one.stamp_ns] = one

    def take_objects(message: BagMessage) -> None:
        one = TruthObjects.read(message.cdr)
        objects[one.stamp_ns] = one

    hears: dict[tuple[str, str], Callable[[BagMessage], None]] = {
        (topic.lstrip('/'), msgtype): take_boxes,
        (topics.map_layers.lstrip('/'), BEV_MAP): lambda message: found.maps.take(message.cdr),
    }
    if topic.lstrip('/') == TRUTH_DETECTIONS.lstrip('/'):
        hears[TRUTH_OBJECTS.lstrip('/'), _CLOUD] = take_objects
    hears |= _motion_topics(rig, found.frames)
    for message in reader:
        hear = hears.get((message.topic.lstrip('/'), message.msgtype))
        if hear is not None:
            try:
                hear(message)
            except SensorDataError as error:
                found.refused[f'{clean_text(message.topic)}: {error.reason}'] += 1
    found.refused += Counter()  # forget zeros
    found.labels = [_with(labels[stamp], objects.get(stamp)) for stamp in sorted(labels)]
    return found


def _motion_topics(
    rig: RigConfig, frames: FrameLog
) -> dict[tuple[str, str], Callable[[BagMessage], None]]:
    """(topic, type) -> what takes its messages."""
    hears: dict[tuple[str, str], Callable[[BagMessage], None]] = {
        ('tf', _TF): lambda m: frames.add_tf(wire.deserialize(m.cdr, m.msgtype), False),
        ('tf_static', _TF): lambda m: frames.add_tf(wire.deserialize(m.cdr, m.msgtype), True),
        (TRUTH_ODOMETRY.lstrip('/'), _ODOMETRY): lambda m: frames.add_odometry(
            wire.deserialize(m.cdr, m.msgtype), is_truth=True
        ),
    }
    if rig.odometry_topic:
        hears[rig.odometry_topic.lstrip('/'), _ODOMETRY] = lambda m: frames.add_odometry(
            wire.deserialize(m.cdr, m.msgtype)
        )
    return hears


def _with(labels: Labels, objects: TruthObjects | None) -> Labels:
    """The labels with what the simulation knows of them, where that is of the same boxes."""
    if objects is None or len(objects.track_ids) != len(labels.boxes):
        return labels
    return replace(
        labels,
        tracks=objects.track_ids,
        num_lidar_pts=objects.num_lidar_pts,
        visibility=objects.visibility,
    )
