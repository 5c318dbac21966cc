from dataclasses import replace

import numpy as np
import pytest
import torch
from support.small_networks import DETECTION_HEADS, sample_of, small_base, small_model

from metabev_ros.config import DecoderFfn, DetectionHead, Fuser
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.losses import (
    HEADING,
    HeadingLoss,
    absolute_channels,
    box_loss,
    depth_loss,
    detection_loss,
    heatmap_loss,
    map_loss,
    query_loss,
)
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import take_balance_loss

COMPACT, GROUPS, TRANSFUSION = (small_model(head) for head in DETECTION_HEADS)


def targets(config, count=2):
    return [sample_of(config, seed)[2] for seed in range(count)]


def test_heatmap_loss_equals_its_definition_cell_by_cell():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(2, 3, 4, 4)), rng.uniform(0, 0.9, (2, 3, 4, 4))
    target[0, 1, 2, 3] = target[1, 0, 0, 0] = 1.0
    total = 0.0
    for x, t in zip(logits.ravel(), target.ravel(), strict=True):
        p = 1 / (1 + np.exp(-x))
        total -= np.log(p) * (1 - p) ** 2 if t == 1 else np.log(1 - p) * p**2 * (1 - t) ** 4
    result = heatmap_loss(torch.as_tensor(logits), torch.as_tensor(target))
    assert float(result) == pytest.approx(total / 2, rel=1e-5)


def test_the_compact_heads_loss_is_that_of_one_group():
    torch.manual_seed(0)
    output = {'heatmap': torch.randn(2, 10, 16, 16), 'boxes': torch.randn(2, 10, 16, 16)}
    truth = targets(COMPACT)
    terms = detection_loss(output, truth, COMPACT)
    assert terms['heatmap'] == heatmap_loss(
        output['heatmap'], torch.stack([t['heatmap'] for t in truth])
    )
    assert terms['boxes'] == box_loss(
        output['boxes'], [t['cells'] for t in truth], [t['channels'] for t in truth]
    )


def test_with_groups_each_box_is_learned_in_the_channels_of_its_group():
    truth = targets(GROUPS)
    rows, columns = GROUPS.bev_grid.shape
    maps = torch.full((2, 60, rows * columns), 1e3)
    for i, target in enumerate(truth):
        for label, cell, channels in zip(
            target['labels'], target['cells'], target['channels'], strict=True
        ):
            name = GROUPS.detection_classes[int(label)]
            group = next(g for g, names in enumerate(GROUPS.head.groups) if name in names)
            maps[i, 10 * group : 10 * group + 10, cell] = channels
    output = {
        'heatmap': torch.zeros(2, 10, rows, columns),
        'boxes': maps.reshape(2, 60, rows, columns),
    }
    assert detection_loss(output, truth, GROUPS)['boxes'] == 0


def test_with_groups_the_heatmap_loss_is_the_sum_over_groups():
    torch.manual_seed(0)
    truth = targets(GROUPS)
    output = {'heatmap': torch.randn(2, 10, 16, 16), 'boxes': torch.zeros(2, 60, 16, 16)}
    heatmap = torch.stack([t['heatmap'] for t in truth])
    parts = [slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 6), slice(6, 8), slice(8, 10)]
    expected = sum(heatmap_loss(output['heatmap'][:, p], heatmap[:, p]) for p in parts)
    torch.testing.assert_close(detection_loss(output, truth, GROUPS)['heatmap'], expected)


def perfect_queries(truth, config, proposals=20):
    """Logits and boxes of queries that hold the truth."""
    logits = torch.full((len(truth), 10, proposals), -30.0)
    boxes = torch.zeros(len(truth), 10, proposals)
    for i, target in enumerate(truth):
        count = len(target['labels'])
        logits[i, target['labels'], torch.arange(count)] = 30.0
        boxes[i, :, :count] = absolute_channels(target, config).t()
    return logits, boxes


def test_queries_that_hold_the_truth_cost_nothing_in_any_order():
    truth = targets(TRANSFUSION)
    logits, boxes = perfect_queries(truth, TRANSFUSION)
    order = torch.randperm(20)
    classes, error = query_loss(logits[..., order], boxes[..., order], truth, TRANSFUSION)
    assert classes < 1e-6 and error == 0


