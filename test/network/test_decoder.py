"""Checks that follow from the paper (metabev 1.7)."""
import itertools

import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import DecoderConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.network.decoder import BevEvolvingDecoder, DeformableAttention, reference_points

GRID = BevGrid(-4.0, 4.0, -4.0, 4.0, 1.0)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    layer = DeformableAttention(16, heads=4, points=3, sources=('camera', 'lidar'))
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return layer.double()


@pytest.mark.parametrize('names', [['camera'], ['lidar'], ['camera', 'lidar']])
def test_attention_weights_sum_to_one_for_every_set_of_modalities(attention, names):
    weights = attention.attention_weights(torch.randn(2, 5, 16, dtype=torch.float64), names)
    assert weights.shape == (2, 5, 4, 3 * len(names))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5, 4, dtype=torch.float64))


def _bilinear(value, x, y):
    """One sample of (C, Y, X) at pixel coordinates with zero padding, in plain Python."""
    total = torch.zeros(value.shape[0], dtype=value.dtype)
    x0, y0 = int(torch.floor(x)), int(torch.floor(y))
    for row, column in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]:
            total += value[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def test_joint_attention_equals_a_plain_loop_over_queries_heads_and_points(attention):
    torch.manual_seed(1)
    query = torch.randn(1, 4, 16, dtype=torch.float64)
    reference = torch.rand(4, 2, dtype=torch.float64)
    maps = {'camera': torch.randn(1, 16, 6, 7, dtype=torch.float64),
            'lidar': torch.randn(1, 16, 5, 5, dtype=torch.float64)}
    expected = torch.zeros(4, 16, dtype=torch.float64)
    for q in range(4):
        logits = torch.cat([attention.weights[n](query[0, q]).reshape(4, 3) for n in maps], 1)
        weights = logits.softmax(1)
        for index, (name, value) in enumerate(maps.items()):
            value = attention.value_proj(value)[0]
            height, width = value.shape[1:]
            offsets = attention.offsets[name](query[0, q]).reshape(4, 3, 2)
            for head, point in itertools.product(range(4), range(3)):
                x = reference[q, 0] * width + offsets[head, point, 0] - 0.5
                y = reference[q, 1] * height + offsets[head, point, 1] - 0.5
                part = slice(4 * head, 4 * head + 4)
                expected[q, part] += weights[head, 3 * index + point] * _bilinear(
                    value[part], x, y)
    expected = attention.output_proj(expected)
    # The layer samples in float32, as the exported graph does.
    torch.testing.assert_close(attention(query, reference, maps)[0], expected,
                               atol=2e-6, rtol=2e-6)


def test_zero_offsets_and_uniform_weights_give_the_mean_of_both_maps():
    layer = DeformableAttention(8, heads=2, points=1, sources=('camera', 'lidar'))
    for linear in (*layer.offsets.values(), *layer.weights.values()):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    torch.nn.init.dirac_(layer.value_proj.weight)
    torch.nn.init.zeros_(layer.value_proj.bias)
    torch.nn.init.eye_(layer.output_proj.weight)
    torch.nn.init.zeros_(layer.output_proj.bias)
    maps = {name: torch.randn(1, 8, 6, 6) for name in ('camera', 'lidar')}
    out = layer(torch.randn(1, 36, 8), reference_points(6, 6), maps)
    mean = (maps['camera'] + maps['lidar']) / 2
    torch.testing.assert_close(out, mean.flatten(2).transpose(1, 2))


def test_the_camera_branch_gives_no_gradient_to_lidar_parts():
    torch.manual_seed(0)
    decoder = BevEvolvingDecoder(DecoderConfig(channels=16, points=2), GRID,
                                 {'camera': 8, 'lidar': 8})
    decoder({'camera': torch.randn(1, 8, 16, 16)}).square().sum().backward()
    touched = {name for name, p in decoder.named_parameters()
               if p.grad is not None and p.grad.abs().sum() > 0}
    assert not any('lidar' in name for name in touched)
    assert 'meta_bev' in touched and 'project.camera.0.weight' in touched


def test_grid_sample_reads_rows_as_y_and_columns_as_x():
    value = torch.arange(12.0).reshape(1, 1, 3, 4)
    where = reference_points(3, 4).reshape(1, 3, 4, 2) * 2 - 1
    torch.testing.assert_close(F.grid_sample(value, where, align_corners=False), value)
