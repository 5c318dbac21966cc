import pytest
import torch
from torch import Tensor

from metabev_ros.network.row_tables import sums_of_rows
from metabev_ros.network.weighted_rows import bilinear_shares, weighted_sums


def with_gradients(result: Tensor, *inputs: Tensor) -> list[Tensor]:
    """A result, and the gradients of one weighting of it."""
    weighting = torch.arange(result.numel(), dtype=result.dtype).reshape(result.shape).cos()
    return [result, *torch.autograd.grad(result, inputs, weighting)]


@pytest.mark.parametrize('count', [7, 3])  # more and fewer than a sum has terms
def test_weighted_sums_and_their_gradients_equal_a_plain_look_up(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, 3, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randint(0, count, (5, 4), generator=generator, dtype=torch.int32)
    table[0] = 2  # one row, four times

    quick = with_gradients(weighted_sums(rows, table, weights), rows, weights)

    plain = (rows[table.long()] * weights[..., None]).sum(1)
    for a, b in zip(quick, with_gradients(plain, rows, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_bilinear_shares_have_the_derivatives_of_their_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    where = (torch.rand(40, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3) * 0.999
    weight = torch.rand(40, generator=generator, dtype=torch.float64)

    def shares(where: Tensor, weight: Tensor) -> Tensor:
        return bilinear_shares(where, weight, 5, 8)[1]

    assert torch.autograd.gradcheck(shares, (where.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize('place', [-1e30, -0.2, 0.0, 0.5, 1.0, 1.2, 1e30, float('nan')])
def test_no_place_names_a_cell_outside_the_map(place: float) -> None:
    cells, shares = bilinear_shares(torch.tensor([[place, 0.5]]), torch.ones(1), 5, 8)
    assert cells.dtype is torch.int32
    assert 0 <= int(cells.min()) and int(cells.max()) < 40
    assert not float(shares.sum()) > 1 + 1e-6


def test_sums_of_rows_equal_plain_sums_and_skip_what_names_none() -> None:
    x = torch.arange(12, dtype=torch.float64).reshape(4, 3).requires_grad_()
    table = torch.tensor([[0, 3], [4, 4], [2, 4]], dtype=torch.int32)  # 4 names none
    plain = torch.stack([x[0] + x[3], x[0] * 0, x[2]])
    for a, b in zip(
        with_gradients(sums_of_rows(x, table), x), with_gradients(plain, x), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
