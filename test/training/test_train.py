"""A run on a few rendered frames: it learns, resumes exactly, and repeats by seed."""
import json

import numpy as np
import pytest
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import points_in_box, project_points, transform_points
from metabev_ros.training.cache import CacheConfig, build_cache
from metabev_ros.training.curriculum import CurriculumConfig
from metabev_ros.training.samples import AugmentationConfig, TrainingSamples
from metabev_ros.training.train import BatchKeys, Trainer, TrainingConfig

CONFIG = ModelConfig()


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    cache = CacheConfig(first_seed=5000, worlds=1, frames_per_world=2)
    return build_cache(tmp_path_factory.mktemp('cache'), CONFIG, cache, workers=1)


def train(folder, records, steps, seed=0, stop_at=None):
    config = TrainingConfig(steps=steps, warmup_steps=1, decay_steps=1, checkpoint_every=1,
                            batch=('fused', 'camera', 'lidar'), seed=seed)
    trainer = Trainer(folder, CONFIG, config)

    def progress(step, terms, rate):
        if step == stop_at:
            raise KeyboardInterrupt
    try:
        trainer.run(records, progress)
    except KeyboardInterrupt:
        pass
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


def test_a_run_stopped_and_resumed_logs_the_losses_of_one_that_was_not(tmp_path, records):
    whole = train(tmp_path / 'whole', records, 4)
    train(tmp_path / 'parts', records, 4, stop_at=3)   # killed before step 3 was logged or saved
    resumed = train(tmp_path / 'parts', records, 4)
    assert [line['step'] for line in whole] == [1, 2, 3, 4]
    by_step = {line['step']: line for line in resumed}
    for line in whole:
        assert by_step[line['step']]['total'] == pytest.approx(line['total'], rel=1e-3)
    assert whole[-1]['total'] < whole[0]['total']


def test_batches_are_a_function_of_seed_and_step():
    config = TrainingConfig(steps=9, warmup_steps=1, decay_steps=1, seed=3)
    whole = list(BatchKeys(7, config, 0))
    assert whole[4:] == list(BatchKeys(7, config, 4))
    seen = [key[0] for keys in whole for key in keys]
    assert sorted(seen[:7]) == list(range(7)) and sorted(seen[7:14]) == list(range(7))


@pytest.mark.parametrize('signs', [(1, 1), (-1, -1)])
def test_turning_keeps_camera_lidar_boxes_and_map_aligned(records, signs):
    samples = TrainingSamples(records, CONFIG, AugmentationConfig(), CurriculumConfig())
    record = dict(np.load(records[0]))
    signs = np.array(signs, float)
    targets = samples._targets(record, signs)
    flip = np.diag([*signs, 1, 1])
    inside = record['num_lidar_pts'] > 0
    near = inside & (np.abs(record['boxes'][:, :2]).max(1) < 51)
    box = record['boxes'][near][0].astype(float)
    turned = box.copy()
    turned[:2] *= signs
    turned[6] = np.arctan2(np.sin(box[6]) * signs[1], np.cos(box[6]) * signs[0])
    points = transform_points(flip @ record['ego_from_lidar'], record['points'][:, :3])
    original = transform_points(record['ego_from_lidar'], record['points'][:, :3])
    assert points_in_box(points, turned).sum() == points_in_box(original, box).sum() > 0
    pose = flip @ record['ego_from_camera'][0]
    a, _ = project_points(record['intrinsics'][0], transform_points(
        np.linalg.inv(pose), turned[None, :3]))
    b, _ = project_points(record['intrinsics'][0], transform_points(
        np.linalg.inv(record['ego_from_camera'][0]), box[None, :3]))
    np.testing.assert_allclose(a, b, atol=1e-6)
    y, x = np.argwhere(record['map_layers'][0])[10]
    new_y = y if signs[1] > 0 else 199 - y
    new_x = x if signs[0] > 0 else 199 - x
    assert targets['map'][0, new_y, new_x] == 1


def test_a_batch_of_unknown_modalities_is_refused():
    with pytest.raises(ConfigError, match='training.batch'):
        TrainingConfig(batch=('fused', 'radar'))


def test_a_checkpoint_of_another_model_is_refused(tmp_path, records):
    train(tmp_path, records, 2)
    state = torch.load(tmp_path / 'checkpoint.pt', weights_only=True)
    state['model_hash'] = 'other'
    torch.save(state, tmp_path / 'checkpoint.pt')
    with pytest.raises(ConfigError, match='checkpoint'):
        Trainer(tmp_path, CONFIG, TrainingConfig())
