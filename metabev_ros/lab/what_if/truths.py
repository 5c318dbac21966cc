"""The labels of a bag at its samples, also where the LiDAR that counts their points is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.bags import BagReader
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sources.bag_records import ego_points, header_ns, truth_of
from metabev_ros.lab.datasets.sources.label_collection import BagLabels, collect
from metabev_ros.lab.datasets.sources.label_track import LabelTrack
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.datasets.synthetic.bag import TRUTH_DETECTIONS
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Sample


@dataclass(frozen=True)
class Points:
    """Points of the LiDARs when all sensors were well: (P, 3) float64 in the ego frame then."""

    stamp_ns: int
    xyz: np.ndarray

    @classmethod
    def of(cls, sample: Sample) -> Points:
        """Of a sample."""
        return cls(sample.stamp_ns, ego_points(sample))


class BagTruths:
    """Truth at samples, read as `metabev evaluate --bag` reads it.

    Attributes:
        topic: of the boxes.
        notes: sentences about labels that were left out.
    """

    def __init__(self, source: LabelledBags, found: BagLabels) -> None:
        self._source, self._found = source, found
        tolerance_ns = round(source.tolerance_s * 1e9)
        self._track = LabelTrack(found.labels, found.frames, tolerance_ns)
        self.topic, self.notes = found.topic, tuple(found.notes())

    def at(
        self, sample: Sample, offsets: Mapping[str, int], points: Points | None = None
    ) -> GroundTruth | None:
        """The truth at the stamp of a sample; None where there are no labels near.

        Args:
            offsets: sensor -> nanoseconds that its front end adds to its stamps.
            points: that count for labels without a number of points; None: the sample's own. A
                vehicle that has lost its LiDAR shall be asked for the same objects.
        """
        stamp_ns = header_ns(sample, offsets)
        placed = self._track.at(sample.stamp_ns, stamp_ns)
        if isinstance(placed, str):
            return None
        xyz = ego_points(sample) if points is None else self._moved(points, sample.stamp_ns)
        layers = self._found.maps.at(stamp_ns)
        reach = self._source.labelled_range_m
        return truth_of(placed, self._source.class_map, xyz, layers, reach)

    def _moved(self, points: Points, stamp_ns: int) -> np.ndarray:
        motion = self._found.frames.motion(stamp_ns, points.stamp_ns)
        return points.xyz if motion is None else transform_points(motion, points.xyz)


def find_truths(reader: BagReader, source: LabelledBags, pipeline: Pipeline) -> BagTruths | None:
    """The labels of a bag that has a simulation's truth, or on the topic that was named.

    Boxes on other topics may be what somebody else perceived: they count only when named.

    Raises:
        ConfigError: for a topic that has none, classes that nobody maps, or a model of other
            classes than the metrics know.
    """
    topics = {topic.lstrip('/') for topic in reader.topics}
    if not source.labels.boxes and TRUTH_DETECTIONS.lstrip('/') not in topics:
        return None
    model = pipeline.model
    if (model.detection_classes, model.map_classes) != (DETECTION_CLASSES, MAP_CLASSES):
        raise ConfigError(
            f'labels of {reader.path}',
            f'a model of the classes {DETECTION_CLASSES} and {MAP_CLASSES}',
            f'{model.detection_classes} and {model.map_classes}',
            'look without labels: --no-labels',
        )
    found = collect(reader, source.rig, source.labels)
    source.require_classes(Path(reader.path), found)
    return BagTruths(source, found)
