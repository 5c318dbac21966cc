"""Settings and disturbed modules that the tests of inter-task attention share."""

import torch

from metabev_ros.config import PositionCode, TaskInteractionConfig


def settings(**changes):
    return TaskInteractionConfig(
        **{
            'heads': 2,
            'points': 2,
            'levels': 2,
            'ffn_ratio': 2,
            'dropout': 0.0,
            'position': PositionCode.NONE,
            **changes,
        }
    )


def disturbed(module, amount=0.3, seed=0):
    """Away from the initial state, whose zero weights hide what is wired where."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += amount * torch.randn_like(parameter)
    return module.double().eval()
