"""Every change of layout, by what it computes: theirs on their map, ours on ours.

`mirrored` is the whole relation of the frames: row of ours = x_lidar cells from the far end,
column = y_lidar cell.
"""

import math

import pytest
import torch
from support import published
from torch import nn
from torch.nn import functional as F

from metabev_ros.config import CameraBackbone, CameraBranchConfig, CameraNeck, ModelConfig
from metabev_ros.lab.conversion import layouts
from metabev_ros.lab.conversion.convert import convert_state
from metabev_ros.lab.conversion.detectors import detector_rules
from metabev_ros.lab.conversion.dialects import BEVFUSION, MMDET3D_CENTERPOINT
from metabev_ros.network.camera import build_bev_convolution
from metabev_ros.network.center_head import BOX_PARTS, CenterHead
from metabev_ros.network.neck import SecondNeck
from metabev_ros.network.sparse_encoder import SparseConv
from metabev_ros.network.swin import PatchMerging
from metabev_ros.network.transfusion import TransFusionHead


def mirrored(x_first: torch.Tensor) -> torch.Tensor:
    """(.., x_lidar, y_lidar) -> ours (.., y, x)."""
    return x_first.flip(-2)


def _part(dialect, name: str, prefix: str, state, shapes, config=None):
    """Tensors of one module out of the conversion of one part."""
    rules = detector_rules(dialect, config or ModelConfig())
    targets = {prefix + key: tuple(t.shape) for key, t in shapes.items()}
    result = convert_state(state, rules, targets, 'test')
    assert name in result.filled
    return {key.removeprefix(prefix): tensor for key, tensor in result.tensors.items()}


def test_patch_merging_with_converted_weights_equals_mmdetections_unfold():
    torch.manual_seed(0)
    c, x = 3, torch.randn(2, 6, 8, 3)
    weight, scale, bias = torch.randn(6, 12), torch.randn(12), torch.randn(12)
    unfolded = F.unfold(x.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)  # (B, L, 4 C)
    expected = F.layer_norm(unfolded, (12,), scale, bias) @ weight.T
    merging = PatchMerging(c)
    merging.load_state_dict(
        {
            'norm.weight': layouts.merging_from_unfold(scale),
            'norm.bias': layouts.merging_from_unfold(bias),
            'reduction.weight': layouts.merging_from_unfold(weight),
        }
    )
    torch.testing.assert_close(merging(x).flatten(1, 2), expected)


def test_a_kernel_of_an_x_first_and_of_a_y_first_map_give_our_map():
    torch.manual_seed(0)
    kernel, x_first = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 9, 7)
    expected = mirrored(F.conv2d(x_first, kernel, padding=1))
    ours = layouts.kernel_from_x_first(kernel)
    torch.testing.assert_close(F.conv2d(mirrored(x_first), ours, padding=1), expected)
    turned = layouts.kernel_from_y_first(kernel.transpose(2, 3))
    assert torch.equal(turned, ours)
    up = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(
        F.conv_transpose2d(mirrored(x_first), layouts.kernel_from_x_first(up), stride=2),
        mirrored(F.conv_transpose2d(x_first, up, stride=2)),
    )


def _sequential(state, prefix, x, strides):
    """Convolutions at 0, 3, 6 ... with their norms, from a state dict, as published."""
    for i, stride in enumerate(strides):
        x = F.conv2d(x, state[f'{prefix}{3 * i}.weight'], stride=stride, padding=1)
        x = _normed(state, f'{prefix}{3 * i + 1}', x).relu()
    return x


def _normed(state, name, x, eps=1e-5):
    return F.batch_norm(
        x,
        state[f'{name}.running_mean'],
        state[f'{name}.running_var'],
        state[f'{name}.weight'],
        state[f'{name}.bias'],
        eps=eps,
    )


def _noise(shapes, scale=0.2):
    state = published.random_state(shapes)
    return {
        k: (v - 0.5) * scale * 2 if k.endswith('weight') and v.dim() > 1 else v
        for k, v in state.items()
    }


@torch.inference_mode()
def test_bevfusions_downsampling_gives_the_mirrored_map_to_the_cell():
    """The window of the stride-2 layer is mirrored, too: no shift by half a cell."""
    config = CameraBranchConfig(
        CameraBackbone.SWIN_T,
        CameraNeck.LSS_FPN,
        context_channels=80,
        bev_channels=80,
        splat_factor=2,
    )
    prefix = 'encoders.camera.vtransform.'
    state = _noise(
        {k: v for k, v in published.view_transform(prefix, False).items() if 'downsample' in k},
        0.05,
    )
    module = build_bev_convolution(config).eval()
    module.load_state_dict(
        _part(BEVFUSION, 'camera BEV', 'camera_encoder.bev.', state, module.state_dict())
    )
    x_first = torch.randn(1, 80, 12, 16)
    theirs = _sequential(state, prefix + 'downsample.', x_first, (1, 2, 1))
    torch.testing.assert_close(module(mirrored(x_first)), mirrored(theirs))


