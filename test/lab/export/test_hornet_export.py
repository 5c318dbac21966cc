"""HorNet and HorFPN with global filters as ONNX: the export, parity, and the whole main path."""

import numpy as np
import onnx
import pytest
from support import hornet_model

from metabev_ros.graph_specs import GRAPHS
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

# What ONNX offers for Fourier transforms; TensorRT has no layer for either.
FOURIER = {'DFT', 'STFT'}


@pytest.fixture(scope='module')
def model():
    return hornet_model.exported()


def test_the_global_filters_are_exported_as_products_of_real_matrices(model):
    kinds = {}
    for name in GRAPHS:
        graph = onnx.load(model / f'{name}.onnx').graph
        kinds[name] = [node.op_type for node in graph.node]
        assert not FOURIER & set(kinds[name])
        types = {tensor.data_type for tensor in graph.initializer}
        assert not types & {
            onnx.TensorProto.COMPLEX64,
            onnx.TensorProto.COMPLEX128,
            onnx.TensorProto.DOUBLE,
        }
    # Four products a filter: five blocks and two levels of the camera neck, two of the BEV neck.
    assert kinds['camera_encoder'].count('MatMul') >= 4 * 7
    assert kinds['fusion_fused'].count('MatMul') >= 4 * 2


@pytest.fixture(scope='module')
def pipelines(model):
    return Pipeline.load(model, 'onnxruntime', threads=1), Pipeline.load(model, 'torch', threads=1)


@pytest.mark.parametrize('modality', [Modality.FUSED, Modality.CAMERA, Modality.LIDAR])
def test_the_pipeline_runs_the_exported_hornet_as_the_network_runs(pipelines, modality):
    """What the parity gate compared on export, through the main path."""
    exported, network = pipelines
    frame = SyntheticDrive(900_950, DriveConfig(frames=1))[0]
    sample = restrict_to(sample_from_frame(frame, exported.prepare_image), modality)
    inputs = exported.preprocess(sample)
    got, expected = exported.backend.run(*inputs), network.backend.run(*inputs)
    assert set(got) == {'heatmap', 'boxes', 'map_logits'}
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=0, atol=1e-4 * np.ptp(array))
    result = exported(sample)
    assert exported.model.name == 'small_hornet'
    assert np.isfinite(result.detections.boxes).all()
    assert result.map_probabilities.shape == (6, 24, 24)
