"""Gradient checkpointing: activations are computed again in the backward pass, not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.plain_detr import PlainDetrHead


def recompute_parts(network: MetaBev) -> list[nn.Module]:
    """Parts whose inner activations are not kept: the backbone and all decoder layers."""
    decoder, head = network.fusion.decoder, network.fusion.detection
    layers = [
        layer for name in ('cross_layers', 'self_layers') for layer in getattr(decoder, name, ())
    ]  # the convolutional fuser has none
    if isinstance(head, PlainDetrHead):
        layers += head.layers
    return [network.camera_encoder.backbone, *layers]


def enable_recompute(network: MetaBev) -> None:
    """Checkpoint those parts from now on; weights and their names stay as they are."""
    for part in recompute_parts(network):
        part.forward = partial(_checkpointed, part, part.forward)


def _checkpointed(module: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    if not module.training:
        return forward(*inputs)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(module)),
    )


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """The second pass must not move running statistics a second time."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    counts = [
        None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
        for norm in norms
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None and count is not None:
                norm.num_batches_tracked.copy_(count)