@torch.inference_mode()
def test_bevfusions_second_gives_the_mirrored_map_to_the_cell():
    state = _noise(published.second('decoder.backbone.', 'decoder.neck.'), 0.05)
    x_first = torch.randn(1, 256, 8, 12)
    for key in state:
        if key.endswith('running_var'):
            state[key] += 0.5  # far from eps: its value is the module's own
    module = SecondNeck(256, 512).eval()
    module.load_state_dict(
        _part(BEVFUSION, 'BEV backbone', 'fusion.neck.', state, module.state_dict())
    )
    eps, levels, x = 1e-3, [], x_first
    for stage, stride in ((0, 1), (1, 2)):
        for i in range(6):
            name = f'decoder.backbone.blocks.{stage}.'
            x = F.conv2d(
                x, state[f'{name}{3 * i}.weight'], stride=stride if i == 0 else 1, padding=1
            )
            x = _normed(state, f'{name}{3 * i + 1}', x, eps).relu()
        weight = state[f'decoder.neck.deblocks.{stage}.0.weight']
        up = F.conv2d(x, weight) if stage == 0 else F.conv_transpose2d(x, weight, stride=2)
        levels.append(_normed(state, f'decoder.neck.deblocks.{stage}.1', up, eps).relu())
    torch.testing.assert_close(module(mirrored(x_first)), mirrored(torch.cat(levels, 1)))


@pytest.mark.parametrize('layout', ['xyzio', 'oxyzi', 'zyxio', 'ozyxi'])
def test_sparse_kernels_of_every_layout_compute_the_same_on_a_dense_grid(layout):
    """Oracle: conv3d over (x, y, z), the axes of BEVFusion; ours runs over (z, x, y)."""
    torch.manual_seed(0)
    kernel = torch.randn(16, 8, 3, 3, 3)  # (o, i, x, y, z)
    grid = torch.randn(1, 8, 5, 6, 4)
    expected = F.conv3d(grid, kernel, padding=1, stride=2)
    published_kernel = kernel.permute(['oixyz'.index(axis) for axis in layout])
    change = (
        layouts.sparse_from_x_first
        if layout in ('xyzio', 'oxyzi')
        else (layouts.sparse_from_y_first)
    )
    ours = change(published_kernel)
    assert ours.shape == SparseConv(8, 16).weight.shape
    actual = F.conv3d(
        grid.permute(0, 1, 4, 2, 3), ours.permute(0, 4, 1, 2, 3), padding=1, stride=2
    )
    torch.testing.assert_close(actual, expected.permute(0, 1, 4, 2, 3))


def test_the_last_sparse_kernel_with_extent_in_z_only_is_recognised():
    for shape, change in (
        ((1, 1, 3, 128, 128), layouts.sparse_from_x_first),
        ((128, 1, 1, 3, 128), layouts.sparse_from_x_first),
        ((3, 1, 1, 128, 128), layouts.sparse_from_y_first),
        ((128, 3, 1, 1, 128), layouts.sparse_from_y_first),
    ):
        assert change(torch.zeros(shape)).shape == (128, 3, 1, 1, 128)


def test_the_first_sparse_layer_sees_ego_coordinates_as_it_saw_lidar_ones():
    torch.manual_seed(0)
    kernel = torch.randn(3, 3, 3, 5, 16)  # x y z in out
    ours = layouts.sparse_input(layouts.sparse_from_x_first)(kernel)
    x, y, rest = 3.0, -2.0, torch.tensor([0.4, 7.0, 0.1])
    ego, lidar = torch.tensor([x, y, *rest]), torch.tensor([-y, x, *rest])
    torch.testing.assert_close(ours[:, 2, 0, 1] @ ego, lidar @ kernel[0, 1, 2])


def _boxes(raw: torch.Tensor, old: bool) -> torch.Tensor:
    """(10, P) channels in the LiDAR frame, theirs -> ours, from their meaning.

    x y z, sizes, sin cos, velocity: turned as a vector and an angle, sizes put in order.
    """
    sizes = raw[[4, 3, 5]] if old else raw[3:6]
    yaw = torch.atan2(raw[6], raw[7])
    heading = (-yaw - math.pi / 2 if old else yaw) - math.pi / 2
    length = (raw[6:8] ** 2).sum(0).sqrt()
    return torch.stack(
        [
            raw[1],
            -raw[0],
            raw[2] + 1.8,
            *sizes,
            length * heading.sin(),
            length * heading.cos(),
            raw[9],
            -raw[8],
        ]
    )


