"""Counts what convolutions and linear layers multiply."""

import torch
from torch import nn


def products(module: nn.Module, *inputs: torch.Tensor) -> int:
    """Multiply-accumulates of all convolutions and linear layers in one pass."""
    counts = []

    def count(layer, _, output):
        counts.append(output.numel() * layer.weight[0].numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(counts)
