"""The Plain-DETR head: box codes, its layers, its queries (Lin et al., ICCV 2023)."""

import dataclasses

import numpy as np
import pytest
import torch
from support.small_networks import SMALL_PLAIN_DETR, small_model

from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.config.plain_detr import HybridConfig, OffsetNorm, QueryContent
from metabev_ros.geometry import BevGrid
from metabev_ros.network.box_coding import decode, encode, from_channels, to_channels
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.network.plain_detr_queries import HeatmapSelection

CONFIG = small_model('plain_detr')


def build(**changes) -> PlainDetrHead:
    """The small head with some of its choices changed, and weights that do something."""
    torch.manual_seed(0)
    plain = dataclasses.replace(SMALL_PLAIN_DETR, **changes)
    head = PlainDetrHead(
        dataclasses.replace(CONFIG.head, plain_detr=plain),
        CONFIG.detection_classes,
        CONFIG.bev_grid,
    )
    for parameter in head.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return head.eval()


def with_extra_queries(head: PlainDetrHead) -> PlainDetrHead:
    """Training mode without batch statistics."""
    head.training = True
    return head


def features(seed=1, batch=2):
    torch.manual_seed(seed)
    return torch.randn(batch, CONFIG.head.neck_channels, *CONFIG.bev_grid.shape)


def random_boxes(count, seed, sizes=(0.3, 15.0)):
    """(count, 8) float64."""
    rng = np.random.default_rng(seed)
    yaw = rng.uniform(-np.pi, np.pi, count)
    return torch.as_tensor(
        np.stack(
            [
                *rng.uniform(-50, 50, (2, count)),
                rng.normal(1, 1, count),
                *np.exp(rng.uniform(*np.log(sizes), (3, count))),
                np.sin(yaw),
                np.cos(yaw),
            ],
            1,
        )
    )


# Box codes


@pytest.mark.parametrize('norm', OffsetNorm)
def test_decoding_what_was_encoded_gives_the_box_again(norm):
    boxes, references = random_boxes(2000, 0), random_boxes(2000, 1)
    torch.testing.assert_close(
        decode(encode(boxes, references, norm), references, norm), boxes, atol=1e-6, rtol=0
    )


def test_plain_detrs_floor_on_one_side_only_would_fail():
    """The trap: with p + 0.1 when encoding a 0.7 m pedestrian comes back an eighth too short."""
    size = 0.7
    assert size * np.exp(np.log(size / (size + 0.1))) / size == pytest.approx(0.875)


@pytest.mark.parametrize('norm', OffsetNorm)
def test_codes_do_not_change_when_the_scene_moves_and_turns(norm):
    boxes, references = random_boxes(200, 0), random_boxes(200, 1)
    angle, shift = 2.2, torch.tensor([12.0, -7.0], dtype=torch.float64)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]])

    def moved(boxes):
        heading = boxes[:, [7, 6]] @ turn.t()
        return torch.cat([boxes[:, :2] @ turn.t() + shift, boxes[:, 2:6], heading[:, [1, 0]]], 1)

    torch.testing.assert_close(
        encode(moved(boxes), moved(references), norm),
        encode(boxes, references, norm),
        atol=1e-9,
        rtol=0,
    )


def test_a_zero_code_changes_nothing_and_centres_stay_on_the_grid():
    boxes = random_boxes(200, 0)
    torch.testing.assert_close(decode(torch.zeros_like(boxes), boxes), boxes, atol=1e-9, rtol=0)
    grid = BevGrid(-10, 10, -20, 20, 1.0)
    kept = decode(torch.zeros_like(boxes), boxes, grid=grid)
    assert kept[:, 0].abs().max() == 10 and kept[:, 1].abs().max() == 20
    assert torch.equal(kept[:, 2:], decode(torch.zeros_like(boxes), boxes)[:, 2:])


def test_no_code_makes_a_box_that_is_not_finite():
    boxes = random_boxes(4, 0)
    codes = torch.full_like(boxes, 1e6)
    codes[1] = -1e6
    codes[2, 6], codes[2, 7] = 0.0, -1.0  # a heading of length zero
    assert decode(codes, boxes).isfinite().all()


def test_channels_and_boxes_are_inverse():
    grid, boxes = CONFIG.bev_grid, random_boxes(5, 0).float()[None]
    velocity = torch.randn(1, 5, 2)
    back, speed = from_channels(to_channels(boxes, velocity, grid).transpose(1, 2), grid)
    torch.testing.assert_close(back, boxes, atol=1e-4, rtol=1e-5)
    assert torch.equal(speed, velocity)


# Refinement and looking forward twice


def gradient_norms(head, layer):
    """Of the box head of `layer`, for the boxes of the layer after it and of the next."""
    norms = []
    for later in (1, 2):
        head.zero_grad()
        out = head(features())
        (out['layer_boxes'][:, layer + later].square().sum()).backward()
        weight = head.branches[layer].codes[-1].weight
        norms.append(0.0 if weight.grad is None else weight.grad.norm().item())
    return norms