@torch.inference_mode()
def test_bevfusions_transfusion_gives_the_same_boxes_in_the_ego_frame():
    """Their head = ours over their map laid out (y_lidar, x_lidar), so that places are (x, y)
    of the LiDAR frame; against ours with converted weights over our map."""
    torch.manual_seed(0)
    rows, columns = 6, 9  # x_lidar and y_lidar cells
    classes = ModelConfig().detection_classes
    state = {
        k: v - 0.5 if k.endswith(('weight', 'bias')) else v
        for k, v in published.random_state(
            published.transfusion_head('heads.object.', 12, 16)
        ).items()
    }
    state = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}

    def head(shape, weights):
        module = TransFusionHead(12, 16, classes, shape, 7).double().eval()
        module.load_state_dict(weights)
        return module

    names = TransFusionHead(12, 16, classes, (2, 4), 7).state_dict()
    config = _grid_config(rows, columns)
    converted = {
        k: v.double() if v.is_floating_point() else v
        for k, v in _part(
            BEVFUSION, 'TransFusion head', 'fusion.detection.', state, names, config
        ).items()
    }
    plain = _plain_transfusion(state)
    x_first = torch.randn(1, 12, rows, columns, dtype=torch.float64)
    theirs = head((columns, rows), plain)(x_first.transpose(2, 3))
    ours = head((rows, columns), converted)(mirrored(x_first))
    torch.testing.assert_close(
        ours['heatmap'], mirrored(theirs['heatmap'].transpose(2, 3)), atol=2e-6, rtol=2e-6
    )
    for name in ('class_logits', 'query_scores'):
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-4, rtol=1e-4)
    expected = _boxes(theirs['boxes'][0], old=True)
    expected[1] += rows  # y = rows - x_lidar, in cells
    torch.testing.assert_close(ours['boxes'][0], expected, atol=1e-4, rtol=1e-4)


def _grid_config(rows: int, columns: int) -> ModelConfig:
    from metabev_ros.config import LidarBranchConfig
    from metabev_ros.geometry import BevGrid

    return ModelConfig(
        bev_grid=BevGrid(0, columns * 0.8, 0, rows * 0.8, 0.8),
        lidar=LidarBranchConfig(z_min=-3.2, z_max=4.8),
    )


def _plain_transfusion(state):
    """Renamed only; kernels transposed, for a map that is laid out (y_lidar, x_lidar)."""
    plain = {}
    for key, tensor in state.items():
        key = key.removeprefix('heads.object.').replace('decoder.0.', 'decoder.')
        key = key.replace('prediction_heads.0.', 'prediction_heads.')
        parts = key.split('.')
        if parts[0] == 'prediction_heads':
            parts[2:4] = {('0', 'conv'): ['0'], ('0', 'bn'): ['1']}.get(
                tuple(parts[2:4]), ['3', parts[3]]
            )
        elif parts[:2] == ['heatmap_head', '0']:
            parts[2] = {'conv': '0', 'bn': '1'}[parts[2]]
        plain['.'.join(parts)] = tensor.transpose(2, 3) if tensor.dim() == 4 else tensor
    return plain


@pytest.mark.parametrize(
    ('dialect', 'prefix', 'old'),
    [(BEVFUSION, 'heads.object.', True), (MMDET3D_CENTERPOINT, 'pts_bbox_head.', False)],
)
@torch.inference_mode()
def test_centerpoint_gives_the_same_boxes_in_the_ego_frame(dialect, prefix, old):
    torch.manual_seed(0)
    state = {
        k: v - 0.5 if k.endswith(('weight', 'bias')) else v
        for k, v in published.random_state(published.center_head(prefix, 8)).items()
    }
    module = CenterHead(8, 64, (1, 2, 2, 1, 2, 2)).eval()
    module.load_state_dict(
        _part(
            dialect,
            'CenterPoint head',
            'fusion.detection.',
            state,
            module.state_dict(),
            _grid_config(6, 9),
        )
    )
    x_first = torch.randn(1, 8, 6, 9)

    def conv(x, name, bias=None):
        kernel = state[name + '.weight']
        kernel = kernel if dialect is BEVFUSION else kernel.transpose(2, 3)
        return F.conv2d(x, kernel, bias, padding=1)

    shared = _normed(
        state, f'{prefix}shared_conv.bn', conv(x_first, f'{prefix}shared_conv.conv')
    ).relu()
    ours = module(mirrored(x_first))
    for group in range(6):
        raw, name = [], f'{prefix}task_heads.{group}.'
        for part in (*BOX_PARTS, 'heatmap'):
            hidden = conv(shared, f'{name}{part}.0.conv')
            hidden = _normed(state, f'{name}{part}.0.bn', hidden).relu()
            raw.append(conv(hidden, f'{name}{part}.1', state[f'{name}{part}.1.bias']))
        expected = _boxes(mirrored(torch.cat(raw[:-1], 1))[0].flatten(1), old)
        expected[1] += 1  # in its mirrored cell: t -> 1 - t
        actual = ours['boxes'][0, 10 * group : 10 * group + 10].flatten(1)
        scale = expected.abs().max()
        torch.testing.assert_close(actual, expected, atol=2e-6 * scale.item(), rtol=1e-4)
    torch.testing.assert_close(ours['heatmap'][:, -2:], mirrored(raw[-1]), atol=1e-3, rtol=1e-4)


def test_a_mirrored_window_differs_from_a_symmetric_one():
    """Were the two equal, the tests of halving layers above would show nothing."""
    x, conv = torch.randn(1, 2, 8, 8), nn.Conv2d(2, 2, 3, 2, 1, bias=False)
    flipped = F.conv2d(mirrored(x), layouts.kernel_from_x_first(conv.weight), stride=2, padding=1)
    assert not torch.allclose(flipped, mirrored(conv(x)))
