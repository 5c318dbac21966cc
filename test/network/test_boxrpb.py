"""The bias of the Plain-DETR head's attention (BoxRPB, Lin et al., ICCV 2023)."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config.plain_detr import BoxRpbConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.network.boxrpb import OFFSET_PER_CELL, AxialBias, BoxFrameBias, bias_mlp
from metabev_ros.network.plain_detr import BiasedAttention

GRID = BevGrid(-4.8, 6.0, -3.0, 4.2, 0.6)  # 18 columns, 12 rows
SQUARE = BevGrid(-6, 6, -6, 6, 0.6)
HEADS = 2


def random_boxes(count, seed=0, spread=3.0, yaw=None):
    """(1, count, 8)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, count) if yaw is None else np.full(count, yaw)
    boxes = np.stack(
        [
            *rng.uniform(-spread, spread, (2, count)),
            rng.normal(1, 0.3, count),
            *rng.uniform(0.4, 5, (3, count)),
            np.sin(angle),
            np.cos(angle),
        ],
        1,
    )
    return torch.as_tensor(boxes, dtype=torch.float32)[None]


def axial(grid=GRID, hidden=16) -> AxialBias:
    torch.manual_seed(0)
    return AxialBias(hidden, HEADS, grid)


def box_frame(grid=GRID, knots=512, reach=80.0, hidden=16, symmetric=False) -> BoxFrameBias:
    torch.manual_seed(0)
    return BoxFrameBias(
        BoxRpbConfig(hidden=hidden, knots=knots, reach=reach, symmetric_heading=symmetric),
        HEADS,
        grid,
    )


def per_cell(module: BoxFrameBias, boxes: torch.Tensor) -> torch.Tensor:
    """The bias with its MLPs run at every cell within reach, in float64 and without a table."""
    total = 0.0
    for mlp, extent, place in zip(
        (module.along_u, module.along_v),
        (boxes[..., 3], boxes[..., 4]),
        module.coordinates(boxes.double()),
        strict=True,
    ):
        half, place = extent[..., None].double() / 2, place.clamp(-module.reach, module.reach)
        ends = torch.stack([-half - place, half - place], -1) * module.scale
        hidden = (ends @ mlp[0].weight.double().t() + mlp[0].bias.double()).relu()
        total = total + (hidden @ mlp[2].weight.double().t()).permute(0, 3, 1, 2)
    return total


def test_the_axial_bias_is_the_triple_loop_over_queries_rows_and_columns():
    module, boxes = axial(), random_boxes(3)
    got = module(boxes).reshape(HEADS, 3, GRID.rows, GRID.columns).tolist()
    weights = [
        [p.detach().numpy() for p in mlp.parameters()] for mlp in (module.along_u, module.along_v)
    ]

    def profile(axis, near, far):
        first, bias, last = weights[axis]
        return last @ np.maximum(first @ (np.array([near, far]) * 16 / GRID.cell) + bias, 0)

    for q, (x, y, _, length, width, _, sin, cos) in enumerate(boxes[0].tolist()):
        corners = np.array(
            [
                [
                    sx * length / 2 * cos - sy * width / 2 * sin,
                    sx * length / 2 * sin + sy * width / 2 * cos,
                ]
                for sx in (-1, 1)
                for sy in (-1, 1)
            ]
        ) + [x, y]
        (x1, y1), (x2, y2) = corners.min(0), corners.max(0)
        for i in range(GRID.rows):
            for j in range(GRID.columns):
                cell_x = GRID.x_min + (j + 0.5) * GRID.cell
                cell_y = GRID.y_min + (i + 0.5) * GRID.cell
                expected = profile(0, x1 - cell_x, x2 - cell_x) + profile(
                    1, y1 - cell_y, y2 - cell_y
                )
                assert [got[m][q][i][j] for m in range(HEADS)] == pytest.approx(
                    expected.tolist(), abs=1e-4
                )


