"""The paper's network at its full size learns from one step on two rendered samples."""

import dataclasses
import resource

import pytest
import torch
from support.rendered import rendered_records

from metabev_ros.config import load_config
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.config import Precision
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import all_paths
from metabev_ros.lab.training.recompute import enable_recompute
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.lab.training.sampling import SampleKey
from metabev_ros.lab.training.step import TrainingStep
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_full_size_step_on_two_samples_lowers_the_loss(repo_root, tmp_path):
    run = load_config(RunConfig, repo_root / 'config/training/metabev_base.yaml')
    paths = all_paths(rendered_records(tmp_path, run.model, 710_000, 2, 1))
    samples = TrainingSamples(
        paths, run.model, AugmentationConfig(turn=0, brightness=0, view_drop=0), CurriculumConfig()
    )
    batch = [samples[SampleKey(i, Modality.FUSED.value, 0, 0, i)] for i in range(2)]
    torch.manual_seed(0)
    network = MetaBev(run.model).train()
    enable_recompute(network)
    config = dataclasses.replace(run.training, precision=Precision.BF16)  # a CPU has no fast fp16
    step = TrainingStep(network, None, config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    before = [_loss(step, sample, learn=True) for sample in batch]
    optimiser.step()
    after = [_loss(step, sample, learn=False) for sample in batch]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'losses {before} -> {after}, {peak:.1f} GiB')
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in network.parameters()
    )
    assert sum(after) < sum(before)


def _loss(step: TrainingStep, sample: tuple, learn: bool) -> float:
    """Of one sample, whose gradients are added up: two at once take more than 14 GB."""
    torch.manual_seed(1)  # the same dropout
    with torch.set_grad_enabled(learn):
        loss = sum(step([sample]).values())
    if learn:
        loss.backward()
    return float(loss.detach())
