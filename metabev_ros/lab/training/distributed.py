"""Several processes train one model: torchrun starts them, on one machine or many.

Gradients are averaged by DistributedDataParallel. The loss terms are ratios (of sums over peaks,
boxes, pixels), so each sum is first added up over all processes: every process then holds the
loss of the whole batch, and its averaged gradient is exact whatever the share of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

PATIENCE = timedelta(hours=12)  # others wait while one renders


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank, world: number of this process and of all.
        local: number of this process on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_leader(self) -> bool:
        """Tell whether this process writes files and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


def this_process() -> Processes:
    """This process among those of torchrun; one alone without it."""
    return Processes(
        int(os.environ.get('RANK', 0)),
        int(os.environ.get('WORLD_SIZE', 1)),
        int(os.environ.get('LOCAL_RANK', 0)),
    )


@contextmanager
def joined(cuda: bool) -> Iterator[Processes]:
    """Connected to the other processes of the run; gloo on a CPU, nccl on GPUs."""
    processes = this_process()
    if processes.world == 1:
        yield processes
        return
    dist.init_process_group('nccl' if cuda else 'gloo', timeout=PATIENCE)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum of a tensor over all processes, differentiable; the tensor itself in a lone process.

    Every process must call it equally often, in the same order.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    return _Sum.apply(value)


class _Sum(torch.autograd.Function):
    """Backward: the gradients of all processes' copies of the result add up."""

    @staticmethod
    def forward(context: object, value: Tensor) -> Tensor:
        result = value.clone()
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def leaders_numbers(values: list[float], device: torch.device) -> list[float]:
    """The first process's numbers, in all processes: what follows from them agrees to the bit."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return shared.tolist()
