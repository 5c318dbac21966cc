"""A comparison of two tiny contestants, for tests of the harness."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmark.comparison.plan import Comparison, Contestant, Regime, Scoring, Start
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.training.data import DataSource
from metabev_ros.network.metabev import MetaBev
from support.tiny import TINY

ENCODERS = ('camera_encoder', 'lidar_encoder')
TRAINING = {
    'steps': 2,
    'warmup_steps': 1,
    'decay_steps': 1,
    'batch': ['fused'] * 6,
    'threads': 1,
    'checkpoint_every': 1,
    'frozen': list(ENCODERS),
}
SWITCHED = {'draw': 'per_sample', 'modality_shares': [0.4, 0.3, 0.3]}


def tiny_plan(folder: Path, **changes: object) -> Comparison:
    """Decoder and convolutional fuser in three regimes; the start's weights lie in `folder`."""
    start = folder / 'start.safetensors'
    if not start.exists():
        torch.manual_seed(3)
        weights = MetaBev(TINY).state_dict()
        save_file({n: v for n, v in weights.items() if n.startswith(ENCODERS)}, start)
    told = {
        'contestants': (
            Contestant('metabev'),
            Contestant('conv', {'decoder': {'fuser': 'conv'}}),
        ),
        'reference': 'conv',
        'regimes': (
            Regime('clean', 'zero-shot', {'draw': 'off'}),
            Regime('masked', 'zero-shot, switched', SWITCHED),
            Regime(
                'failures',
                'in-domain',
                {**SWITCHED, 'curriculum': {'probability': 0.8, 'ramp_steps': 1}},
            ),
        ),
        'seeds': (11, 12),
        'start': Start(str(start)),
        'data': (DataSource(synthetic=SyntheticDrives(5000, 1, 2)),),
        'model': TINY,
        'training': TRAINING,
        'scoring': Scoring(1, 1, 960_000, settings=('clean.0', 'lf.120', 'mc.1'), resamples=100),
        **changes,
    }
    return Comparison(**told)
