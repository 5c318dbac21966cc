"""A run on a few rendered frames: it learns, and goes on exactly after a kill."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.made_records import folder_of
from support.tiny import PLAIN, TINY

from metabev_ros.config import Fuser, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.config import (
    Device,
    ModalityDraw,
    Precision,
    Sampling,
    TrainingConfig,
)
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import DataSource, all_paths, open_records
from metabev_ros.lab.training.monitoring import comparison_picture
from metabev_ros.lab.training.pasting import PasteConfig
from metabev_ros.lab.training.recompute import enable_recompute
from metabev_ros.lab.training.run import RunConfig, cut_objects, say_nothing
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.lab.training.sampling import BatchKeys
from metabev_ros.lab.training.step import TrainingStep, parameter_groups
from metabev_ros.lab.training.train import Trainer
from metabev_ros.network.metabev import MetaBev

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from metabev_ros.config import load_config
from metabev_ros.lab.training.data import open_records
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.train import Trainer
if __name__ == '__main__':
    run = load_config(RunConfig, sys.argv[2])
    sets = [open_records(folder, run.model) for folder in sys.argv[4:]]
    Trainer(Path(sys.argv[3]), run.model, run.training).run(sets)
"""


def config(**changes):
    return TrainingConfig(
        **{
            'steps': 4,
            'warmup_steps': 1,
            'decay_steps': 1,
            'checkpoint_every': 1,
            'threads': 1,
            'batch': ('fused', 'camera', 'lidar'),
            'augmentation': PLAIN,
            **changes,
        }
    )


def batch_of(records, training, model=TINY, step=0):
    keys = list(BatchKeys(records, training, step))[0]
    samples = TrainingSamples(
        all_paths(records), model, training.augmentation, training.curriculum
    )
    return [samples[key] for key in keys]


def terms_of(records, training, model=TINY, auxiliary=None):
    torch.manual_seed(0)
    step = TrainingStep(MetaBev(model), auxiliary, training)
    return step(batch_of(records, training, model)), step


def log_of(folder):
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


