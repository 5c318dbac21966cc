"""Inter-task self-attention, numbered as in the specification (I1 to I9)."""
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from small_networks import small_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config import (
    DecoderConfig,
    InteractionKind,
    ModelConfig,
    PositionCode,
    TaskInteractionConfig,
)
from metabev_ros.config.plain import from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.evaluation.interaction_cost import (
    deformable_cost,
    global_flops,
    global_macs,
)
from metabev_ros.network.interaction import (
    DeformableMixing,
    InteractionStep,
    TaskInteraction,
    position_code,
    take_offset_statistics,
    watch_offsets,
)
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS
from metabev_ros.training.config import TrainingConfig
from metabev_ros.training.optimiser import parameter_groups


def settings(**changes):
    return TaskInteractionConfig(**{'heads': 2, 'points': 2, 'levels': 2, 'ffn_ratio': 2,
                                    'dropout': 0.0, 'position': PositionCode.NONE, **changes})


def disturbed(module, amount=0.3, seed=0):
    """Away from the initial state, whose zero weights hide what is wired where."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += amount * torch.randn_like(parameter)
    return module.double().eval()


def maps_of(tasks, channels, rows, columns, seed=1, batch=1):
    torch.manual_seed(seed)
    return {task: torch.randn(batch, channels, rows, columns, dtype=torch.float64)
            for task in tasks}


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
    values = {name: value[0].detach().numpy() for task, bev in maps.items()
              for name, value in mixing.values(task, bev).items()}
    results = {}
    for task, bev in maps.items():
        rows, columns = bev.shape[-2:]
        out = np.zeros((rows * columns, bev.shape[1]))
        for y, x in itertools.product(range(rows), range(columns)):
            query = bev[0, :, y, x]
            logits = np.stack([layer(query).detach().numpy().reshape(heads, points)
                               for layer in attention.weights.values()], 1)
            share = np.exp(logits) / np.exp(logits).sum((1, 2), keepdims=True)
            for m in range(heads):
                for i, (name, value) in enumerate(values.items()):
                    offset = attention.offsets[name](query).detach().numpy().reshape(
                        heads, points, 2)
                    h, w = value.shape[1:]
                    part = value.reshape(heads, -1, h, w)[m]
                    for p in range(points):
                        px = (x + .5) / columns * w + offset[m, p, 0] - .5
                        py = (y + .5) / rows * h + offset[m, p, 1] - .5
                        width = len(part)
                        out[y * columns + x, m * width:(m + 1) * width] += (
                            share[m, i, p] * sampled(part, px, py))
        results[task] = attention.output_proj(torch.from_numpy(out)).detach().numpy()
    return results


@pytest.mark.parametrize(('tasks', 'levels', 'shape'), [
    (('a', 'b'), 1, (5, 4)), (('a', 'b'), 3, (7, 5)), (('a', 'b', 'c'), 2, (3, 5))])
def test_i1_the_operator_equals_nested_loops(tasks, levels, shape):
    mixing = disturbed(DeformableMixing(4, settings(levels=levels), tasks), 0.6)
    maps = maps_of(tasks, 4, *shape)
    got = mixing(maps)
    for task, expected in by_loops(mixing, maps, levels, 2, 2).items():
        np.testing.assert_allclose(got[task][0].detach().numpy(), expected, atol=2e-6, rtol=0)


def test_i1_gradients_equal_differences():
    mixing = disturbed(DeformableMixing(4, settings(), TASKS), 0.2)
    maps = tuple(bev.requires_grad_() for bev in maps_of(TASKS, 4, 3, 4).values())
    assert torch.autograd.gradcheck(
        lambda *bevs: tuple(mixing(dict(zip(TASKS, bevs, strict=True))).values()), maps,
        fast_mode=True)


def test_i2_one_point_without_offset_is_a_pointwise_product():
    mixing = DeformableMixing(4, settings(points=1, levels=1), ('a',)).double()
    torch.nn.init.zeros_(mixing.attention.offsets['a_0'].bias)
    maps = maps_of(('a',), 4, 5, 6)
    x = maps['a'].flatten(2).transpose(1, 2)
    value = x @ mixing.attention.value_proj.weight[..., 0, 0].t()
    torch.testing.assert_close(mixing(maps)['a'], value @ mixing.attention.output_proj.weight.t(),
                               atol=2e-6, rtol=0)


def test_i2_a_weight_on_the_other_task_copies_its_value_from_the_offset():
    mixing = DeformableMixing(4, settings(points=1, levels=1), ('a', 'b')).double()
    for layer in (mixing.attention.value_proj, mixing.attention.output_proj):
        torch.nn.init.eye_(layer.weight.data.flatten(1))
    mixing.attention.weights['b_0'].bias.data.fill_(80.0)
    mixing.attention.offsets['b_0'].bias.data.copy_(torch.tensor([2.0, -1.0] * 2))   # x, y
    maps = maps_of(('a', 'b'), 4, 6, 7)
    got = mixing(maps)['a'].transpose(1, 2).reshape(1, 4, 6, 7)
    torch.testing.assert_close(got[..., 1:, :5], maps['b'][..., :5, 2:], atol=2e-6, rtol=0)


@pytest.mark.parametrize('kind', InteractionKind)
@pytest.mark.parametrize('across', [True, False])
def test_i3_a_task_sees_the_other_unless_it_is_cut_off(kind, across):
    config = settings(kind=kind, across_tasks=across, steps=2)
    module = disturbed(TaskInteraction(4, (4, 4), config))
    maps = {task: bev.requires_grad_() for task, bev in maps_of(TASKS, 4, 4, 4).items()}
    out = module(maps)
    module.zero_grad()
    (out['detection'] * torch.randn_like(out['detection'])).sum().backward()
    assert maps['detection'].grad.abs().max() > 1e-6
    other = maps['map'].grad
    assert (other.abs().max() > 1e-6) if across else (other is None or not other.any())


def test_i4_swapped_tasks_with_swapped_weights_give_swapped_outputs():
    step = disturbed(InteractionStep(4, settings()))
    maps = maps_of(TASKS, 4, 5, 6)
    before = step(maps)
    weights = {name: tensor.clone() for name, tensor in step.state_dict().items()}
    names = {'detection_': 'map_', 'map_': 'detection_'}
    swapped = {name: weights[next((name.replace(a, b) for a, b in names.items() if a in name),
                                  name)] for name in weights}
    step.load_state_dict(swapped)
    after = step({'detection': maps['map'], 'map': maps['detection']})
    torch.testing.assert_close(after['map'], before['detection'])
    torch.testing.assert_close(after['detection'], before['map'])


@pytest.mark.parametrize(('levels', 'shift'), [(1, 1), (2, 2), (3, 4)])
def test_i5_shifted_maps_give_shifted_outputs(levels, shift):
    step = disturbed(InteractionStep(4, settings(levels=levels)), 0.05)
    big = maps_of(TASKS, 4, 56, 60)
    first = step({task: bev[..., :56] for task, bev in big.items()})
    moved = step({task: bev[..., shift:56 + shift] for task, bev in big.items()})
    for task in TASKS:
        torch.testing.assert_close(moved[task][..., 24:30, 24:30],
                                   first[task][..., 24:30, 24 + shift:30 + shift],
                                   atol=2e-5, rtol=0)                   # float32 references


PAPER = TaskInteractionConfig(points=16, steps=3)


def test_i6_the_formulas_reproduce_the_published_figures():
    cost, tokens = deformable_cost(PAPER, 4, 107, 140, 256), 4 * 107 * 140
    assert global_flops(tokens, 256, 4) == pytest.approx(3.751e12, rel=2e-4)
    assert 2 * cost.attention == pytest.approx(0.131e12, rel=4e-3)
    assert 2 * (cost.attention + cost.pyramid) == pytest.approx(0.158e12, rel=4e-3)
    assert 2 * cost.total == pytest.approx(0.233e12, rel=3e-3)


@pytest.mark.parametrize(('levels', 'points', 'deform', 'pyramid', 'ratio', 'with_pyramid'), [
    (3, 16, 41.4, 14.3, 52, 39), (3, 8, 26.6, 14.3, 82, 53), (2, 8, 21.3, 11.4, 102, 66),
    (3, 4, 19.2, 14.3, 113, 65), (1, 16, 20.0, 0.0, 108, 108)])
def test_i6_the_table_of_our_setting(levels, points, deform, pyramid, ratio, with_pyramid):
    cost = deformable_cost(TaskInteractionConfig(levels=levels, points=points), 2, 180, 180, 256)
    reference = global_macs(2 * 180 * 180, 256)
    assert reference == pytest.approx(2.167e12, rel=1e-3)
    assert cost.attention / 1e9 == pytest.approx(deform, abs=0.06)
    assert cost.pyramid / 1e9 == pytest.approx(pyramid, abs=0.06)
    assert cost.ffn / 1e9 == pytest.approx(40.6, abs=0.1)
    assert reference / cost.attention == pytest.approx(ratio, abs=0.6)
    assert reference / (cost.attention + cost.pyramid) == pytest.approx(with_pyramid, abs=0.6)


def test_i6_twice_the_cells_cost_twice_and_global_attention_four_times():
    small, large = (deformable_cost(PAPER, 2, 128, w, 256) for w in (128, 256))
    assert large.total == 2 * small.total
    assert global_macs(2, 0) == 0
    square = [global_macs(n, 256) - 4 * n * 256 ** 2 for n in (10_000, 20_000)]
    assert square[1] == 4 * square[0]


@pytest.mark.parametrize('levels', [1, 3])
def test_i6_the_formulas_are_what_the_operators_count(levels):
    config = settings(levels=levels, position=PositionCode.CONCAT)
    width, (rows, columns) = config.width(8), (7, 9)
    maps = {task: torch.randn(1, width, rows, columns) for task in TASKS}
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        InteractionStep(width, config)(maps)
    cost = deformable_cost(config, 2, rows, columns, 8)
    assert counter.get_total_flops() == 2 * (cost.total - cost.sampling)    # GridSample: uncounted
    whole = InteractionStep(width, dataclasses.replace(config, kind=InteractionKind.GLOBAL))
    with (FlopCounterMode(display=False) as counter, torch.inference_mode(),
          sdpa_kernel(SDPBackend.MATH)):
        whole.mixing(maps)
    assert counter.get_total_flops() == 2 * global_macs(2 * rows * columns, width)


def scaled_gradients(module, factor):
    """The paper's way: gradients of the offsets times lambda."""
    for name, parameter in module.named_parameters():
        if '.offsets.' in name:
            parameter.register_hook(lambda g: g * factor)


