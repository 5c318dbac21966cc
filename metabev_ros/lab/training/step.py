"""A batch -> its loss: the module whose gradients the trainer (or DDP) takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metabev_ros.lab.training.config import Precision, TrainingConfig
from metabev_ros.lab.training.losses import (
    HeadingLoss,
    depth_loss,
    detection_loss,
    heatmap_loss,
    map_loss,
    stacked_asked,
)
from metabev_ros.network.adamv import take_routing_losses
from metabev_ros.network.auxiliary import AuxiliaryHeads
from metabev_ros.network.metabev import MetaBev, NetworkOutput
from metabev_ros.network.moe import take_balance_loss

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


class TrainingStep(nn.Module):
    """Network, training-only heads and losses.

    Args:
        auxiliary: heads on each modality's BEV map; None: not used.
    """

    def __init__(
        self, network: MetaBev, auxiliary: AuxiliaryHeads | None, config: TrainingConfig
    ) -> None:
        super().__init__()
        self.network, self.auxiliary, self.config = network, auxiliary, config

    def forward(self, batch: list) -> dict[str, Tensor]:
        """Weighted loss terms; the total loss is their sum.

        Args:
            batch: what `TrainingSamples` gives, on the network's device.
        """
        cameras, lidars, targets = zip(*batch, strict=True)
        # Recomputation in the last backward pass noted the routers' terms a second time.
        take_balance_loss(self.network)
        take_routing_losses(self.network)
        with self._autocast(targets):
            bevs = {}
            bevs['camera'], bevs['lidar'], depths = self.network.encode(cameras, lidars)
            output = self.network.fuse(bevs['camera'], bevs['lidar'])
            extra = {} if self.auxiliary is None else self._auxiliary(bevs)
        terms = self.task_terms(output, targets)
        terms['depth'] = self.config.depth_weight * depth_loss(
            depths, [t['depth_bins'] for t in targets]
        )
        for name, (heatmap, logits, rows) in extra.items():
            terms[f'auxiliary_{name}'] = self.config.auxiliary_weight * self._shared_loss(
                heatmap, logits, [targets[i] for i in rows]
            )
        balance = take_balance_loss(self.network)
        if balance is not None:
            terms['balance'] = self.config.balance_weight * balance
        return {**terms, **self._routing_terms()}

    @torch.no_grad()
    def task_losses(self, batch: list) -> dict[str, float]:
        """Weighted loss of each task that is learned, alone: no depth, no auxiliary terms."""
        cameras, lidars, targets = zip(*batch, strict=True)
        with self._autocast(targets):
            output, _ = self.network(cameras, lidars)
        losses = dict.fromkeys(self.config.tasks, 0.0)
        for name, term in self.task_terms(output, targets).items():
            losses['map' if name.startswith('map_') else 'detection'] += float(term)
        return losses

    def _autocast(self, targets: Sequence[dict[str, Tensor]]) -> torch.autocast:
        return torch.autocast(
            targets[0]['map'].device.type,
            DTYPES[self.config.precision],
            enabled=self.config.precision is not Precision.FP32,
        )

    def _routing_terms(self) -> dict[str, Tensor]:
        """AdaMV-MoE: each task's importance and load loss, with the weight of the task."""
        config, terms = self.config, {}
        for task, (importance, load) in take_routing_losses(self.network).items():
            weight = config.detection_weight if task == 'detection' else config.map_weight
            terms[f'importance_{task}'] = config.importance_weight * weight * importance
            terms[f'load_{task}'] = config.load_weight * weight * load
        return terms

    def task_terms(self, output: NetworkOutput, targets: tuple[dict, ...]) -> dict[str, Tensor]:
        """Terms of the tasks that are learned."""
        config, terms = self.config, {}
        if 'detection' in config.tasks:
            heading = HeadingLoss(config.either_way, config.direction_weight)
            for name, term in detection_loss(
                output.detection, targets, self.network.config, heading
            ).items():
                weight = config.box_weight if name == 'boxes' else 1.0
                terms[name] = config.detection_weight * weight * term
        if 'map' in config.tasks:
            focal, dice = map_loss(output.map_logits, _stacked(targets, 'map'), _known(targets))
            terms['map_focal'] = config.map_weight * config.focal_weight * focal
            terms['map_dice'] = config.map_weight * config.dice_weight * dice
        return terms

    def _auxiliary(
        self, bevs: dict[str, list[Tensor | None]]
    ) -> dict[str, tuple[Tensor, Tensor, list[int]]]:
        """Per modality that some sample has: heatmap and map logits, and those samples' rows."""
        if self.auxiliary is None:
            return {}
        results: dict[str, tuple[Tensor, Tensor, list[int]]] = {}
        for name, maps in bevs.items():
            present = {i: bev for i, bev in enumerate(maps) if bev is not None}
            if present:
                heatmap, logits = self.auxiliary[name](torch.cat(list(present.values())))
                results[name] = heatmap, logits, list(present)
        return results

    def _shared_loss(self, heatmap: Tensor, logits: Tensor, targets: list[dict]) -> Tensor:
        config, loss = self.config, logits.new_zeros((), dtype=torch.float32)
        if 'detection' in config.tasks:
            loss = loss + config.detection_weight * heatmap_loss(
                heatmap, _stacked(targets, 'heatmap'), stacked_asked(targets)
            )
        if 'map' in config.tasks:
            focal, dice = map_loss(logits, _stacked(targets, 'map'), _known(targets))
            loss = loss + config.map_weight * (
                config.focal_weight * focal + config.dice_weight * dice
            )
        return loss


def _stacked(targets: Sequence[dict[str, Tensor]], name: str) -> Tensor:
    return torch.stack([t[name] for t in targets])


def _known(targets: Sequence[dict[str, Any]]) -> Tensor | None:
    """(B, L or 1, Y, X) bool of the map cells with a truth; None when all have one."""
    masks = [t['map_known'] for t in targets]
    known = [mask for mask in masks if mask is not None]
    if not known:
        return None
    layers = max(len(mask) for mask in known)
    everywhere = torch.ones_like(targets[0]['map'][:layers], dtype=torch.bool)
    return torch.stack(
        [everywhere if mask is None else mask.expand_as(everywhere) for mask in masks]
    )


def to_device(value: Any, device: torch.device) -> Any:
    """The same nest of lists, tuples and dicts with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: to_device(item, device) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_device(item, device) for item in value)
    return value


def parameter_groups(module: nn.Module, config: TrainingConfig) -> list[dict]:
    """Parameter groups for AdamW; `rate_factor` is each group's learning rate over the run's.

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
    """Tell whether a parameter is an offset of task interaction, by its name in the network."""
    return 'fusion.interaction.' in name and '.attention.offsets.' in name
