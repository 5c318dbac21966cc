"""Images of the records with hidden patches: random crops as in SimMIM."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.lab.datasets.sample_record import read_arrays
from metabev_ros.lab.training.pretraining_config import PretrainingConfig
from metabev_ros.lab.training.simmim import hidden_patches

CROP_AREA, CROP_ASPECT = (0.67, 1.0), 4 / 3  # SimMIM's random resized crop


class MaskedImages(torch.utils.data.Dataset):
    """Item i -> one image (H, W, 3) uint8 and its hidden patches; a function of seed and i."""

    def __init__(self, paths: list[Path], model: ModelConfig, config: PretrainingConfig) -> None:
        self._paths, self._camera, self._config = paths, model.camera, config

    def __len__(self) -> int:
        return self._config.steps * self._config.batch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        config, rng = self._config, np.random.default_rng([self._config.seed, index])
        path = self._paths[rng.integers(len(self._paths))]
        views = read_arrays(path, ('pixels',))['pixels']
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
