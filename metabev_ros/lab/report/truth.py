"""The truth that a bag brings along: labels of a team, or those of a simulation."""

from __future__ import annotations

from pathlib import Path

from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sources.bag_records import ego_points, truth_of
from metabev_ros.lab.datasets.sources.classes import BACKGROUND, IGNORE, ClassMap
from metabev_ros.lab.datasets.sources.label_collection import BagLabels, LabelTopics, collect
from metabev_ros.lab.datasets.sources.label_track import LabelTrack
from metabev_ros.structures import DETECTION_CLASSES, Sample

TOLERANCE_NS = 60_000_000  # a sample has labels this near, moved to it


class BagTruth:
    """Labels of a bag at the stamps of its samples; classes that are not ours are ignored."""

    def __init__(self, labels: BagLabels) -> None:
        own = {name: name for name in (*DETECTION_CLASSES, IGNORE, BACKGROUND)}
        foreign = {name for one in labels.labels for name in one.names} - set(own)
        self._classes = ClassMap({**own, **dict.fromkeys(foreign, IGNORE)})
        self._maps = labels.maps
        self._track = LabelTrack(labels.labels, labels.frames, TOLERANCE_NS)
        self.topic, self.foreign = labels.topic, tuple(sorted(foreign))

    def at(self, sample: Sample) -> GroundTruth | None:
        """The truth of a sample; None where there are no labels near it."""
        placed = self._track.at(sample.stamp_ns, sample.stamp_ns)
        if isinstance(placed, str):
            return None
        layers = self._maps.at(sample.stamp_ns)
        return truth_of(placed, self._classes, ego_points(sample), layers, None)


def read_truth(path: Path, rig: RigConfig) -> BagTruth | None:
    """The truth of a bag; None where it has none, or more than one topic could be meant."""
    try:
        labels = collect(BagReader(path), rig, LabelTopics())
    except ConfigError:
        return None
    return BagTruth(labels) if labels.labels else None
