"""The recipes of config/training/ load and say what they claim."""

import pytest
import yaml

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.config import ModalityDraw, Sampling
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.sampling import draw_modalities


def test_every_recipe_loads(repo_root):
    paths = sorted((repo_root / 'config/training').rglob('*.yaml'))
    assert paths
    for path in paths:
        assert load_config(RunConfig, path).training.steps > 0, path


def test_the_base_recipe_trains_the_base_model_as_the_paper_says(repo_root):
    run = load_config(RunConfig, repo_root / 'config/training/metabev_base.yaml')
    assert run.model == load_config(ModelConfig, repo_root / 'config/models/metabev_base.yaml')
    training = run.training
    assert (training.weight_decay, training.sampling) == (0.05, Sampling.CBGS)
    assert training.detection_weight / training.map_weight == 10
    assert training.modality_shares == pytest.approx([1 / 3] * 3)
    assert len(draw_modalities(training, 0, 8)) == len(training.batch) == 32
    assert training.rate(40_000) == pytest.approx(1e-3)


def test_no_recipe_normalises_one_modality_a_step_and_uses_the_mixture(repo_root):
    """Neck and heads have batch norm: their statistics fit a batch that holds the mixture."""
    for path in sorted((repo_root / 'config/training').rglob('*.yaml')):
        draw = load_config(RunConfig, path).training.draw
        assert draw is not ModalityDraw.PER_ITERATION, path


def test_the_base_recipe_draws_modalities_inside_a_step(repo_root):
    training = load_config(RunConfig, repo_root / 'config/training/metabev_base.yaml').training
    mixed = sum(len(set(draw_modalities(training, step, 8))) > 1 for step in range(200))
    assert mixed > 0.9 * 200


def test_an_unknown_switch_is_named(tmp_path):
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump({'training': {'curriculum': {'snow': 1.0}}}))
    with pytest.raises(ConfigError, match=r'training.curriculum.*snow'):
        load_config(RunConfig, path)


STREETS = ('streets_lidar', 'streets_cameras', 'streets')  # the stages of one recipe


@pytest.mark.parametrize('name', STREETS)
def test_recipes_of_streets_train_the_network_of_a_cpu(repo_root, name):
    run = load_config(RunConfig, repo_root / f'config/training/{name}.yaml')
    assert run.model == load_config(
        ModelConfig, repo_root / 'config/models/metabev_nano_lite.yaml'
    )


def test_each_stage_of_streets_starts_from_the_one_before(repo_root):
    runs = [load_config(RunConfig, repo_root / f'config/training/{n}.yaml') for n in STREETS]
    assert runs[0].training.init is None
    for before, run in zip(STREETS, runs[1:], strict=False):
        assert run.training.init.path == f'runs/{before}/weights.safetensors'
    assert len({run.training.seed for run in runs}) == len(runs)


def test_cameras_of_streets_learn_in_other_worlds_than_the_lidar_did(repo_root):
    runs = [load_config(RunConfig, repo_root / f'config/training/{n}.yaml') for n in STREETS[:2]]
    seeds = [
        range(s.first_seed, s.first_seed + s.worlds) for s in (r.data[0].streets for r in runs)
    ]
    assert not set(seeds[0]) & set(seeds[1])
