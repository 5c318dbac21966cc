"""Outputs in the types of other packages: their topics, and a result as each of them.

`config.OutputsConfig` switches them; they are made only where somebody takes them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabev_ros.config import MarkersConfig
from metabev_ros.config.outputs import NEVER, REQUIRE, OutputsConfig
from metabev_ros.structures import DRIVABLE_CLASS, MAP_CLASSES, ModelInfo, PerceptionResult
from metabev_ros.tracks import TrackedObjects
from metabev_ros.wire.autoware import autoware_objects, autoware_tracks
from metabev_ros.wire.cdr import serialize
from metabev_ros.wire.definitions import AUTOWARE, AUTOWARE_TRACKS, GRID_MAP, SCENE, VISION
from metabev_ros.wire.grids import grid_map, occupancy_grid
from metabev_ros.wire.outputs import DRIVABLE_AREA, MARKERS, OUTPUT_TYPES, OutMessage
from metabev_ros.wire.pictures import COMPRESSED_IMAGE, IMAGE, compressed_image, image
from metabev_ros.wire.scene import scene_update
from metabev_ros.wire.track_markers import track_markers
from metabev_ros.wire.vision import vision_detections

LAYERS = 'layers/'  # begins the topics of the map's layers
OVERLAY, OVERLAY_COMPRESSED = 'overlay', 'overlay/compressed'  # as image_transport names them
AUTOWARE_OBJECTS, AUTOWARE_FOLLOWED = 'autoware_objects', 'autoware_tracks'
TRACK_MARKERS, SENSOR_PANEL = 'track_markers', 'sensor_panel'


class MadeOf(enum.Enum):
    """Part of what the node knows that an output is made of."""

    RESULT = enum.auto()
    TRACKS = enum.auto()
    STATUS = enum.auto()


_TOPICS = {  # by the field of OutputsConfig that switches them
    'vision': ('vision_detections', VISION, MadeOf.RESULT),
    'autoware': (AUTOWARE_OBJECTS, AUTOWARE, MadeOf.RESULT),
    'autoware_tracks': (AUTOWARE_FOLLOWED, AUTOWARE_TRACKS, MadeOf.TRACKS),
    'track_markers': (TRACK_MARKERS, OUTPUT_TYPES[MARKERS], MadeOf.TRACKS),
    'grid_map': ('grid_map', GRID_MAP, MadeOf.RESULT),
    'scene': ('scene', SCENE, MadeOf.RESULT),
    'overlay': (OVERLAY, IMAGE, MadeOf.RESULT),
    'overlay_compressed': (OVERLAY_COMPRESSED, COMPRESSED_IMAGE, MadeOf.RESULT),
    'sensor_panel': (SENSOR_PANEL, IMAGE, MadeOf.STATUS),
}


@dataclass(frozen=True)
class StandardOutput:
    """A topic in another package's type.

    Attributes:
        topic: relative to the node.
        msgtype: 'package/msg/Name'.
        parameter: that switches it.
        made_of: what it says.
    """

    topic: str
    msgtype: str
    parameter: str
    made_of: MadeOf = MadeOf.RESULT

    @property
    def package(self) -> str:
        """The ROS package that defines the type."""
        return self.msgtype.partition('/')[0]


def layer_topic(name: str) -> str:
    """The topic of a map layer: what ROS allows of its name."""
    return LAYERS + re.sub(r'^(?=\d)|\W', '_', name, flags=re.ASCII)


def standard_outputs(map_classes: Iterable[str] = MAP_CLASSES) -> dict[str, StandardOutput]:
    """Topic -> output; all that there are for a model with these map layers."""
    found = [
        StandardOutput(topic, kind, f'outputs.{field}', made_of)
        for field, (topic, kind, made_of) in _TOPICS.items()
    ]
    found += [
        StandardOutput(layer_topic(name), 'nav_msgs/msg/OccupancyGrid', 'outputs.layers')
        for name in map_classes
        if name != DRIVABLE_CLASS  # has an output of its own
    ]
    return {output.topic: output for output in found}


def chosen_outputs(
    config: OutputsConfig, map_classes: Iterable[str], with_auto: bool
) -> dict[str, StandardOutput]:
    """Topic -> output, of those that a configuration asks for.

    Args:
        with_auto: also those that it leaves to what is installed.
    """

    def is_chosen(output: StandardOutput) -> bool:
        value = mode_of(config, output)
        return value != NEVER and (with_auto or value == REQUIRE)

    every = standard_outputs(map_classes)
    return {topic: output for topic, output in every.items() if is_chosen(output)}


def mode_of(config: OutputsConfig, output: StandardOutput) -> str:
    """The value of the parameter of an output."""
    return getattr(config, output.parameter.partition('.')[2])


def is_latched_output(topic: str) -> bool:
    """Tell whether a topic is transient local, depth 1: grids, as nav2's StaticLayer asks for."""
    return topic == DRIVABLE_AREA or topic.startswith(LAYERS)


