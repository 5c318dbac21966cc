"""Files of a run, each replaced as a whole: a kill leaves the old one or the new one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch

from metabev_ros.errors import ConfigError
from metabev_ros.files import write_text
from metabev_ros.lab.training.adamv import SelectionMode
from metabev_ros.lab.training.config import TrainingConfig


def load_checkpoint(path: Path, model_hash: str) -> dict:
    """The state in a checkpoint, without running code from it.

    Raises:
        ConfigError: if it is damaged or of another model configuration.
    """
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ConfigError(
            str(path), 'a checkpoint of this trainer', str(error)[:200], 'use another run folder'
        ) from error
    if state['model_hash'] != model_hash:
        raise ConfigError(
            str(path),
            'a checkpoint of this model configuration',
            'another one',
            'use another run folder',
        )
    return state


def require_same_run(path: Path, state: dict, config: TrainingConfig) -> None:
    """Stop if a checkpoint was made with another seed or with other parts.

    Sampler position and dropout follow from seed and step: no generator state is needed.

    Raises:
        ConfigError
    """
    if state.get('seed', config.seed) != config.seed:
        raise ConfigError(
            'training.seed',
            f'{state["seed"]}, as in {path}',
            str(config.seed),
            'use another run folder',
        )
    if (config.auxiliary_weight > 0) != (state.get('auxiliary') is not None):
        raise ConfigError(
            'training.auxiliary_weight',
            'heads as in the checkpoint',
            str(config.auxiliary_weight),
            'use another run folder',
        )
    mode = config.expert_selection.mode
    if (mode is not SelectionMode.OFF) != (state.get('selection') is not None):
        raise ConfigError(
            'training.expert_selection.mode',
            'as in the checkpoint',
            mode.value,
            'use another run folder',
        )


def forget_later_lines(log: Path, step: int) -> None:
    """Drop the log's lines of steps after the checkpoint: they are made again."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding='utf-8').splitlines():
        try:
            if json.loads(line)['step'] <= step:
                kept.append(f'{line}\n')
        except ValueError:
            continue  # half a line, written when the process was killed
    write_text(log, ''.join(kept))
