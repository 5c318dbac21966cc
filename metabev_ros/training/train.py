"""`metabev train`: switched-modality training on rendered drives.

Every batch holds samples of all three modalities, so one set of weights learns every branch
(the paper's switched-modality training, drawn per sample instead of per iteration).
"""
from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from metabev_ros.config import ModelConfig, save_config, to_plain
from metabev_ros.errors import ConfigError
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality
from metabev_ros.training.curriculum import CurriculumConfig
from metabev_ros.training.losses import box_loss, depth_loss, heatmap_loss, map_loss
from metabev_ros.training.samples import AugmentationConfig, SampleKey, TrainingSamples
from metabev_ros.training.warm_start import InitConfig, freeze, initialise, train_unfrozen


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        steps: optimiser steps in all; the rate rises for `warmup_steps`, stays, and falls
            linearly to zero over the last `decay_steps`.
        batch: modality of every sample of a batch.
        ema_decay: of the averaged weights that are shipped.
        depth_weight, box_weight, focal_weight, dice_weight: of the loss terms; the heatmap's is 1.
        threads: torch threads.
        init: weights to start a new run from.
        frozen: parts that do not learn.
    """

    steps: int = 3000
    warmup_steps: int = 150
    decay_steps: int = 900
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    clip_norm: float = 10.0
    ema_decay: float = 0.998
    batch: tuple[str, ...] = ('fused', 'fused', 'camera', 'camera', 'lidar')
    depth_weight: float = 0.3
    box_weight: float = 0.5
    focal_weight: float = 8.0
    dice_weight: float = 3.0
    seed: int = 0
    threads: int = 2
    checkpoint_every: int = 100
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    init: InitConfig | None = None
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = {'fused', 'camera', 'lidar'}
        if not self.batch or not set(self.batch) <= names:
            raise ConfigError('training.batch', f'a list of {sorted(names)}', str(self.batch))
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ConfigError('training.steps', 'at least warmup_steps + decay_steps',
                              str(self.steps))

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        up = min(1.0, (step + 1) / self.warmup_steps)
        down = min(1.0, (self.steps - step) / max(self.decay_steps, 1))
        return self.learning_rate * min(up, down)


class BatchKeys(torch.utils.data.Sampler):
    """Keys of the batches from `start` on: shuffled epochs, a function of seed and step only."""

    def __init__(self, records: int, config: TrainingConfig, start: int) -> None:
        self._records, self._config, self._start = records, config, start

    def __len__(self) -> int:
        return self._config.steps - self._start

    def __iter__(self):
        modalities = [Modality[name.upper()].value for name in self._config.batch]
        size = len(modalities)
        epoch, order = -1, None
        for step in range(self._start, self._config.steps):
            keys = []
            for slot, modality in enumerate(modalities):
                position = step * size + slot
                if position // self._records != epoch:
                    epoch = position // self._records
                    order = np.random.default_rng([self._config.seed, epoch]).permutation(
                        self._records)
                keys.append(SampleKey(int(order[position % self._records]), modality,
                                      self._config.seed, step, slot))
            yield keys


def batch_loss(network: MetaBev, batch: list, config: TrainingConfig
               ) -> tuple[torch.Tensor, dict[str, float]]:
    """Total loss of a batch and its terms."""
    cameras, lidars, targets = zip(*batch, strict=True)
    with torch.autocast('cpu', torch.bfloat16):
        output, depths = network(list(cameras), list(lidars))
    focal, dice = map_loss(output.map_logits, torch.stack([t['map'] for t in targets]))
    terms = {
        'heatmap': heatmap_loss(output.heatmap, torch.stack([t['heatmap'] for t in targets])),
        'boxes': config.box_weight * box_loss(output.boxes, [t['cells'] for t in targets],
                                              [t['channels'] for t in targets]),
        'map_focal': config.focal_weight * focal,
        'map_dice': config.dice_weight * dice,
        'depth': config.depth_weight * depth_loss(depths, [t['depth_bins'] for t in targets])}
    return sum(terms.values()), {name: float(term.detach()) for name, term in terms.items()}


class Trainer:
    """State of one run in a folder: weights, averaged weights, optimiser, step."""

    def __init__(self, folder: Path, model: ModelConfig, config: TrainingConfig) -> None:
        self.folder, self.model, self.config = Path(folder), model, config
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint = self.folder / 'checkpoint.pt'
        self.network = MetaBev(model)
        if config.init is not None and not self._checkpoint.exists():
            initialise(self.network, config.init)
        freeze(self.network, config.frozen)
        self.average = {name: value.detach().clone()
                        for name, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad], lr=config.learning_rate,
            weight_decay=config.weight_decay)
        self.step, self.seconds = 0, 0.0
        if self._checkpoint.exists():
            self._load()

    def run(self, paths: list[Path], progress=None) -> None:
        """Train to the last step.

        Args:
            paths: records.
            progress: called with (step, terms of the loss, samples a second).
        """
        loader = torch.utils.data.DataLoader(
            TrainingSamples(paths, self.model, self.config.augmentation,
                            self.config.curriculum),
            batch_sampler=BatchKeys(len(paths), self.config, self.step),
            collate_fn=list, num_workers=1, prefetch_factor=3,
            multiprocessing_context='spawn')  # forking beside OpenCV's threads can hang
        train_unfrozen(self.network, self.config.frozen)
        before = time.perf_counter()
        for batch in loader:
            terms = self._update(batch)
            now = time.perf_counter()
            self.seconds += now - before
            if progress is not None:
                progress(self.step, terms, len(batch) / (now - before))
            before = now
            self._log(terms)
            if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                self.save()

    def _update(self, batch: list) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group['lr'] = self.config.rate(self.step)
        loss, terms = batch_loss(self.network, batch, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):  # one bad batch must not destroy the run
            self.optimiser.step()
        self.step += 1
        decay = min(self.config.ema_decay, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)
        return {**terms, 'grad_norm': float(norm), 'total': float(loss.detach())}

    def _log(self, terms: dict[str, float]) -> None:
        line = {'step': self.step, 'seconds': round(self.seconds, 1),
                **{name: round(value, 4) for name, value in terms.items()}}
        with open(self.folder / 'log.jsonl', 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')

    def save(self) -> None:
        """Write the checkpoint and the averaged weights; each file is replaced atomically."""
        state = {'network': self.network.state_dict(), 'average': self.average,
                 'optimiser': self.optimiser.state_dict(), 'step': self.step,
                 'seconds': self.seconds, 'model_hash': self.model.hash}
        _replace(self._checkpoint, lambda path: torch.save(state, path))
        weights = {name: value.contiguous() for name, value in self.average.items()}
        _replace(self.folder / 'weights.safetensors', lambda path: save_file(weights, path))
        save_config(self.model, self.folder / 'config.yaml')
        (self.folder / 'training.json').write_text(json.dumps(
            {'step': self.step, 'samples': self.step * len(self.config.batch),
             'seconds': round(self.seconds), 'config': to_plain(self.config)}, indent=1))

    def _load(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        if state['model_hash'] != self.model.hash:
            raise ConfigError(str(self._checkpoint), 'a checkpoint of this model configuration',
                              'another one', 'use another run folder')
        self.network.load_state_dict(state['network'])
        self.average = state['average']
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self.seconds = state['step'], state['seconds']


def _replace(path: Path, write) -> None:
    temporary = path.with_name(f'.{path.name}.tmp')
    write(temporary)
    os.replace(temporary, path)
