"""Inter-task self-attention: its operator, its symmetries, its cost."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from support.interaction_cases import disturbed, settings
from support.small_networks import small_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config import (
    DecoderConfig,
    InteractionKind,
    ModelConfig,
    PositionCode,
    TaskInteractionConfig,
)
from metabev_ros.config.yaml import from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.interaction_cost import (
    deformable_cost,
    global_flops,
    global_macs,
)
from metabev_ros.network.interaction import (
    DeformableMixing,
    InteractionStep,
    TaskInteraction,
    position_code,
)
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS


def maps_of(tasks, channels, rows, columns, seed=1, batch=1):
    torch.manual_seed(seed)
    return {
        task: torch.randn(batch, channels, rows, columns, dtype=torch.float64) for task in tasks
    }


def sampled(value, x, y):
    """Bilinear sample of (c, h, w) at pixel coordinates, zero outside."""
    total = np.zeros(len(value))
    x0, y0 = math.floor(x), math.floor(y)
    for row, column in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]:
            total += value[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def by_loops(mixing, maps, levels, heads, points):
    """Section 4.1, step 5, in NumPy: loops over task, cell, head, map and point.

    The network's reference points are float32: that is how close it can come.
    """
    attention = mixing.attention
    values = {
        name: value[0].detach().numpy()
        for task, bev in maps.items()
        for name, value in mixing.values(task, bev).items()
    }
    results = {}
    for task, bev in maps.items():
        rows, columns = bev.shape[-2:]
        out = np.zeros((rows * columns, bev.shape[1]))
        for y, x in itertools.product(range(rows), range(columns)):
            query = bev[0, :, y, x]
            logits = np.stack(
                [
                    layer(query).detach().numpy().reshape(heads, points)
                    for layer in attention.weights.values()
                ],
                1,
            )
            share = np.exp(logits) / np.exp(logits).sum((1, 2), keepdims=True)
            for m in range(heads):
                for i, (name, value) in enumerate(values.items()):
                    offset = (
                        attention.offsets[name](query).detach().numpy().reshape(heads, points, 2)
                    )
                    h, w = value.shape[1:]
                    part = value.reshape(heads, -1, h, w)[m]
                    for p in range(points):
                        px = (x + 0.5) / columns * w + offset[m, p, 0] - 0.5
                        py = (y + 0.5) / rows * h + offset[m, p, 1] - 0.5
                        width = len(part)
                        out[y * columns + x, m * width : (m + 1) * width] += share[
                            m, i, p
                        ] * sampled(part, px, py)
        results[task] = attention.output_proj(torch.from_numpy(out)).detach().numpy()
    return results


@pytest.mark.parametrize(
    ('tasks', 'levels', 'shape'),
    [(('a', 'b'), 1, (5, 4)), (('a', 'b'), 3, (7, 5)), (('a', 'b', 'c'), 2, (3, 5))],
)
def test_the_operator_equals_nested_loops(tasks, levels, shape):
    mixing = disturbed(DeformableMixing(4, settings(levels=levels), tasks), 0.6)
    maps = maps_of(tasks, 4, *shape)
    got = mixing(maps)
    for task, expected in by_loops(mixing, maps, levels, 2, 2).items():
        np.testing.assert_allclose(got[task][0].detach().numpy(), expected, atol=2e-6, rtol=0)


def test_gradients_equal_differences():
    mixing = disturbed(DeformableMixing(4, settings(), TASKS), 0.2)
    maps = tuple(bev.requires_grad_() for bev in maps_of(TASKS, 4, 3, 4).values())
    assert torch.autograd.gradcheck(
        lambda *bevs: tuple(mixing(dict(zip(TASKS, bevs, strict=True))).values()),
        maps,
        fast_mode=True,
    )


def test_one_point_without_offset_is_a_pointwise_product():
    mixing = DeformableMixing(4, settings(points=1, levels=1), ('a',)).double()
    torch.nn.init.zeros_(mixing.attention.offsets['a_0'].bias)
    maps = maps_of(('a',), 4, 5, 6)
    x = maps['a'].flatten(2).transpose(1, 2)
    value = x @ mixing.attention.value_proj.weight[..., 0, 0].t()
    torch.testing.assert_close(
        mixing(maps)['a'], value @ mixing.attention.output_proj.weight.t(), atol=2e-6, rtol=0
    )


def test_a_weight_on_the_other_task_copies_its_value_from_the_offset():
    mixing = DeformableMixing(4, settings(points=1, levels=1), ('a', 'b')).double()
    for layer in (mixing.attention.value_proj, mixing.attention.output_proj):
        torch.nn.init.eye_(layer.weight.data.flatten(1))
    mixing.attention.weights['b_0'].bias.data.fill_(80.0)
    mixing.attention.offsets['b_0'].bias.data.copy_(torch.tensor([2.0, -1.0] * 2))  # x, y
    maps = maps_of(('a', 'b'), 4, 6, 7)
    got = mixing(maps)['a'].transpose(1, 2).reshape(1, 4, 6, 7)
    torch.testing.assert_close(got[..., 1:, :5], maps['b'][..., :5, 2:], atol=2e-6, rtol=0)


@pytest.mark.parametrize('kind', InteractionKind)
@pytest.mark.parametrize('across', [True, False])
def test_a_task_sees_the_other_unless_it_is_cut_off(kind, across):
    config = settings(kind=kind, across_tasks=across, steps=2)
    module = disturbed(TaskInteraction(4, (4, 4), config))
    maps = {task: bev.requires_grad_() for task, bev in maps_of(TASKS, 4, 4, 4).items()}
    out = module(maps)
    module.zero_grad()
    (out['detection'] * torch.randn_like(out['detection'])).sum().backward()
    assert maps['detection'].grad.abs().max() > 1e-6
    other = maps['map'].grad
    assert (other.abs().max() > 1e-6) if across else (other is None or not other.any())


def test_swapped_tasks_with_swapped_weights_give_swapped_outputs():
    step = disturbed(InteractionStep(4, settings()))
    maps = maps_of(TASKS, 4, 5, 6)
    before = step(maps)
    weights = {name: tensor.clone() for name, tensor in step.state_dict().items()}
    names = {'detection_': 'map_', 'map_': 'detection_'}
    swapped = {
        name: weights[next((name.replace(a, b) for a, b in names.items() if a in name), name)]
        for name in weights
    }
    step.load_state_dict(swapped)
    after = step({'detection': maps['map'], 'map': maps['detection']})
    torch.testing.assert_close(after['map'], before['detection'])
    torch.testing.assert_close(after['detection'], before['map'])


@pytest.mark.parametrize(('levels', 'shift'), [(1, 1), (2, 2), (3, 4)])
def test_shifted_maps_give_shifted_outputs(levels, shift):
    step = disturbed(InteractionStep(4, settings(levels=levels)), 0.05)
    big = maps_of(TASKS, 4, 56, 60)
    first = step({task: bev[..., :56] for task, bev in big.items()})
    moved = step({task: bev[..., shift : 56 + shift] for task, bev in big.items()})
    for task in TASKS:
        torch.testing.assert_close(
            moved[task][..., 24:30, 24:30],
            first[task][..., 24:30, 24 + shift : 30 + shift],
            atol=2e-5,
            rtol=0,
        )  # float32 references


PAPER = TaskInteractionConfig(points=16, steps=3)


def test_the_formulas_reproduce_the_published_figures():
    cost, tokens = deformable_cost(PAPER, 4, 107, 140, 256), 4 * 107 * 140
    assert global_flops(tokens, 256, 4) == pytest.approx(3.751e12, rel=2e-4)
    assert 2 * cost.attention == pytest.approx(0.131e12, rel=4e-3)
    assert 2 * (cost.attention + cost.pyramid) == pytest.approx(0.158e12, rel=4e-3)
    assert 2 * cost.total == pytest.approx(0.233e12, rel=3e-3)


@pytest.mark.parametrize(
    ('levels', 'points', 'deform', 'pyramid', 'ratio', 'with_pyramid'),
    [
        (3, 16, 41.4, 14.3, 52, 39),
        (3, 8, 26.6, 14.3, 82, 53),
        (2, 8, 21.3, 11.4, 102, 66),
        (3, 4, 19.2, 14.3, 113, 65),
        (1, 16, 20.0, 0.0, 108, 108),
    ],
)
def test_the_table_of_our_setting(levels, points, deform, pyramid, ratio, with_pyramid):
    cost = deformable_cost(TaskInteractionConfig(levels=levels, points=points), 2, 180, 180, 256)
    reference = global_macs(2 * 180 * 180, 256)
    assert reference == pytest.approx(2.167e12, rel=1e-3)
    assert cost.attention / 1e9 == pytest.approx(deform, abs=0.06)
    assert cost.pyramid / 1e9 == pytest.approx(pyramid, abs=0.06)
    assert cost.ffn / 1e9 == pytest.approx(40.6, abs=0.1)
    assert reference / cost.attention == pytest.approx(ratio, abs=0.6)
    assert reference / (cost.attention + cost.pyramid) == pytest.approx(with_pyramid, abs=0.6)


def test_twice_the_cells_cost_twice_and_global_attention_four_times():
    small, large = (deformable_cost(PAPER, 2, 128, w, 256) for w in (128, 256))
    assert large.total == 2 * small.total
    assert global_macs(2, 0) == 0
    square = [global_macs(n, 256) - 4 * n * 256**2 for n in (10_000, 20_000)]
    assert square[1] == 4 * square[0]


@pytest.mark.parametrize('levels', [1, 3])
def test_the_formulas_are_what_the_operators_count(levels):
    config = settings(levels=levels, position=PositionCode.CONCAT)
    width, (rows, columns) = config.width(8), (7, 9)
    maps = {task: torch.randn(1, width, rows, columns) for task in TASKS}
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        InteractionStep(width, config)(maps)
    cost = deformable_cost(config, 2, rows, columns, 8)
    assert counter.get_total_flops() == 2 * (cost.total - cost.sampling)  # GridSample: uncounted
    whole = InteractionStep(width, dataclasses.replace(config, kind=InteractionKind.GLOBAL))
    with (
        FlopCounterMode(display=False) as counter,
        torch.inference_mode(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        whole.mixing(maps)
    assert counter.get_total_flops() == 2 * global_macs(2 * rows * columns, width)


@pytest.mark.parametrize('position', PositionCode)
@pytest.mark.parametrize('stride', [1, 2])
def test_the_interaction_keeps_shapes_and_trains_all_it_has(position, stride):
    torch.manual_seed(0)
    module = TaskInteraction(8, (8, 12), settings(position=position, stride=stride, steps=2))
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    out = module({task: torch.randn(2, 8, 8, 12) for task in TASKS})
    assert {task: tuple(bev.shape) for task, bev in out.items()} == dict.fromkeys(
        TASKS, (2, 8, 8, 12)
    )
    sum((bev * torch.randn_like(bev)).sum() for bev in out.values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_a_fresh_interaction_changes_nothing():
    model = dataclasses.replace(small_model(), task_interaction=settings())
    torch.manual_seed(0)
    plain, network = MetaBev(small_model()).eval(), MetaBev(model).eval()
    loaded = network.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith('fusion.interaction.') for name in loaded.missing_keys)
    fused = torch.randn(2, 16, *model.query_grid.shape)
    with torch.inference_mode():
        expected, got = plain.fusion.heads(fused).named(), network.fusion.heads(fused).named()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


def test_the_position_code_tells_every_cell_of_every_task_apart():
    code = position_code(2 * 6, 5, 24).flatten(1).t()
    distance = torch.cdist(code, code) + 9 * torch.eye(len(code))
    assert code.shape == (60, 24) and distance.min() > 0.1


@pytest.mark.parametrize('parts', [3, 7])
def test_queries_in_parts_give_the_same(parts):
    whole = disturbed(TaskInteraction(4, (5, 6), settings()))
    apart = TaskInteraction(4, (5, 6), settings(query_parts=parts)).double().eval()
    apart.load_state_dict(whole.state_dict())
    maps = maps_of(TASKS, 4, 5, 6)
    for task, bev in whole(maps).items():
        torch.testing.assert_close(apart(maps)[task], bev, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize(
    ('changes', 'where'),
    [
        ({'kind': 'none'}, 'task_interaction.kind'),
        ({'points': 0}, 'model.task_interaction.points'),
        ({'levels': 9}, 'model.task_interaction.levels'),
        ({'heads': 3}, 'model.task_interaction.heads'),
        ({'stride': 3}, 'model.task_interaction.stride'),
        ({'kind': 'global'}, 'model.task_interaction.kind'),
        ({'tasks': ['depth']}, 'task_interaction'),
    ],
)
def test_a_wrong_configuration_is_named_by_its_path(changes, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, {'task_interaction': changes}, 'nano.yaml')
    assert where in str(error.value)


def test_without_interaction_and_experts_nothing_of_the_configuration_changes():
    model = ModelConfig()
    assert model.task_interaction is None and DecoderConfig().adamv is None
    # The hash that the shipped contracts carry.
    assert model.hash.startswith('be273209b7b3d79c')
