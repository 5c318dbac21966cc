"""Mixtures of experts: identities of Algorithm 2 and Eq. 2, routing, and the forms."""

import pytest
import torch

from metabev_ros.config import DecoderConfig, DecoderFfn
from metabev_ros.network.decoder import build_ffn
from metabev_ros.network.expert_forms import ExpertForm, block_count, block_size
from metabev_ros.network.moe import (
    TASKS,
    FeedForward,
    HardExperts,
    RoutedExperts,
    take_balance_loss,
)

TASK_SETS = [('detection',), ('map',), ('detection', 'map')]


def routed(experts=6, used=2, seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return RoutedExperts(12, 24, dropout, experts, used).double()


def tokens(count=40, seed=1):
    torch.manual_seed(seed)
    return torch.randn(2, count, 12, dtype=torch.float64)


@pytest.mark.parametrize('tasks', TASK_SETS)
def test_check_4_rm2oe_with_one_expert_is_a_plain_ffn(tasks):
    moe = routed(experts=1, used=1)
    x = tokens()
    assert torch.equal(moe(x, tasks), moe.experts[0](x))
    torch.testing.assert_close(
        moe.wide(x[0], torch.ones(40, 1).double()), moe.experts[0](x[0]), atol=1e-14, rtol=1e-14
    )


@pytest.mark.parametrize('task', TASKS)
def test_check_4_hm2oe_with_one_task_is_that_tasks_ffn(task):
    torch.manual_seed(0)
    moe = HardExperts(12, 24, 0.0).double()
    x = tokens()
    assert torch.equal(moe(x, (task,)), moe.experts[task](x))


def test_hm2oe_with_both_tasks_is_the_norm_of_a_linear_of_both():
    torch.manual_seed(0)
    moe = HardExperts(12, 24, 0.0).double()
    x = tokens()
    both = torch.cat([moe.experts['detection'](x), moe.experts['map'](x)], -1)
    fused = both @ moe.fuse.weight.t() + moe.fuse.bias
    mean, variance = fused.mean(-1, keepdim=True), fused.var(-1, keepdim=True, unbiased=False)
    expected = (fused - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(moe(x), expected)
    torch.testing.assert_close(moe(x, ('map', 'detection')), expected)  # the order is no matter


@pytest.mark.parametrize('used', [1, 2, 3, 6])
@pytest.mark.parametrize('task', TASKS)
def test_check_5_exactly_t_experts_are_active_for_every_token_and_task(task, used):
    moe = routed(used=used)
    gate, probability = moe.gates(tokens()[0], task)
    assert ((gate > 0).sum(-1) == used).all()
    best = probability.topk(used, -1).values.min(-1, keepdim=True).values
    assert ((gate > 0) == (probability >= best)).all()  # and they are the most probable
    if used > 1:
        torch.testing.assert_close(gate.sum(-1), torch.ones(40, dtype=torch.float64))


def test_check_5_ties_still_activate_exactly_t_experts():
    moe = routed()
    for router in moe.routers.values():
        torch.nn.init.zeros_(router.weight)
    assert ((moe.gates(tokens()[0], 'map')[0] > 0).sum(-1) == 2).all()


def test_routed_output_is_the_definition_token_by_token():
    moe = routed()
    x = tokens()[0]
    expected = torch.zeros_like(x)
    for row, token in enumerate(x):
        for task in TASKS:
            p = (moe.routers[task].weight @ token).softmax(0)
            chosen = p.argsort(descending=True)[:2]
            for i in chosen:
                expected[row] += 0.5 * p[i] / p[chosen].sum() * moe.experts[i](token)
    torch.testing.assert_close(moe(x), expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize('tasks', TASK_SETS)
@pytest.mark.parametrize(('experts', 'used'), [(6, 2), (6, 1), (3, 3)])
def test_the_wide_form_equals_the_dispatched_form_in_value_and_gradient(experts, used, tasks):
    results = []
    for form in ('dispatched', 'wide'):
        moe = routed(experts, used)
        x = tokens()[0].requires_grad_()
        gate = torch.stack([moe.gates(x, task)[0] for task in tasks]).mean(0)
        out = getattr(moe, form)(x, gate)
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in moe.parameters() if p.grad is not None)])
    assert len(results[0]) == len(results[1])
    for dispatched, wide in zip(*results, strict=True):
        torch.testing.assert_close(dispatched, wide, atol=1e-12, rtol=1e-12)


def test_dispatching_runs_an_expert_on_its_own_tokens_only():
    moe = routed(experts=4, used=1)
    x = tokens()[0]
    gate, _ = moe.gates(x, 'map')
    seen = [0] * 4
    for i, expert in enumerate(moe.experts):
        expert.register_forward_hook(
            lambda module, given, out, i=i: seen.__setitem__(i, len(given[0]))
        )
    moe(x, ('map',))
    assert seen == (gate > 0).sum(0).tolist() and sum(seen) == len(x)


@pytest.mark.parametrize('used', [1, 2])
def test_gradients_reach_the_routers_of_the_active_tasks_only(used):
    moe = routed(used=used)
    (moe(tokens(), ('map',)) * tokens(seed=3)).sum().backward()
    assert moe.routers['map'].weight.grad.abs().sum() > 0
    assert moe.routers['detection'].weight.grad is None
    (moe(tokens()) * tokens(seed=3)).sum().backward()
    assert moe.routers['detection'].weight.grad.abs().sum() > 0


