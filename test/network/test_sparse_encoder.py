from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import LidarBranchConfig, LidarEncoder, ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.graph_specs import graph_inputs
from metabev_ros.network.lidar import build_lidar_encoder
from metabev_ros.network.sparse_encoder import RowBatchNorm, SparseConv, SparseEncoder
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.preprocess.voxels import build_voxels
from metabev_ros.structures import Sweep

# 3 x 2 BEV cells, 24 x 16 x 41 voxels; not square, so that swapped axes cannot pass.
CONFIG = ModelConfig(
    bev_grid=BevGrid(-0.6, 0.6, -0.9, 0.9, 0.6),
    decoder=ModelConfig().decoder.__class__(cell=1.2),
    lidar=LidarBranchConfig(encoder=LidarEncoder.SPARSE, z_min=-3.2, z_max=4.8, bev_channels=256),
)
# nuScenes' LIDAR_TOP: x right, y forward, 1.8 m above the ground.
EGO_FROM_LIDAR = rigid_transform(rotation_z(-np.pi / 2), [0, 0, 1.8])


def cloud(count=500, seed=0) -> np.ndarray:
    """Points in the LiDAR frame, around the grid, more of them near its floor."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.uniform(-1.0, 1.0, (count, 1)),
            rng.uniform(-0.7, 0.7, (count, 1)),
            rng.normal(-3, 1.5, (count, 1)),
            rng.uniform(0, 255, (count, 1)),
            rng.uniform(0, 0.5, (count, 1)),
        ],
        1,
    ).astype(np.float32)


def inputs(points: np.ndarray, config=CONFIG, dtype=torch.float32) -> dict[str, torch.Tensor]:
    arrays = Preprocessor(config).lidar_inputs(Sweep(0, points, EGO_FROM_LIDAR))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {**tensors, 'voxel_features': tensors['voxel_features'].to(dtype)}


def varied(network, seed=0):
    """Statistics and scales as after a training, so that nothing is hidden by ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, RowBatchNorm):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
        elif hasattr(module, 'weight') and module.weight is not None and module.weight.ndim == 5:
            fan = module.weight.shape[-1] * 6
            module.weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
    return network


@pytest.fixture
def network() -> SparseEncoder:
    torch.manual_seed(0)
    return varied(SparseEncoder(CONFIG)).eval()


class DenseEncoder:
    """The definition with dense convolutions, over any order of the spatial axes.

    `x` (1, C, ...) is zero outside the active sites `mask` (...). A submanifold convolution is a
    dense one at the active sites; a strided one is active wherever its kernel meets an active
    site.

    Args:
        weights: name -> (out, in, kernel ...) and batch norm vectors.
        axes: order of the spatial axes as places of z, y, x.
    """

    def __init__(self, weights, axes=(0, 1, 2), training=False):
        self.weights, self.training = weights, training
        self.order = lambda zyx: tuple(zyx[axis] for axis in axes)

    def norm(self, x, mask, name):
        w = self.weights
        rows = F.batch_norm(
            x[0, :, mask].T,
            w[f'{name}.running_mean'].clone(),
            w[f'{name}.running_var'].clone(),
            w[f'{name}.weight'],
            w[f'{name}.bias'],
            self.training,
            0.01,
            1e-3,
        )
        out = torch.zeros(1, rows.shape[1], *mask.shape, dtype=x.dtype)
        out[0, :, mask] = rows.T
        return out

    def near(self, x, mask, conv, norm):
        x = F.conv3d(x, self.weights[f'{conv}.weight'], padding=1) * mask
        return self.norm(x, mask, norm)

    def strided(self, x, mask, name, stride, padding):
        weight, sizes = self.weights[f'{name}.0.weight'], (self.order(stride), self.order(padding))
        ones = torch.ones(1, 1, *weight.shape[2:], dtype=x.dtype)
        mask = F.conv3d(mask.to(x.dtype)[None, None], ones, None, *sizes)[0, 0] > 0
        x = F.conv3d(x, weight, None, *sizes)
        return self.norm(x, mask, f'{name}.1').relu(), mask

    def __call__(self, x, mask):
        x = self.near(x, mask, 'conv_input.0', 'conv_input.1').relu()
        for stage, padding in enumerate(((1, 1, 1), (1, 1, 1), (0, 1, 1), None), 1):
            for block in (0, 1):
                name = f'encoder_layers.encoder_layer{stage}.{block}'
                y = self.near(x, mask, f'{name}.conv1', f'{name}.bn1').relu()
                x = (x + self.near(y, mask, f'{name}.conv2', f'{name}.bn2')).relu()
            if padding:
                x, mask = self.strided(
                    x, mask, f'encoder_layers.encoder_layer{stage}.2', (2, 2, 2), padding
                )
        return self.strided(x, mask, 'conv_out', (2, 1, 1), (0, 0, 0))[0]


