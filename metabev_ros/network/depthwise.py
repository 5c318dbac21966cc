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


def depthwise_conv(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """(B, C, H, W) and kernels (C, 1, K, K) -> (B, C, H', W'); on a CPU.

    Inside `torch.autocast` it runs in its dtype, as any convolution.
    """
    if torch.is_autocast_enabled('cpu'):
        dtype = torch.get_autocast_dtype('cpu')
        x, weight = x.to(dtype), weight.to(dtype)
    if padding:
        x = F.pad(x, (padding,) * 4)
    return _DepthwiseConv.apply(x, weight, stride)


class _DepthwiseConv(Function):
    """Without padding: a border is part of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolve(x, weight, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _input_gradient(gradient, weight, x, ctx.stride)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(gradient, weight, x, ctx.stride)
        return to_x, to_weight, None


def _convolve(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] | int = 0
) -> Tensor:
    with torch.autocast('cpu', enabled=False):
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))


def _input_gradient(gradient: Tensor, weight: Tensor, x: Tensor, stride: int) -> Tensor:
    """One convolution for the inputs of each phase of the stride, with the taps that reach it."""
    size = weight.shape[2]
    last = [(count - 1) * stride + size for count in gradient.shape[2:]]
    is_covered = size >= stride and last == list(x.shape[2:])
    result = torch.empty_like(x) if is_covered else torch.zeros_like(x)
    for row in range(min(stride, weight.shape[2])):
        for column in range(min(stride, weight.shape[3])):
            taps = weight[:, :, row::stride, column::stride].flip(-1, -2)
            border = taps.shape[2] - 1, taps.shape[3] - 1
            part = _convolve(gradient, taps, padding=border)
            phase = result[:, :, row::stride, column::stride]
            # Rows and columns beyond the last window are read by no output.
            height = min(part.shape[2], phase.shape[2])
            width = min(part.shape[3], phase.shape[3])
            phase[:, :, :height, :width] = part[:, :, :height, :width]
    return result


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
