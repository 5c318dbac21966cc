"""AdaMV-MoE (Chen et al., ICCV 2023): task-dependent routers over shared experts.

Per task j and token x: s = W_j x, p = softmax(s + n) over ALL experts with noise n in training
only, the k_j largest entries of p stay (they are not divided by their sum), y_j = sum p_i f_i(x).

What differs from the source, and why:
- no capacity: no token is dropped, so that training computes what the exported graph computes;
- k_j is a buffer beside the weights: adaptive expert selection changes it, and a checkpoint and an
  exported graph carry it. The mask is a rank rule, exact for ties, with k_j a constant there;
- the routing group of the losses is one sample's BEV;
- the tasks start from one token stream here, not from images of their own: see `TaskStream`;
- exact GELU, as in our other experts (flax's is the tanh approximation).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import AdamvConfig
from metabev_ros.network.deformable import at_least_float32
from metabev_ros.network.moe import TASKS, ExpertPool


def keep_largest(probability: Tensor, count: Tensor | int) -> Tensor:
    """Mask (..., E) of the `count` largest entries; of equal ones the first wins.

    An entry's rank is the number of entries that are larger, or equal and before it: the rule of
    ONNX TopK, without TopK, and the same in every runtime. NumPy: a stable argsort of -p.
    """
    experts = probability.shape[-1]
    index = torch.arange(experts, device=probability.device)
    mine, other = probability[..., :, None], probability[..., None, :]
    before = (other > mine) | ((other == mine) & (index[None] < index[:, None]))
    return before.sum(-1) < count


def importance_loss(logits: Tensor) -> Tensor:
    """Squared variation of the experts' importance: (G, T, E) logits without noise -> (G,).

    The standard deviation is that of the population: sums 1, 2, 3, 4 give exactly 0.2.
    """
    return _squared_variation(logits.softmax(-1).sum(-2))


def load_loss(logits: Tensor, noisy: Tensor, used: Tensor | int, deviation: float) -> Tensor:
    """Squared variation of the experts' expected load, (G, T, E) -> (G,).

    An expert's load at a token is the probability that with noise drawn anew it would pass the
    token's threshold, the `used`-th largest noisy logit.

    Args:
        deviation: standard deviation of the noise.
    """
    place = torch.as_tensor(used, device=noisy.device) - 1
    threshold = noisy.sort(-1, descending=True).values.index_select(-1, place.reshape(1))
    passes = 1 - torch.special.ndtr((threshold - logits) / deviation)
    return _squared_variation(passes.mean(-2))


def _squared_variation(amounts: Tensor) -> Tensor:
    return amounts.var(-1, unbiased=False) / amounts.mean(-1) ** 2


class AdaptiveExperts(ExpertPool):
    """Task-dependent routers over shared experts, as the FFN of a decoder layer.

    Args:
        splits: give the tasks' outputs side by side and not merged.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        dropout: float,
        experts: int,
        config: AdamvConfig,
        splits: bool,
    ) -> None:
        super().__init__(channels, hidden, dropout, experts)
        self.deviation, self.normalize = config.noise / experts, config.normalize_gates
        self.splits = splits
        used = asdict(config.used)
        self.register_buffer('used', torch.tensor([used[task] for task in TASKS]))
        if not splits:
            self.fuse = nn.Linear(2 * channels, channels)
            self.norm = nn.LayerNorm(channels)
        self._losses: dict[str, list[tuple[Tensor, Tensor]]] = {task: [] for task in TASKS}
        self._initialise()

    def _initialise(self) -> None:
        """V-MoE: all experts begin equal (Xavier, biases N(0, 1e-6)); routers tell them apart."""
        first = self.experts[0]
        for layer in (first[0], first[2]):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
        for expert in self.experts[1:]:
            expert.load_state_dict(first.state_dict())
        for router in self.routers.values():
            nn.init.normal_(router.weight, std=router.in_features**-0.5)

    def logits(self, x: Tensor, task: str) -> Tensor:
        """(..., D) -> (..., E) of a task's router, at least float32 also under autocast."""
        exact = (
            nullcontext()
            if torch.compiler.is_compiling()
            else torch.autocast(x.device.type, enabled=False)
        )
        with exact:
            return F.linear(at_least_float32(x), at_least_float32(self.routers[task].weight))

    def gates(self, x: Tensor, task: str) -> Tensor:
        """Weights of the experts, (..., D) -> (..., E), k of them not zero.

        In training the logits are noisy and the task's importance and load losses are noted.
        """
        logits, used = self.logits(x, task), self.used[TASKS.index(task)]
        noisy = logits
        if self.training:
            if self.deviation > 0:
                noisy = logits + self.deviation * torch.randn_like(logits)
            self._note_losses(task, logits, noisy, used)
        probability = noisy.softmax(-1)
        gate = probability * keep_largest(probability, used).to(probability.dtype)
        return gate / gate.sum(-1, keepdim=True) if self.normalize else gate

    def _note_losses(self, task: str, logits: Tensor, noisy: Tensor, used: Tensor) -> None:
        logits, noisy = (z.reshape(-1, *z.shape[-2:]) for z in (logits, noisy))
        load = (
            load_loss(logits, noisy, used, self.deviation)
            if self.deviation > 0
            else (logits.new_zeros(len(logits)))
        )
        self._losses[task].append((importance_loss(logits), load))

    def take_losses(self, task: str) -> tuple[Tensor, Tensor] | None:
        """Mean importance and load loss of a task over all groups since the last call."""
        noted, self._losses[task] = self._losses[task], []
        if not noted:
            return None
        importance, load = zip(*noted, strict=True)
        return torch.cat(importance).mean(), torch.cat(load).mean()

    def outputs(self, x: Tensor, tasks: tuple[str, ...] = TASKS) -> list[Tensor]:
        """(B, Q, D) -> one (B, Q, D) per task, in the order of TASKS."""
        gates = [self.gates(x, task).flatten(0, -2) for task in TASKS if task in tasks]
        return [y.reshape(x.shape) for y in self.mixtures(x.flatten(0, -2), gates)]

    def forward(self, x: Tensor, tasks: tuple[str, ...] = TASKS) -> Tensor:
        """(B, Q, D) -> (B, Q, D): one task's output, or LayerNorm(Linear(concat)) of both.

        Where the layer splits: (B, Q, D for each task), side by side in the order of TASKS.
        """
        outputs = self.outputs(x, tasks)
        if self.splits or len(outputs) == 1:
            return torch.cat(outputs, -1)
        return self.norm(self.fuse(torch.cat(outputs, -1)))


def adaptive_layers(module: nn.Module) -> list[AdaptiveExperts]:
    """All AdaMV-MoE layers, first to last."""
    return [part for part in module.modules() if isinstance(part, AdaptiveExperts)]


def take_routing_losses(module: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Per task the importance and the load loss, summed over the layers; empty without layers.

    What was noted is forgotten; in evaluation nothing is.
    """
    losses = {}
    for task in TASKS:
        noted = [layer.take_losses(task) for layer in adaptive_layers(module)]
        noted = [pair for pair in noted if pair is not None]
        if noted:
            importance, load = zip(*noted, strict=True)
            losses[task] = torch.stack(importance).sum(), torch.stack(load).sum()
    return losses


def experts_used(module: nn.Module) -> dict[str, int]:
    """k of every task, the same in all layers; empty without layers."""
    layers = adaptive_layers(module)
    return dict(zip(TASKS, layers[0].used.tolist(), strict=True)) if layers else {}


def use_experts(module: nn.Module, used: dict[str, int]) -> None:
    """Set k of every task in all layers; no weight changes."""
    for layer in adaptive_layers(module):
        layer.used.copy_(torch.tensor([used[task] for task in TASKS]))
