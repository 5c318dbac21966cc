"""Configuration of the Plain-DETR head."""

import pytest

from metabev_ros.config import ModelConfig, RpbMode, from_plain, load_config, to_plain
from metabev_ros.contract import load_contract
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.run import RunConfig


def head(**changes):
    return {'head': {'detection': 'plain_detr', 'plain_detr': changes.pop('plain', {}), **changes}}


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'head': {'detection': 'plain_detr'}}, 'model.head.plain_detr'),
        ({'head': {'plain_detr': {}}}, 'model.head.plain_detr'),
        (head(det_channels=62), 'model.head.det_channels'),
        (head(plain={'heads': 3}), 'model.head.det_channels'),
        (head(plain={'heads': 0}), 'model.head.plain_detr.heads'),
        (head(plain={'layers': 0}), 'model.head.plain_detr.layers'),
        (head(plain={'key_stride': 3}), 'model.head.plain_detr.key_stride'),
        (head(plain={'boxrpb': {'mode': 'round'}}), 'model.head.plain_detr.boxrpb.mode'),
        (head(plain={'boxrpb': {'knots': 1}}), 'model.head.plain_detr.boxrpb.knots'),
        (head(plain={'boxrpb': {'reach': 0}}), 'model.head.plain_detr.boxrpb.reach'),
        (
            head(plain={'boxrpb': {'mode': 'aabb', 'symmetric_heading': True}}),
            'model.head.plain_detr.boxrpb.symmetric_heading',
        ),
        (head(plain={'hybrid': {'repeats': 0}}), 'model.head.plain_detr.hybrid.repeats'),
        (head(plain={'window': 7}), 'model.head.plain_detr'),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(change, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, change, 'model')
    assert error.value.where == where


def test_more_queries_than_cells_are_refused_by_their_path():
    small = {'bev_grid': {'x_min': -6.4, 'x_max': 6.4, 'y_min': -6.4, 'y_max': 6.4, 'cell': 0.8}}
    for change, where in (
        (head(proposals=300), 'model.head.proposals'),
        (head(proposals=100), 'model.head.plain_detr.hybrid.queries'),
    ):
        with pytest.raises(ConfigError) as error:
            from_plain(ModelConfig, {**small, **change}, 'model')
        assert error.value.where == where and '256' in str(error.value)


def test_models_without_the_head_keep_their_hash_and_contract(repo_root):
    assert 'plain_detr' not in to_plain(ModelConfig())['head']
    contract = load_contract(repo_root / 'models/metabev_nano')
    assert contract.config.hash == ModelConfig(name=contract.config.name).hash


def test_the_shipped_configuration_is_the_one_of_its_recipe_and_survives_yaml(repo_root, tmp_path):
    config = load_config(ModelConfig, repo_root / 'config/models/metabev_nano_plain_detr.yaml')
    recipe = load_config(RunConfig, repo_root / 'config/training/metabev_nano_plain_detr.yaml')
    assert recipe.model == config and config.head.plain_detr.boxrpb.mode is RpbMode.BOX_FRAME
    assert from_plain(ModelConfig, to_plain(config), 'model') == config
