import math

import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.geometry import BevGrid
from metabev_ros.network.center_head import CenterHead, CompactCenterHead
from metabev_ros.network.deformable import Sampling
from metabev_ros.network.map_head import MapHead
from metabev_ros.network.neck import BevNeck, SecondNeck
from metabev_ros.network.transfusion import PositionEmbedding, TransFusionHead, cell_centres

CLASSES = ('car', 'pedestrian', 'bus')
BEV, TARGET = BevGrid(-8, 8, -4, 4, 1.0), BevGrid(-6, 6, -3, 3, 0.5)


def transfusion(proposals=12, shape=(6, 9)) -> TransFusionHead:
    torch.manual_seed(0)
    return TransFusionHead(8, 16, CLASSES, shape, proposals).eval()


# Necks


def test_the_second_neck_is_mmdetection3ds_at_bevfusions_widths():
    with torch.device('meta'):
        neck = SecondNeck(256, 512)
        assert neck(torch.zeros(1, 256, 180, 180)).shape == (1, 512, 180, 180)
    shapes = {name: tuple(p.shape) for name, p in neck.named_parameters() if p.dim() == 4}
    assert shapes['blocks.0.0.weight'] == (128, 256, 3, 3)
    assert shapes['blocks.0.15.weight'] == (128, 128, 3, 3)  # the sixth convolution
    assert shapes['blocks.1.0.weight'] == (256, 128, 3, 3)
    assert shapes['deblocks.0.0.weight'] == (256, 128, 1, 1)
    assert shapes['deblocks.1.0.weight'] == (256, 256, 2, 2)
    assert len(shapes) == 14
    convolutions = 3 * 3 * (256 * 128 + 5 * 128**2 + 128 * 256 + 5 * 256**2)
    norms = 2 * (6 * 128 + 6 * 256 + 2 * 256)
    assert sum(p.numel() for p in neck.parameters()) == (
        convolutions + 256 * 128 + 4 * 256 * 256 + norms
    )


def test_each_level_of_the_second_neck_fills_its_half_of_the_channels():
    torch.manual_seed(0)
    neck = SecondNeck(4, 16).eval()
    x = torch.randn(1, 4, 8, 8)
    first = neck.blocks[0](x)
    out = neck(x)
    assert torch.equal(out[:, :8], neck.deblocks[0](first))
    assert torch.equal(out[:, 8:], neck.deblocks[1](neck.blocks[1](first)))


def test_the_nano_neck_doubles_the_resolution():
    assert BevNeck(8, 6)(torch.randn(1, 8, 8, 12)).shape == (1, 6, 16, 24)


# Centre heads


def test_groups_give_heatmaps_in_class_order_and_ten_channels_each():
    torch.manual_seed(0)
    head = CenterHead(8, 16, (1, 2)).eval()
    x = torch.randn(2, 8, 5, 7)
    out = head(x)
    assert out['heatmap'].shape == (2, 3, 5, 7) and out['boxes'].shape == (2, 20, 5, 7)
    shared = head.shared_conv(x)
    second = head.task_heads[1]
    assert torch.equal(out['heatmap'][:, 1:], second['heatmap'](shared))
    parts = torch.cat([second[n](shared) for n in ('reg', 'height', 'dim', 'rot', 'vel')], 1)
    assert torch.equal(out['boxes'][:, 10:], parts)


def test_a_groups_loss_reaches_no_other_group():
    head = CenterHead(8, 16, (1, 2))
    head(torch.randn(1, 8, 5, 7))['boxes'][:, 10:].sum().backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in head.task_heads[0].parameters())
    assert head.task_heads[1]['rot'][-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'head', [CompactCenterHead(8, 16, 3), CenterHead(8, 16, (1, 2)), transfusion()]
)
def test_heatmaps_start_near_a_probability_of_a_tenth(head):
    out = head.eval()(0.01 * torch.randn(1, 8, 6, 9))['heatmap'].sigmoid()
    assert 0.05 < out.mean() < 0.2


# TransFusion