def conv_weight(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, 4, 1, 2, 3) if value.ndim == 5 else value


@pytest.mark.parametrize('training', [False, True])
def test_outputs_and_all_gradients_equal_dense_convolutions(network, training):
    network.double().train(training)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    sample = inputs(cloud(), dtype=torch.float64)
    features = sample['voxel_features'].requires_grad_()
    voxels = build_voxels(Sweep(0, cloud(), EGO_FROM_LIDAR), CONFIG.lidar, CONFIG.voxel_grid)
    z, y, x = torch.from_numpy(voxels['voxel_coords'][:, 1:].astype(np.int64)).T

    weights = {
        name: value.detach().requires_grad_(value.is_floating_point() and 'running' not in name)
        for name, value in start.items()
    }
    known = features.detach().clone().requires_grad_()
    dense = torch.zeros(41, 24, 16, 5, dtype=torch.float64).index_put((z, y, x), known)
    mask = torch.zeros(41, 24, 16, dtype=torch.bool).index_put((z, y, x), torch.tensor(True))
    reference = DenseEncoder({n: conv_weight(v) for n, v in weights.items()}, training=training)(
        dense.permute(3, 0, 1, 2)[None], mask
    )
    reference = reference.flip(3).flatten(1, 2)  # rows of the map rise with y
    assert len(features) > 300 and (reference.abs().sum(1) > 0).all()

    got = network(**sample)
    torch.testing.assert_close(got, reference, rtol=1e-10, atol=1e-10)
    upstream = torch.randn(
        got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    (got * upstream).sum().backward()
    (reference * upstream).sum().backward()
    torch.testing.assert_close(features.grad, known.grad, rtol=1e-8, atol=1e-10)
    for name, parameter in network.named_parameters():
        expected = weights[name].grad
        assert parameter.grad is not None and expected.abs().max() > 0, name
        torch.testing.assert_close(
            parameter.grad, expected, rtol=1e-8, atol=1e-10 * float(expected.abs().max())
        )


def test_known_weights_of_the_lidar_frame_fit_with_the_permutations_of_the_docstring(network):
    """BEVFusion's layout: x-first kernels (kx, ky, kz, in, out) over LiDAR x, y, z."""
    network.double()
    generator, state, known = torch.Generator().manual_seed(5), {}, {}
    for name, value in network.state_dict().items():
        if value.ndim != 5:
            state[name] = known[name] = value
            continue
        out, kz, ky, kx, c_in = value.shape
        w = torch.randn(kx, ky, kz, c_in, out, dtype=torch.float64, generator=generator) * 0.2
        known[name] = w.permute(4, 3, 0, 1, 2)
        state[name] = w.permute(4, 2, 0, 1, 3)
    p = state['conv_input.0.weight']
    state['conv_input.0.weight'] = torch.stack(
        (p[..., 1], -p[..., 0], p[..., 2], p[..., 3], p[..., 4]), -1
    )
    network.load_state_dict(state)

    points = cloud()
    cell = np.floor((points[:, :3] - [-0.9, -0.6, -5]) / [0.075, 0.075, 0.2]).astype(int)
    inside = ((cell >= 0) & (cell < [24, 16, 40])).all(1)
    cells, inverse = np.unique(cell[inside], axis=0, return_inverse=True)
    assert np.bincount(inverse).max() <= CONFIG.lidar.points_per_voxel
    mean = np.stack(
        [points[inside][inverse == i].astype(np.float64).mean(0) for i in range(len(cells))]
    )
    x, y, z = torch.from_numpy(cells).T
    dense = torch.zeros(24, 16, 41, 5, dtype=torch.float64)
    dense[x, y, z] = torch.from_numpy(mean)
    mask = torch.zeros(24, 16, 41, dtype=torch.bool)
    mask[x, y, z] = True
    bev = DenseEncoder(known, axes=(2, 1, 0))(dense.permute(3, 0, 1, 2)[None], mask)[0]
    bev = bev.permute(0, 3, 1, 2).flatten(0, 1)  # (C Z, x, y), as BEVFusion stacks it

    got = network(**inputs(points, dtype=torch.float64))[0].detach()
    assert got.abs().max() > 0.1
    torch.testing.assert_close(got, bev.flip(1), rtol=1e-4, atol=1e-4 * float(bev.abs().max()))


def test_parameters_have_the_names_and_shapes_of_mmdetection3d():
    shapes = {name: tuple(p.shape) for name, p in SparseEncoder(CONFIG).named_parameters()}
    expected = {'conv_input.0': (16, 3, 3, 3, 5), 'conv_out.0': (128, 3, 1, 1, 128)}
    for stage, (width, following) in enumerate(((16, 32), (32, 64), (64, 128), (128, None)), 1):
        name = f'encoder_layers.encoder_layer{stage}'
        for block in (0, 1):
            expected |= {f'{name}.{block}.conv{i}': (width, 3, 3, 3, width) for i in (1, 2)}
        if following:
            expected[f'{name}.2.0'] = (following, 3, 3, 3, width)
    for name, shape in list(expected.items()):
        norm = (
            name.replace('conv1', 'bn1').replace('conv2', 'bn2')
            if name[-2] != '.'
            else (name[:-1] + '1')
        )
        expected[norm] = shape[:1]
    names = {f'{name}.weight': shape for name, shape in expected.items()}
    names |= {f'{name}.bias': shape for name, shape in expected.items() if len(shape) == 1}
    assert shapes == names


def test_the_channel_plan_of_the_paper_has_this_many_parameters():
    near = 27 * (5 * 16 + 4 * (16**2 + 32**2 + 64**2 + 128**2))
    steps = 27 * (16 * 32 + 32 * 64 + 64 * 128) + 3 * 128 * 128
    norms = 2 * (16 * 5 + 32 * 5 + 64 * 5 + 128 * 6)
    assert sum(p.numel() for p in SparseEncoder(CONFIG).parameters()) == near + steps + norms
    norm = SparseEncoder(CONFIG).conv_out[1]
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


@torch.inference_mode()
def test_a_batch_equals_its_samples_alone(network):
    network = network.double()  # in 32 bits the order of a sum depends on the number of rows
    clouds = (cloud(400, 1), cloud(0), cloud(90, 2))
    samples = [inputs(points, dtype=torch.float64) for points in clouds]
    together = network.encode(samples)
    assert together.shape == (3, 256, 3, 2)
    for got, sample in zip(together, samples, strict=True):
        torch.testing.assert_close(got, network(**sample)[0], rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(got, network.encode([sample])[0], rtol=1e-12, atol=1e-9)
    assert (together[0] != together[2]).any()


def test_batch_norm_sees_the_voxels_of_the_whole_batch_and_no_placeholder(network):
    samples = [inputs(cloud(400, 1)), inputs(cloud(0)), inputs(cloud(90, 2))]
    seen = []
    network.conv_input[1].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    network.train().encode(samples)
    assert seen == [len(samples[0]['voxel_features']) + len(samples[2]['voxel_features'])]


@pytest.mark.parametrize('training', [False, True])
def test_an_empty_cloud_gives_a_map_of_zeros(network, training):
    network.train(training)
    empty = inputs(np.zeros((0, 5), np.float32))
    before = network.conv_input[1].running_mean.clone()
    assert (network.encode([empty, empty]) == 0).all()
    assert torch.equal(network.conv_input[1].running_mean, before)
    assert (network(**empty) == 0).all() and network(**empty).shape == (1, 256, 3, 2)


def test_a_single_voxel_can_be_trained_on(network):
    sample = inputs(np.array([[0.01, 0.01, -1, 5, 0]], np.float32))
    assert len(sample['voxel_features']) == 1
    bev = network.train().encode([sample])
    bev.square().sum().backward()
    assert (bev != 0).any() and network.conv_input[0].weight.grad.abs().max() > 0


def test_the_map_lies_where_the_points_are(network):
    """A cluster ahead on the left (ego x > 0, y > 0) fills high columns and high rows."""
    config = ModelConfig(
        bev_grid=BevGrid(-3.6, 3.6, -4.8, 4.8, 0.6), lidar=CONFIG.lidar, decoder=CONFIG.decoder
    )
    # LiDAR frame: x right, y forward.
    points = np.array([[-3.0, 2.0, -1, 5, 0], [-3.1, 2.1, -1, 5, 0]], np.float32)
    wide = SparseEncoder(config).eval()
    wide.load_state_dict(network.state_dict())
    _, rows, columns = np.nonzero(wide(**inputs(points, config))[0].detach().numpy())
    assert abs(np.median(rows) - (3.0 + 4.8) / 0.6) <= 1
    assert abs(np.median(columns) - (2.0 + 3.6) / 0.6) <= 1


def test_inputs_fit_the_contract_and_the_order_of_forward(network):
    specs, sample = graph_inputs(CONFIG)['lidar_encoder'], inputs(cloud())
    assert [spec.name for spec in specs] == list(sample)
    for spec in specs:
        tensor = sample[spec.name]
        assert str(tensor.dtype) == f'torch.{spec.dtype}'
        assert all(
            size in (None, got) for size, got in zip(spec.shape, tensor.shape, strict=True)
        ), spec.name
    assert torch.equal(network(*sample.values()), network(**sample))


def test_channels_that_do_not_fit_the_plan_stop():
    config = ModelConfig(lidar=LidarBranchConfig(encoder=LidarEncoder.SPARSE, bev_channels=64))
    with pytest.raises(ConfigError, match='bev_channels'):
        build_lidar_encoder(config)


@pytest.fixture(scope='module')
def base(repo_root) -> ModelConfig:
    return load_config(ModelConfig, repo_root / 'config' / 'models' / 'metabev_base.yaml')


def real_cloud(shared_data) -> np.ndarray:
    points = np.fromfile(
        next((shared_data / 'nuscenes_keyframe').glob('*LIDAR_TOP*')), np.float32
    ).reshape(-1, 5)
    points[:, 4] = 0  # the file's fifth column is the ring
    return points


@torch.inference_mode()
def test_a_cloud_at_the_papers_size_gives_its_map(base):
    """1440 x 1440 x 41 voxels -> 256 x 180 x 180."""
    rng = np.random.default_rng(0)
    angle, reach = rng.uniform(-np.pi, np.pi, 6000), rng.gamma(2, 8, 6000)
    points = np.stack(
        [
            reach * np.cos(angle),
            reach * np.sin(angle),
            rng.normal(-1.5, 0.4, 6000),
            rng.uniform(0, 255, 6000),
            np.zeros(6000),
        ],
        1,
    ).astype(np.float32)
    encoder = build_lidar_encoder(base).eval()
    bev = encoder(**inputs(points, base))
    assert isinstance(encoder, SparseEncoder) and bev.shape == (1, 256, 180, 180)
    assert torch.isfinite(bev).all() and (bev != 0).any()


needs_spconv = pytest.mark.skipif(
    not importlib.util.find_spec('spconv'), reason='spconv, the oracle, has wheels for x86-64 only'
)


@pytest.fixture
def one_thread():
    """spconv's CPU kernels race with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def voxel_tensors(points, config) -> dict[str, torch.Tensor]:
    arrays = build_voxels(Sweep(0, points, EGO_FROM_LIDAR), config.lidar, config.voxel_grid)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def assert_equal_to_spconv(network, config, clouds) -> None:
    from metabev_ros.network.spconv_encoder import SpconvEncoder

    other = SpconvEncoder(config).eval()
    other.load_state_dict(network.state_dict())
    with torch.inference_mode():
        got = network.encode([inputs(points, config) for points in clouds])
        expected = other.encode([voxel_tensors(points, config) for points in clouds])
    assert got.shape == expected.shape and expected.abs().max() > 0
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@needs_spconv
def test_outputs_equal_those_of_spconv(network, one_thread):
    empty = np.zeros((0, 5), np.float32)
    assert_equal_to_spconv(network, CONFIG, [cloud(400, 1), empty, cloud(90, 2)])


@needs_spconv
def test_outputs_on_a_real_sweep_equal_those_of_spconv(base, shared_data, one_thread):
    network = varied(SparseEncoder(base)).eval()
    assert_equal_to_spconv(network, base, [real_cloud(shared_data)])


@needs_spconv
def test_an_empty_batch_gives_zeros_with_spconv_too(one_thread):
    from metabev_ros.network.spconv_encoder import SpconvEncoder

    bev = SpconvEncoder(CONFIG).encode([voxel_tensors(np.zeros((0, 5), np.float32), CONFIG)])
    assert bev.shape == (1, 256, 3, 2) and (bev == 0).all()


def test_a_sparse_convolution_starts_with_the_spread_of_a_dense_one():
    weight = SparseConv(8, 64).weight
    dense = torch.nn.Conv3d(8, 64, 3, bias=False).weight
    assert abs(float(weight.detach().std() / dense.detach().std()) - 1) < 0.05
