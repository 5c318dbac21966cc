"""spconv in place of our sparse layers: the same losses through the trainer."""

import dataclasses
import importlib.util

import pytest
from support.rendered import rendered_records
from support.tiny import PLAIN, TINY
from test_train import config, log_of

from metabev_ros.config import LidarEncoder, load_config, save_config
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BevGrid
from metabev_ros.lab.training.config import Precision, TrainingConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig, train_model
from metabev_ros.lab.training.train import Trainer

SPARSE = dataclasses.replace(
    TINY,
    name='sparse',
    bev_grid=BevGrid(-9.6, 9.6, -9.6, 9.6, 0.6),
    lidar=dataclasses.replace(
        TINY.lidar, encoder=LidarEncoder.SPARSE, bev_channels=256, z_min=-3.2, z_max=4.8
    ),
    decoder=dataclasses.replace(TINY.decoder, cell=1.2),
)
needs_spconv = pytest.mark.skipif(
    not importlib.util.find_spec('spconv'), reason='spconv, the oracle, has wheels for x86-64 only'
)


@needs_spconv
def test_spconv_and_our_layers_give_the_same_losses_through_a_run(tmp_path):
    """A CPU's spconv runs forward only: the LiDAR encoder is frozen, everything else learns."""
    training = config(
        steps=3,
        batch=('fused', 'lidar'),
        precision=Precision.FP32,
        augmentation=PLAIN,
        frozen=('lidar_encoder',),
    )
    records = rendered_records(tmp_path / 'cache', SPARSE, 5000, 1, 2)
    data = (DataSource(records=str(records[0].folder)),)
    for execution in SparseExecution:
        chosen = dataclasses.replace(training, execution=execution)
        path = tmp_path / f'{execution.value}.yaml'
        save_config(RunConfig(SPARSE, chosen, data), path)
        run = load_config(RunConfig, path)
        assert run.training.execution is execution
        train_model(run, tmp_path / execution.value, tmp_path / 'cache', 1)
    ours, theirs = log_of(tmp_path / 'tables'), log_of(tmp_path / 'spconv')
    assert len(ours) == len(theirs) == 3
    for a, b in zip(ours, theirs, strict=True):
        for name in set(a) - {'seconds', 'samples_per_s'}:
            # The log keeps five digits: equal values may be rounded to neighbours.
            assert b[name] == pytest.approx(a[name], rel=1e-4), name
    # What was learnt fits both: it is one set of names and shapes.
    tables = dataclasses.replace(training, execution=SparseExecution.TABLES)
    Trainer(tmp_path / 'spconv', SPARSE, tables)


def test_spconv_on_a_cpu_and_for_pillars_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='no backward pass'):
        TrainingConfig(execution=SparseExecution.SPCONV)
    frozen = config(execution=SparseExecution.SPCONV, frozen=('lidar_encoder',))
    with pytest.raises(ConfigError, match='pillars'):
        Trainer(tmp_path, TINY, frozen)
