"""Engines against ONNX Runtime on the same inputs: an engine that fails is not installed.

TensorRT has compiled graphs with silently wrong results (GridSample read as nearest neighbour, or
wrong inside deformable attention), so no engine is trusted because it was built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from metabev_ros.backends.protocol import Arrays, Backend, NetworkInputs
from metabev_ros.backends.same_detections import align_queries, is_tie_at_the_cut
from metabev_ros.errors import ContractError
from metabev_ros.graph_specs import FUSION_OF, GRAPHS
from metabev_ros.graph_variants import GraphPrecision
from metabev_ros.structures import Modality

# Largest error as a share of a tensor's range. fp32: other orders of summation, without TF32.
# fp16: 11 bits over some hundred layers. int8: values that fall to the other side of a step.
TOLERANCE = {GraphPrecision.FP32: 1e-3, GraphPrecision.FP16: 2e-2, GraphPrecision.INT8: 1e-1}


def compare_tensors(
    graph: str, expected: Arrays, got: Arrays, tolerance: float
) -> dict[str, float]:
    """Largest |difference| of every tensor as a share of the range of what was expected.

    Args:
        graph: where the tensors come from, for the error.
        expected, got: tensor name -> array.

    Raises:
        ContractError: naming the tensor that is off, has another shape, or is not finite.
    """
    errors: dict[str, float] = {}
    for name, reference in expected.items():
        where, candidate = f'parity of {graph}: {name}', got.get(name)
        if candidate is None or candidate.shape != reference.shape:
            raise ContractError(
                where,
                f'shape {reference.shape}',
                'none' if candidate is None else f'shape {candidate.shape}',
            )
        difference = np.abs(candidate.astype(np.float64) - reference)
        errors[name] = float(difference.max(initial=0)) / (float(np.ptp(reference)) or 1.0)
        if not errors[name] <= tolerance:  # also refuses NaN
            at = np.unravel_index(
                int(np.nan_to_num(difference, nan=np.inf).argmax()), difference.shape
            )
            raise ContractError(
                where,
                f'an error of at most {tolerance:g} of its range',
                f'{errors[name]:.3g}, worst at {tuple(map(int, at))}: {candidate[at]:.6g} for '
                f'{reference[at]:.6g}',
                'the engine is not installed; see docs/engines.md',
            )
    return errors


def check_engines(
    reference: Backend, candidate: Backend, inputs: Iterable[NetworkInputs], tolerance: float
) -> dict[str, dict[str, float]]:
    """Every graph by itself on what the reference feeds it, then the whole path.

    Args:
        reference: `OnnxRuntimeBackend` on the graphs that the engines were built from.
        candidate: `TensorRtBackend`, or any other backend.
        inputs: (camera, lidar) as `parity.parity_inputs` gives them.

    Returns:
        graph -> tensor -> largest error. Queries may change places; inputs where two of equal
        score stand at the cut, and each runtime took the other one, are left out.

    Raises:
        ContractError: naming the graph and the tensor, or the graph that no input could judge.
    """
    worst: dict[str, dict[str, float]] = {}
    for camera, lidar in inputs:
        for graph, expected, got in _runs(reference, candidate, camera, lidar):
            errors = _errors_but_for_ties(graph, expected, got, tolerance)
            if errors is not None:
                kept = worst.setdefault(graph, {})
                for name, error in errors.items():
                    kept[name] = max(kept.get(name, 0.0), error)
    for graph in GRAPHS:
        if graph not in worst:
            raise ContractError(
                f'parity of {graph}',
                'an input that can judge it',
                'none',
                'the engine is not installed',
            )
    return worst


def _runs(
    reference: Backend, candidate: Backend, camera: Arrays | None, lidar: Arrays | None
) -> Iterator[tuple[str, Arrays, Arrays]]:
    """Yield (graph, tensors of the reference, tensors of the candidate) for one input."""
    camera_bev = lidar_bev = None
    if camera is not None:
        camera_bev = reference.encode_camera(camera)
        got = candidate.encode_camera(camera)
        yield 'camera_encoder', {'camera_bev': camera_bev}, {'camera_bev': got}
    if lidar is not None:
        lidar_bev = reference.encode_lidar(lidar)
        got = candidate.encode_lidar(lidar)
        yield 'lidar_encoder', {'lidar_bev': lidar_bev}, {'lidar_bev': got}
    fusion = FUSION_OF[Modality.from_presence(camera is not None, lidar is not None)]
    expected = reference.fuse(camera_bev, lidar_bev)
    yield fusion, expected, candidate.fuse(camera_bev, lidar_bev)
    yield fusion, expected, candidate.run(camera, lidar)


def _errors_but_for_ties(
    graph: str, expected: Arrays, got: Arrays, tolerance: float
) -> dict[str, float] | None:
    """Compare with queries in the same places; None where a tie at the cut lets nothing be judged.

    Raises:
        ContractError: as `compare_tensors` does.
    """
    got = align_queries(expected, got)
    try:
        return compare_tensors(graph, expected, got, tolerance)
    except ContractError:
        if is_tie_at_the_cut(expected, got):
            return None
        raise
