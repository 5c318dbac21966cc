"""Signs of life of a run: log.jsonl always, TensorBoard curves and pictures if asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.config import ModelConfig
from metabev_ros.drawing.bev import BevView, draw_bev
from metabev_ros.errors import MissingDependencyError
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.record_folder import labelled
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.lab.training.checkpoint import forget_later_lines
from metabev_ros.network.metabev import MetaBev
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

BRANCHES = (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
SHOWN_SCORE = 0.3


class Monitor:
    """Writes the log of a run.

    Args:
        folder: of the run.
        step: last step that was done; later lines of an earlier, killed process are dropped.
        tensorboard: also write events below `folder`/tensorboard.

    Raises:
        MissingDependencyError: if TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool) -> None:
        self._log = folder / 'log.jsonl'
        forget_later_lines(self._log, step)
        self._writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingDependencyError(
                    'training.tensorboard',
                    'the package tensorboard',
                    'none',
                    'pip install tensorboard, or set it to false',
                ) from error
            self._writer = SummaryWriter(str(folder / 'tensorboard'), purge_step=step + 1)

    def scalars(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """One line of the log, one point of every curve."""
        line = {
            'step': step,
            'seconds': round(seconds, 1),
            **{name: float(f'{value:.5g}') for name, value in values.items()},
        }
        with open(self._log, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f'training/{name}', value, step)

    def picture(self, step: int, image: np.ndarray) -> None:
        """(H, W, 3) uint8, if TensorBoard is on."""
        if self._writer is not None:
            self._writer.add_image('prediction', image, step, dataformats='HWC')
            self._writer.flush()

    def close(self) -> None:
        """Flush what is left."""
        if self._writer is not None:
            self._writer.close()


def weights_pipeline(weights: dict[str, torch.Tensor], model: ModelConfig) -> Pipeline:
    """The real pipeline around a copy of weights in training, on the CPU, in evaluation mode."""
    network = MetaBev(model)
    network.load_state_dict({name: value.cpu() for name, value in weights.items()})
    return Pipeline(model, TorchBackend(network, model), 'training')


def comparison_picture(
    weights: dict[str, torch.Tensor], model: ModelConfig, record: Path
) -> np.ndarray:
    """Truth beside what the averaged weights see fused, by LiDAR and by cameras alone.

    Returns:
        (H, 4 H, 3) uint8 RGB: truth, fused, LiDAR, camera; black for what the record lacks.
    """
    pipeline = weights_pipeline(weights, model)
    shown = labelled(read_record(record))
    truth, sweep = shown.truth, shown.sample.sweep
    points = None
    if sweep is not None:
        points = transform_points(sweep.ego_from_lidar, sweep.points[:, :3].astype(np.float64))
    view = BevView(384, 384)
    seen = truth.num_lidar_pts > 0
    tiles = [
        draw_bev(
            view, truth.map_layers, model.map_grid, points, truth.boxes[seen], truth.labels[seen]
        )
    ]
    for modality in BRANCHES:
        if shown.sample.modality & modality != modality:
            tiles.append(np.zeros_like(tiles[0]))
            continue
        result = pipeline(restrict_to(shown.sample, modality))
        found = result.detections
        keep = found.scores > SHOWN_SCORE
        tiles.append(
            draw_bev(
                view,
                result.map_probabilities,
                model.map_grid,
                None,
                found.boxes[keep],
                found.labels[keep],
                found.scores[keep],
                truth.boxes[seen],
            )
        )
    return np.concatenate(tiles, 1)