def other_records(folder, rendered):
    """Records of another source: LiDAR only, ignored boxes, unknown velocities, no map."""
    record = read_record(rendered.paths[0])
    velocities = record.boxes.copy()
    velocities[::2, 7:] = np.nan
    names = ('pixels', 'intrinsics', 'ego_from_camera', 'camera_ages_ns', 'depth')
    records = [
        dataclasses.replace(
            record,
            token=f'o{i}',
            scene=f'd{i % 2}',
            cameras=(),
            boxes=velocities,
            ignored=np.array([[8, i, 0, 6, 6, 4, 0.1]], np.float32),
            ignored_labels=np.array([-1]),
            map_known=np.zeros(record.map_layers.shape, bool),
            **{name: getattr(record, name)[:0] for name in names},
        )
        for i in range(4)
    ]
    return folder_of(folder / 'others', records)


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(tmp_path, tiny_records):
    """SIGKILL in mid-run, one thread: the final weights and all logged losses are equal.

    Of a mixture: rendered records, and others of two drives without cameras, with masks and
    velocities that nobody knows; objects are pasted for two thirds of the steps.
    """
    sets = [*tiny_records, open_records(other_records(tmp_path, tiny_records[0]), TINY)]
    cut_objects(sets, say_nothing, say_nothing)
    training = config(
        steps=12,
        checkpoint_every=4,
        augmentation=AugmentationConfig(),
        curriculum=CurriculumConfig(probability=0.8, ramp_steps=6),
        sampling=Sampling.CBGS,
        paste=PasteConfig(fade_out=0.67, cameras=True),
    )
    data = tuple(DataSource(records=str(records.folder)) for records in sets)
    save_config(RunConfig(TINY, training, data), tmp_path / 'run.yaml')
    (tmp_path / 'child.py').write_text(CHILD)

    def start(folder):
        return subprocess.Popen(
            [
                sys.executable,
                str(tmp_path / 'child.py'),
                str(Path(__file__).parents[2]),
                str(tmp_path / 'run.yaml'),
                str(folder),
                *(str(records.folder) for records in sets),
            ],
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    Trainer(whole, TINY, training).run(sets)
    child = start(parts)
    log, deadline = parts / 'log.jsonl', time.monotonic() + 200
    while not (log.exists() and len(log.read_text().splitlines()) >= 6):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 4 <= torch.load(parts / 'checkpoint.pt', weights_only=True)['step'] < 12
    assert start(parts).wait() == 0
    ours, theirs = (
        load_file(parts / 'weights.safetensors'),
        load_file(whole / 'weights.safetensors'),
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    timing = ('seconds', 'samples_per_s')
    first, second = (
        [{k: v for k, v in line.items() if k not in timing} for line in log_of(f)]
        for f in (whole, parts)
    )
    assert first == second and [line['step'] for line in first] == list(range(1, 13))


def test_training_lowers_the_loss(tmp_path, tiny_records):
    Trainer(tmp_path, TINY, config(steps=20, learning_rate=8e-3)).run(tiny_records)
    totals = [line['total'] for line in log_of(tmp_path)]
    assert np.mean(totals[-5:]) < 0.7 * np.mean(totals[:3])


def test_a_checkpoint_of_another_model_or_a_broken_one_is_refused(tmp_path):
    trainer = Trainer(tmp_path, TINY, config())
    trainer.save()
    path = tmp_path / 'checkpoint.pt'
    state = torch.load(path, weights_only=True)
    with pytest.raises(ConfigError, match='training.seed'):
        Trainer(tmp_path, TINY, config(seed=1))
    torch.save({**state, 'model_hash': 'other'}, path)
    with pytest.raises(ConfigError, match='another one'):
        Trainer(tmp_path, TINY, config())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match='checkpoint of this trainer'):
        Trainer(tmp_path, TINY, config())


def test_a_run_does_not_go_on_with_other_records(tmp_path, tiny_records):
    """It would not repeat, and the licence of what it began with would be lost."""
    Trainer(tmp_path / 'run', TINY, config(steps=2)).run(tiny_records)
    other = open_records(other_records(tmp_path, tiny_records[0]), TINY)
    with pytest.raises(ConfigError, match=r'this run began with: 2 of synthetic.*another run'):
        Trainer(tmp_path / 'run', TINY, config(steps=4)).run([*tiny_records, other])
    Trainer(tmp_path / 'run', TINY, config(steps=4)).run(tiny_records)
    assert [line['step'] for line in log_of(tmp_path / 'run')] == [1, 2, 3, 4]


def test_a_gpu_that_is_not_there_is_no_silent_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ConfigError, match='training.device'):
        Trainer(tmp_path, TINY, config(device=Device.CUDA))
    with pytest.raises(ConfigError, match='training.precision'):
        config(precision=Precision.FP16)


def test_recomputing_changes_neither_gradients_nor_statistics(tiny_records):
    training = config(precision=Precision.FP32)
    batch, results = batch_of(tiny_records, training), []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = MetaBev(TINY)
        if recompute:
            enable_recompute(network)
        sum(TrainingStep(network, None, training)(batch).values()).backward()
        results.append((network.state_dict(), {n: p.grad for n, p in network.named_parameters()}))
    for name, value in results[0][0].items():
        assert torch.equal(value, results[1][0][name]), name
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(gradient, results[1][1][name], rtol=1e-5, atol=1e-7)


def test_one_task_alone_has_only_its_terms_and_task_weights_multiply(tiny_records):
    both, _ = terms_of(tiny_records, config(precision=Precision.FP32))
    detection, _ = terms_of(
        tiny_records, config(precision=Precision.FP32, map_weight=0.0, detection_weight=10.0)
    )
    assert set(both) - set(detection) == {'map_focal', 'map_dice'}
    assert detection['heatmap'].item() == pytest.approx(10 * both['heatmap'].item(), rel=1e-5)


def test_auxiliary_heads_teach_the_encoders_and_are_not_shipped(tmp_path, tiny_records):
    training = config(auxiliary_weight=0.5, steps=1, warmup_steps=0, decay_steps=0)
    trainer = Trainer(tmp_path, TINY, training)
    terms, _ = terms_of(tiny_records, training, auxiliary=trainer.auxiliary)
    (terms['auxiliary_camera'] + terms['auxiliary_lidar']).backward()
    assert all(p.grad is not None for p in trainer.auxiliary.parameters())
    trainer.run(tiny_records)
    assert set(load_file(tmp_path / 'weights.safetensors')) == set(MetaBev(TINY).state_dict())
    again = Trainer(tmp_path, TINY, training)
    for name, value in trainer.auxiliary.state_dict().items():
        assert torch.equal(value, again.auxiliary.state_dict()[name])


