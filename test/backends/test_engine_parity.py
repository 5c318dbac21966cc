"""The engine gate: two backends of ONNX Runtime, one with something planted."""

import numpy as np
import pytest

from metabev_ros.backends.engine_parity import TOLERANCE, check_engines, compare_tensors
from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.errors import ContractError
from metabev_ros.graph_specs import FUSION_OF, GRAPHS
from metabev_ros.graph_variants import GraphPrecision
from metabev_ros.lab.export.parity import parity_inputs
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

MODEL = resource_path('models/metabev_nano')


@pytest.fixture(scope='module')
def reference():
    return OnnxRuntimeBackend(MODEL, 1)


@pytest.fixture(scope='module')
def inputs(reference):
    """One pair each: fused, camera, LiDAR; one camera, because it is fast."""
    camera, lidar = next(parity_inputs(reference.config))
    return [(camera, lidar), (camera, None), (None, lidar)]


class Planted:
    """The backend with one tensor of one graph spoiled."""

    def __init__(self, backend, graph: str, tensor: str, share: float) -> None:
        self.backend, self.graph, self.tensor, self.share = backend, graph, tensor, share

    def _spoil(self, graph: str, outputs: dict) -> dict:
        if graph == self.graph:
            outputs[self.tensor].flat[7] += self.share * np.ptp(outputs[self.tensor])
        return outputs

    def encode_camera(self, inputs):
        return self._spoil('camera_encoder', {'camera_bev': self.backend.encode_camera(inputs)})[
            'camera_bev'
        ]

    def encode_lidar(self, inputs):
        return self._spoil('lidar_encoder', {'lidar_bev': self.backend.encode_lidar(inputs)})[
            'lidar_bev'
        ]

    def fuse(self, camera_bev, lidar_bev):
        modality = Modality.from_presence(camera_bev is not None, lidar_bev is not None)
        return self._spoil(FUSION_OF[modality], self.backend.fuse(camera_bev, lidar_bev))

    def run(self, camera, lidar):
        return self.backend.run(camera, lidar)


def test_the_same_graphs_pass_with_no_error_and_every_graph_is_compared(reference, inputs):
    worst = check_engines(reference, OnnxRuntimeBackend(MODEL, 1), inputs, 1e-6)
    assert set(worst) == set(GRAPHS)
    assert set(worst['fusion_fused']) == {'heatmap', 'boxes', 'map_logits'}


@pytest.mark.parametrize(
    ('graph', 'tensor'),
    [
        ('camera_encoder', 'camera_bev'),
        ('lidar_encoder', 'lidar_bev'),
        ('fusion_fused', 'heatmap'),
        ('fusion_camera', 'map_logits'),
        ('fusion_lidar', 'boxes'),
    ],
)
def test_a_planted_error_is_found_and_the_message_names_graph_and_tensor(
    reference, inputs, graph, tensor
):
    planted = Planted(reference, graph, tensor, 3e-2)
    with pytest.raises(
        ContractError,
        match=f'parity of {graph}: {tensor}: .*at most 0.02 of its range, got 0.03.*not installed',
    ):
        check_engines(reference, planted, inputs, TOLERANCE[GraphPrecision.FP16])


def test_a_graph_that_no_input_reached_is_not_waved_through(reference, inputs):
    with pytest.raises(ContractError, match='parity of fusion_fused: expected an input'):
        check_engines(reference, reference, inputs[1:], 1e-6)


@pytest.mark.parametrize('spoiled', [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_place(spoiled):
    expected = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    got = expected.copy()
    got[2, 1] = spoiled
    with pytest.raises(ContractError, match=r'parity of g: t: .*worst at \(2, 1\)'):
        compare_tensors('g', {'t': expected}, {'t': got}, 0.5)


def test_a_missing_or_reshaped_tensor_is_refused():
    expected = {'t': np.zeros((2, 3), np.float32)}
    with pytest.raises(ContractError, match=r'shape \(2, 3\), got none'):
        compare_tensors('g', expected, {}, 1.0)
    with pytest.raises(ContractError, match=r'got shape \(3, 2\)'):
        compare_tensors('g', expected, {'t': np.zeros((3, 2), np.float32)}, 1.0)


def test_errors_are_shares_of_the_range_and_a_constant_counts_absolutely():
    expected = {'wide': np.array([0.0, 200.0]), 'constant': np.full(3, 5.0)}
    got = {'wide': np.array([0.0, 201.0]), 'constant': np.full(3, 5.001)}
    assert compare_tensors('g', expected, got, 0.1) == pytest.approx(
        {'wide': 0.005, 'constant': 0.001}
    )


def test_tolerances_grow_with_falling_precision():
    assert (
        TOLERANCE[GraphPrecision.FP32]
        < TOLERANCE[GraphPrecision.FP16]
        < TOLERANCE[GraphPrecision.INT8]
        < 1
    )
