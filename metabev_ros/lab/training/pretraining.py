"""`metabev pretrain`: SimMIM of the camera backbone on the images of rendered drives.

A run is a function of its configuration and its records, as `metabev train` is.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from metabev_ros.config import ModelConfig, to_plain
from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.cache import CacheConfig, build_cache, record_paths
from metabev_ros.lab.training.checkpoint import load_checkpoint, replace_file
from metabev_ros.lab.training.config import Device, Precision
from metabev_ros.lab.training.monitoring import Monitor
from metabev_ros.lab.training.simmim import SimMim, enlarged, hidden_patches
from metabev_ros.lab.training.step import DTYPES
from metabev_ros.lab.training.train import find_device

CROP_AREA, CROP_ASPECT = (0.67, 1.0), 4 / 3  # SimMIM's random resized crop
SHOWN = 6  # images of the picture at the end
Progress = Callable[[int, dict[str, float], float], None]


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
    data: CacheConfig = field(default_factory=CacheConfig)

    def __post_init__(self) -> None:
        camera, patch = self.model.camera, self.pretraining.patch
        require(
            camera.height % patch == 0 and camera.width % patch == 0,
            'pretraining.patch',
            f'a divisor of height {camera.height} and width {camera.width}',
            patch,
        )


class MaskedImages(torch.utils.data.Dataset):
    """Item i -> one image (H, W, 3) uint8 and its hidden patches; a function of seed and i."""

    def __init__(self, paths: list[Path], model: ModelConfig, config: PretrainingConfig) -> None:
        self._paths, self._camera, self._config = paths, model.camera, config

    def __len__(self) -> int:
        return self._config.steps * self._config.batch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        config, rng = self._config, np.random.default_rng([self._config.seed, index])
        with np.load(self._paths[rng.integers(len(self._paths))]) as record:
            views = record['pixels']
        image = random_crop(views[rng.integers(len(views))], rng)
        hidden = hidden_patches(
            self._camera.height // config.patch,
            self._camera.width // config.patch,
            config.ratio,
            rng,
        )
        return torch.from_numpy(image), torch.from_numpy(hidden)


def random_crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of the image at its size, mirrored half of the time: (H, W, 3) uint8 -> same."""
    height, width = image.shape[:2]
    area = rng.uniform(*CROP_AREA)
    aspect = math.exp(rng.uniform(-1, 1) * math.log(CROP_ASPECT))
    rows = min(height, round(height * math.sqrt(area / aspect)))
    columns = min(width, round(width * math.sqrt(area * aspect)))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    part = image[top : top + rows, left : left + columns]
    part = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