def test_query_loss_by_hand():
    truth = targets(TRANSFUSION)
    matched = sum(len(t['labels']) for t in truth)
    logits, boxes = perfect_queries(truth, TRANSFUSION)
    boxes[0, 2, 0] += 0.5  # height, weight 1
    boxes[1, 9, 1] += 3.0  # velocity, weight 0.2
    logits[0, 0, 19] = 0.0  # a query without a box says 0.5: 0.75 x 0.25 x log 2
    classes, error = query_loss(logits, boxes, truth, TRANSFUSION)
    assert float(error) == pytest.approx((0.5 + 0.6) / matched, rel=1e-5)
    assert float(classes) == pytest.approx(0.75 * 0.25 * np.log(2) / matched, rel=1e-4)


def test_a_sample_without_boxes_has_finite_losses_and_gradients():
    for config in (COMPACT, GROUPS, TRANSFUSION):
        network = MetaBev(config).train()
        camera, lidar, target = sample_of(config, 0)
        empty = {
            'heatmap': torch.zeros_like(target['heatmap']),
            'cells': target['cells'][:0],
            'labels': target['labels'][:0],
            'channels': target['channels'][:0],
        }
        output, _ = network([camera, camera], [lidar, lidar])
        terms = detection_loss(output.detection, [empty, empty], config)
        sum(terms.values()).backward()
        assert terms['boxes'] == 0
        assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def total_loss(network, batch) -> torch.Tensor:
    """The paper's multi-task sum: detection x 10 (boxes x 0.25), map x 1."""
    cameras, lidars, truth = zip(*batch, strict=True)
    output, depths = network(list(cameras), list(lidars))
    terms = detection_loss(output.detection, truth, network.config)
    focal, dice = map_loss(output.map_logits, torch.stack([t['map'] for t in truth]))
    detection = terms['heatmap'] + terms.get('classes', 0) + 0.25 * terms['boxes']
    loss = (
        10 * detection
        + focal
        + dice
        + depth_loss(
            depths,
            [
                t['depth_bins'] if d is not None else None
                for t, d in zip(truth, depths, strict=True)
            ],
        )
    )
    balance = take_balance_loss(network)
    return loss if balance is None else loss + 0.01 * balance


def losses_of_steps(config, steps, rate):
    torch.manual_seed(0)
    network = MetaBev(config).train()
    batch = [sample_of(config, seed) for seed in range(2)]
    optimiser = torch.optim.AdamW(network.parameters(), rate)
    values = []
    for _ in range(steps + 1):
        torch.manual_seed(1)  # the same dropout: what differs is the step alone
        loss = total_loss(network, batch)
        values.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
        optimiser.step()
    return values


def test_one_training_step_of_every_base_module_on_two_samples_lowers_the_loss():
    """Swin-T, LSS FPN, sparse encoder, RM2oE, SECOND, TransFusion and the map head."""
    before, after = losses_of_steps(small_base(), 1, 1e-4)
    assert after < before


@pytest.mark.parametrize('head', DETECTION_HEADS)
@pytest.mark.parametrize('ffn', DecoderFfn)
def test_four_steps_lower_the_loss_of_every_head_and_ffn(head, ffn):
    values = losses_of_steps(small_model(head, ffn), 4, 2e-3)
    assert values[-1] < 0.95 * values[0]


def test_four_steps_lower_the_loss_of_the_baseline():
    values = losses_of_steps(small_model(fuser=Fuser.CONV), 4, 2e-3)
    assert values[-1] < 0.95 * values[0]


@pytest.mark.parametrize('modality', ['camera', 'lidar'])
def test_a_single_modality_trains_with_every_base_module(modality):
    config = small_base()
    network = MetaBev(config).train()
    batch = [sample_of(config, seed) for seed in range(2)]
    batch = [(c, None, t) if modality == 'camera' else (None, lidar, t) for c, lidar, t in batch]
    total_loss(network, batch).backward()
    absent = {'camera': 'lidar', 'lidar': 'camera'}[modality]
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (absent in name), name


