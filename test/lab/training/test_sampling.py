"""Batches are a function of seed and step; balance and shares are what was asked for."""

import numpy as np
import pytest
from support.made_records import made_record

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sample_record import write_record
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.sampling import (
    BatchKeys,
    ModalityDraw,
    Sampling,
    balanced_order,
    draw_modalities,
    record_classes,
)
from metabev_ros.structures import Modality


def config(**changes):
    return TrainingConfig(
        **{'steps': 9, 'warmup_steps': 1, 'decay_steps': 1, 'seed': 3, **changes}
    )


def test_batches_are_a_function_of_seed_and_step():
    whole = list(BatchKeys(7, config(), 0))
    assert whole[4:] == list(BatchKeys(7, config(), 4))
    seen = [key.record for keys in whole for key in keys]
    assert sorted(seen[:7]) == list(range(7)) and sorted(seen[7:14]) == list(range(7))
    assert whole != list(BatchKeys(7, config(seed=4), 0))


def test_processes_divide_the_batch_of_one():
    c = config(batch=('fused', 'camera', 'fused', 'camera'))
    parts = [list(BatchKeys(7, c, 0, rank, 2)) for rank in range(2)]
    for one, first, second in zip(BatchKeys(7, c, 0), *parts, strict=True):
        assert one == first + second


@pytest.mark.parametrize('batch', [('fused',) * 3, ('fused', 'fused', 'camera', 'camera')])
def test_unequal_parts_are_refused(batch):
    with pytest.raises(ConfigError, match='training.batch'):
        BatchKeys(7, config(batch=batch), 0, 0, 2)


def test_balanced_epochs_even_out_the_classes():
    rng = np.random.default_rng(0)
    classes = np.zeros((1000, 4), bool)
    classes[:, 0] = True  # in every record
    classes[:50, 1] = classes[40:60, 2] = True
    order = balanced_order(classes, rng)
    # The formula: n_c * (1 / K) / share_c = (sum of n) / K draws for each of K = 3 classes.
    assert len(order) == 3 * int((1000 + 50 + 20) / 3)
    shown = classes[order].sum(0)
    assert shown[1] / len(order) > 0.3 and shown[2] / len(order) > 0.3 and shown[3] == 0


def test_balanced_batches_repeat_from_any_step():
    classes = np.random.default_rng(1).random((30, 10)) < 0.2
    c = config(sampling=Sampling.CBGS, steps=40)
    whole = list(BatchKeys(30, c, 0, classes=classes))
    assert whole[25:] == list(BatchKeys(30, c, 25, classes=classes))


def test_classes_of_a_record_are_those_with_points(tmp_path):
    boxes = np.ones((4, 9), np.float32)
    record = made_record(
        boxes, labels=np.array([0, 3, 3, 9]), num_lidar_pts=np.array([2, 0, 5, 0])
    )
    write_record(tmp_path / 'a.npz', record)
    assert np.flatnonzero(record_classes([tmp_path / 'a.npz'])[0]).tolist() == [0, 3]


def test_one_draw_holds_for_the_whole_iteration():
    c = config(draw=ModalityDraw.PER_ITERATION, modality_shares=(1 / 3, 1 / 3, 1 / 3))
    drawn = [draw_modalities(c, step) for step in range(900)]
    assert all(len(set(batch)) == 1 for batch in drawn)
    for modality in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR):
        assert np.mean([b[0] is modality for b in drawn]) == pytest.approx(1 / 3, abs=0.05)


def test_per_sample_draws_have_the_shares_and_are_equal_for_all_processes():
    c = config(draw=ModalityDraw.PER_SAMPLE, batch=('fused',) * 8)
    drawn = [draw_modalities(c, step, world=2) for step in range(500)]
    assert all(batch[:4] == batch[4:] for batch in drawn)
    flat = [m for batch in drawn for m in batch]
    assert np.mean([m is Modality.FUSED for m in flat]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([m is Modality.CAMERA for m in flat]) == pytest.approx(0.25, abs=0.05)


def test_switched_off_means_fused_only():
    assert set(draw_modalities(config(draw=ModalityDraw.OFF), 5)) == {Modality.FUSED}
