"""Rates against torch's own schedulers and the published end points."""

import pytest
import torch

from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.schedule import Schedule


def config(schedule, **changes):
    return TrainingConfig(
        steps=100,
        warmup_steps=10,
        decay_steps=20,
        learning_rate=1e-3,
        schedule=schedule,
        **changes,
    )


def test_the_constant_schedule_rises_stays_and_falls():
    c = config(Schedule.CONSTANT)
    assert [c.rate(s) for s in (0, 9, 50, 80, 90, 99)] == pytest.approx(
        [1e-4, 1e-3, 1e-3, 1e-3, 5e-4, 5e-5]
    )


@pytest.mark.filterwarnings('ignore:Detected call')
def test_the_cosine_cycle_equals_torch_one_cycle():
    c = config(Schedule.CYCLIC_COSINE, rise=0.4)
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1)
    # OneCycleLR puts the peak at rise * total - 1 and the end at total - 1: one step of shift.
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        1e-3,
        total_steps=101,
        pct_start=41 / 101,
        div_factor=10,
        final_div_factor=1e4,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    for step in range(100):
        group = optimiser.param_groups[0]
        assert c.rate(step) == pytest.approx(group['lr'], rel=1e-9)
        assert c.beta1(step) == pytest.approx(group['betas'][0], rel=1e-9)
        oracle.step()


def test_the_linear_cycle_is_straight():
    c = config(Schedule.CYCLIC_LINEAR, rise=0.5)
    rates = [c.rate(s) for s in (0, 25, 50, 75)]
    assert rates == pytest.approx([1e-4, 5.5e-4, 1e-3, 5.00005e-4])


@pytest.mark.parametrize(
    'wrong',
    [
        {'steps': 100, 'warmup_steps': 90, 'decay_steps': 20},
        {'rise': 1.0},
        {'learning_rate': 0.0},
        {'modality_shares': (0.5, 0.5)},
        {'modality_shares': (0.5, 0.3, 0.3)},
        {'map_weight': -1.0},
        {'detection_weight': 0.0, 'map_weight': 0.0},
        {'batch': ()},
        {'batch': ('radar',)},
    ],
)
def test_a_run_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError, match='training'):
        TrainingConfig(**wrong)
