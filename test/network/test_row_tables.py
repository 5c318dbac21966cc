import pytest
import torch
from torch import Tensor

from metabev_ros.network.row_tables import (
    largest,
    look_around,
    look_up,
    look_up_once,
    moved_tables,
    row_sums,
    spare_rows,
    weighted_row_sums,
)

ROWS = 7


def plain_and_quick(function, plain, rows: int, table: Tensor) -> list[list[Tensor]]:
    """Result and gradient of a look-up and of its plain form."""
    torch.manual_seed(0)
    x = torch.randn(rows, 3, dtype=torch.float64)
    results = []
    for form in (function, plain):
        leaf = x.clone().requires_grad_(True)
        out = form(leaf, table)
        out.backward(torch.arange(out.numel(), dtype=torch.float64).reshape(out.shape).cos())
        assert leaf.grad is not None
        results.append([out.detach(), leaf.grad])
    return results


def line_of_neighbours() -> Tensor:
    """Each row's left neighbour, itself and its right neighbour; the ends have one of them."""
    row = torch.arange(ROWS, dtype=torch.int32)
    left = torch.where(row == 0, ROWS, row - 1)
    return torch.stack([left, row, row + 1], 1)  # beyond the last row: ROWS, none


@pytest.mark.parametrize(
    ('function', 'table'),
    [
        (look_up_once, torch.tensor([[3, 7], [7, 0], [6, 1]], dtype=torch.int32)),
        (look_around, line_of_neighbours()),
    ],
)
def test_a_quick_look_up_gives_what_a_plain_one_gives_forward_and_backward(
    function, table: Tensor
) -> None:
    quick, plain = plain_and_quick(function, look_up, ROWS, table)
    for a, b in zip(quick, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize('function', [look_up_once, look_around])
def test_spare_rows_are_zero_and_change_no_gradient(function) -> None:
    x = torch.randn(ROWS, 3, dtype=torch.float64)
    table = line_of_neighbours()
    if function is look_up_once:
        table = table[:, 1:2]
    slopes = []
    for spare in (0, 5):
        leaf = x.clone().requires_grad_()
        out = function(leaf, table, spare)
        assert out.shape[0] == ROWS + spare
        assert not out[ROWS:].any()
        (slope,) = torch.autograd.grad(out.sin().sum(), leaf)
        slopes.append(slope)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=0, atol=1e-12)


def test_numbers_of_rows_come_again_in_training_and_stay_as_they_are_elsewhere() -> None:
    learning = torch.zeros(1, requires_grad=True)
    sizes = {count + spare_rows(learning, count) for count in range(16_000, 32_000)}
    assert len(sizes) <= 10
    assert all(0 <= spare_rows(learning, n) <= n / 8 for n in range(1, 5000))
    assert spare_rows(torch.zeros(1), 12_345) == 0


def test_the_largest_value_sends_its_gradient_to_the_row_that_has_it() -> None:
    table = torch.tensor([[0, 3, 0], [2, 2, 2], [5, 6, 1]], dtype=torch.int32)

    def plain(x: Tensor, table: Tensor) -> Tensor:
        return torch.stack([x[torch.unique(rows).long()].amax(0) for rows in table])

    quick, expected = plain_and_quick(largest, plain, ROWS, table)
    for a, b in zip(quick, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_tables_of_several_samples_name_the_rows_of_all_and_none_stays_none() -> None:
    tables = [torch.tensor([[0, 2]]), torch.tensor([[3, 1]])]  # of 2 and 3 rows: 2 and 3 are none
    first, second = moved_tables(tables, [2, 3])
    assert first.tolist() == [[0, 5]]
    assert second.tolist() == [[5, 3]]


def test_row_sums_of_points_give_the_gradients_of_plain_look_ups() -> None:
    views, bins, count, channels = 2, 3, 4, 5
    rng = torch.Generator().manual_seed(0)
    points = views * bins * count
    # All points but three in any order, and the rest of the last row is padding.
    order = torch.randperm(points, generator=rng)[: points - 3]
    depth_table = torch.cat([order, torch.full((3,), points)]).reshape(-1, 4).int()
    view, pixel = depth_table // (bins * count), depth_table % count
    pixel_table = torch.where(depth_table == points, 0, view * count + pixel).int()
    results = []
    for form in (weighted_row_sums, row_sums):
        torch.manual_seed(1)
        depth = torch.rand(views, bins, count, dtype=torch.float64, requires_grad=True)
        pixels = torch.randn(views * count, channels, dtype=torch.float64, requires_grad=True)
        rows = form(depth, pixels, depth_table, pixel_table)
        rows.backward(torch.arange(rows.numel(), dtype=torch.float64).reshape(rows.shape).cos())
        results.append((rows.detach(), depth.grad, pixels.grad))
    for quick, plain in zip(*results, strict=True):
        torch.testing.assert_close(quick, plain, rtol=0, atol=1e-12)