def expected_proposals(heatmap, count):
    """All peaks by plain loops, best first: (probability, class, cell)."""
    classes, rows, columns = heatmap.shape
    found = []
    for k in range(classes):
        for y in range(rows):
            for x in range(columns):
                around = heatmap[k, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                if CLASSES[k] == 'pedestrian' or heatmap[k, y, x] == around.max():
                    found.append((1 / (1 + math.exp(-heatmap[k, y, x])), k, y * columns + x))
    return sorted(found, reverse=True)[:count]


def test_proposals_equal_a_loop_over_peaks_of_all_classes():
    head = transfusion()
    torch.manual_seed(1)
    heatmap = torch.randn(2, 3, 6, 9)
    scores, labels, cells = head.propose(heatmap)
    for i in range(2):
        expected = expected_proposals(heatmap[i], 12)
        assert labels[i].tolist() == [k for _, k, _ in expected]
        assert cells[i].tolist() == [cell for *_, cell in expected]
        torch.testing.assert_close(scores[i], torch.tensor([p for p, *_ in expected]))


def test_neighbouring_pedestrians_are_both_proposed_neighbouring_cars_are_not():
    head = transfusion(proposals=4)
    heatmap = torch.full((1, 3, 6, 9), -5.0)
    heatmap[0, 1, 2, 3:5] = torch.tensor([3.0, 2.0])  # pedestrians
    heatmap[0, 0, 4, 3:5] = torch.tensor([3.0, 2.0])  # cars
    _, labels, cells = head.propose(heatmap)
    best = set(zip(labels[0].tolist()[:3], cells[0].tolist()[:3], strict=True))
    assert best == {(1, 21), (1, 22), (0, 39)}


def test_query_scores_hold_the_heatmap_in_the_row_of_the_querys_class_only():
    head = transfusion()
    out = head(torch.randn(2, 8, 6, 9))
    scores, labels, cells = head.propose(out['heatmap'])
    assert out['query_scores'].shape == (2, 3, 12)
    assert ((out['query_scores'] > 0).sum(1) == 1).all()
    torch.testing.assert_close(out['query_scores'].sum(1), scores)
    assert torch.equal(out['query_scores'].argmax(1), labels)
    probability = out['heatmap'].sigmoid()[0, labels[0, 0]].flatten()[cells[0, 0]]
    assert probability == scores[0, 0]


def test_a_box_is_its_cell_plus_the_predicted_offset():
    head = transfusion()
    for part in ('center', 'height', 'dim', 'rot', 'vel'):
        last = head.prediction_heads[part][-1]
        last.weight.data.zero_()
        last.bias.data.copy_(torch.arange(len(last.bias)) + 0.25)
    out = head(torch.randn(1, 8, 6, 9))
    _, _, cells = head.propose(out['heatmap'])
    torch.testing.assert_close(out['boxes'][0, 0], cells[0] % 9 + 0.75)  # 0.5 + 0.25
    torch.testing.assert_close(out['boxes'][0, 1], cells[0] // 9 + 1.75)
    rest = torch.tensor([0.25, 0.25, 1.25, 2.25, 0.25, 1.25, 0.25, 1.25])
    torch.testing.assert_close(out['boxes'][0, 2:], rest[:, None].expand(-1, 12))


def test_cell_centres_are_rows_of_x_then_y():
    centres = cell_centres(2, 3).tolist()
    assert centres == [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]


def test_the_heatmap_is_trained_by_its_own_loss_alone():
    """The choice of queries passes no gradient; their features do."""
    head = transfusion().train()
    out = head(torch.randn(2, 8, 6, 9))
    (out['boxes'].sum() + out['class_logits'].sum() + out['query_scores'].sum()).backward()
    assert all(p.grad is None for p in head.heatmap_head.parameters())
    assert head.shared_conv.weight.grad.abs().sum() > 0
    assert head.class_encoding.weight.grad.abs().sum() > 0


def test_the_written_out_position_layer_equals_its_convolution_and_stays_exact_under_autocast():
    torch.manual_seed(0)
    embedding = PositionEmbedding(16).eval()
    where = cell_centres(4, 200)[None]
    exact = embedding.position_embedding_head(where.transpose(1, 2))
    torch.testing.assert_close(embedding(where), exact)
    with torch.autocast('cpu', torch.bfloat16):
        half = embedding(where).float()
        rounded = embedding.position_embedding_head(where.transpose(1, 2)).float()
    # Neighbouring places far from the corner stay apart.
    assert (half[..., 198] - half[..., 199]).abs().max() > 0
    assert (half - exact).abs().mean() < (rounded - exact).abs().mean()


def test_the_base_head_proposes_200_of_324000_in_one_exact_topk(repo_root):
    config = load_config(ModelConfig, repo_root / 'config' / 'models' / 'metabev_base.yaml')
    head = TransFusionHead(
        4, 8, config.detection_classes, config.bev_grid.shape, config.head.proposals
    )
    torch.manual_seed(0)
    heatmap = torch.randn(1, 10, 180, 180)
    scores, labels, cells = head.propose(heatmap)
    peak = F.max_pool2d(heatmap, 3, 1, 1) == heatmap
    peak[:, 8:] = True  # pedestrian, traffic_cone
    order = torch.where(peak, heatmap, -torch.inf).flatten().argsort(descending=True)[:200]
    assert torch.equal(labels[0] * 32_400 + cells[0], order)
    assert (scores.diff() <= 0).all()


# Map head


def test_the_map_head_samples_the_bev_at_the_metric_place_of_each_map_cell():
    head = MapHead(2, 2, 2, BEV, TARGET, blocks=0).eval()
    torch.nn.init.eye_(head.logits.weight.data[:, :, 0, 0])
    head.logits.bias.data.zero_()
    centres = torch.as_tensor(BEV.centres()).float().permute(2, 0, 1)[None]  # metres
    expected = torch.as_tensor(TARGET.centres()).float().permute(2, 0, 1)[None]
    torch.testing.assert_close(head(centres), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('blocks', [0, 1, 2])
def test_the_map_head_has_the_configured_number_of_blocks(blocks):
    head = MapHead(8, 4, 3, BEV, TARGET, blocks)
    assert head(torch.randn(1, 8, 8, 16)).shape == (1, 3, 12, 24)
    kernels = [m.kernel_size for m in head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(1, 1)] + blocks * [(3, 3)] + [(1, 1)]


def test_a_map_head_as_wide_as_the_neck_reduces_nothing():
    """BEVFusion's head: resampling, two 3x3 convolutions of the same width, 1x1."""
    head = MapHead(8, 8, 3, BEV, TARGET, 2)
    kernels = [m.kernel_size for m in head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(3, 3), (3, 3), (1, 1)]


@pytest.mark.parametrize('form', [Sampling.GATHER, Sampling.ROWS])
@pytest.mark.parametrize('target', [TARGET, BevGrid(-8.4, 8.4, -6.0, 6.0, 0.3)])
def test_the_map_head_without_grid_sample_gives_the_same_also_outside_the_grid(target, form):
    head = MapHead(8, 4, 3, BEV, target, 1).eval()
    x = torch.randn(2, 8, 8, 16).requires_grad_()
    expected = head(x)
    (slope,) = torch.autograd.grad(expected.sin().sum(), x)
    head.sampling = form
    found = head(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (found_slope,) = torch.autograd.grad(found.sin().sum(), x)
    torch.testing.assert_close(found_slope, slope, atol=1e-5, rtol=1e-5)
