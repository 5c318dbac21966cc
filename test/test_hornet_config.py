"""HorNet and HorFPN as choices of the configuration; not chosen, nothing changes."""

import json
import re

import pytest
import yaml

from metabev_ros.config import (
    BevNeckKind,
    CameraBackbone,
    CameraNeck,
    HorNetConfig,
    HorNetSize,
    Mixing,
    ModelConfig,
    from_plain,
    load_config,
    to_plain,
)
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.run import RunConfig

HORNET = {'size': 'tiny', 'mixing': 'gf'}


def camera(**changes: object) -> dict[str, object]:
    """A camera branch with a HorNet, changed."""
    return {'backbone': 'hornet', 'hornet': HORNET, 'neck': 'fpn', **changes}


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
    assert model.camera.backbone is CameraBackbone.HORNET
    assert model.camera.hornet == HorNetConfig(HorNetSize.NANO, Mixing.LOCAL)
    assert (model.camera.neck, model.camera.horfpn) == (CameraNeck.LSS_FPN, Mixing.LOCAL)
    assert (model.head.neck, model.head.horfpn) == (BevNeckKind.NANO, Mixing.LOCAL)
    again = yaml.safe_load(yaml.safe_dump(to_plain(model)))
    assert from_plain(ModelConfig, again, 'model') == model


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'camera': {'backbone': 'hornet_t'}}, 'model.camera.backbone'),
        ({'camera': camera(neck='none')}, 'model.camera.neck'),
        ({'camera': camera(neck='horfpn')}, 'model.camera.neck'),
        ({'camera': {'backbone': 'hornet', 'neck': 'fpn'}}, 'model.camera.hornet'),
        ({'camera': camera(backbone='swin_t')}, 'model.camera.hornet'),
        ({'camera': {'hornet': HORNET}}, 'model.camera.hornet'),
        ({'camera': camera(hornet={'size': 'tiny'})}, 'model.camera.hornet'),
        (
            {'camera': camera(hornet={'size': 'huge', 'mixing': 'gf'})},
            'model.camera.hornet.size',
        ),
        ({'camera': camera(horfpn='3x3')}, 'model.camera.horfpn'),
        ({'camera': {'backbone': 'nano', 'horfpn': '7x7'}}, 'model.camera.horfpn'),
        (
            {'camera': camera(neck='lss_fpn', horfpn='7x7', feature_channels=33)},
            'model.camera.feature_channels',
        ),
        (
            {'camera': camera(horfpn='gf', feature_channels=66)},
            'model.camera.feature_channels',
        ),
        ({'head': {'neck': 'fpn'}}, 'model.head.neck'),
        ({'head': {'horfpn': 'gf', 'neck_channels': 66}}, 'model.head.neck_channels'),
        (
            {'head': {'horfpn': 'gf'}, 'decoder': {'channels': 98, 'heads': 2}},
            'model.decoder.channels',
        ),
        (
            {
                'head': {'neck': 'second', 'horfpn': '7x7', 'neck_channels': 68},
                'decoder': {'cell': 0.8},
            },
            'model.head.neck_channels',
        ),
        ({'head': {'neck': 'second', 'horfpn': '7x7'}}, 'model.decoder.cell'),
    ],
)
def test_what_a_gnconv_cannot_take_is_refused_by_its_path(change, where):
    with pytest.raises(ConfigError) as error:
        from_plain(ModelConfig, change, 'model')
    assert error.value.where == where


def test_an_unknown_value_is_refused_with_the_choices():
    for change, choices in (
        ({'camera': camera(neck='lss_horfpn_7x7')}, "one of ['none', 'lss_fpn', 'fpn']"),
        ({'camera': camera(horfpn='3x3')}, "one of ['7x7', 'gf']"),
        ({'camera': camera(hornet={**HORNET, 'size': 't'})}, "'nano', 'tiny', 'small'"),
        ({'head': {'neck': 'second_horfpn_gf'}}, "one of ['nano', 'second']"),
    ):
        with pytest.raises(ConfigError, match=re.escape(choices)):
            from_plain(ModelConfig, change, 'model')
