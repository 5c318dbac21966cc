"""gnConv by its defining properties."""

import pytest
import torch
from support.products import products
from torch.nn import functional as F

from metabev_ros.config import Mixing
from metabev_ros.network.gnconv import (
    GlobalLocalFilter,
    GnConv,
    filter_globally,
    neck_gnconv,
    resize_spectrum,
)
from metabev_ros.network.layers import ConvBlock

ORDERS = (1, 2, 3, 4, 5)


def gnconv(order: int, channels: int = 32, mixing: Mixing = Mixing.LOCAL, size=(6, 4)) -> GnConv:
    """With parameters far from their initial values, in float64."""
    torch.manual_seed(order)
    layer = GnConv(channels, order, mixing, size, scale=1 / 3).double().eval()
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return layer


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize('order', ORDERS)
@torch.no_grad()
def test_without_biases_gnconv_is_homogeneous_of_degree_order_plus_one(order):
    layer = gnconv(order)
    for name, parameter in layer.named_parameters():
        if name.endswith('bias'):
            parameter.zero_()
    x = noise(1, 32, 8, 8)
    for factor in (0.5, 3.0):
        expected = factor ** (order + 1) * layer(x)
        torch.testing.assert_close(
            layer(factor * x), expected, rtol=0, atol=1e-13 * expected.abs().max().item()
        )


@pytest.mark.parametrize('order', ORDERS)
@torch.no_grad()
def test_the_gates_are_split_as_an_own_depthwise_convolution_per_order_would_be(order):
    layer, x = gnconv(order), noise(2, 32, 9, 7)
    widths = [32 // 2 ** (order - 1 - k) for k in range(order)]
    assert widths[0] + sum(widths) == 64 and widths[-1] == 32
    q = F.conv2d(x, layer.proj_in.weight, layer.proj_in.bias)
    y, start = q[:, : widths[0]], widths[0]
    for k, width in enumerate(widths):
        here = slice(start - widths[0], start - widths[0] + width)
        gate = (
            F.conv2d(
                q[:, start : start + width],
                layer.dwconv.weight[here],
                layer.dwconv.bias[here],
                padding=3,
                groups=width,
            )
            / 3
        )
        if k > 0:
            y = F.conv2d(y, layer.pws[k - 1].weight, layer.pws[k - 1].bias)
        y, start = y * gate, start + width
    expected = F.conv2d(y, layer.proj_out.weight, layer.proj_out.bias)
    assert expected.shape == x.shape and start == 64
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_channels_after_the_global_filter_alternate_between_its_halves():
    """Near ones from the 3x3 convolution, far ones from the filter; published weights need it."""
    layer = GlobalLocalFilter(8, (6, 4)).double()
    layer.pre_norm, layer.post_norm = torch.nn.Identity(), torch.nn.Identity()
    x = noise(1, 8, 6, 6)
    out = layer(x)
    torch.testing.assert_close(out[:, 0::2], layer.dw(x[:, :4]))
    torch.testing.assert_close(out[:, 1::2], filter_globally(x[:, 4:], layer.complex_weight))


@torch.no_grad()
def test_7x7_gates_move_with_the_image_in_the_interior_and_reach_three_cells():
    layer, x = gnconv(4), noise(1, 32, 20, 22)
    moved = torch.roll(x, (2, 3), (2, 3))
    torch.testing.assert_close(layer(moved)[..., 5:-3, 6:-3], layer(x)[..., 3:-5, 3:-6])
    touched = x.clone()
    touched[..., 10, 11] += 1
    rows, columns = (layer(touched) != layer(x)).any(1)[0].nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 13, 8, 14)


