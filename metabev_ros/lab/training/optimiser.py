"""Which parameters learn at which rate and decay how."""

from __future__ import annotations

from torch import nn

from metabev_ros.lab.training.config import TrainingConfig


def parameter_groups(module: nn.Module, config: TrainingConfig) -> list[dict]:
    """What learns, for AdamW; `rate_factor` is each group's learning rate over the run's.

    One group, or two if norms and biases do not decay, and one of the sampling offsets of task
    interaction, which have a rate of their own and never decay.
    """
    offsets, rest = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (offsets if is_interaction_offset(name) else rest).append(parameter)
    if config.decay_norms:
        groups = [(rest, config.weight_decay, 1.0)]
    else:
        groups = [
            ([p for p in rest if p.ndim > 1], config.weight_decay, 1.0),
            ([p for p in rest if p.ndim <= 1], 0.0, 1.0),
        ]
    if offsets:
        groups.append((offsets, 0.0, config.interaction_offset_rate))
    return [
        {'params': parameters, 'weight_decay': decay, 'rate_factor': factor}
        for parameters, decay, factor in groups
    ]


def is_interaction_offset(name: str) -> bool:
    """Whether a parameter is an offset of task interaction, by its name in the network."""
    return 'fusion.interaction.' in name and '.attention.offsets.' in name
