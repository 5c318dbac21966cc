"""gnConv: recursive gated convolution (HorNet, Rao et al. 2022, section 3.1).

One module serves the image backbone (`hornet`), the camera necks (`fpn`) and the BEV necks
(`neck`). Names of parameters are the published ones. Maps are (B, C, H, W).
"""

from __future__ import annotations

import functools
import math
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from metabev_ros.config import Mixing
from metabev_ros.errors import assert_never

NORM_EPS = 1e-6
NECK_ORDER = 2
NECK_FILTER = (32, 17)  # as published for HorFPN; resized to the spectrum of the map


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map: (B, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def dft_matrices(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The orthonormal real 2D Fourier transform as three real matrices, float64.

    With m = W // 2 + 1 frequencies along W: `rows` (W, 2m) gives real and imaginary parts side by
    side; `columns` (2H, 2H) is the complex transform along H of the real part above the imaginary
    part, and orthogonal, so that its transpose is the inverse; `back` (2m, W) is the real inverse
    along W, in which every frequency but 0 and (W even) W / 2 stands for two.
    """
    kept = width // 2 + 1
    angle = 2 * np.pi * (np.outer(np.arange(width), np.arange(kept)) % width) / width
    rows = np.concatenate([np.cos(angle), -np.sin(angle)], 1) / math.sqrt(width)
    twice = np.where(2 * np.arange(kept) % width == 0, 1.0, 2.0)
    back = np.concatenate([np.cos(angle) * twice, -np.sin(angle) * twice], 1).T / math.sqrt(width)
    turn = np.arange(height)
    angle = 2 * np.pi * (np.outer(turn, turn) % height) / height
    cos, sin = np.cos(angle), np.sin(angle)
    return rows, np.block([[cos, sin], [-sin, cos]]) / math.sqrt(height), back


@functools.lru_cache(maxsize=64)
def interpolation_matrix(stored: int, wanted: int) -> np.ndarray:
    """(wanted, stored) float64: linear interpolation with aligned ends."""
    place = np.linspace(0, stored - 1, wanted) if wanted > 1 else np.zeros(1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(stored)))


def resize_spectrum(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w, 2) -> (C, *size, 2), bilinear with aligned corners, as published."""
    if spectrum.shape[1:3] == size:
        return spectrum
    rows, columns = (
        torch.tensor(interpolation_matrix(*lengths), dtype=spectrum.dtype, device=spectrum.device)
        for lengths in zip(spectrum.shape[1:3], size, strict=True)
    )
    return (rows @ spectrum.permute(0, 3, 1, 2) @ columns.t()).permute(0, 2, 3, 1)


def filter_globally(x: Tensor, spectrum: Tensor) -> Tensor:
    """irfft2(rfft2(x) K), both orthonormal: circular convolution with torch's irfft2(K).

    Written as products with constant matrices, in training as in every runtime: TensorRT has no
    FFT. Never below float32.

    Args:
        x: (B, C, H, W).
        spectrum: (C, h, w, 2), real and imaginary parts of K; resized to (H, W // 2 + 1).
    """
    device, (height, width) = x.device.type, x.shape[-2:]
    # Products of half precision would lose the small differences between large sums.
    lowered = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if lowered else nullcontext():
        dtype = torch.promote_types(x.dtype, torch.float32)
        rows, columns, back = (
            torch.tensor(matrix, dtype=dtype, device=x.device)
            for matrix in dft_matrices(height, width)
        )
        real, imaginary = (x.to(dtype) @ rows).chunk(2, -1)
        real, imaginary = (columns @ torch.cat([real, imaginary], -2)).chunk(2, -2)
        k_real, k_imaginary = resize_spectrum(spectrum.to(dtype), (height, width // 2 + 1)).unbind(
            -1
        )
        product = torch.cat(
            [real * k_real - imaginary * k_imaginary, real * k_imaginary + imaginary * k_real], -2
        )
        real, imaginary = (columns.t() @ product).chunk(2, -2)
        return torch.cat([real, imaginary], -1) @ back


class GlobalLocalFilter(nn.Module):
    """Norm, 3x3 depthwise on the first half of the channels, global filter on the second, norm.

    Output channels alternate between the halves (published weights expect it).

    Args:
        channels: even.
        size: (h, w) of the stored spectrum; any size fits any map.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        half = channels // 2
        self.pre_norm, self.post_norm = ChannelNorm(channels), ChannelNorm(channels)
        self.dw = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.complex_weight = nn.Parameter(torch.empty(half, *size, 2))
        nn.init.trunc_normal_(self.complex_weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.pre_norm(x).chunk(2, 1)
        near, far = self.dw(near), filter_globally(far, self.complex_weight)
        return self.post_norm(torch.stack([near.to(far.dtype), far], 2).flatten(1, 2))


class GnConv(nn.Module):
    """Gated convolution of order n: (B, C, H, W) -> same, a product of n + 1 linear maps of x.

    Channels d_k = C / 2^(n-1-k): [p, q_0 .. q_{n-1}] = 1x1(x); q = f(q) scale; y = p q_0, then
    y = 1x1(y) q_{k+1} for every further order; 1x1(y).

    Args:
        channels: C, a multiple of 2^(n-1) (of 2^n for the global filter).
        order: n.
        size: (h, w) of a stored global filter.
        scale: of the gathered features; 1/3 in HorNet, 1 in HorFPN.
    """

    def __init__(
        self, channels: int, order: int, mixing: Mixing, size: tuple[int, int], scale: float
    ) -> None:
        super().__init__()
        self.dims = [channels >> (order - 1 - k) for k in range(order)]
        self.scale = scale
        total = sum(self.dims)
        self.proj_in = nn.Conv2d(channels, 2 * channels, 1)
        self.dwconv = _gather(total, mixing, size)
        self.pws = nn.ModuleList(
            nn.Conv2d(fine, coarse, 1)
            for fine, coarse in zip(self.dims[:-1], self.dims[1:], strict=True)
        )
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y, gates = self.proj_in(x).split([self.dims[0], sum(self.dims)], 1)
        first, *others = (self.dwconv(gates) * self.scale).split(self.dims, 1)
        y = y * first
        for project, gate in zip(self.pws, others, strict=True):
            y = project(y) * gate
        return self.proj_out(y)


def _gather(channels: int, mixing: Mixing, size: tuple[int, int]) -> nn.Module:
    """f of the paper: (B, C, H, W) -> same."""
    match mixing:
        case Mixing.LOCAL:
            return nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        case Mixing.GLOBAL:
            return GlobalLocalFilter(channels, size)
        case _:
            assert_never(mixing)


def neck_gnconv(channels: int, mixing: Mixing) -> GnConv:
    """HorFPN's gnConv in place of a 3x3 convolution: order 2, no scaling, Xavier weights.

    42 % of the products of a 3x3 convolution at C = 256.
    """
    layer = GnConv(channels, NECK_ORDER, mixing, NECK_FILTER, scale=1.0)
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return layer


class GnConvBlock(nn.Sequential):
    """HorFPN's gnConv, batch norm, ReLU in place of `ConvBlock(channels, channels)`."""

    def __init__(self, channels: int, mixing: Mixing) -> None:
        super().__init__(
            neck_gnconv(channels, mixing), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
