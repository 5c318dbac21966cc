import importlib.util

import numpy as np
import pytest
import torch
from support.small_networks import small_lite, sweep

from metabev_ros.config import LidarBranchConfig, LidarEncoder, ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import MissingDependencyError
from metabev_ros.geometry import BevGrid
from metabev_ros.graph_specs import graph_inputs
from metabev_ros.network.lidar import PillarEncoder, build_lidar_encoder
from metabev_ros.network.sparse_encoder import SparseEncoder
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import Sweep

GRID = BevGrid(-1.6, 1.6, -3.2, 3.2, 0.8)
PILLAR = ModelConfig(bev_grid=GRID)
SPARSE = ModelConfig(
    bev_grid=GRID, lidar=LidarBranchConfig(encoder=LidarEncoder.SPARSE, bev_channels=256)
)


def tensors(config, points, **options):
    arrays = Preprocessor(config, **options).lidar_inputs(
        Sweep(0, np.asarray(points, np.float32).reshape(-1, 5), np.eye(4))
    )
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize(('config', 'kind'), [(PILLAR, PillarEncoder), (SPARSE, SparseEncoder)])
def test_the_configuration_names_encoder_inputs_and_contract(config, kind):
    encoder = build_lidar_encoder(config).eval()
    sample = tensors(config, [[0.5, 1, 0, 9, 0], [-1, 2, 1, 7, 0]])
    assert isinstance(encoder, kind)
    assert list(sample) == [spec.name for spec in graph_inputs(config)['lidar_encoder']]
    assert encoder(**sample).shape == (1, config.lidar.bev_channels, *GRID.shape)
    torch.testing.assert_close(encoder.encode([sample]), encoder(**sample))


@pytest.mark.parametrize('config', [PILLAR, SPARSE], ids=lambda c: c.lidar.encoder.value)
def test_an_empty_sweep_does_not_stop_a_training(config):
    encoder = build_lidar_encoder(config).train()
    assert torch.isfinite(encoder.encode([tensors(config, [])])).all()


def test_spconv_takes_coordinates_in_place_of_tables():
    sample = tensors(SPARSE, [[0.5, 1, 0, 9, 0]], execution=SparseExecution.SPCONV)
    assert list(sample) == ['voxel_features', 'voxel_coords']


@pytest.mark.skipif(importlib.util.find_spec('spconv') is not None, reason='spconv is installed')
def test_without_spconv_asking_for_it_says_how_to_get_it():
    with pytest.raises(MissingDependencyError, match='pip install spconv'):
        build_lidar_encoder(SPARSE, SparseExecution.SPCONV)


@pytest.mark.skipif(importlib.util.find_spec('spconv') is None, reason='needs spconv')
def test_one_state_dict_fits_both_executions():
    own = build_lidar_encoder(SPARSE)
    other = build_lidar_encoder(SPARSE, SparseExecution.SPCONV)
    other.load_state_dict(own.state_dict(), strict=True)


def test_the_sparse_encoder_exports_and_its_graph_equals_it():
    """Sizes of the trace are free; an empty sweep is one more size."""
    onnxruntime = pytest.importorskip('onnxruntime')
    to_onnx = pytest.importorskip('metabev_ros.lab.export.to_onnx')
    torch.manual_seed(0)
    encoder = build_lidar_encoder(SPARSE).eval()
    content = to_onnx.trace(encoder, 'lidar_encoder', SPARSE)
    to_onnx.lint(content, 'lidar_encoder')
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    rng = np.random.default_rng(0)
    for count in (0, 1, 300):
        points = np.concatenate([rng.uniform(-3, 3, (count, 3)), rng.uniform(0, 9, (count, 2))], 1)
        sample = tensors(SPARSE, points)
        (bev,) = session.run(None, {name: tensor.numpy() for name, tensor in sample.items()})
        expected = encoder(**sample).detach().numpy()
        assert (count > 0) == bool(expected.any())
        np.testing.assert_allclose(bev, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_fine_pillars_of_a_batch_give_what_each_sweep_gives_alone():
    model = small_lite()
    torch.manual_seed(0)
    encoder = build_lidar_encoder(model).eval()
    rng = np.random.default_rng(0)
    sweeps = [tensors(model, sweep(model, rng).points) for _ in range(3)]
    with torch.no_grad():
        together = encoder.encode(sweeps)
        for alone, part in zip(sweeps, together.split(1), strict=True):
            torch.testing.assert_close(encoder(**alone), part, atol=1e-5, rtol=1e-5)
