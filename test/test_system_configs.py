"""Wrong settings of the systems that can be switched on: each is refused by the field's path.

HorNet's and the rest of Plain-DETR's stand in test_hornet_config.py and test_plain_detr_config.py.
"""

import pytest

from metabev_ros.config import ModelConfig, from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.run import RunConfig


def refused(kind: type, plain: dict, where: str) -> str:
    """The path that the refusal names."""
    with pytest.raises(ConfigError) as error:
        from_plain(kind, plain, where)
    return error.value.where


@pytest.mark.parametrize(
    ('decoder', 'where'),
    [
        ({'ffn': 'adamv', 'experts': 0, 'adamv': {}}, 'experts'),
        ({'ffn': 'adamv', 'experts': 65, 'adamv': {}}, 'experts'),
        ({'ffn': 'rm2oe', 'experts': 0}, 'experts'),
        ({'ffn': 'rm2oe', 'experts': 4, 'experts_used': 5}, 'experts_used'),
        ({'ffn': 'rm2oe', 'experts_used': 0}, 'experts_used'),
        ({'ffn': 'adamv', 'experts': 'eight', 'adamv': {}}, 'experts'),
        ({'ffn': 'adamv', 'experts': 1, 'adamv': {}}, 'adamv.used.detection'),
        ({'ffn': 'adamv', 'experts': 4, 'adamv': {'used': {'map': 5}}}, 'adamv.used.map'),
        ({'ffn': 'adamv', 'adamv': {'used': {'depth': 1}}}, 'adamv.used'),
        ({'ffn': 'mlp', 'adamv': {}}, 'adamv'),
        ({'ffn': 'adamv', 'fuser': 'conv', 'adamv': {}}, 'ffn'),
    ],
)
def test_experts_that_are_not_there_are_refused_by_their_path(decoder, where):
    assert refused(ModelConfig, {'decoder': decoder}, 'model') == f'model.decoder.{where}'


def test_one_expert_for_all_is_a_choice():
    used = {'detection': 1, 'map': 1}
    model = from_plain(
        ModelConfig, {'decoder': {'ffn': 'adamv', 'experts': 1, 'adamv': {'used': used}}}, 'model'
    )
    assert model.decoder.experts == 1


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'heads': 0}, 'heads'),
        ({'steps': 0}, 'steps'),
        ({'ffn_ratio': 9}, 'ffn_ratio'),
        ({'query_parts': 0}, 'query_parts'),
        ({'dropout': 1.0}, 'dropout'),
        ({'position': 'learned'}, 'position'),
        ({'points': 2.5}, 'points'),
    ],
)
def test_inter_task_attention_refuses_by_path(change, where):
    assert refused(ModelConfig, {'task_interaction': change}, 'model') == (
        f'model.task_interaction.{where}'
    )


def test_an_added_position_code_needs_channels_in_fours():
    plain = {'head': {'neck_channels': 66}, 'task_interaction': {'position': 'add', 'heads': 2}}
    assert refused(ModelConfig, plain, 'model') == 'model.task_interaction.position'


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'ffn_channels': 0}, 'ffn_channels'),
        ({'boxrpb': {'hidden': 0}}, 'boxrpb.hidden'),
        ({'boxrpb': {'knots': 5000}}, 'boxrpb.knots'),
        ({'hybrid': {'queries': -1}}, 'hybrid.queries'),
        ({'hybrid': {'weight': -1.0}}, 'hybrid.weight'),
        ({'offset_norm': 'area'}, 'offset_norm'),
        ({'content': 'random'}, 'content'),
    ],
)
def test_the_plain_detr_head_refuses_by_path(change, where):
    plain = {'head': {'detection': 'plain_detr', 'plain_detr': change}}
    assert refused(ModelConfig, plain, 'model') == f'model.head.plain_detr.{where}'


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'importance_weight': -1.0}, 'importance_weight'),
        ({'load_weight': -0.1}, 'load_weight'),
        ({'interaction_offset_rate': 0.0}, 'interaction_offset_rate'),
        ({'expert_selection': {'mode': 'sometimes'}}, 'expert_selection.mode'),
        ({'expert_selection': {'every': 0}}, 'expert_selection.every'),
        ({'expert_selection': {'patience': 0.5}}, 'expert_selection.patience'),
        ({'expert_selection': {'tolerance': 1.0}}, 'expert_selection.tolerance'),
        ({'expert_selection': {'scenes': 0}}, 'expert_selection.scenes'),
    ],
)
def test_their_training_settings_are_refused_by_path(change, where):
    path = refused(RunConfig, {'training': change}, 'run')
    assert path.removeprefix('run.') == f'training.{where}'