def one_step(factor, make_optimiser, clip=None):
    """Output, gradients and steps of one training step with scaled gradients."""
    torch.manual_seed(0)
    module = disturbed(InteractionStep(4, settings()), 0.1).float().train()
    scaled_gradients(module, factor)
    torch.manual_seed(5)
    maps = {task: torch.randn(1, 4, 5, 6) for task in TASKS}
    out = module(maps)
    sum((bev * torch.randn_like(bev)).sum() for bev in out.values()).backward()
    grads = {name: p.grad.clone() for name, p in module.named_parameters()}
    if clip:
        torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    make_optimiser(module).step()
    steps = {name: p.detach() - before[name] for name, p in module.named_parameters()}
    return out, grads, steps


def groups_of(module, factor):
    offsets = [p for name, p in module.named_parameters() if '.offsets.' in name]
    rest = [p for name, p in module.named_parameters() if '.offsets.' not in name]
    return [{'params': rest, 'lr': 1e-2}, {'params': offsets, 'lr': 1e-2 * factor}]


def test_i7_scaled_gradients_act_under_sgd_and_not_under_adamw():
    def sgd(module):
        return torch.optim.SGD(groups_of(module, 1))

    def adamw(module):
        return torch.optim.AdamW(groups_of(module, 1), eps=1e-12)
    plain, scaled = one_step(1, sgd), one_step(100, sgd)
    faster = one_step(1, lambda module: torch.optim.SGD(groups_of(module, 100)))
    for task in TASKS:
        assert torch.equal(plain[0][task], scaled[0][task])
    for name, gradient in plain[1].items():
        assert torch.equal(scaled[1][name], gradient * (100 if '.offsets.' in name else 1))
        torch.testing.assert_close(scaled[2][name], faster[2][name], rtol=1e-4, atol=1e-6)
    for (name, a), b in zip(one_step(1, adamw)[2].items(), one_step(100, adamw)[2].values(),
                            strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6, msg=name)