def test_an_expert_without_tokens_has_a_zero_gradient_not_none():
    moe = routed(experts=3, used=1)
    x = tokens().abs()  # with this router all choose expert 0
    for router in moe.routers.values():
        router.weight.data = torch.tensor([[1.0], [-1.0], [-1.0]]).double().expand(3, 12).clone()
    moe(x).sum().backward()
    assert moe.experts[0][0].weight.grad.abs().sum() > 0
    for expert in moe.experts[1:]:
        assert all(torch.count_nonzero(p.grad) == 0 for p in expert.parameters())


def test_the_balance_loss_is_one_for_even_use_and_e_for_a_single_expert():
    moe = routed(experts=4, used=1).train()
    x = torch.eye(12, dtype=torch.float64)  # token k chooses expert k mod 4, surely
    for router in moe.routers.values():
        router.weight.data = 100.0 * torch.eye(4).double().repeat(1, 3)
    moe(x)
    torch.testing.assert_close(take_balance_loss(moe), torch.tensor(1.0).double())
    for router in moe.routers.values():
        router.weight.data = 100.0 * torch.tensor([[1.0], [0], [0], [0]]).double().expand(4, 12)
    moe(x)
    loss = take_balance_loss(moe)
    torch.testing.assert_close(loss, torch.tensor(4.0).double())
    assert take_balance_loss(moe) is None  # taken
    moe.eval()(x)
    assert take_balance_loss(moe) is None  # not in evaluation


def test_the_balance_loss_pulls_the_router_towards_even_use():
    moe = routed(experts=4, used=1).train()
    moe(tokens(), ('map',))
    take_balance_loss(moe).backward()
    assert moe.routers['map'].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in moe.experts.parameters())


def test_under_autocast_the_routing_stays_in_float32():
    torch.manual_seed(0)
    moe = RoutedExperts(12, 24, 0.0, 4, 2)
    with torch.autocast('cpu', torch.bfloat16):
        gate, _ = moe.gates(torch.randn(5, 12), 'map')
        out = moe(torch.randn(2, 5, 12))
    assert gate.dtype is torch.float32 and out.dtype is torch.float32


@pytest.mark.parametrize(
    'moe', [FeedForward(12, 24, 0.5), HardExperts(12, 24, 0.5), RoutedExperts(12, 24, 0.5, 4, 2)]
)
def test_dropout_acts_in_training_only(moe):
    x = torch.randn(50, 12)
    assert not torch.equal(moe.train()(x), moe(x))
    assert torch.equal(moe.eval()(x), moe(x))


@pytest.mark.parametrize(
    ('ffn', 'kind'),
    [
        (DecoderFfn.MLP, FeedForward),
        (DecoderFfn.HM2OE, HardExperts),
        (DecoderFfn.RM2OE, RoutedExperts),
    ],
)
def test_the_configuration_names_the_feed_forward_part(ffn, kind):
    built = build_ffn(DecoderConfig(ffn=ffn, channels=16, ffn_ratio=3))
    assert isinstance(built, kind)
    assert built(torch.randn(2, 5, 16)).shape == (2, 5, 16)
    weights = [p for p in built.parameters() if p.shape == (48, 16)]
    assert len(weights) == {FeedForward: 1, HardExperts: 2, RoutedExperts: 8}[kind]


def test_a_traced_network_holds_the_wide_form_unless_the_export_says_otherwise():
    moe = routed().float().eval()
    x = torch.randn(30, 12)
    program = torch.export.export(moe, (x,))
    names = {str(node.target) for node in program.graph.nodes}
    assert not any('nonzero' in n or 'index_add' in n or 'scatter' in n for n in names), names
    torch.testing.assert_close(program.module()(x), moe(x), atol=1e-6, rtol=1e-5)


GRAPH_FORMS = [ExpertForm.NONZERO, ExpertForm.DENSE, ExpertForm.BLOCKS]


@pytest.mark.parametrize('form', GRAPH_FORMS)
@pytest.mark.parametrize(('experts', 'used'), [(8, 2), (6, 1), (3, 3), (1, 1)])
def test_every_form_for_graphs_equals_the_dispatched_one(experts, used, form):
    moe, x = routed(experts, used).float().eval(), tokens(77).float()
    expected = moe(x)
    moe.form = form
    torch.testing.assert_close(moe(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('form', GRAPH_FORMS)
@pytest.mark.parametrize(
    'loads', [[40, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 38, 0, 0, 1], [5, 5, 5, 5, 5, 5, 5, 5]]
)
def test_no_token_is_lost_however_uneven_the_experts_are_used(loads, form):
    moe, x = routed(8, 1).float().eval(), tokens(20).float()
    gate = torch.nn.functional.one_hot(torch.repeat_interleave(torch.tensor(loads)), 8).float()
    expected = moe.dispatched(x.flatten(0, 1), gate)
    moe.form = form
    torch.testing.assert_close(
        moe.mixtures(x.flatten(0, 1), [gate])[0], expected, atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize('form', GRAPH_FORMS)
def test_gates_that_are_all_zero_give_zero(form):
    moe, x = routed(8, 2).float().eval(), tokens(20).float().flatten(0, 1)
    moe.form = form
    assert (moe.mixtures(x, [torch.zeros(40, 8)])[0] == 0).all()


def test_blocks_hold_every_distribution():
    rng = torch.Generator().manual_seed(0)
    for assignments, experts in ((129600, 8), (77, 8), (3, 16), (1000, 6)):
        size = block_size(assignments, experts)
        blocks = block_count(assignments, experts, size)
        for _ in range(50):
            cuts = torch.randint(0, assignments + 1, (experts - 1,), generator=rng).sort().values
            ends = torch.cat([torch.tensor([0]), cuts, torch.tensor([assignments])])
            assert int(((ends.diff() + size - 1) // size).sum()) <= blocks
    assert block_size(129600, 8) == 2048 and block_count(129600, 8, 2048) == 72
