"""AdaMV-MoE: layer, losses and routing (Chen et al., ICCV 2023)."""

import numpy as np
import onnxruntime
import pytest
import torch

from metabev_ros.config import AdamvConfig, DecoderConfig, DecoderFfn, TaskExperts, TaskStream
from metabev_ros.config.yaml import from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.network.adamv import (
    AdaptiveExperts,
    experts_used,
    importance_loss,
    keep_largest,
    load_loss,
    take_routing_losses,
    use_experts,
)
from metabev_ros.network.decoder import build_ffn
from metabev_ros.network.moe import TASKS

D, HIDDEN = 12, 10


def layer_of(experts=6, used=(2, 3), seed=0, splits=True, **config):
    torch.manual_seed(seed)
    layer = AdaptiveExperts(
        D, HIDDEN, 0.0, experts, AdamvConfig(TaskExperts(*used), **config), splits
    ).double()
    for parameter in layer.experts.parameters():  # equal experts would hide the routing
        parameter.data += 0.5 * torch.randn_like(parameter)
    return layer.eval()


def tokens(count=30, seed=1, batch=2):
    torch.manual_seed(seed)
    return torch.randn(batch, count, D, dtype=torch.float64)


def by_definition(layer, x, task, used):
    """Section 1.1, token by token and expert by expert."""
    rows = []
    for token in x.reshape(-1, D):
        p = (layer.routers[task].weight @ token).softmax(0)
        kept = sorted(range(len(p)), key=lambda i: (-p[i].item(), i))[:used]
        rows.append(sum(p[i] * layer.experts[i](token) for i in kept))
    return torch.stack(rows).reshape(x.shape)


@pytest.mark.parametrize('used', [1, 2, 4])
def test_dispatched_wide_and_the_double_loop_agree_with_all_gradients(used):
    results = []
    for form in ('loop', 'dispatched', 'wide'):
        layer, x = layer_of(4, (used, used)), tokens(12).requires_grad_()
        if form == 'loop':
            y = by_definition(layer, x, 'map', used)
        else:
            gate = layer.gates(x, 'map').flatten(0, 1)
            y = getattr(layer, form)(x.flatten(0, 1), gate).reshape(x.shape)
        y.square().sum().backward()
        grads = {
            name: p.grad
            for name, p in layer.named_parameters()
            if name.startswith('experts') or name == 'routers.map.weight'
        }
        results.append([y, x.grad, *(torch.zeros(1) if g is None else g for g in grads.values())])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(
                *torch.broadcast_tensors(a, b), atol=1e-10, rtol=1e-10, check_dtype=False
            )


def test_the_layer_gives_each_task_its_own_mixture():
    layer, x = layer_of(), tokens()
    for task, used, y in zip(TASKS, (2, 3), layer.outputs(x), strict=True):
        torch.testing.assert_close(y, by_definition(layer, x, task, used), atol=1e-12, rtol=1e-12)
    merging = layer_of(splits=False)
    torch.testing.assert_close(
        merging(x), merging.norm(merging.fuse(torch.cat(merging.outputs(x), -1)))
    )
    assert torch.equal(merging(x, ('map',)), merging.outputs(x, ('map',))[0])


def test_all_experts_are_the_full_mixture_and_one_expert_is_a_plain_ffn():
    layer, x = layer_of(5, (5, 5)), tokens()
    p = (x @ layer.routers['detection'].weight.t()).softmax(-1)
    full = sum(p[..., i, None] * expert(x) for i, expert in enumerate(layer.experts))
    torch.testing.assert_close(layer.outputs(x)[0], full, atol=1e-12, rtol=1e-12)
    one = layer_of(1, (1, 1))
    for y in one.outputs(x):
        torch.testing.assert_close(y, one.experts[0](x), atol=1e-14, rtol=1e-14)


def test_the_gates_keep_their_probabilities_unless_they_are_to_be_normalised():
    x = tokens()
    plain, scaled = layer_of(), layer_of(normalize_gates=True)
    gate = plain.gates(x, 'detection')
    assert ((gate > 0).sum(-1) == 2).all() and (gate.sum(-1) < 1).all()
    torch.testing.assert_close(scaled.gates(x, 'detection'), gate / gate.sum(-1, keepdim=True))


