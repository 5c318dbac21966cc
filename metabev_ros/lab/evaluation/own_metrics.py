"""Metrics that belong to a data set, named as theirs, beside those of nuScenes.

A record holds what a network learns from, not all that a data set's own evaluation looks at. The
rest comes from the files that the records were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.argoverse import Argoverse2
from metabev_ros.lab.datasets.sources.argoverse_map import RegionOfInterest
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.datasets.sources.kitti import KittiObject, KittiTracking
from metabev_ros.lab.datasets.sources.kitti_truth import KittiView
from metabev_ros.lab.evaluation import av2_metrics, kitti_metrics
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality

KITTI, ARGOVERSE = ('KITTI object ', 'KITTI tracking '), 'Argoverse 2 sensor '


class RecordMetric(Protocol):
    """Collects what was found in records of one data set."""

    def add(self, record: SampleRecord, detections: Detections) -> None:
        """Add one sample."""
        ...

    def figures(self) -> dict[str, float]:
        """Figures by their names; NaN where one is not defined."""
        ...


@dataclass
class KittiRecords:
    """KITTI AP at 40 steps of recall.

    Attributes:
        view: token -> what KITTI's evaluation needs of a frame.
    """

    view: Callable[[str], KittiView]
    _evaluator: kitti_metrics.KittiEvaluator = field(default_factory=kitti_metrics.KittiEvaluator)

    def add(self, record: SampleRecord, detections: Detections) -> None:
        """Add one frame.

        Raises:
            ConfigError: for files that are missing or damaged.
        """
        self._evaluator.add(detections, self.view(record.token))

    def figures(self) -> dict[str, float]:
        """AP by class, view and difficulty; NaN for a class without truth."""
        result = self._evaluator.result()
        return {
            f'{name} {view} {difficulty}': float(result.ap40[k, d, v])
            for k, name in enumerate(kitti_metrics.EVALUATED)
            for v, view in enumerate(kitti_metrics.VIEWS)
            for d, difficulty in enumerate(kitti_metrics.DIFFICULTIES)
        }


class Av2Records:
    """AV2 CDS and its parts.

    Args:
        classes: that the data set has.
        regions: drive -> token -> what is evaluated; None: all that is labelled.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        regions: Callable[[str], Mapping[str, RegionOfInterest]] | None,
    ) -> None:
        self._evaluator, self._regions = av2_metrics.Av2Evaluator(classes), regions
        self._scene: tuple[str, Mapping[str, RegionOfInterest]] = '', {}

    def add(self, record: SampleRecord, detections: Detections) -> None:
        """Add one sample.

        Raises:
            ConfigError: for files that are missing or damaged, or of other drives.
        """
        region = None
        if self._regions is not None:
            if self._scene[0] != record.scene:
                self._scene = record.scene, self._regions(record.scene)
            region = self._scene[1].get(record.token)
            if region is None:
                raise ConfigError('--original', f'a frame {record.token}', 'none', 'other data')
        self._evaluator.add(detections, record.truth, region)

    def figures(self) -> dict[str, float]:
        """Means over the classes, then CDS and AP of each that has truth."""
        result = self._evaluator.result()
        figures = {'CDS': result.mean_cds, 'mean AP': result.mean_ap}
        figures |= {f'm{name}': value for name, value in result.mean_errors.items()}
        for k, name in enumerate(result.classes):
            if result.truth_count[k]:
                figures[f'{name} CDS'] = float(result.cds[k])
                figures[f'{name} AP'] = float(result.ap[k].mean())
        return figures


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a data set.

    Attributes:
        title: for reports, with the name of the data set in it.
        make: gives an empty collector.
    """

    title: str
    make: Callable[[], RecordMetric]


def metric_of(source: SourceInfo, original: Path | None) -> OwnMetric | None:
    """The metric of the data set that records come from; None: it has none of its own.

    Args:
        original: folder of the data set itself; None: not given.
    """
    if source.name.startswith(KITTI) and original is not None:
        kind = KittiObject if source.name.startswith(KITTI[0]) else KittiTracking
        view = kind(original).view
        return OwnMetric('KITTI AP, 40 steps of recall', lambda: KittiRecords(view))
    if source.name.startswith(ARGOVERSE):
        reached = set(source.classes.values())
        classes = tuple(name for name in DETECTION_CLASSES if name in reached)
        split = source.name.removeprefix(ARGOVERSE)
        regions = None if original is None else Argoverse2(original, split).regions
        where = 'all that is labelled' if regions is None else 'in the region of interest'
        return OwnMetric(f'AV2 CDS, {where}', lambda: Av2Records(classes, regions))
    return None


class OwnMetrics:
    """The metrics of the data sets that records come from, for every modality.

    Args:
        modalities: that are scored.
        metric: gives the metric of a source.
    """

    def __init__(
        self,
        modalities: tuple[Modality, ...],
        metric: Callable[[SourceInfo], OwnMetric | None],
    ) -> None:
        self._modalities, self._metric = modalities, metric
        self._collectors: dict[str, dict[Modality, RecordMetric]] = {}

    def add(
        self, source: SourceInfo, record: SampleRecord, found: Mapping[Modality, Detections]
    ) -> None:
        """Add what every modality found in a record of a source."""
        metric = self._metric(source)
        if metric is None:
            return
        if metric.title not in self._collectors:
            self._collectors[metric.title] = {m: metric.make() for m in self._modalities}
        for modality, detections in found.items():
            self._collectors[metric.title][modality].add(record, detections)

    def results(self) -> dict[str, dict[Modality, dict[str, float]]]:
        """Title -> modality -> figures, of the metrics that some record belongs to."""
        return {
            title: {modality: collector.figures() for modality, collector in collectors.items()}
            for title, collectors in self._collectors.items()
        }


def missing_metric_notes(source: SourceInfo, original: Path | None) -> tuple[str, ...]:
    """Words on a metric of the data set's own that is not shown."""
    if source.name.startswith(KITTI) and original is None:
        return (
            'KITTI AP asks for heights in the picture, which no record holds: name the folder of '
            'KITTI with --original',
        )
    return ()
