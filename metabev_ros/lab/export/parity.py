"""The parity gate: the exported graphs give what the network gives, or they are not installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.backends.protocol import Arrays, Backend, NetworkInputs
from metabev_ros.backends.same_detections import (
    LEAST_MATCHED,
    QUERY_TENSORS,
    align_queries,
    count_matched,
    is_tie_at_the_cut,
)
from metabev_ros.config import ModelConfig
from metabev_ros.errors import ContractError
from metabev_ros.graph_specs import FUSION_OF
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import Modality

PARITY_SEED = 800_000
TOLERANCE = 1e-4  # largest error as a share of the output's range


@dataclass
class ParityReport:
    """Findings of the parity gate.

    Attributes:
        errors: graph -> tensor -> largest |difference| / range of the reference.
        cases: pairs of inputs.
        ties: pairs whose query tensors were not compared: queries as good as each other stand
            at the cut of the TransFusion head, and each runtime took another one.
        detections, matched: boxes of the reference, and those the candidate gave too.
    """

    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    cases: int = 0
    ties: int = 0
    detections: int = 0
    matched: int = 0

    @property
    def matched_share(self) -> float:
        """1 if there were no detections."""
        return self.matched / self.detections if self.detections else 1.0

    def note(self, graph: str, errors: dict[str, float]) -> None:
        """Keep the largest."""
        kept = self.errors.setdefault(graph, {})
        for name, error in errors.items():
            kept[name] = max(kept.get(name, 0.0), error)

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f'parity {graph}: {name}: {error:.1e} of its range'
            for graph, errors in self.errors.items()
            for name, error in errors.items()
        ]
        ties = f', {self.ties} with a tie among the queries' if self.ties else ''
        return [
            *lines,
            f'parity: {self.matched} of {self.detections} boxes the same, '
            f'{self.cases} inputs{ties}',
        ]


def check_parity(
    reference: Backend, candidate: Backend, inputs: Iterable[NetworkInputs]
) -> ParityReport:
    """Compare two backends on the same inputs: encoders, branches, boxes.

    Every branch is fed with the maps of its own backend, so that errors add up as in use.

    Args:
        reference, candidate: backends; the reference is `TorchBackend`.
        inputs: (camera, lidar) as `parity_inputs` gives them; the same object is encoded once.

    Raises:
        ContractError: naming the first graph and tensor that is off, or the boxes.
    """
    report, pair = ParityReport(), _Pair(reference, candidate)
    postprocess = Postprocessor(reference.config)
    for camera, lidar in inputs:
        report.cases += 1
        expected, got = pair.encode(report, camera, lidar)
        graph = FUSION_OF[Modality.from_presence(camera is not None, lidar is not None)]
        expected, got = reference.fuse(*expected), candidate.fuse(*got)
        got = align_queries(expected, got)
        errors = relative_errors(graph, expected, got)
        is_tie = max(errors.values()) > TOLERANCE and is_tie_at_the_cut(expected, got)
        if is_tie:
            report.ties += 1
            errors = {name: error for name, error in errors.items() if name not in QUERY_TENSORS}
        _require_small(graph, errors)
        report.note(graph, errors)
        if is_tie:
            continue
        matched, count = count_matched(
            postprocess(expected)[0], postprocess(got)[0], reference.config.head
        )
        report.matched, report.detections = report.matched + matched, report.detections + count
    _require_judged(report)
    return report


def _require_judged(report: ParityReport) -> None:
    """Stop unless some input was without a tie, and nearly all boxes were the same.

    Raises:
        ContractError
    """
    if report.ties == report.cases:
        raise ContractError(
            'parity',
            'an input without a tie',
            f'{report.ties} ties',
            'run again with another seed',
        )
    if report.matched_share < LEAST_MATCHED:
        raise ContractError(
            'parity of the boxes',
            f'{LEAST_MATCHED:.0%} the same',
            f'{report.matched} of {report.detections}',
            'the graph is not installed: report this model',
        )


class _Pair:
    """Encodes with two backends; what was encoded before is remembered."""

    def __init__(self, reference: Backend, candidate: Backend) -> None:
        self._backends = (reference, candidate)
        self._known: dict[
            int, tuple[Arrays, list[np.ndarray]]
        ] = {}  # id -> (the object, so that it stays; maps)

    def encode(
        self, report: ParityReport, camera: Arrays | None, lidar: Arrays | None
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
        """(camera map, LiDAR map) of both backends."""
        cameras = self._maps(report, camera, 'camera_encoder', 'camera_bev')
        lidars = self._maps(report, lidar, 'lidar_encoder', 'lidar_bev')
        return zip(cameras, lidars, strict=True)

    def _maps(
        self, report: ParityReport, inputs: Arrays | None, graph: str, name: str
    ) -> Sequence[np.ndarray | None]:
        if inputs is None:
            return None, None
        if id(inputs) not in self._known:
            maps = [
                getattr(backend, f'encode_{graph.removesuffix("_encoder")}')(inputs)
                for backend in self._backends
            ]
            errors = relative_errors(graph, {name: maps[0]}, {name: maps[1]})
            _require_small(graph, errors)
            report.note(graph, errors)
            self._known[id(inputs)] = inputs, maps
        return self._known[id(inputs)][1]


def relative_errors(
    graph: str, expected: dict[str, np.ndarray], got: dict[str, np.ndarray]
) -> dict[str, float]:
    """Tensor name -> largest |difference| / range of what was expected; infinite if not finite.

    Raises:
        ContractError: if a tensor is missing or has another shape.
    """
    errors = {}
    for name, array in expected.items():
        shape = got[name].shape if name in got else None
        if shape != array.shape:
            raise ContractError(f'parity of {graph}: {name}', str(array.shape), str(shape))
        error = float(np.abs(got[name] - array).max(initial=0)) / (float(np.ptp(array)) or 1.0)
        errors[name] = error if np.isfinite(error) else float('inf')
    return errors


def _require_small(graph: str, errors: dict[str, float]) -> None:
    for name, error in errors.items():
        if not error <= TOLERANCE:
            raise ContractError(
                f'parity of {graph}: {name}',
                f'an error below {TOLERANCE} of its range',
                f'{error:.2e}',
                'the graph is not installed: report this model',
            )


def parity_inputs(config: ModelConfig, seed: int = PARITY_SEED) -> Iterator[NetworkInputs]:
    """Every branch with 1, 4 and 6 cameras: a rendered frame, and noise in pixels and points.

    Args:
        seed: of the noise, and of the world, which is one of a thousand that are used for nothing
            else.
    """
    drive = SyntheticDrive(PARITY_SEED + seed % 1000, DriveConfig(frames=1))
    preprocessor = Preprocessor(config)
    sample = sample_from_frame(drive[0], preprocessor.prepare_image)
    images = [image for image in sample.cameras.values() if image is not None]
    assert sample.sweep is not None  # a drive lacks nothing
    rng = np.random.default_rng(seed)
    lidar = preprocessor.lidar_inputs(sample.sweep)
    features = next(iter(lidar))  # pillars or voxel_features come first
    noisy_lidar = {**lidar, features: rng.normal(size=lidar[features].shape).astype(np.float32)}
    for count in (1, 4, 6):
        camera = preprocessor.camera_inputs(images[:count])
        yield camera, lidar
        yield camera, None
        noise = rng.integers(0, 256, camera['images'].shape, dtype=np.uint8)
        yield {**camera, 'images': noise}, noisy_lidar
    yield None, lidar
    yield None, noisy_lidar