@pytest.mark.parametrize('head', DETECTION_HEADS)
def test_the_loss_under_bfloat16_autocast_is_near_that_in_float32(head):
    config = small_model(head, DecoderFfn.RM2OE)
    torch.manual_seed(0)
    network = MetaBev(config).train()
    camera, lidar, truth = sample_of(config, 0)
    losses = []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            output, _ = network([camera, camera], [lidar, lidar])
        terms = detection_loss(output.detection, [truth, truth], config)
        losses.append(sum(terms.values()))
    losses[1].backward()
    assert float(losses[1].detach()) == pytest.approx(float(losses[0].detach()), rel=0.05)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def heading_learnt(loss: HeadingLoss, ahead: int = 2, start: float = 0.05) -> torch.Tensor:
    """(2,) sine and cosine that one cell learns from four cars along 0.6 rad.

    Args:
        ahead: number of cars that head that way and not the other.
        start: of all channels.
    """
    maps = torch.full((1, 10, 1, 1), start, requires_grad=True)
    forward = torch.zeros(10)
    forward[HEADING] = torch.tensor([0.6, 0.6 + torch.pi / 2]).sin()
    back = forward.clone()
    back[HEADING] *= -1
    cars = torch.stack([forward] * ahead + [back] * (4 - ahead))
    optimiser = torch.optim.SGD([maps], lr=0.05)
    cells = [torch.zeros(4, dtype=torch.int64)]
    for _ in range(200):
        optimiser.zero_grad()
        box_loss(maps, cells, [cars], loss).backward()
        optimiser.step()
    return maps.detach()[0, HEADING, 0, 0]


def test_the_axis_is_learnt_where_half_of_the_cars_head_the_other_way():
    axis = torch.tensor([0.6, 0.6 + torch.pi / 2]).sin()
    assert heading_learnt(HeadingLoss()).norm() < 0.2  # L1 is the same for all between both
    for loss in (HeadingLoss(0.8), HeadingLoss(1.0, direction_weight=1.5)):
        assert (heading_learnt(loss) * axis).sum().abs() > 0.8


def test_a_heading_is_turned_round_by_the_direction_loss_alone():
    axis = torch.tensor([0.6, 0.6 + torch.pi / 2]).sin()
    trapped = heading_learnt(HeadingLoss(0.8), ahead=4, start=-0.8)
    turned = heading_learnt(HeadingLoss(1.0, direction_weight=1.5), ahead=4, start=-0.8)
    assert (trapped * axis).sum() < -0.8 and (turned * axis).sum() > 0.9


def test_a_direction_is_needed_to_take_both_as_one_wholly():
    with pytest.raises(ConfigError, match='either_way'):
        TrainingConfig(either_way=1.0)
    assert TrainingConfig(either_way=1.0, direction_weight=0.5).either_way == 1.0


def test_the_true_direction_costs_least_however_much_may_be_turned():
    truth = torch.zeros(1, 10)
    truth[0, HEADING] = torch.tensor([0.0, 1.0])
    losses, loss = [], HeadingLoss(0.8)
    for cosine in (1.0, -1.0, 0.0):
        maps = torch.zeros(1, 10, 1, 1)
        maps[0, HEADING, 0, 0] = torch.tensor([0.0, cosine])
        losses.append(float(box_loss(maps, [torch.zeros(1, dtype=torch.int64)], [truth], loss)))
    right, wrong, none = losses
    assert right == 0 and wrong == pytest.approx(2 * 0.2) and none == pytest.approx(1.0)


def test_query_heads_do_not_take_both_directions_as_one():
    config = RunConfig(data=(DataSource(records='somewhere'),))
    heads = replace(config.model.head, detection=DetectionHead.TRANSFUSION)
    for name in ('either_way', 'direction_weight'):
        turned = replace(config.training, **{name: 0.5})
        assert getattr(replace(config, training=turned).training, name) == 0.5
        with pytest.raises(ConfigError, match=name):
            replace(config, model=replace(config.model, head=heads), training=turned)
