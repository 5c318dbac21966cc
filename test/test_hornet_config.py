"""HorNet and HorFPN as choices of the configuration; not chosen, nothing changes."""

import json

import pytest

from metabev_ros.config import (
    BevNeckKind,
    CameraBackbone,
    CameraNeck,
    ModelConfig,
    from_plain,
    load_config,
)
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.run import RunConfig


def test_the_shipped_model_keeps_its_hash(repo_root):
    contract = json.loads((repo_root / 'models/metabev_nano/contract.json').read_text())
    assert (
        load_config(ModelConfig, repo_root / 'models/metabev_nano/config.yaml').hash
        == (contract['config_sha256'])
    )
    assert ModelConfig().hash == contract['config_sha256']


def test_the_nano_hornet_is_configured_alike_as_model_and_in_its_recipe(repo_root):
    model = load_config(ModelConfig, repo_root / 'config/models/metabev_nano_hornet.yaml')
    run = load_config(RunConfig, repo_root / 'config/training/metabev_nano_hornet.yaml')
    assert model == run.model
    assert model.camera.backbone is CameraBackbone.HORNET_NANO_7X7
    assert model.camera.neck is CameraNeck.LSS_HORFPN_7X7
    assert model.head.neck is BevNeckKind.NANO_HORFPN_7X7


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'camera': {'backbone': 'hornet_t'}}, 'model.camera.backbone'),
        ({'camera': {'backbone': 'hornet_t_7x7'}}, 'model.camera.neck'),
        ({'camera': {'backbone': 'nano', 'neck': 'horfpn_7x7'}}, 'model.camera.neck'),
        (
            {
                'camera': {
                    'backbone': 'hornet_t_gf',
                    'neck': 'lss_horfpn_7x7',
                    'feature_channels': 33,
                }
            },
            'model.camera.feature_channels',
        ),
        (
            {'camera': {'backbone': 'hornet_t_gf', 'neck': 'horfpn_gf', 'feature_channels': 66}},
            'model.camera.feature_channels',
        ),
        ({'head': {'neck': 'horfpn_7x7'}}, 'model.head.neck'),
        ({'head': {'neck': 'nano_horfpn_gf', 'neck_channels': 66}}, 'model.head.neck_channels'),
        (
            {'head': {'neck': 'nano_horfpn_gf'}, 'decoder': {'channels': 98, 'heads': 2}},
            'model.decoder.channels',
        ),
        (
            {'head': {'neck': 'second_horfpn_7x7', 'neck_channels': 68}, 'decoder': {'cell': 0.8}},
            'model.head.neck_channels',
        ),
        ({'head': {'neck': 'second_horfpn_7x7'}}, 'model.decoder.cell'),
    ],
)
def test_what_a_gnconv_cannot_take_is_refused_by_its_path(change, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, change, 'model')
    assert error.value.where == where