def test_i7_the_offsets_own_rate_leaves_all_other_updates_alone_behind_a_clip():
    model = dataclasses.replace(small_model(), task_interaction=settings())
    torch.manual_seed(0)
    network = MetaBev(model)
    first, second = (parameter_groups(network, TrainingConfig(interaction_offset_rate=rate))
                     for rate in (1.0, 10.0))
    assert [len(group['params']) for group in first] == [len(g['params']) for g in second]
    assert [g['rate_factor'] for g in second] == [1.0, 10.0]
    assert second[1]['weight_decay'] == 0.0 < second[0]['weight_decay']
    assert len(second[1]['params']) == 2 * 2 * 2                        # weight and bias per map
    assert len(parameter_groups(MetaBev(small_model()), TrainingConfig())) == 1

    def adamw(factor):
        return lambda module: torch.optim.AdamW(groups_of(module, factor), weight_decay=0)
    slow, fast = one_step(1, adamw(1), clip=0.1)[2], one_step(1, adamw(10), clip=0.1)[2]
    for name, step in slow.items():
        if '.offsets.' in name:
            torch.testing.assert_close(fast[name], 10 * step, rtol=1e-3, atol=1e-6)
        else:
            assert torch.equal(fast[name], step)


def test_i8_offsets_begin_as_rings_and_weights_uniform():
    heads, points, levels = 4, 3, 2
    mixing = DeformableMixing(8, settings(heads=heads, points=points, levels=levels), TASKS)
    directions = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    for layer in mixing.attention.offsets.values():
        assert not layer.weight.any()
        got = layer.bias.detach().reshape(heads, points, 2).numpy()
        for m, p in itertools.product(range(heads), range(points)):
            np.testing.assert_allclose(got[m, p], np.array(directions[m]) * (p + 1), atol=1e-6)
    weights = mixing.attention.attention_weights(torch.randn(1, 5, 8),
                                                 list(mixing.attention.offsets))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / (2 * levels * points)))


