import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metabev_ros.network.depthwise import depthwise_conv
from metabev_ros.network.efficientnet_lite import SameConv

SHAPES = [  # kernel, stride, border, height, width
    (3, 2, (0, 0), 9, 13),
    (3, 2, (0, 1), 8, 12),
    (5, 2, (1, 2), 8, 12),
    (5, 1, (2, 2), 6, 7),
    (3, 1, (1, 1), 6, 7),
    (3, 1, (0, 2), 6, 7),
    (3, 2, (1, 1), 8, 6),
    (3, 2, (0, 0), 8, 6),  # the last row and column are read by nothing
    (1, 2, (0, 0), 6, 5),  # a kernel smaller than the stride
]


@pytest.mark.parametrize('shape', SHAPES)
def test_values_and_gradients_equal_torchs_convolution(
    shape: tuple[int, int, tuple[int, int], int, int],
) -> None:
    kernel, stride, border, height, width = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 1, kernel, kernel, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    weight.requires_grad_()
    results: list[list[Tensor]] = []
    for y in (
        depthwise_conv(x, weight, stride, border),
        F.conv2d(F.pad(x, border * 2), weight, None, stride, 0, 1, 4),
    ):
        weighting = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos()
        results.append([y, *torch.autograd.grad(y, (x, weight), weighting)])
    quick, plain = results
    for a, b in zip(quick, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_under_autocast_it_runs_in_bfloat16_and_the_weights_gradient_is_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 11, 15, generator=generator).requires_grad_()
    weight = torch.randn(4, 1, 5, 5, generator=generator).requires_grad_()
    exact = F.conv2d(x, weight, None, 2, 0, 1, 4)
    with torch.autocast('cpu', torch.bfloat16):
        y = depthwise_conv(x, weight, 2, (0, 0))
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.float(), exact, rtol=0.02, atol=0.1)
    expected: tuple[Tensor, ...] = torch.autograd.grad(exact, (x, weight), torch.ones_like(exact))
    found: tuple[Tensor, ...] = torch.autograd.grad(y, (x, weight), torch.ones_like(y))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is torch.float32
        assert float((a - b).square().sum()) < 1e-4 * float(b.square().sum())


def test_a_backbones_depthwise_layer_learns_as_torchs_does() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = SameConv(4, 4, 5, 2, groups=4).double()
    x = torch.randn(2, 4, 8, 12, generator=generator, dtype=torch.float64).requires_grad_()
    plain = F.conv2d(F.pad(x, (1, 2, 1, 2)), layer.weight, None, 2, 0, 1, 4)
    expected = torch.autograd.grad(plain.sin().sum(), (x, layer.weight))
    found = torch.autograd.grad(layer(x).sin().sum(), (x, layer.weight))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