class Mask(torch.nn.Module):
    def forward(self, p):
        return keep_largest(p, 3)


def test_ties_give_the_same_mask_in_numpy_torch_and_onnx_runtime(tmp_path):
    rng = np.random.default_rng(0)
    p = (rng.integers(0, 4, (200, 8)) / 4).astype(np.float32)  # hardly a row without ties
    expected = np.zeros(p.shape, bool)
    np.put_along_axis(expected, np.argsort(-p, 1, kind='stable')[:, :3], True, 1)
    assert (keep_largest(torch.from_numpy(p), 3).numpy() == expected).all()
    path = tmp_path / 'mask.onnx'
    torch.onnx.export(
        Mask(),
        (torch.from_numpy(p),),
        path,
        opset_version=18,
        dynamo=True,
        external_data=False,
        input_names=['p'],
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert (session.run(None, {'p': p})[0] == expected).all()


def test_the_importance_loss_has_its_golden_value():
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    logits = shares.log().expand(1, 10, 4)  # sums 1, 2, 3, 4
    assert abs(importance_loss(logits).item() - 0.2) < 1e-14


def test_the_load_is_what_drawing_the_noise_again_gives():
    torch.manual_seed(0)
    logits, deviation, used = torch.randn(1, 50, 4, dtype=torch.float64), 0.25, 2
    noisy = logits + deviation * torch.randn_like(logits)
    threshold = noisy.topk(used, -1).values[..., -1:]
    passes = torch.zeros(4, dtype=torch.float64)
    for _ in range(4000):
        passes += (logits + deviation * torch.randn_like(logits) > threshold).double().mean((0, 1))
    load = passes / 4000
    expected = load.var(unbiased=False) / load.mean() ** 2
    got = load_loss(logits, noisy, used, deviation)
    torch.testing.assert_close(got[0], expected, rtol=0.02, atol=0)
    torch.testing.assert_close(load_loss(logits, noisy, torch.tensor(used), deviation), got)


def test_routers_that_know_no_difference_cost_nothing():
    layer, x = layer_of().train(), tokens()
    for router in layer.routers.values():
        torch.nn.init.zeros_(router.weight)
    layer.outputs(x)
    for importance, load in take_routing_losses(layer).values():
        assert importance < 1e-20 and load < 1e-20
    assert take_routing_losses(layer) == {}  # taken
    layer.eval().outputs(x)
    assert take_routing_losses(layer) == {}  # not in evaluation


def test_losses_are_means_over_groups_and_sums_over_layers():
    layers = torch.nn.ModuleList([layer_of(seed=s, noise=0.0).train() for s in (0, 1)])
    x = tokens()
    for layer in layers:
        layer.outputs(x[:1])
        layer.outputs(x[1:])
    expected = sum(importance_loss(layer.logits(x, 'map')).mean() for layer in layers)
    importance, load = take_routing_losses(layers)['map']
    torch.testing.assert_close(importance, expected)
    assert load == 0  # without noise there is none


def test_a_tasks_loss_moves_neither_the_other_router_nor_experts_that_no_token_chose():
    layer = layer_of(6, (1, 2))
    with torch.no_grad():
        layer.routers['detection'].weight[4:] = 0  # p = exp(0) / ...
        x = tokens().abs()
        layer.routers['detection'].weight[:4] = layer.routers['detection'].weight[:4].abs() + 0.1
    chosen = layer.gates(x, 'detection').flatten(0, 1).gt(0).any(0)
    assert chosen.any() and not chosen[4:].any()
    layer.outputs(x)[0].square().sum().backward()
    assert layer.routers['detection'].weight.grad.abs().sum() > 0
    other = layer.routers['map'].weight.grad
    assert other is None or not other.any()
    for i, expert in enumerate(layer.experts):
        for parameter in expert.parameters():
            moved = parameter.grad is not None and bool(parameter.grad.any())
            assert moved == bool(chosen[i])


def test_one_more_expert_changes_the_output_by_no_more_than_its_gate_times_the_largest_output():
    layer, x = layer_of(6, (1, 1)), tokens()
    p = layer.logits(x, 'map').softmax(-1).sort(-1, descending=True).values
    largest = torch.stack([expert(x).norm(dim=-1) for expert in layer.experts]).amax(0)
    before = layer.outputs(x)[1]
    for k in range(1, 6):
        use_experts(layer, {'detection': 1, 'map': k + 1})
        assert experts_used(layer) == {'detection': 1, 'map': k + 1}
        after = layer.outputs(x)[1]
        assert ((after - before).norm(dim=-1) <= p[..., k] * largest + 1e-12).all()
        before = after


def fit(routers: str):
    """Two tasks that need other functions of the same x; final loss, and usage per task."""
    torch.manual_seed(0)
    functions = [
        torch.nn.Sequential(torch.nn.Linear(D, 8), torch.nn.GELU(), torch.nn.Linear(8, D))
        for _ in TASKS
    ]
    x = torch.randn(1, 128, D)
    targets = [function(x).detach() * 2 for function in functions]
    layer = AdaptiveExperts(D, 8, 0.0, 4, AdamvConfig(TaskExperts(1, 1)), True)
    if routers == 'single':
        layer.routers['map'] = layer.routers['detection']
    optimiser = torch.optim.Adam(layer.parameters(), 2e-2)
    for _ in range(150):
        loss = sum(
            (y - target).square().mean()
            for y, target in zip(layer.outputs(x), targets, strict=True)
        )
        take_routing_losses(layer)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    layer.eval()
    return loss.item(), [layer.gates(x, task)[0].gt(0).float().mean(0) for task in TASKS]


def test_routers_of_their_own_fit_two_tasks_better_than_one_router():
    own, usage = fit('own')
    single, same = fit('single')
    assert own < 0.5 * single
    assert (usage[0] - usage[1]).abs().sum() > 0.8  # the tasks use others
    assert torch.equal(*same)


def test_experts_begin_equal_and_routers_do_not():
    layer = AdaptiveExperts(D, HIDDEN, 0.0, 4, AdamvConfig(), True)
    for expert in layer.experts:
        for mine, first in zip(expert.parameters(), layer.experts[0].parameters(), strict=True):
            assert torch.equal(mine, first)
    assert not torch.equal(layer.routers['map'].weight, layer.routers['detection'].weight)


def test_routing_stays_in_float32_under_autocast():
    layer, x = layer_of().float(), tokens().bfloat16()
    expected = x.float() @ layer.routers['map'].weight.t()
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(layer.logits(x, 'map'), expected, rtol=1e-5, atol=1e-5)
        assert layer.gates(x, 'map').dtype is torch.float32


def test_only_the_last_layer_may_leave_the_tasks_apart():
    for stream in TaskStream:
        config = DecoderConfig(ffn=DecoderFfn.ADAMV, channels=16, adamv=AdamvConfig(stream=stream))
        assert not build_ffn(config).splits
        assert build_ffn(config, is_last=True).splits is (stream is TaskStream.SPLIT)


@pytest.mark.parametrize(
    ('adamv', 'where'),
    [
        ({'used': {'detection': 5}}, 'model.decoder.adamv.used.detection'),
        ({'used': {'map': 0}}, 'model.decoder.adamv.used.map'),
        ({'used': {'segmentation': 2}}, 'decoder.adamv.used'),
        ({'noise': -1}, 'model.decoder.adamv.noise'),
        ({'stream': 'both'}, 'decoder.adamv.stream'),
        (None, 'model.decoder.adamv'),
    ],
)
def test_a_wrong_configuration_is_named_by_its_path(adamv, where):
    with pytest.raises(ConfigError) as error:
        from_plain(DecoderConfig, {'ffn': 'adamv', 'experts': 4, 'adamv': adamv}, 'decoder')
    assert where in str(error.value)


def test_settings_without_their_system_are_refused():
    with pytest.raises(ConfigError, match='model.decoder.adamv'):
        DecoderConfig(adamv=AdamvConfig())
