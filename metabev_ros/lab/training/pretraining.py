"""`metabev pretrain`: SimMIM of the camera backbone on the images of records.

A run is a function of its configuration and its records, as `metabev train` is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from metabev_ros.config import ModelConfig, to_plain
from metabev_ros.errors import ConfigError
from metabev_ros.files import replacing, write_bytes, write_text
from metabev_ros.lab.training.checkpoint import load_checkpoint
from metabev_ros.lab.training.config import Precision
from metabev_ros.lab.training.data import RecordSet, Rendered, Tell, gather_records
from metabev_ros.lab.training.device import find_device
from metabev_ros.lab.training.masked_images import MaskedImages
from metabev_ros.lab.training.monitoring import Monitor
from metabev_ros.lab.training.pretraining_config import PretrainingConfig, PretrainingRun
from metabev_ros.lab.training.simmim import SimMim, enlarged
from metabev_ros.lab.training.step import DTYPES

SHOWN = 6  # images of the picture at the end
Progress = Callable[[int, dict[str, float], float], None]


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
        content = cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
        write_bytes(self.folder / 'filled_in.png', content)

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
        with replacing(self._checkpoint) as path:
            torch.save(state, path)
        with replacing(self.folder / 'weights.safetensors') as path:
            save_file(self.network.weights(), path)
        about = {
            'step': self.step,
            'images': self.step * self.config.batch,
            'seconds': round(self.seconds),
            'prefix': self.network.prefix,
            'config': to_plain(self.config),
        }
        write_text(self.folder / 'pretraining.json', json.dumps(about, indent=1))

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
    tell: Tell,
    rendered: Rendered,
    stepped: Progress | None = None,
) -> Pretraining:
    """Render what the cache lacks, then pre-train; goes on where it was interrupted.

    Args:
        folder: of the run: checkpoint, weights.safetensors (for `training.init`), log.jsonl,
            filled_in.png.
        cache, workers, stepped, tell, rendered: as of `run.train_model`.
    """
    sets = gather_records(run.data, run.model, Path(cache), workers, tell, rendered)
    training = Pretraining(folder, run.model, run.pretraining)
    training.run(paths_with_images(sets), stepped)
    return training


def paths_with_images(sets: Sequence[RecordSet]) -> list[Path]:
    """The records that have cameras.

    Raises:
        ConfigError: where none has.
    """
    paths = [
        path
        for records in sets
        for path, modality in zip(records.paths, records.modalities, strict=True)
        if modality.has_camera
    ]
    if not paths:
        raise ConfigError('data', 'records with cameras', 'none')
    return paths
