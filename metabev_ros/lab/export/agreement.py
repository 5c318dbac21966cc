"""The gate of graphs with fewer bits: do they say what the fp32 graphs say, in every modality?

An error as a share of a tensor's range says little here; what counts are boxes and maps. Truth is
not needed, so that a bag of the vehicle serves. Scores against truth: docs/engines.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.backends.protocol import Arrays, Backend
from metabev_ros.errors import ContractError
from metabev_ros.graph_variants import GraphPrecision
from metabev_ros.postprocess import Postprocessor
from metabev_ros.structures import Detections, Modality

SURE_SCORE, SAME_PLACE_M = 0.3, 0.5
# Least share of sure boxes that both give, and least IoU of their maps.
LEAST = {GraphPrecision.FP16: 0.97, GraphPrecision.INT8: 0.9}
MODALITIES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)


@dataclass
class Agreement:
    """Counts of one modality.

    Attributes:
        boxes: sure boxes of either; matched: those the other has too (any score).
        both, either: map cells that both, or one of the two, say are of a class.
        worst: output name -> largest |difference| / range of the fp32 output.
    """

    boxes: int = 0
    matched: int = 0
    both: int = 0
    either: int = 0
    worst: dict[str, float] = field(default_factory=dict)

    @property
    def box_share(self) -> float:
        """Share of boxes with a partner, 0..1."""
        return self.matched / self.boxes if self.boxes else 1.0

    @property
    def map_iou(self) -> float:
        """Agreement of the map cells, 0..1."""
        return self.both / self.either if self.either else 1.0

    def add(
        self, expected: tuple[Detections, np.ndarray], got: tuple[Detections, np.ndarray]
    ) -> None:
        """One sample as `Postprocessor` gives it."""
        for mine, other in ((expected[0], got[0]), (got[0], expected[0])):
            sure = mine.scores >= SURE_SCORE
            self.boxes += int(sure.sum())
            self.matched += int(_has_partner(mine, other)[sure].sum())
        first, second = expected[1] >= 0.5, got[1] >= 0.5
        self.both += int((first & second).sum())
        self.either += int((first | second).sum())


def _has_partner(mine: Detections, other: Detections) -> np.ndarray:
    """(M,) whether the other has a box of the same class at the same place."""
    distance = np.linalg.norm(mine.boxes[:, None, :2] - other.boxes[None, :, :2], axis=-1)
    return ((distance <= SAME_PLACE_M) & (mine.labels[:, None] == other.labels[None])).any(1)


def measure_agreement(
    reference: Backend, candidate: Backend, inputs: Iterable[tuple[Arrays, Arrays]]
) -> dict[Modality, Agreement]:
    """Run two backends of one model on samples with all sensors, once per modality.

    Args:
        reference: backend of the fp32 graphs.
        candidate: backend of the graphs to judge.
        inputs: (camera, lidar) as `Preprocessor` gives them.
    """
    postprocess = Postprocessor(reference.config)
    found = {modality: Agreement() for modality in MODALITIES}
    for camera, lidar in inputs:
        maps = [
            (backend.encode_camera(camera), backend.encode_lidar(lidar))
            for backend in (reference, candidate)
        ]
        for modality, agreement in found.items():
            outputs = [
                backend.fuse(
                    camera_bev if modality.has_camera else None,
                    lidar_bev if modality.has_lidar else None,
                )
                for backend, (camera_bev, lidar_bev) in zip(
                    (reference, candidate), maps, strict=True
                )
            ]
            for name, expected in outputs[0].items():
                error = np.abs(outputs[1][name] - expected).max() / (np.ptp(expected) or 1.0)
                agreement.worst[name] = max(agreement.worst.get(name, 0.0), float(error))
            agreement.add(*(postprocess(output) for output in outputs))
    return found


def require_agreement(found: dict[Modality, Agreement], precision: GraphPrecision) -> None:
    """Stop unless boxes and maps agree in every modality.

    Raises:
        ContractError: naming the modality and the figure.
    """
    least = LEAST[precision]
    for modality, agreement in found.items():
        for what, value in (('boxes', agreement.box_share), ('map', agreement.map_iou)):
            if not value >= least:
                raise ContractError(
                    f'{precision.value} {modality.name}: {what}',
                    f'{least:.0%} as fp32 says',
                    f'{value:.1%}',
                    'the graphs are not installed: calibrate on more samples or on a bag of the '
                    'vehicle, or stay with fp32',
                )