def test_an_absent_modality_of_the_baseline_is_a_map_of_zeros(tiny_records):
    """CMT-style masking of the convolutional fuser is the modality draw."""
    model = replace(TINY, decoder=replace(TINY.decoder, fuser=Fuser.CONV))
    training = config(draw=ModalityDraw.PER_SAMPLE, batch=('fused',) * 4, precision=Precision.FP32)
    terms, _ = terms_of(tiny_records, training, model)
    sum(terms.values()).backward()
    assert np.isfinite(sum(terms.values()).item())
    network = MetaBev(model).eval()  # as new: every set of modalities has the same statistics
    [(inputs, _, _)] = batch_of(tiny_records, config(batch=('camera',)), model)
    camera, _, _ = network.encode([inputs], [None])
    zeros = torch.zeros(1, model.lidar.bev_channels, *model.bev_grid.shape)
    a, b = network.fuse(camera, [None]), network.fuse(camera, [zeros])
    assert torch.equal(a.map_logits, b.map_logits)


def test_cells_without_truth_do_not_change_the_map_loss(tiny_records):
    training = config(
        batch=('lidar',),
        precision=Precision.FP32,
        augmentation=AugmentationConfig(turn=0, view_drop=0, rotation=45, translation=2),
    )
    [(camera, lidar, targets)] = batch_of(tiny_records, training)
    assert 0 < targets['map_known'].float().mean() < 1
    results = []
    for fill in (0, 1):
        changed = {
            **targets,
            'map': torch.where(targets['map_known'], targets['map'], torch.tensor(float(fill))),
        }
        torch.manual_seed(0)
        step = TrainingStep(MetaBev(TINY), None, training)
        results.append(step([(camera, lidar, changed)])['map_focal'].item())
    assert results[0] == results[1]


def test_norms_and_biases_can_be_kept_from_decay():
    network = MetaBev(TINY)
    decayed, kept = parameter_groups(network, config(decay_norms=False))
    assert kept['weight_decay'] == 0 and all(p.ndim <= 1 for p in kept['params'])
    assert len(decayed['params']) + len(kept['params']) == len(list(network.parameters()))


def test_fixed_norms_keep_their_statistics(tmp_path, tiny_records):
    trainer = Trainer(tmp_path, TINY, config(fixed_norms=True, steps=2))
    before = {n: v.clone() for n, v in trainer.network.state_dict().items() if 'running' in n}
    trainer.run(tiny_records)
    after = trainer.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_tensorboard_gets_curves_and_a_picture_of_every_branch(tmp_path, tiny_records):
    pytest.importorskip('tensorboard', reason='optional: requirements/train.txt')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Trainer(tmp_path, TINY, config(steps=3, tensorboard=True, picture_every=2)).run(tiny_records)
    events = EventAccumulator(str(tmp_path / 'tensorboard')).Reload()
    assert [e.step for e in events.Scalars('training/total')] == [1, 2, 3]
    assert [e.step for e in events.Images('prediction')] == [2, 3]


def test_the_picture_shows_the_truth_beside_three_branches(tiny_records):
    picture = comparison_picture(MetaBev(TINY).state_dict(), TINY, all_paths(tiny_records)[0])
    tiles = np.split(picture, 4, axis=1)
    assert picture.dtype == np.uint8 and tiles[0].shape == (384, 384, 3)
    assert all((tile != tiles[0]).any() for tile in tiles[1:])


def test_the_picture_is_black_where_a_record_lacks_sensors(tmp_path, tiny_records):
    [path, *_] = open_records(other_records(tmp_path, tiny_records[0]), TINY).paths
    tiles = np.split(comparison_picture(MetaBev(TINY).state_dict(), TINY, path), 4, axis=1)
    assert [bool(tile.any()) for tile in tiles] == [True, False, True, False]