class Pretraining:
    """State of one run in a folder: weights, optimiser, step.

    Raises:
        ConfigError: if the device is not there or the checkpoint does not fit.
    """

    def __init__(self, folder: Path, model: ModelConfig, config: PretrainingConfig) -> None:
        self.folder, self.model, self.config = Path(folder), model, config
        self.device = find_device(config.device, 0)
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = SimMim(model.camera, config.patch).to(self.device).train()
        parameters = list(self.network.parameters())
        self.optimiser = torch.optim.AdamW(
            [
                {
                    'params': [p for p in parameters if p.ndim > 1],
                    'weight_decay': config.weight_decay,
                },
                {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0},
            ]
        )
        self.step, self.seconds = 0, 0.0
        self._checkpoint = self.folder / 'checkpoint.pt'
        if self._checkpoint.exists():
            self._load()

    def run(self, paths: list[Path], progress: Progress | None = None) -> None:
        """Train to the last step; then draw what was filled in.

        Args:
            paths: records.
            progress: called with (step, values, images a second).
        """
        config, images = self.config, MaskedImages(paths, self.model, self.config)
        loader = torch.utils.data.DataLoader(
            images,
            config.batch,
            sampler=range(self.step * config.batch, len(images)),
            num_workers=config.loaders,
            multiprocessing_context='spawn' if config.loaders else None,
        )
        monitor, before = Monitor(self.folder, self.step, tensorboard=False), time.perf_counter()
        for batch in loader:
            values = self._update(*(part.to(self.device) for part in batch))
            now = time.perf_counter()
            rate, self.seconds, before = (
                config.batch / (now - before),
                (self.seconds + now - before),
                now,
            )
            monitor.scalars(self.step, self.seconds, {**values, 'samples_per_s': rate})
            if progress is not None:
                progress(self.step, values, rate)
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self.save()
        shown = [images[i] for i in range(SHOWN)]
        picture = filled_in_picture(
            self.network, *(torch.stack(part).to(self.device) for part in zip(*shown, strict=True))
        )
        replace_file(
            self.folder / 'filled_in.png',
            lambda path: path.write_bytes(cv2.imencode('.png', picture[..., ::-1])[1].tobytes()),
        )

    def _update(self, images: torch.Tensor, hidden: torch.Tensor) -> dict[str, float]:
        config = self.config
        for group in self.optimiser.param_groups:
            group['lr'] = config.rate(self.step)
        with torch.autocast(
            self.device.type,
            DTYPES[config.precision],
            enabled=config.precision is not Precision.FP32,
        ):
            loss = self.network.loss(images, hidden)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if torch.isfinite(norm):  # one bad batch must not destroy the run
            self.optimiser.step()
        self.step += 1
        return {'total': loss.item(), 'grad_norm': norm.item(), 'rate': config.rate(self.step - 1)}

    def save(self) -> None:
        """Write checkpoint and backbone; each file is replaced atomically."""
        state = {
            'network': self.network.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.step,
            'seconds': self.seconds,
            'model_hash': self.model.hash,
            'pretraining': to_plain(self.config),
        }
        replace_file(self._checkpoint, lambda path: torch.save(state, path))
        replace_file(
            self.folder / 'weights.safetensors',
            lambda path: save_file(self.network.weights(), path),
        )
        replace_file(
            self.folder / 'pretraining.json',
            lambda path: path.write_text(
                json.dumps(
                    {
                        'step': self.step,
                        'images': self.step * self.config.batch,
                        'seconds': round(self.seconds),
                        'prefix': self.network.prefix,
                        'config': to_plain(self.config),
                    },
                    indent=1,
                )
            ),
        )

    def _load(self) -> None:
        state = load_checkpoint(self._checkpoint, self.model.hash)
        if state.get('pretraining') != to_plain(self.config):
            raise ConfigError(
                'pretraining',
                f'the settings in {self._checkpoint}',
                'others',
                'use another run folder',
            )
        self.network.load_state_dict(state['network'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self.seconds = state['step'], state['seconds']


@torch.no_grad()
def filled_in_picture(network: SimMim, images: torch.Tensor, hidden: torch.Tensor) -> np.ndarray:
    """Picture of input, reconstruction and truth side by side.

    Args:
        images: (N, H, W, 3) uint8; hidden: (N, H / patch, W / patch) bool.

    Returns:
        (N H, 3 W, 3) uint8 RGB.
    """
    was_training = network.training
    filled = network.eval()(images, hidden).float() * network.std + network.mean
    network.train(was_training)
    mask = enlarged(hidden, network.patch)[..., None]
    seen = torch.where(mask, torch.full_like(images, 128), images)
    made = torch.where(mask, filled.permute(0, 2, 3, 1).clamp(0, 255).to(torch.uint8), images)
    return torch.cat([seen, made, images], 2).flatten(0, 1).cpu().numpy()


def pretrain_backbone(
    run: PretrainingRun,
    folder: Path,
    cache: Path,
    workers: int,
    rendered: Callable[[int], None] | None = None,
    stepped: Progress | None = None,
) -> Pretraining:
    """Render what the cache lacks, then pre-train; goes on where it was interrupted.

    Args:
        folder: of the run: checkpoint, weights.safetensors (for `training.init`), log.jsonl,
            filled_in.png.
        cache, workers, rendered, stepped: as of `run.train_model`.
    """
    build_cache(Path(cache), run.model, run.data, workers, rendered)
    training = Pretraining(folder, run.model, run.pretraining)
    training.run(record_paths(Path(cache), run.data), stepped)
    return training
