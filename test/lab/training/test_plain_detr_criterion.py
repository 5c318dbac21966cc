"""The Plain-DETR head: matching and losses (Lin et al., ICCV 2023)."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.small_networks import sample_of, small_model

from metabev_ros.config.plain_detr import OffsetNorm
from metabev_ros.lab.training.losses import detection_loss
from metabev_ros.lab.training.matching import box_iou
from metabev_ros.lab.training.plain_detr import (
    aligned_giou,
    focal_sum,
    match_boxes,
    set_losses,
    true_boxes,
)
from metabev_ros.network.box_coding import decode, encode
from metabev_ros.network.metabev import MetaBev

CONFIG = small_model('plain_detr')
SIDES = OffsetNorm.SIDES


def random_boxes(count, seed, spread=3.0):
    """(count, 8) float32."""
    rng = np.random.default_rng(seed)
    yaw = rng.uniform(-np.pi, np.pi, count)
    return torch.as_tensor(
        np.stack(
            [
                *rng.uniform(-spread, spread, (2, count)),
                rng.normal(1, 0.3, count),
                *rng.uniform(0.5, 5, (3, count)),
                np.sin(yaw),
                np.cos(yaw),
            ],
            1,
        ),
        dtype=torch.float32,
    )


def found_boxes(count, seed=0):
    """logits, codes, references, boxes of `count` queries."""
    references = random_boxes(count, seed)
    codes = 0.2 * torch.as_tensor(np.random.default_rng(seed + 1).normal(size=(count, 8))).float()
    logits = torch.as_tensor(np.random.default_rng(seed + 2).normal(size=(count, 10))).float()
    return logits, codes, references, decode(codes, references)


def upright(box):
    return np.array([*box[:6].tolist(), math.atan2(box[6], box[7])], np.float64)


# Hybrid matching


def test_each_true_box_is_matched_exactly_as_often_as_asked():
    truth, labels = random_boxes(6, 9), torch.arange(6)
    for repeats, count in ((1, 20), (4, 30), (4, 24)):
        queries, rows = match_boxes(*found_boxes(count), truth, labels, repeats, SIDES)
        assert torch.bincount(rows, minlength=6).tolist() == [repeats] * 6
        assert len(set(queries.tolist())) == 6 * repeats


def test_with_too_few_queries_each_is_used_once_and_without_truth_none():
    found = found_boxes(10)
    queries, _ = match_boxes(*found, random_boxes(6, 9), torch.arange(6), 4, SIDES)
    assert sorted(queries.tolist()) == list(range(10))
    queries, rows = match_boxes(*found, random_boxes(0, 9), torch.arange(0), 4, SIDES)
    assert len(queries) == len(rows) == 0


def test_a_network_that_has_diverged_is_still_matched():
    logits, codes, references, boxes = found_boxes(20)
    codes[:, 3], boxes[3, 5], logits[:] = torch.nan, torch.inf, torch.nan
    queries, _ = match_boxes(
        logits, codes, references, boxes, random_boxes(4, 9), torch.arange(4), 2, SIDES
    )
    assert len(queries) == 8


# Overlap of turned boxes


def raster_iou(a, b, step=0.01):
    """Of two footprints, by counting points 1 cm apart."""
    axis = np.arange(-4.5, 4.5, step) + step / 2
    x, y = np.meshgrid(axis, axis)
    masks = []
    for cx, cy, _, length, width, _, yaw in (a, b):
        u = np.cos(yaw) * (x - cx) + np.sin(yaw) * (y - cy)
        v = np.cos(yaw) * (y - cy) - np.sin(yaw) * (x - cx)
        masks.append((abs(u) <= length / 2) & (abs(v) <= width / 2))
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def test_the_matchers_iou_is_that_of_a_one_centimetre_raster():
    rng, pairs = np.random.default_rng(0), []
    for _ in range(12):
        a, b = (
            np.array(
                [
                    *rng.uniform(-0.8, 0.8, 2),
                    1,
                    *rng.uniform(0.5, 4, 2),
                    2,
                    rng.uniform(-np.pi, np.pi),
                ]
            )
            for _ in range(2)
        )
        pairs.append((box_iou(a[None], b[None])[0, 0], raster_iou(a, b)))
    exact, counted = np.array(pairs).T
    assert exact.max() > 0.4
    np.testing.assert_allclose(exact, counted, atol=5e-3)


def test_two_unit_squares_at_45_degrees_share_an_octagon():
    square = np.array([[0.0, 0, 0, 1, 1, 1, 0]])
    turned = square + [[0, 0, 0, 0, 0, 0, np.pi / 4]]
    octagon = 2 * (math.sqrt(2) - 1)
    assert box_iou(square, turned)[0, 0] == pytest.approx(octagon / (2 - octagon), abs=1e-9)
    assert box_iou(square, turned)[0, 0] == pytest.approx(0.7071, abs=1e-4)


@pytest.mark.parametrize('norm', OffsetNorm)
def test_the_losss_giou_is_the_iou_of_boxes_of_one_heading_and_has_right_gradients(norm):
    references, boxes, truth = (random_boxes(30, seed, 1.0).double() for seed in range(3))
    boxes[:, 6:], truth[:, 6:] = references[:, 6:], references[:, 6:]
    codes, wanted = encode(boxes, references, norm), encode(truth, references, norm)
    giou = aligned_giou(codes, wanted, references, norm)
    for i in range(30):
        a, b = upright(boxes[i]), upright(truth[i])
        iou = box_iou(a[None], b[None])[0, 0]
        volumes = a[3:6].prod() + b[3:6].prod()
        union = volumes / (1 + iou)
        cos, sin = np.cos(a[6]), np.sin(a[6])
        frame = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        offset = np.abs(frame @ (a[:3] - b[:3]))
        hull = np.maximum(offset + (a[3:6] + b[3:6]) / 2, np.maximum(a[3:6], b[3:6])).prod()
        assert giou[i].item() == pytest.approx(iou - (hull - union) / hull, abs=1e-6)
    torch.testing.assert_close(
        aligned_giou(wanted, wanted, references, norm), torch.ones(30, dtype=torch.float64)
    )
    assert torch.autograd.gradcheck(
        lambda codes: aligned_giou(codes, wanted, references, norm), codes.requires_grad_()
    )


# The assignment


@pytest.mark.parametrize('count', [1, 3, 6])
def test_the_matching_is_the_cheapest_of_all_permutations(count):
    logits, codes, references, boxes = found_boxes(6, seed=20)
    truth, labels = random_boxes(count, 30), torch.arange(count) % 3
    cost = np.empty((6, count))
    for i, j in itertools.product(range(6), range(count)):
        p = 1 / (1 + math.exp(-logits[i, labels[j]]))
        classes = -math.log(p) * 0.25 * (1 - p) ** 2 + math.log(1 - p) * 0.75 * p**2
        distance = (codes[i] - encode(truth[j], references[i])).abs().sum().item()
        iou = box_iou(upright(boxes[i])[None], upright(truth[j])[None])[0, 0]
        cost[i, j] = 2 * classes + distance - 2 * iou
    best = min(
        sum(cost[i, j] for j, i in enumerate(chosen))
        for chosen in itertools.permutations(range(6), count)
    )
    queries, rows = match_boxes(logits, codes, references, boxes, truth, labels, 1, SIDES)
    assert sorted(rows.tolist()) == list(range(count))
    assert cost[queries, rows].sum() == pytest.approx(best, abs=1e-5)


# Losses


def perfect_output(target, layers=2):
    """What a head would say that knows the truth, queries in the order of the true boxes."""
    boxes, velocity, labels = true_boxes(target, CONFIG.bev_grid)
    count = CONFIG.head.proposals
    references = random_boxes(count, 5)
    codes, speeds = torch.zeros(count, 8), torch.zeros(count, 2)
    logits = torch.full((count, 10), -20.0)
    codes[: len(boxes)] = encode(boxes, references[: len(boxes)])
    speeds[: len(boxes)] = velocity
    logits[torch.arange(len(boxes)), labels] = 20.0
    layer = {
        'logits': logits,
        'codes': codes,
        'references': references,
        'boxes': decode(codes, references),
        'velocities': speeds,
    }
    return {
        f'layer_{name}': value[None, None].expand(1, layers, -1, -1).clone()
        for name, value in layer.items()
    }


def test_a_head_that_knows_the_truth_has_no_loss_and_each_error_its_own():
    target = sample_of(CONFIG, 3)[2]
    output = perfect_output(target)
    terms = set_losses(output, [target], CONFIG)
    assert all(term.item() == pytest.approx(0, abs=1e-4) for term in terms.values())
    boxes = len(target['labels'])
    assert boxes > 0
    output['layer_velocities'][:, 0] += 1.0
    assert set_losses(output, [target], CONFIG)['boxes'].item() == pytest.approx(
        0.2 * 2, abs=1e-3
    )  # of one of two layers
    output = perfect_output(target)
    output['layer_logits'][:] = -20.0
    assert set_losses(output, [target], CONFIG)['classes'].item() == pytest.approx(
        2 * 2 * 0.25 * 20, rel=1e-3
    )


def test_the_focal_loss_is_the_published_one_written_out():
    torch.manual_seed(0)
    logits, wanted = torch.randn(5, 4), (torch.rand(5, 4) < 0.3).float()
    p = logits.sigmoid()
    each = torch.where(wanted == 1, -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log())
    torch.testing.assert_close(focal_sum(logits, wanted), each.sum())


def test_one_to_many_queries_count_with_their_weight_and_repeats():
    target = sample_of(CONFIG, 3)[2]
    output, count = perfect_output(target), CONFIG.head.proposals
    plain = set_losses(output, [target], CONFIG)
    none = {name: torch.cat([value, value[:, :, :0]], 2) for name, value in output.items()}
    assert set_losses(none, [target], CONFIG) == plain
    wrong = torch.full_like(output['layer_logits'], -20.0)
    doubled = {
        name: torch.cat([value, value, value, value, value], 2) for name, value in output.items()
    }
    perfect = set_losses(doubled, [target], CONFIG)  # 4 copies for 4 repeats
    assert perfect['classes'].item() == pytest.approx(0, abs=1e-3)
    doubled['layer_logits'][:, :, count:] = wrong.repeat(1, 1, 4, 1)
    assert set_losses(doubled, [target], CONFIG)['classes'].item() == pytest.approx(
        2 * 2 * 0.25 * 20, rel=1e-3
    )  # as often wrong as repeated: the same


def test_some_steps_lower_the_loss_of_the_whole_network_in_every_modality():
    torch.manual_seed(0)
    network = MetaBev(CONFIG)
    cameras, lidars, targets = zip(*[sample_of(CONFIG, seed) for seed in range(3)], strict=True)
    cameras, lidars = [cameras[0], None, cameras[2]], [lidars[0], lidars[1], None]
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        output, _ = network(cameras, lidars)
        terms = detection_loss(output.detection, targets, CONFIG)
        loss = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert set(terms) == {'heatmap', 'classes', 'boxes', 'overlap'}
    assert losses[-1] < losses[0]
    unused = [name for name, p in network.fusion.detection.named_parameters() if p.grad is None]
    assert unused == []