def encode_standard(
    result: PerceptionResult,
    model: ModelInfo,
    frame: str,
    markers: MarkersConfig,
    seen: np.ndarray,
    picture: Callable[[], np.ndarray],
    topics: Collection[str],
) -> list[OutMessage]:
    """A result as those of these topics that are made of it, in the order of `standard_outputs`.

    Args:
        seen: (Y, X) bool, cells that the sensors looked at.
        picture: draws (H, W, 3) uint8 RGB for the overlay; called only if that is wanted.
    """
    stamp = result.sample.stamp_ns
    layers = {layer_topic(name): k for k, name in enumerate(model.map_classes)}
    makers: dict[str, Callable[[], Any]] = {
        'vision_detections': lambda: vision_detections(result, model, frame),
        AUTOWARE_OBJECTS: lambda: autoware_objects(result, model, frame),
        'grid_map': lambda: grid_map(result, seen, model, frame),
        'scene': lambda: scene_update(result, model, frame, markers),
        OVERLAY: lambda: image(drawn(), stamp, frame),
        OVERLAY_COMPRESSED: lambda: compressed_image(drawn(), stamp, frame),
    }
    pictures: list[np.ndarray] = []

    def drawn() -> np.ndarray:
        if not pictures:
            pictures.append(picture())
        return pictures[0]

    def made(topic: str) -> Any:
        if topic in makers:
            return makers[topic]()
        return occupancy_grid(result.map_probabilities[layers[topic]], seen, result, model, frame)

    return _encoded(MadeOf.RESULT, topics, made, model.map_classes)


def encode_standard_tracks(
    objects: TrackedObjects,
    model: ModelInfo,
    frame: str,
    markers: MarkersConfig,
    topics: Collection[str],
) -> list[OutMessage]:
    """Tracks as those of these topics that are made of them.

    Autoware gets none where the vehicle's motion is not known: an empty array would tell it that
    there is nothing, and its type cannot say more.
    """
    makers: dict[str, Callable[[], Any]] = {
        AUTOWARE_FOLLOWED: lambda: autoware_tracks(objects, model, frame),
        TRACK_MARKERS: lambda: track_markers(objects, model, frame, markers),
    }
    if not objects.is_motion_known:
        topics = [topic for topic in topics if topic != AUTOWARE_FOLLOWED]
    return _encoded(MadeOf.TRACKS, topics, lambda topic: makers[topic]())


def encode_sensor_panel(picture: np.ndarray, stamp_ns: int, frame: str) -> OutMessage:
    """The sensors' states as a picture of (H, W, 3) uint8 RGB."""
    return OutMessage(SENSOR_PANEL, IMAGE, serialize(image(picture, stamp_ns, frame), IMAGE))


def _encoded(
    made_of: MadeOf,
    topics: Collection[str],
    made: Callable[[str], Any],
    map_classes: Iterable[str] = (),
) -> list[OutMessage]:
    return [
        OutMessage(topic, output.msgtype, serialize(made(topic), output.msgtype))
        for topic, output in standard_outputs(map_classes).items()
        if topic in topics and output.made_of is made_of
    ]