def test_attention_with_the_bias_is_the_softmax_written_out():
    torch.manual_seed(1)
    attention, bias = BiasedAttention(8, HEADS), torch.randn(1, HEADS, 3, 5)
    query, keys, values = torch.randn(1, 3, 8), torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    q, k, v = attention.query(query)[0], attention.key(keys)[0], attention.value(values)[0]
    mixed = torch.zeros(3, 8)
    for head in range(HEADS):
        part = slice(4 * head, 4 * head + 4)
        for i in range(3):
            logits = [
                (q[i, part] @ k[j, part]).item() / 2 + bias[0, head, i, j].item() for j in range(5)
            ]
            share = np.exp(logits) / np.exp(logits).sum()
            mixed[i, part] = sum(float(s) * v[j, part] for j, s in enumerate(share))
    torch.testing.assert_close(
        attention(query, keys, values, bias)[0], attention.output(mixed), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize('module', [axial(), box_frame()])
def test_with_a_zero_last_layer_it_is_plain_multi_head_attention(module):
    for mlp in (module.along_u, module.along_v):
        nn.init.zeros_(mlp[2].weight)
    torch.manual_seed(1)
    attention, query = BiasedAttention(8, HEADS), torch.randn(1, 3, 8)
    keys, values = torch.randn(2, 1, GRID.rows * GRID.columns, 8)
    parts = (attention.query, attention.key, attention.value)
    expected = F.multi_head_attention_forward(
        query.transpose(0, 1),
        keys.transpose(0, 1),
        values.transpose(0, 1),
        8,
        HEADS,
        torch.cat([part.weight for part in parts]),
        torch.cat([part.bias for part in parts]),
        None,
        None,
        False,
        0.0,
        attention.output.weight,
        attention.output.bias,
        need_weights=False,
    )[0]
    got = attention(query, keys, values, module(random_boxes(3)))
    torch.testing.assert_close(got, expected.transpose(0, 1), atol=1e-6, rtol=1e-5)


def windowed(module):
    """MLPs by hand: no bias inside the box, -1 a unit outside of it."""
    for mlp in (module.along_u, module.along_v):
        nn.init.zeros_(mlp[0].weight)
        nn.init.zeros_(mlp[0].bias)
        nn.init.zeros_(mlp[2].weight)
        mlp[0].weight.data[0, 0] = 1.0  # the near end beyond the cell
        mlp[0].weight.data[1, 1] = -1.0  # the far end before the cell
        mlp[2].weight.data[:, :2] = -1.0
    return module


@pytest.mark.parametrize('build', [axial, box_frame])
def test_a_box_moved_by_whole_cells_takes_its_bias_and_what_it_sees_along(build):
    torch.manual_seed(2)
    down, right = 3, 5
    boxes = random_boxes(4, spread=0.5)
    boxes[..., 3:5] = boxes[..., 3:5].clamp(max=1.5)
    moved = boxes.clone()
    moved[..., 0] += right * GRID.cell
    moved[..., 1] += down * GRID.cell
    module = build()
    shape = (HEADS, 4, GRID.rows, GRID.columns)
    first, second = module(boxes).reshape(shape), module(moved).reshape(shape)
    torch.testing.assert_close(
        second[..., down:, right:], first[..., :-down, :-right], atol=3e-4, rtol=0
    )
    cells = torch.randn(8, GRID.rows, GRID.columns)
    attention, query = BiasedAttention(8, HEADS), torch.randn(1, 4, 8)
    windowed(module)

    def seen(where, cells):
        tokens = cells.flatten(1).t()[None]
        return attention(query, tokens, tokens, module(where))

    rolled = torch.roll(cells, (down, right), (1, 2))
    torch.testing.assert_close(seen(moved, rolled), seen(boxes, cells), atol=1e-5, rtol=1e-4)


def test_without_yaw_the_box_frame_is_the_map_frame():
    one, other, boxes = axial(), box_frame(knots=4096, reach=12.0), random_boxes(5, yaw=0.0)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(boxes), one(boxes), atol=2e-4, rtol=0)
    torch.testing.assert_close(per_cell(other, boxes).float(), one(boxes), atol=2e-5, rtol=0)


def turned_quarter(boxes):
    """The boxes after a turn by 90 degrees about the origin."""
    x, y, z, length, width, height, sin, cos = boxes.unbind(-1)
    return torch.stack([-y, x, z, length, width, height, cos, -sin], -1)


@pytest.fixture
def exact_arithmetic():
    """float64 for all that is built in a test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_turning_the_scene_by_a_quarter_permutes_the_bias(exact_arithmetic):
    module, boxes = box_frame(SQUARE), random_boxes(6).double()
    shape = (HEADS, 6, SQUARE.rows, SQUARE.columns)
    for bias in (module, lambda boxes: per_cell(module, boxes)):
        first = bias(boxes).reshape(shape)
        # x -> -y, y -> x: what lay in row i, column j lies in row j, column (last - i).
        expected = first.transpose(-1, -2).flip(-1)
        got = bias(turned_quarter(boxes)).reshape(shape)
        assert (got - expected).abs().max() < 1e-11


def test_at_45_degrees_only_the_box_frame_sees_the_boxes_own_outline():
    """A hand-made window: the hull's is 2.4 times a car's footprint, the box frame's is it."""
    grid = BevGrid(-6, 6, -6, 6, 0.1)
    yaw = math.pi / 4
    car = torch.tensor([[[0.0, 0, 1, 4.63, 1.97, 1.7, math.sin(yaw), math.cos(yaw)]]])
    seen = {
        name: int((windowed(module)(car)[0, 0, 0] > -1e-3 * 16 / 0.1).sum()) * 0.1**2
        for name, module in (
            ('hull', axial(grid)),
            ('box', box_frame(grid, knots=4096, reach=12.0)),
        )
    }
    assert seen['box'] == pytest.approx(4.63 * 1.97, rel=0.05)
    assert seen['hull'] == pytest.approx(((4.63 + 1.97) * math.sqrt(0.5)) ** 2, rel=0.05)


