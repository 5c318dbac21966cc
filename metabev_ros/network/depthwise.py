"""Depthwise convolution whose gradients are cheap on a CPU.

torch's own are many times dearer than its forward pass where a stride is 2 or a kernel 5x5. The
same sums as forward convolutions and as gradients of 3x3 kernels, which are quick, take their
place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def depthwise_conv(x: Tensor, weight: Tensor, stride: int, border: tuple[int, int]) -> Tensor:
    """(B, C, H, W) and kernels (C, 1, K, K) -> (B, C, H', W'); on a CPU.

    Inside `torch.autocast` it runs in its dtype, as any convolution.

    Args:
        border: zeros added above and to the left, and below and to the right.
    """
    if torch.is_autocast_enabled('cpu'):
        dtype = torch.get_autocast_dtype('cpu')
        x, weight = x.to(dtype), weight.to(dtype)
    return _DepthwiseConv.apply(x, weight, stride, border)


class _DepthwiseConv(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, border: tuple[int, int]
    ) -> Tensor:
        padded = F.pad(x, border * 2) if any(border) else x
        ctx.save_for_backward(padded, weight)
        ctx.stride, ctx.border = stride, border
        return _convolve(padded, weight, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        padded, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _input_gradient(gradient, weight, padded, ctx.stride, ctx.border)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(gradient, weight, padded, ctx.stride)
        return to_x, to_weight, None, None


def _convolve(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] | int = 0
) -> Tensor:
    with torch.autocast('cpu', enabled=False):
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))


def _input_gradient(
    gradient: Tensor, weight: Tensor, padded: Tensor, stride: int, border: tuple[int, int]
) -> Tensor:
    """One convolution for the inputs of each phase of the stride, with the taps that reach it."""
    size, (low, high) = weight.shape[2], border
    if stride == 1 and low == high:
        return _convolve(gradient, weight.flip(-1, -2), padding=size - 1 - low)
    height, width = (count - low - high for count in padded.shape[2:])
    inside = padded[:, :, :height, :width]
    # What no window reads keeps its zero.
    result = torch.zeros_like(inside, memory_format=torch.channels_last)
    for row in range(min(stride, size)):
        for column in range(min(stride, size)):
            taps = weight[:, :, row::stride, column::stride].flip(-1, -2)
            part = _convolve(gradient, taps, padding=(taps.shape[2] - 1, taps.shape[3] - 1))
            part = part[:, :, _before(row, low, stride) :, _before(column, low, stride) :]
            phase = result[:, :, (row - low) % stride :: stride, (column - low) % stride :: stride]
            rows, columns = min(part.shape[2], phase.shape[2]), min(part.shape[3], phase.shape[3])
            phase[:, :, :rows, :columns] = part[:, :, :rows, :columns]
    return result


def _before(phase: int, border: int, stride: int) -> int:
    """Inputs of a phase that lie in the border."""
    return max(0, -((phase - border) // stride))


def _weight_gradient(gradient: Tensor, weight: Tensor, x: Tensor, stride: int) -> Tensor:
    """Kernels larger than 3x3 in pieces of 3x3, which may overlap."""
    size, piece = weight.shape[2], min(3, weight.shape[2])
    starts = sorted({min(start, size - piece) for start in range(0, size, piece)})
    height = (gradient.shape[2] - 1) * stride + piece
    width = (gradient.shape[3] - 1) * stride + piece
    result = torch.empty_like(weight)
    for row in starts:
        for column in starts:
            seen = x[:, :, row : row + height, column : column + width]
            taps = weight[:, :, row : row + piece, column : column + piece]
            _, part, _ = torch.ops.aten.convolution_backward(
                gradient,
                seen,
                taps,
                None,
                [stride] * 2,
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                len(weight),
                [False, True, False],
            )
            result[:, :, row : row + piece, column : column + piece] = part
    return result
