"""The decoder's checks that follow from the paper, numbered as in its digest."""

import dataclasses
import itertools

import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import AdamvConfig, BevNeckKind, DecoderConfig, DecoderFfn, load_config
from metabev_ros.config import ModelConfig as Model
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BevGrid
from metabev_ros.network.decoder import BevEvolvingDecoder, reference_points
from metabev_ros.network.deformable import DeformableAttention

GRID = BevGrid(-4.0, 4.0, -4.0, 4.0, 1.0)
SETS = [('camera',), ('lidar',), ('camera', 'lidar')]


@pytest.fixture
def attention():
    torch.manual_seed(0)
    layer = DeformableAttention(16, heads=4, points=3, sources=('camera', 'lidar'))
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return layer.double()


@pytest.mark.parametrize('names', SETS)
def test_check_1_attention_weights_sum_to_one_for_every_set_of_modalities(attention, names):
    weights = attention.attention_weights(torch.randn(2, 5, 16, dtype=torch.float64), list(names))
    assert weights.shape == (2, 5, 4, 3 * len(names))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5, 4, dtype=torch.float64))


@pytest.mark.parametrize('names', SETS)
def test_check_1_constant_maps_stay_constant_whatever_is_present(attention, names):
    """Weights that sum to one, seen from outside: inside the map nothing is gained or lost."""
    attention.value_proj.weight.data.zero_()
    attention.value_proj.bias.data.fill_(1.0)
    for linear in attention.offsets.values():  # keep the samples inside
        linear.weight.data.zero_()
        linear.bias.data.clamp_(-1, 1)
    maps = {name: torch.randn(1, 16, 9, 9, dtype=torch.float64) for name in names}
    query = torch.randn(1, 3, 16, dtype=torch.float64)
    centre = torch.full((3, 2), 0.5, dtype=torch.float64)
    expected = attention.output_proj(torch.ones(1, 3, 16, dtype=torch.float64))
    torch.testing.assert_close(attention(query, centre, maps), expected)


