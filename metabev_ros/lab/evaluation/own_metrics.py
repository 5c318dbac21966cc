"""Metrics that belong to a data set, named as theirs, beside those of nuScenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.structures import Detections, Modality


class RecordMetric(Protocol):
    """Collects what was found in records of one data set."""

    def add(self, record: SampleRecord, detections: Detections) -> None:
        """Add one sample."""
        ...

    def figures(self) -> dict[str, float]:
        """Figures by their names; NaN where one is not defined."""
        ...


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a data set.

    Attributes:
        source: how the names of its sources begin.
        title: for reports, with the name of the data set in it.
        make: gives an empty collector.
    """

    source: str
    title: str
    make: Callable[[], RecordMetric]


METRICS: tuple[OwnMetric, ...] = ()


class OwnMetrics:
    """The metrics of the data sets that records come from, for every modality.

    Args:
        modalities: that are scored.
        known: metrics to choose from.
    """

    def __init__(
        self, modalities: tuple[Modality, ...], known: tuple[OwnMetric, ...] = METRICS
    ) -> None:
        self._modalities, self._known = modalities, known
        self._collectors: dict[str, dict[Modality, RecordMetric]] = {}

    def add(
        self, source: SourceInfo, record: SampleRecord, found: Mapping[Modality, Detections]
    ) -> None:
        """Add what every modality found in a record of a source."""
        for metric in self._known:
            if not source.name.startswith(metric.source):
                continue
            collectors = self._collectors.setdefault(
                metric.title, {modality: metric.make() for modality in self._modalities}
            )
            for modality, detections in found.items():
                collectors[modality].add(record, detections)

    def results(self) -> dict[str, dict[Modality, dict[str, float]]]:
        """Title -> modality -> figures, of the metrics that some record belongs to."""
        return {
            title: {modality: collector.figures() for modality, collector in collectors.items()}
            for title, collectors in self._collectors.items()
        }