def wave_fields(count, size, generator):
    """(count, 1, size, size): sums of six waves 8 to 20 cells long, variance one."""
    angle, rate, phase = (torch.rand(count, 6, 1, 1, generator=generator) for _ in range(3))
    angle, rate, phase = angle * 2 * math.pi, 2 * math.pi / (8 + 12 * rate), phase * 2 * math.pi
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij')
    waves = rate * (angle.cos() * x + angle.sin() * y) + phase
    return waves.sin().sum(1, keepdim=True) / 3 ** 0.5


def learn_shift(learns_offsets):
    """The map's label at a cell is detection's feature 5 cells in x and -3 in y from there."""
    torch.manual_seed(0)
    mixing = DeformableMixing(4, settings(heads=1, points=4, levels=1), TASKS)
    for layer in (mixing.attention.value_proj, mixing.attention.output_proj):
        torch.nn.init.eye_(layer.weight.data.flatten(1))    # the wrong sign would mute the task
    for layer in mixing.attention.offsets.values():
        layer.requires_grad_(learns_offsets)
    optimiser = torch.optim.Adam([p for p in mixing.parameters() if p.requires_grad], 5e-2)
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(120):
        fields = wave_fields(4, 20, generator)
        feature = torch.cat([fields, torch.zeros(4, 3, 20, 20)], 1)
        out = mixing({'detection': feature, 'map': torch.ones_like(feature)})['map']
        out = out.transpose(1, 2).reshape(4, 4, 20, 20)[:, :1]
        loss = (out[..., 3:, :15] - fields[..., :17, 5:]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return np.mean(losses[-10:]), mixing


def test_i9_the_offsets_learn_a_shift_that_fixed_offsets_cannot_give():
    loss, mixing = learn_shift(True)
    stuck, _ = learn_shift(False)
    assert loss < 1e-2 and stuck > 0.1
    query = torch.ones(1, 1, 4)
    weight = mixing.attention.attention_weights(query, list(mixing.attention.offsets))
    weight = weight[0, 0, 0, :4]                                        # of detection's map
    places = mixing.attention.offsets['detection_0'](query).reshape(4, 2)
    mean = (weight[:, None] * places).sum(0) / weight.sum()
    torch.testing.assert_close(mean, torch.tensor([5.0, -3.0]), atol=0.3, rtol=0)


def test_the_watch_measures_how_far_offsets_went_and_what_fell_off_the_map():
    mixing = DeformableMixing(4, settings(heads=1, points=1, levels=1), ('a',))
    torch.nn.init.constant_(mixing.attention.offsets['a_0'].bias, 0.0)      # the ring was (1, 0)
    maps = {'a': torch.randn(1, 4, 8, 8)}
    mixing(maps)
    assert take_offset_statistics(mixing) == {}
    watch_offsets(mixing)
    mixing(maps)
    assert take_offset_statistics(mixing) == {'offsets_moved': 1.0, 'offsets_outside': 0.0}
    mixing.attention.offsets['a_0'].bias.data[0] = 4.0                  # half of the map is left
    watch_offsets(mixing)
    mixing(maps)
    assert take_offset_statistics(mixing) == {'offsets_moved': 3.0, 'offsets_outside': 0.5}


@pytest.mark.parametrize('position', PositionCode)
@pytest.mark.parametrize('stride', [1, 2])
def test_the_interaction_keeps_shapes_and_trains_all_it_has(position, stride):
    torch.manual_seed(0)
    module = TaskInteraction(8, (8, 12), settings(position=position, stride=stride, steps=2))
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    out = module({task: torch.randn(2, 8, 8, 12) for task in TASKS})
    assert {task: tuple(bev.shape) for task, bev in out.items()} == dict.fromkeys(
        TASKS, (2, 8, 8, 12))
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
def test_i10_queries_in_parts_give_the_same(parts):
    whole = disturbed(TaskInteraction(4, (5, 6), settings()))
    apart = TaskInteraction(4, (5, 6), settings(query_parts=parts)).double().eval()
    apart.load_state_dict(whole.state_dict())
    maps = maps_of(TASKS, 4, 5, 6)
    for task, bev in whole(maps).items():
        torch.testing.assert_close(apart(maps)[task], bev, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize(('changes', 'where'), [
    ({'kind': 'none'}, 'task_interaction.kind'), ({'points': 0}, 'model.task_interaction.points'),
    ({'levels': 9}, 'model.task_interaction.levels'),
    ({'heads': 3}, 'model.task_interaction.heads'),
    ({'stride': 3}, 'model.task_interaction.stride'),
    ({'kind': 'global'}, 'model.task_interaction.kind'),
    ({'tasks': ['depth']}, 'task_interaction')])
def test_a_wrong_configuration_is_named_by_its_path(changes, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, {'task_interaction': changes}, 'nano.yaml')
    assert where in str(error.value)


def test_without_interaction_and_experts_nothing_of_the_configuration_changes():
    model = ModelConfig()
    assert model.task_interaction is None and DecoderConfig().adamv is None
    # The hash that the shipped contracts carry.
    assert model.hash.startswith('be273209b7b3d79c')
