"""Inter-task self-attention in training: rates, initial offsets, what it can learn."""

import dataclasses
import itertools
import math

import numpy as np
import torch
from support.interaction_cases import disturbed, settings
from support.small_networks import small_model

from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.step import parameter_groups
from metabev_ros.network.interaction import (
    DeformableMixing,
    InteractionStep,
    take_offset_statistics,
    watch_offsets,
)
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS


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


def test_scaled_gradients_act_under_sgd_and_not_under_adamw():
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
    for (name, a), b in zip(
        one_step(1, adamw)[2].items(), one_step(100, adamw)[2].values(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6, msg=name)


def test_the_offsets_own_rate_leaves_all_other_updates_alone_behind_a_clip():
    model = dataclasses.replace(small_model(), task_interaction=settings())
    torch.manual_seed(0)
    network = MetaBev(model)
    first, second = (
        parameter_groups(network, TrainingConfig(interaction_offset_rate=rate))
        for rate in (1.0, 10.0)
    )
    assert [len(group['params']) for group in first] == [len(g['params']) for g in second]
    assert [g['rate_factor'] for g in second] == [1.0, 10.0]
    assert second[1]['weight_decay'] == 0.0 < second[0]['weight_decay']
    assert len(second[1]['params']) == 2 * 2 * 2  # weight and bias per map
    assert len(parameter_groups(MetaBev(small_model()), TrainingConfig())) == 1

    def adamw(factor):
        return lambda module: torch.optim.AdamW(groups_of(module, factor), weight_decay=0)

    slow, fast = one_step(1, adamw(1), clip=0.1)[2], one_step(1, adamw(10), clip=0.1)[2]
    for name, step in slow.items():
        if '.offsets.' in name:
            torch.testing.assert_close(fast[name], 10 * step, rtol=1e-3, atol=1e-6)
        else:
            assert torch.equal(fast[name], step)


def test_offsets_begin_as_rings_and_weights_uniform():
    heads, points, levels = 4, 3, 2
    mixing = DeformableMixing(8, settings(heads=heads, points=points, levels=levels), TASKS)
    directions = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    for layer in mixing.attention.offsets.values():
        assert not layer.weight.any()
        got = layer.bias.detach().reshape(heads, points, 2).numpy()
        for m, p in itertools.product(range(heads), range(points)):
            np.testing.assert_allclose(got[m, p], np.array(directions[m]) * (p + 1), atol=1e-6)
    weights = mixing.attention.attention_weights(
        torch.randn(1, 5, 8), list(mixing.attention.offsets)
    )
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / (2 * levels * points)))


def wave_fields(count, size, generator):
    """(count, 1, size, size): sums of six waves 8 to 20 cells long, variance one."""
    angle, rate, phase = (torch.rand(count, 6, 1, 1, generator=generator) for _ in range(3))
    angle, rate, phase = angle * 2 * math.pi, 2 * math.pi / (8 + 12 * rate), phase * 2 * math.pi
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij')
    waves = rate * (angle.cos() * x + angle.sin() * y) + phase
    return waves.sin().sum(1, keepdim=True) / 3**0.5


def learn_shift(learns_offsets):
    """The map's label at a cell is detection's feature 5 cells in x and -3 in y from there."""
    torch.manual_seed(0)
    mixing = DeformableMixing(4, settings(heads=1, points=4, levels=1), TASKS)
    for layer in (mixing.attention.value_proj, mixing.attention.output_proj):
        torch.nn.init.eye_(layer.weight.data.flatten(1))  # the wrong sign would mute the task
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


def test_the_offsets_learn_a_shift_that_fixed_offsets_cannot_give():
    loss, mixing = learn_shift(True)
    stuck, _ = learn_shift(False)
    assert loss < 1e-2 and stuck > 0.1
    query = torch.ones(1, 1, 4)
    weight = mixing.attention.attention_weights(query, list(mixing.attention.offsets))
    weight = weight[0, 0, 0, :4]  # of detection's map
    places = mixing.attention.offsets['detection_0'](query).reshape(4, 2)
    mean = (weight[:, None] * places).sum(0) / weight.sum()
    torch.testing.assert_close(mean, torch.tensor([5.0, -3.0]), atol=0.3, rtol=0)


def test_the_watch_measures_how_far_offsets_went_and_what_fell_off_the_map():
    mixing = DeformableMixing(4, settings(heads=1, points=1, levels=1), ('a',))
    torch.nn.init.constant_(mixing.attention.offsets['a_0'].bias, 0.0)  # the ring was (1, 0)
    maps = {'a': torch.randn(1, 4, 8, 8)}
    mixing(maps)
    assert take_offset_statistics(mixing) == {}
    watch_offsets(mixing)
    mixing(maps)
    assert take_offset_statistics(mixing) == {'offsets_moved': 1.0, 'offsets_outside': 0.0}
    mixing.attention.offsets['a_0'].bias.data[0] = 4.0  # half of the map is left
    watch_offsets(mixing)
    mixing(maps)
    assert take_offset_statistics(mixing) == {'offsets_moved': 3.0, 'offsets_outside': 0.5}
