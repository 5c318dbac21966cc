"""Train every variant of the ablation table from the same weights, data, seed and steps.

    python benchmark/ablations.py                  # all, about an hour on two cores
    python benchmark/ablations.py points_8 layers_1_1

A variant changes one switch of `BASE`. Encoders, neck and heads start from the shipped
pre-trained weights, the decoder from random numbers; encoders stay frozen, so that the budget
goes into what is compared. What is finished is skipped, what was interrupted goes on. Evaluate
with the command that is printed at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from metabev_ros.config import DecoderConfig, DecoderFfn, ModelConfig
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.training.config import ModalityDraw, TrainingConfig
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig, train_model
from metabev_ros.lab.training.warm_start import InitConfig

PRETRAINED = Path('models/metabev_nano_pretrained/weights.safetensors')
DECODER = DecoderConfig()
BASE = TrainingConfig(
    steps=240,
    warmup_steps=30,
    decay_steps=120,
    learning_rate=1.5e-3,
    ema_decay=0.98,
    seed=7,
    batch=('fused',) * 4,
    draw=ModalityDraw.PER_SAMPLE,
    modality_shares=(0.5, 0.25, 0.25),
    curriculum=CurriculumConfig(probability=0.5, second=0.25),
    init=InitConfig(
        str(PRETRAINED),
        ('camera_encoder', 'lidar_encoder', 'fusion.neck', 'fusion.detection', 'fusion.map'),
    ),
    frozen=('camera_encoder', 'lidar_encoder'),
)
THIRD = 1 / 3
TRAINING = {
    'base': {},
    'no_switching': {'draw': ModalityDraw.OFF},
    'thirds': {'modality_shares': (1 - 2 * THIRD, THIRD, THIRD)},
    'per_iteration': {'draw': ModalityDraw.PER_ITERATION},
    'no_curriculum': {'curriculum': CurriculumConfig()},
}
NETWORK = {
    'moe_hard': {'ffn': DecoderFfn.HM2OE},
    'moe_routed': {'ffn': DecoderFfn.RM2OE},
    'points_8': {'points': 8},
    'layers_1_1': {'cross_layers': 1},
    'layers_2_0': {'self_layers': 0},
    'layers_3_1': {'cross_layers': 3},
}


def variant(name: str) -> RunConfig:
    """The run of one row of the table."""
    model = ModelConfig(
        name=f'ablation_{name}', decoder=dataclasses.replace(DECODER, **NETWORK.get(name, {}))
    )
    return RunConfig(
        model,
        dataclasses.replace(BASE, **TRAINING.get(name, {})),
        (DataSource(synthetic=SyntheticDrives(first_seed=100_000, worlds=1100)),),
    )


def main() -> None:
    names = [*TRAINING, *NETWORK]
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('names', nargs='*', choices=[*names, []], help='default: all')
    parser.add_argument('--out', type=Path, default=Path('runs/ablations'))
    parser.add_argument('--cache', type=Path, default=Path('runs/cache'))
    options = parser.parse_args()
    console = Console()
    if not PRETRAINED.is_file():
        sys.exit(f'{PRETRAINED}: missing; run this from the root of a checkout')
    chosen = options.names or names
    with Progress(console=console) as progress:
        for name in chosen:
            run = variant(name)
            task = progress.add_task(name, total=run.training.steps)
            train_model(
                run,
                options.out / name,
                options.cache,
                2,
                lambda step, terms, rate, task=task: progress.update(task, completed=step),
            )
    models = ' '.join(f'abl_{name}={options.out / name}' for name in chosen)
    console.print(
        f'metabev evaluate {models} --settings headline --drives 10 --per-drive 8 '
        '--record docs/results/robustness.json',
        soft_wrap=True,
        markup=False,
    )


if __name__ == '__main__':
    main()