@pytest.mark.parametrize('twice', [True, False])
def test_a_loss_reaches_the_box_head_before_it_only_when_looking_forward_twice(twice):
    one_later, two_later = gradient_norms(build(look_forward_twice=twice), 0)
    assert (one_later > 0) == twice
    assert two_later == 0


def test_each_layer_starts_from_the_boxes_of_the_layer_before():
    out = build()(features())
    torch.testing.assert_close(out['layer_references'][:, 1:], out['layer_boxes'][:, :-1])
    unrefined = build(refine=False)(features())
    first = unrefined['layer_references'][:, :1]
    assert torch.equal(unrefined['layer_references'], first.expand(-1, 3, -1, -1))


def test_attention_sees_the_refined_boxes_and_sends_no_gradient_to_them():
    head, seen = build(), []
    for layer in head.layers:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    out = head(features())
    assert not any(boxes.requires_grad for boxes in seen)
    torch.testing.assert_close(torch.stack(seen, 1), out['layer_references'])


# Hybrid queries


@pytest.mark.parametrize('content', QueryContent)
def test_one_to_one_queries_do_not_notice_the_others(content):
    head = build(content=content)
    alone = head(features())
    together = with_extra_queries(head)(features())
    count = CONFIG.head.proposals
    assert together['layer_boxes'].shape[2] == count + SMALL_PLAIN_DETR.hybrid.queries
    for name in ('boxes', 'class_logits'):
        torch.testing.assert_close(together[name], alone[name], atol=1e-5, rtol=1e-5)
    for name in ('layer_logits', 'layer_codes', 'layer_boxes', 'layer_velocities'):
        torch.testing.assert_close(together[name][:, :, :count], alone[name], atol=1e-5, rtol=1e-5)


def test_without_the_mask_they_would():
    head = build()
    alone = head(features())['class_logits']
    for layer in head.layers:
        layer.register_forward_pre_hook(lambda _, inputs: (*inputs[:-1], None))
    assert (with_extra_queries(head)(features())['class_logits'] - alone).abs().max() > 1e-3


def test_in_use_only_the_one_to_one_queries_run():
    out = build()(features())
    count = CONFIG.head.proposals
    assert out['boxes'].shape == (2, 10, count) and out['class_logits'].shape == (2, 10, count)
    assert out['layer_boxes'].shape[2] == count


def test_a_head_without_hybrid_matching_has_no_further_queries():
    head = build(hybrid=HybridConfig(queries=0))
    assert not any('extra' in name for name, _ in head.named_parameters())
    assert with_extra_queries(head)(features())['layer_boxes'].shape[2] == CONFIG.head.proposals


# Selection


def plain_selection(heatmap, classes, count):
    """(logit, class, row, column) of peaks, then of other cells, the best first; one by one."""
    peaks, others = [], []
    layers, rows, columns = heatmap.shape
    for k in range(layers):
        for i in range(rows):
            for j in range(columns):
                around = heatmap[k, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                small = classes[k] in ('pedestrian', 'traffic_cone')
                found = small or heatmap[k, i, j] >= around.max()
                (peaks if found else others).append((heatmap[k, i, j], k, i, j))
    return [*sorted(peaks, reverse=True), *sorted(others, reverse=True)][:count]


@pytest.mark.parametrize('count', [5, 40, 200])
def test_queries_start_at_the_highest_peaks_and_then_at_the_best_other_cells(count):
    classes, grid = ('car', 'pedestrian', 'bus'), BevGrid(-4, 5, -3, 3, 1.0)
    heatmap = np.random.default_rng(0).normal(size=(3, *grid.shape)).astype(np.float32)
    if count == 200:  # more than there are cells of one class, fewer than all
        heatmap, count = np.round(heatmap, 6), 150
    expected = plain_selection(heatmap, classes, count)
    labels, cells, boxes = HeatmapSelection(classes, grid)(torch.as_tensor(heatmap)[None], count)
    assert labels[0].tolist() == [k for _, k, _, _ in expected]
    assert cells[0].tolist() == [i * grid.columns + j for _, _, i, j in expected]
    for (_, k, i, j), box in zip(expected, boxes[0].tolist(), strict=True):
        size = MEAN_SIZES[classes[k]]
        assert box == pytest.approx([j + 0.5 - 4, i + 0.5 - 3, size[2] / 2, *size, 0, 1], abs=1e-5)


def test_cells_of_equal_height_are_all_peaks_and_none_is_taken_twice():
    grid = BevGrid(0, 4, 0, 3, 1.0)
    heatmap = torch.full((1, 2, 3, 4), -2.0)
    heatmap[0, 1, 1, 1:3] = 3.0
    labels, cells, _ = HeatmapSelection(('car', 'bus'), grid)(heatmap, 24)
    assert sorted(zip(labels[0, :2].tolist(), cells[0, :2].tolist(), strict=True)) == [
        (1, 5),
        (1, 6),
    ]
    assert len(set(zip(labels[0].tolist(), cells[0].tolist(), strict=True))) == 24


def test_no_gradient_reaches_the_heatmap_through_the_queries():
    head = build()
    out = head(features())
    out['layer_boxes'].sum().backward()
    assert all(p.grad is None for p in head.heatmap_head.parameters())