@torch.no_grad()
def test_global_gates_move_round_the_torus_with_the_image_and_reach_every_cell():
    layer, x = gnconv(3, mixing=Mixing.GLOBAL, size=(10, 7)), noise(1, 32, 10, 12)
    layer.dwconv.dw.padding_mode = 'circular'
    expected = torch.roll(layer(x), (3, -5), (2, 3))
    torch.testing.assert_close(layer(torch.roll(x, (3, -5), (2, 3))), expected)
    touched = x.clone()
    touched[..., 4, 5] += 1
    assert (layer(touched) != layer(x)).any(1).all()


@pytest.mark.parametrize('size', [(16, 44), (8, 22), (14, 14), (7, 7), (5, 9), (6, 1), (1, 2)])
@torch.no_grad()
def test_dft_products_are_the_fft_and_a_circular_convolution(size):
    x, spectrum = noise(2, 3, *size), noise(3, size[0], size[1] // 2 + 1, 2)
    complex_spectrum = torch.view_as_complex(spectrum)
    got = filter_globally(x, spectrum)
    by_fft = torch.fft.irfft2(
        torch.fft.rfft2(x, norm='ortho') * complex_spectrum, s=size, norm='ortho'
    )
    torch.testing.assert_close(got, by_fft, rtol=0, atol=1e-13)
    kernel = torch.fft.irfft2(complex_spectrum, s=size)
    by_sum = sum(
        kernel[:, a, b, None, None] * torch.roll(x, (a, b), (2, 3))
        for a in range(size[0])
        for b in range(size[1])
    )
    torch.testing.assert_close(got, by_sum, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_global_filter_stays_in_float32_when_the_rest_is_half_precision():
    x, spectrum = noise(1, 4, 16, 44).float(), noise(4, 16, 23, 2).float()
    with torch.autocast('cpu', torch.bfloat16):
        half = filter_globally(x, spectrum)
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half, filter_globally(x.double(), spectrum.double()).float(), rtol=1e-5, atol=1e-5
    )


def test_a_filter_is_not_resized_at_its_own_size_and_else_bilinearly():
    own = noise(2, 14, 8, 2)
    assert resize_spectrum(own, (14, 8)) is own  # stage 3 at 224 x 224
    for size in ((16, 23), (7, 4), (1, 2), (1, 1)):
        expected = F.interpolate(
            own.permute(3, 0, 1, 2), size=size, mode='bilinear', align_corners=True
        ).permute(1, 2, 3, 0)
        torch.testing.assert_close(resize_spectrum(own, size), expected)


def test_what_a_neighbour_counts_depends_on_the_input_unlike_in_a_convolution():
    first, second = noise(2, 4, 3, 3).split(1)

    def jacobians(layer):
        return [torch.autograd.functional.jacobian(layer, x) for x in (first, second)]

    conv = torch.nn.Conv2d(4, 4, 7, padding=3).double()
    for one, other, alike in ((*jacobians(gnconv(2, 4)), False), (*jacobians(conv), True)):
        assert torch.allclose(one, other) is alike
    difference = jacobians(gnconv(2, 4))
    assert (difference[0] - difference[1]).norm() > 0.1 * difference[0].norm()


@pytest.mark.parametrize('order', ORDERS)
def test_products_stay_below_the_papers_bound(order):
    channels, height, width = 64, 8, 6
    layer = gnconv(order, channels)
    gates = height * width * (2 * channels - (channels >> order - 1))
    total = products(layer, noise(1, channels, height, width)) + gates
    assert total < height * width * channels * (2 * 7**2 + 11 * channels / 3 + 2)


def test_horfpn_needs_42_percent_of_a_3x3_convolution_at_256_channels():
    with torch.device('meta'):
        layer, block = neck_gnconv(256, Mixing.LOCAL), ConvBlock(256, 256)
        cell = torch.zeros(1, 256, 1, 1)
    assert sum(p.numel() for p in layer.parameters()) == 249_600
    assert products(layer, cell) == 248_192 and products(block[0], cell) == 589_824
    assert products(layer, cell) / products(block[0], cell) == pytest.approx(0.421, abs=5e-4)
    assert layer.scale == 1.0