def bilinear(value, x, y):
    """One sample of (C, Y, X) at pixel coordinates with zero padding, in plain Python."""
    total = torch.zeros(value.shape[0], dtype=value.dtype)
    x0, y0 = int(torch.floor(x)), int(torch.floor(y))
    for row, column in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]:
            total += value[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


@pytest.mark.parametrize('names', SETS)
def test_joint_attention_equals_a_plain_loop_over_queries_heads_and_points(attention, names):
    torch.manual_seed(1)
    query = torch.randn(1, 4, 16, dtype=torch.float64)
    reference = torch.rand(4, 2, dtype=torch.float64)
    maps = {
        'camera': torch.randn(1, 16, 6, 7, dtype=torch.float64),
        'lidar': torch.randn(1, 16, 5, 5, dtype=torch.float64),
    }
    maps = {name: maps[name] for name in names}
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
                expected[q, part] += weights[head, 3 * index + point] * bilinear(value[part], x, y)
    torch.testing.assert_close(
        attention(query, reference, maps)[0],
        attention.output_proj(expected),
        atol=1e-12,
        rtol=1e-12,
    )


@pytest.mark.parametrize('points', [1, 4])
def test_check_6_zero_offsets_and_uniform_weights_give_the_mean_of_both_maps(points):
    layer = DeformableAttention(8, heads=2, points=points, sources=('camera', 'lidar'))
    for linear in (*layer.offsets.values(), *layer.weights.values()):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    torch.nn.init.dirac_(layer.value_proj.weight)
    torch.nn.init.zeros_(layer.value_proj.bias)
    torch.nn.init.eye_(layer.output_proj.weight)
    torch.nn.init.zeros_(layer.output_proj.bias)
    maps = {name: torch.randn(1, 8, 6, 5) for name in ('camera', 'lidar')}
    out = layer(torch.randn(1, 30, 8), reference_points(6, 5), maps)
    mean = (maps['camera'] + maps['lidar']) / 2
    torch.testing.assert_close(out, mean.flatten(2).transpose(1, 2))


@pytest.mark.parametrize('ffn', DecoderFfn)
@pytest.mark.parametrize(('present', 'absent'), [('camera', 'lidar'), ('lidar', 'camera')])
def test_check_3_one_branch_gives_no_gradient_to_the_other_modalitys_parts(present, absent, ffn):
    torch.manual_seed(0)
    adamv = AdamvConfig() if ffn is DecoderFfn.ADAMV else None
    config = DecoderConfig(channels=16, points=2, ffn=ffn, experts=4, adamv=adamv)
    decoder = BevEvolvingDecoder(config, GRID, {'camera': 8, 'lidar': 8})
    decoder({present: torch.randn(1, 8, 16, 16)}).square().sum().backward()
    touched = {
        name
        for name, p in decoder.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert not any(absent in name for name in touched)
    assert 'meta_bev' in touched and f'project.{present}.0.weight' in touched
    assert 'cross_layers.0.attention.value_proj.weight' in touched  # the shared parts


@pytest.mark.parametrize('names', SETS)
def test_every_parameter_of_the_present_modalities_is_trained(names):
    torch.manual_seed(0)
    decoder = BevEvolvingDecoder(
        DecoderConfig(channels=16, points=2), GRID, {'camera': 8, 'lidar': 8}
    )
    # Uniform weights over one point that all see the same would have no gradient.
    for parameter in decoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    maps = {name: torch.randn(2, 8, 16, 16) for name in names}
    (decoder(maps) * torch.randn(2, 16, 8, 8)).sum().backward()
    absent = {'camera', 'lidar'} - set(names)
    for name, parameter in decoder.named_parameters():
        if not any(part in name for part in absent):
            assert parameter.grad.abs().sum() > 0, name


def test_the_base_decoder_has_the_papers_shapes(repo_root):
    config = load_config(Model, repo_root / 'config' / 'models' / 'metabev_base.yaml')
    with torch.device('meta'):
        decoder = BevEvolvingDecoder(
            config.decoder, config.query_grid, {'camera': 80, 'lidar': 256}
        ).eval()
        maps = {'camera': torch.zeros(1, 80, 180, 180), 'lidar': torch.zeros(1, 256, 180, 180)}
        tasks = ('detection', 'map')
        for layer in (*decoder.cross_layers, *decoder.self_layers):
            # Dispatching asks which tokens chose an expert, which meta tensors cannot say.
            layer.ffn.dispatched = layer.ffn.wide
        assert decoder(maps, tasks).shape == (1, 256, 180, 180)
    assert decoder.meta_bev.shape == (32_400, 256)
    assert (len(decoder.cross_layers), len(decoder.self_layers)) == (4, 2)
    attention = decoder.cross_layers[0].attention
    assert (attention.heads, attention.points) == (8, 8)
    assert set(attention.offsets) == {'camera', 'lidar'}
    assert set(decoder.self_layers[0].attention.offsets) == {'bev'}  # one unified MLP
    assert len(decoder.cross_layers[0].ffn.experts) == 8


def test_value_maps_may_be_finer_than_the_query_grid_and_differ_in_size():
    decoder = BevEvolvingDecoder(
        DecoderConfig(channels=16, points=2), GRID, {'camera': 8, 'lidar': 8}
    ).eval()
    out = decoder({'camera': torch.randn(1, 8, 16, 16), 'lidar': torch.randn(1, 8, 24, 24)})
    assert out.shape == (1, 16, 8, 8)


def test_a_float64_decoder_stays_in_float64():
    config = dataclasses.replace(DecoderConfig(channels=16, points=2), ffn=DecoderFfn.RM2OE)
    decoder = BevEvolvingDecoder(config, GRID, {'camera': 8, 'lidar': 8}).double()
    out = decoder({'camera': torch.randn(1, 8, 16, 16, dtype=torch.float64)})
    assert out.dtype is torch.float64


def test_grid_sample_reads_rows_as_y_and_columns_as_x():
    value = torch.arange(12.0).reshape(1, 1, 3, 4)
    where = reference_points(3, 4).reshape(1, 3, 4, 2) * 2 - 1
    torch.testing.assert_close(F.grid_sample(value, where, align_corners=False), value)


def test_values_may_be_brought_to_the_resolution_of_the_queries_first() -> None:
    """With `value_stride` 2 all four BEV cells of a value cell count."""
    config = DecoderConfig(channels=16, heads=4, points=2, cell=2.0, value_stride=2)
    torch.manual_seed(0)
    decoder = BevEvolvingDecoder(config, GRID.with_cell(2.0), {'camera': 8, 'lidar': 8}).eval()
    maps = {name: torch.randn(1, 8, 8, 8, requires_grad=True) for name in ('camera', 'lidar')}
    out = decoder(maps)
    assert out.shape == (1, 16, 4, 4)
    out.square().sum().backward()
    for bev in maps.values():
        assert bev.grad is not None and (bev.grad.abs().sum((0, 1)) > 0).all()


def test_values_coarser_than_the_queries_are_refused() -> None:
    with pytest.raises(ConfigError, match='value_stride'):
        Model(
            decoder=DecoderConfig(cell=0.8, value_stride=2),
            head=dataclasses.replace(Model().head, neck=BevNeckKind.SECOND),
        )
