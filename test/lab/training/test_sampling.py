"""Batches are a function of seed and step; balance and shares are what was asked for."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.made_records import made_record

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import RecordEntry, entry_of
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.data import RecordSet
from metabev_ros.lab.training.sampling import (
    BatchKeys,
    ModalityDraw,
    Sampling,
    balanced_order,
    draw_modalities,
    sample_shares,
)
from metabev_ros.structures import DETECTION_CLASSES, Modality

OURS = SyntheticDrives().info


def config(**changes):
    return TrainingConfig(
        **{'steps': 9, 'warmup_steps': 1, 'decay_steps': 1, 'seed': 3, **changes}
    )


def sets(count, classes=None, weight=None, modality='FUSED', scenes=('s',)):
    """A source of records that exist in the manifest only."""
    classes = np.zeros((count, 10), bool) if classes is None else classes
    entries = tuple(
        RecordEntry(
            scenes[i % len(scenes)],
            f't{i}',
            modality,
            tuple(DETECTION_CLASSES[c] for c in np.flatnonzero(classes[i])),
        )
        for i in range(count)
    )
    return (RecordSet(Path('records'), OURS, entries, weight),)


def test_batches_are_a_function_of_seed_and_step():
    whole = list(BatchKeys(sets(7), config(), 0))
    assert whole[4:] == list(BatchKeys(sets(7), config(), 4))
    seen = [key.record for keys in whole for key in keys]
    assert sorted(seen[:7]) == list(range(7)) and sorted(seen[7:14]) == list(range(7))
    assert whole != list(BatchKeys(sets(7), config(seed=4), 0))


def test_processes_divide_the_batch_of_one():
    c = config(batch=('fused', 'camera', 'fused', 'camera'))
    parts = [list(BatchKeys(sets(7), c, 0, rank, 2)) for rank in range(2)]
    for one, first, second in zip(BatchKeys(sets(7), c, 0), *parts, strict=True):
        assert one == first + second


@pytest.mark.parametrize('batch', [('fused',) * 3, ('fused', 'fused', 'camera', 'camera')])
def test_unequal_parts_are_refused(batch):
    with pytest.raises(ConfigError, match='training.batch'):
        BatchKeys(sets(7), config(batch=batch), 0, 0, 2)


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
    data = sets(30, np.random.default_rng(1).random((30, 10)) < 0.2)
    c = config(sampling=Sampling.CBGS, steps=40)
    whole = list(BatchKeys(data, c, 0))
    assert whole[25:] == list(BatchKeys(data, c, 25))


def test_classes_of_a_record_are_those_with_points():
    boxes = np.ones((4, 9), np.float32)
    record = made_record(
        boxes, labels=np.array([0, 3, 3, 9]), num_lidar_pts=np.array([2, 0, 5, 0])
    )
    shown = RecordSet(Path(), OURS, (entry_of(record),)).classes
    assert np.argwhere(shown).tolist() == [[0, 0], [0, 3]]


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


def test_a_mixture_draws_by_weight_and_walks_every_source_through_its_own_epochs():
    c = config(steps=300, batch=('fused',) * 4)
    data = (*sets(7, weight=1.0), *sets(5, weight=3.0))
    records = [key.record for keys in BatchKeys(data, c, 0) for key in keys]
    first, second = [r for r in records if r < 7], [r - 7 for r in records if r >= 7]
    assert len(second) / len(records) == pytest.approx(0.75, abs=0.04)
    for walked, count in ((first, 7), (second, 5)):
        epochs = [walked[i : i + count] for i in range(0, len(walked) - count + 1, count)]
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    alone = [key.record for keys in BatchKeys(sets(7), c, 0) for key in keys]
    assert first == alone[: len(first)]  # the first source goes as if it were alone


def test_without_weights_a_source_is_drawn_by_its_number_of_records():
    c = config(steps=500, batch=('fused',) * 4)
    drawn = Counter(
        key.record >= 30 for keys in BatchKeys((*sets(30), *sets(10)), c, 0) for key in keys
    )
    assert drawn[True] / drawn.total() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize('sampling', list(Sampling))
def test_a_mixture_goes_on_from_any_step_and_divides_among_processes(sampling):
    rng = np.random.default_rng(2)
    c = config(steps=30, batch=('fused', 'lidar', 'fused', 'lidar'), sampling=sampling)
    data = tuple(s for _ in range(3) for s in sets(9, rng.random((9, 10)) < 0.3))
    whole = list(BatchKeys(data, c, 0))
    assert whole[17:] == list(BatchKeys(data, c, 17))
    parts = [list(BatchKeys(data, c, 0, rank, 2)) for rank in range(2)]
    assert whole == [a + b for a, b in zip(*parts, strict=True)]


def test_a_record_gives_what_it_has_of_what_is_asked():
    c = config(batch=('fused', 'camera', 'lidar'))
    for modality in ('CAMERA', 'LIDAR'):
        keys = [key for batch in BatchKeys(sets(7, modality=modality), c, 0) for key in batch]
        assert {Modality(key.modality).name for key in keys} == {modality}


def test_a_slot_draws_from_sources_with_the_sensors_that_it_asks_for():
    c = config(steps=200, batch=('fused', 'lidar', 'camera') * 2)
    data = (*sets(6), *sets(6, modality='LIDAR'))
    drawn = Counter()
    for keys in BatchKeys(data, c, 0):
        assert [Modality(key.modality).name.lower() for key in keys] == list(c.batch)
        assert all(key.record < 6 for key in keys if key.slot % 3 != 1)
        drawn.update(key.record >= 6 for key in keys if key.slot % 3 == 1)
    assert drawn[True] / drawn.total() == pytest.approx(0.5, abs=0.06)
    assert sample_shares(data, c) == pytest.approx([5 / 6, 1 / 6])
    parts = [list(BatchKeys(data, c, 100, rank, 2)) for rank in range(2)]
    assert list(BatchKeys(data, c, 100)) == [a + b for a, b in zip(*parts, strict=True)]


def test_processes_that_would_differ_are_refused():
    c = config(batch=('fused', 'fused'))
    (whole,), (blind,) = sets(4), sets(4, modality='LIDAR')
    mixed = (replace(whole, entries=whole.entries + blind.entries),)
    BatchKeys(mixed, c, 0)
    with pytest.raises(ConfigError, match='some give FUSED, some LIDAR'):
        BatchKeys(mixed, c, 0, 0, 2)
    BatchKeys(sets(4, modality='LIDAR'), c, 0, 0, 2)
    BatchKeys(mixed, config(batch=('lidar', 'lidar')), 0, 0, 2)


def test_balanced_epochs_hold_every_class_as_the_formula_says():
    """An oracle by hand: 12 records of cars, 6 of pedestrians, 2 of buses, 1 with both first."""
    classes = np.zeros((20, 10), bool)
    classes[:12, 0] = classes[11:17, 8] = classes[18:20, 3] = True
    # Zhu et al.: every class shall have 1 / 3 of the 12 + 6 + 2 = 20 class-records: 6.67 -> 6.
    chosen = Counter()
    for seed in range(400):
        order = balanced_order(classes, np.random.default_rng(seed))
        assert len(order) == 18
        only = {'car': order < 11, 'bus': order >= 18, 'empty': order == 17}
        assert only['bus'].sum() == 6 and not only['empty'].any()
        chosen.update(order.tolist())
    # Each of the 12 car records has 6 / 12 of a draw an epoch, each of the 6 pedestrian ones
    # 6 / 6, the one with both 1.5; each bus 3.
    mean = {record: count / 400 for record, count in chosen.items()}
    assert mean[0] == pytest.approx(0.5, abs=0.12) and mean[14] == pytest.approx(1, abs=0.15)
    assert mean[11] == pytest.approx(1.5, abs=0.2) and mean[19] == pytest.approx(3, abs=0.25)