def test_a_symmetric_heading_does_not_know_front_from_back():
    boxes = random_boxes(6)
    flipped = boxes.clone()
    flipped[..., 6:] *= -1
    symmetric, plain = box_frame(symmetric=True), box_frame()
    torch.testing.assert_close(symmetric(flipped), symmetric(boxes), atol=1e-5, rtol=1e-5)
    assert (plain(flipped) - plain(boxes)).abs().max() > 0.01 * np.ptp(plain(boxes).tolist())


@pytest.mark.parametrize('large', [False, True])
def test_the_table_is_the_mlp_to_a_thousandth_and_better_with_more_knots(large):
    boxes, errors = random_boxes(4, spread=40.0), []
    for knots in (128, 256, 512, 1024):
        module = box_frame(BevGrid(-54, 54, -54, 54, 3.6), knots, hidden=512)
        module.scale = OFFSET_PER_CELL / 0.6  # every sixth cell of a 0.6 m grid
        for mlp in (module.along_u, module.along_v):
            nn.init.trunc_normal_(mlp[0].weight, std=1.0 if large else 0.02)
            nn.init.trunc_normal_(mlp[0].bias, std=10.0 if large else 0.02)
        exact = per_cell(module, boxes)
        errors.append(((module(boxes) - exact).abs().max() / (exact.max() - exact.min())).item())
    assert errors[2] < 1e-3
    assert errors[1] < errors[0] and errors[2] < errors[1] and errors[3] < errors[2]


def test_gather_and_lerp_is_grid_sample():
    module = box_frame(knots=64, reach=4.0)
    table, where = torch.randn(2, 3, 64, HEADS), torch.empty(2, 3, 50).uniform_(-6, 6)
    place = torch.stack([where / 4, torch.zeros_like(where)], -1).reshape(6, 1, 50, 2)
    sampled = F.grid_sample(
        table.reshape(6, 64, 1, HEADS).permute(0, 3, 2, 1),
        place,
        padding_mode='border',
        align_corners=True,
    )  # (B Q, heads, 1, N)
    expected = sampled.reshape(2, 3, HEADS, 50).transpose(1, 2)
    torch.testing.assert_close(module.lookup(table, where), expected, atol=1e-5, rtol=1e-4)


def test_no_number_in_a_box_reads_no_memory_and_stays_visible():
    boxes = random_boxes(2)
    boxes[0, 0, 0] = torch.nan
    bias = box_frame()(boxes)
    assert bias[:, :, 0].isnan().all() and bias[:, :, 1].isfinite().all()


def test_gradients_reach_the_mlps_and_not_the_boxes():
    boxes = random_boxes(3).requires_grad_()
    module = box_frame()
    module(boxes).square().sum().backward()
    assert boxes.grad is None and all(p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize(('rows', 'columns', 'ratio'), [(180, 180, 108.0), (12, 18, 8.64)])
def test_the_axial_form_costs_what_the_formula_says(rows, columns, ratio):
    """Counted by torch's own counter, on tensors without storage."""
    queries, heads, hidden = 300, 8, 512
    grid = BevGrid(0, columns * 0.6, 0, rows * 0.6, 0.6)
    with FakeTensorMode():
        module = AxialBias(hidden, heads, grid)
        naive = nn.Sequential(
            nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False)
        )
        boxes, pairs = torch.empty(1, queries, 8), torch.empty(queries * rows * columns, 4)
        counts = []
        for part, given in ((module, boxes), (naive, pairs)):
            with FlopCounterMode(display=False) as counter:
                part(given)
            counts.append(counter.get_total_flops() / 2)
    assert counts[0] == queries * (rows + columns) * 5120
    assert counts[1] == queries * rows * columns * 6144
    assert counts[1] / counts[0] == pytest.approx(1.2 * rows * columns / (rows + columns))
    assert counts[1] / counts[0] == pytest.approx(ratio)


def test_a_layer_has_the_published_number_of_parameters():
    assert sum(p.numel() for _ in range(2) for p in bias_mlp(512, 8).parameters()) == 11_264
    assert OFFSET_PER_CELL == 16
