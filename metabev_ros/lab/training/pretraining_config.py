"""Configuration of a pre-training run: model, recipe, data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from metabev_ros.config import ModelConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.training.config import Device, Precision
from metabev_ros.lab.training.data import DataSource, require_sources


@dataclass(frozen=True)
class PretrainingConfig:
    """One pre-training run; the defaults are nano's, the published ones stand beside them.

    Attributes:
        steps, warmup_steps: optimiser steps; the rate falls as a cosine (100 epochs, 10).
        learning_rate: the highest (2e-4).
        weight_decay: not of norms, biases and the mask token (0.05).
        clip_norm: largest gradient norm (5).
        batch: images.
        patch: edge of a patch, pixels (32).
        ratio: share of the patches that are hidden (0.6).
        loaders: processes that prepare images; 0: the training process does it.
    """

    steps: int = 2000
    warmup_steps: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    batch: int = 16
    patch: int = 32
    ratio: float = 0.6
    seed: int = 0
    device: Device = Device.CPU
    precision: Precision = Precision.BF16
    threads: int = 2
    loaders: int = 1
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for name in (
            'steps',
            'learning_rate',
            'clip_norm',
            'batch',
            'threads',
            'checkpoint_every',
        ):
            require(
                getattr(self, name) > 0,
                f'pretraining.{name}',
                'a positive number',
                getattr(self, name),
            )
        require(self.loaders >= 0, 'pretraining.loaders', 'at least 0', self.loaders)
        require(
            0 <= self.warmup_steps <= self.steps,
            'pretraining.warmup_steps',
            f'0..steps ({self.steps})',
            self.warmup_steps,
        )
        require(0 < self.ratio < 1, 'pretraining.ratio', 'between 0 and 1', self.ratio)
        require(
            self.patch > 0 and self.patch % 4 == 0,
            'pretraining.patch',
            'a multiple of 4',
            self.patch,
        )
        require(
            self.precision is not Precision.FP16,
            'pretraining.precision',
            'fp32 or bf16',
            self.precision.value,
        )

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        up = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        return self.learning_rate * up * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class PretrainingRun:
    """The content of `config/pretraining/*.yaml`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    data: tuple[DataSource, ...] = ()

    def __post_init__(self) -> None:
        camera, patch = self.model.camera, self.pretraining.patch
        require(
            camera.height % patch == 0 and camera.width % patch == 0,
            'pretraining.patch',
            f'a divisor of height {camera.height} and width {camera.width}',
            patch,
        )
        require_sources(self.data)
        weights = [source.weight for source in self.data]
        require(not any(weights), 'data.weight', 'none in pre-training', weights)
