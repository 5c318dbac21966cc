"""Outputs beside our own messages, and the part of them that may change at run time."""

from __future__ import annotations

from dataclasses import dataclass, field

from metabev_ros.config.parameter import check_ranges, parameter
from metabev_ros.config.score_rules import parse_score_rules

AUTO, REQUIRE, NEVER = CHOICES = ('auto', 'require', 'never')


def _output(text: str) -> str:
    return parameter(AUTO, text, choices=CHOICES)


@dataclass(frozen=True)
class OutputsConfig:
    """Messages of other packages' types; each is made only while somebody subscribes.

    `auto`: where the package of its type is installed; a replay leaves it out. `require`: the
    start is refused where it is not; a replay writes it. `never`: there is no such topic.
    """

    vision: str = _output('~/vision_detections, vision_msgs/Detection3DArray')
    autoware: str = _output('~/autoware_objects, autoware_perception_msgs/DetectedObjects')
    autoware_tracks: str = _output('~/autoware_tracks, autoware_perception_msgs/TrackedObjects')
    track_markers: str = _output('~/track_markers, tracks with their tails for RViz and Foxglove')
    grid_map: str = _output('~/grid_map, all map layers in one grid_map_msgs/GridMap')
    layers: str = _output('~/layers/NAME, an OccupancyGrid for each other layer of the map')
    scene: str = _output('~/scene, foxglove_msgs/SceneUpdate')
    overlay: str = _output('~/overlay, the cameras with boxes on them as sensor_msgs/Image')
    overlay_compressed: str = _output('~/overlay/compressed, the same picture as a JPEG')
    sensor_panel: str = _output("~/sensor_panel, the sensors' states as a sensor_msgs/Image")

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter outputs.')


@dataclass(frozen=True)
class DetectionsConfig:
    """Boxes that are said at all; the model's own threshold and NMS come before these."""

    scores: str = parameter(
        '',
        'least scores, such as "all=0.1, car=0.3, pedestrian@30=0.5": of all classes, of one, and '
        "of one from 30 m on; never below the model's own threshold; empty: that one",
        is_live=True,
    )
    nms_scale: float = parameter(
        0.0,
        'of two boxes of a class whose centres are nearer than this share of its mean size the '
        "better one stays; 0: the model's own NMS alone",
        within=(0.0, 5.0),
        is_live=True,
    )

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter detections.')
        parse_score_rules(self.scores)


@dataclass(frozen=True)
class MarkersConfig:
    """Looks of boxes and tracks in RViz and Foxglove: ~/markers, ~/track_markers and ~/scene."""

    min_score: float = parameter(
        0.2, 'boxes with less are not drawn', within=(0.0, 1.0), is_live=True
    )
    lifetime: float = parameter(
        0.5, 'boxes vanish when nothing new comes for this long', 's', (0.05, 60.0), is_live=True
    )
    text: bool = parameter(False, 'class and score are written above the boxes', is_live=True)

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter markers.')


@dataclass(frozen=True)
class OutputSettings:
    """The part of the outputs that may change from one to the next."""

    detections: DetectionsConfig = field(default_factory=DetectionsConfig)
    markers: MarkersConfig = field(default_factory=MarkersConfig)
