"""Strict coverage: published names and shapes go in, our names come out, all else is refused."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support import published

from metabev_ros.config import (
    CameraBackbone,
    DecoderFfn,
    DetectionHead,
    Fuser,
    HeadConfig,
    ModelConfig,
    load_config,
)
from metabev_ros.config.heads import CENTERPOINT_GROUPS
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.lab.conversion.convert import convert_checkpoint, convert_state, network_shapes
from metabev_ros.lab.conversion.coverage import coverage_table
from metabev_ros.lab.conversion.sources import Source, build_rules, parse_source
from metabev_ros.network.fusers import MODALITY_SETS


@pytest.fixture(scope='module')
def base(repo_root) -> ModelConfig:
    return load_config(ModelConfig, repo_root / 'config/models/metabev_base.yaml')


@pytest.fixture(scope='module')
def base_shapes(base):
    return network_shapes(base)


@pytest.fixture(scope='module')
def small(base) -> ModelConfig:
    """The base network with the least decoder: it is built once more per variant."""
    return dataclasses.replace(
        base,
        decoder=dataclasses.replace(
            base.decoder, ffn=DecoderFfn.MLP, cross_layers=1, self_layers=0
        ),
    )


def _with_head(config: ModelConfig, **changes) -> ModelConfig:
    return dataclasses.replace(config, head=dataclasses.replace(config.head, **changes))


def _convert(state, source, config, shapes, skip=()):
    return convert_state(state, build_rules(source, config), shapes, 'test', skip)


BACKBONES = {
    Source.SWIN: lambda: published.swin(new_timm=False),
    Source.TIMM_SWIN: lambda: published.swin(new_timm=True),
    Source.TORCHVISION_SWIN_T: published.torchvision_swin_t,
    Source.MMDET_SWIN: lambda: published.mmdet_swin('backbone.'),
}


@pytest.mark.parametrize('source', BACKBONES)
def test_every_published_swin_t_fills_the_backbone(base, base_shapes, source):
    shapes = BACKBONES[source]()
    result = _convert(published.random_state(shapes), source, base, base_shapes)
    body = 'camera_encoder.backbone.body.'
    expected = {name for name in base_shapes if name.startswith(body)}
    if source is not Source.MMDET_SWIN:
        expected = {name for name in expected if not name.startswith(body + 'norms.')}
    assert set(result.tensors) == expected
    values = sum(t.numel() for t in result.tensors.values())
    assert values == (27_520_506 if source is Source.MMDET_SWIN else 27_517_818)


def test_the_published_swin_t_has_28_3_million_parameters():
    """The table of names is complete: Microsoft states 28 288 354 for the classifier."""
    shapes = {
        name: shape
        for name, shape in published.swin(new_timm=False).items()
        if not name.endswith(('relative_position_index', 'attn_mask'))
    }
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 28_288_354


def test_a_published_resnet50_fills_the_backbone(small):
    config = dataclasses.replace(
        small, camera=dataclasses.replace(small.camera, backbone=CameraBackbone.RESNET50)
    )
    shapes = network_shapes(config)
    state = published.random_state(published.resnet50())
    result = _convert(state, Source.TORCHVISION_RESNET50, config, shapes)
    assert set(result.tensors) == {
        n for n in shapes if n.startswith('camera_encoder.backbone.body.')
    }
    assert torch.equal(
        result.tensors['camera_encoder.backbone.body.layer3.5.conv2.weight'],
        state['layer3.5.conv2.weight'],
    )


def test_a_bevfusion_detector_fills_all_but_decoder_depth_and_map(base, base_shapes):
    state = published.random_state(published.bevfusion(depth_lss=True))
    result = _convert(state, Source.BEVFUSION, base, base_shapes)
    left = {
        name.split('.')[0] + '.' + name.split('.')[1]
        for name in set(base_shapes) - set(result.tensors)
    }
    assert left == {'camera_encoder.depth_and_context', 'fusion.decoder', 'fusion.map'}
    assert result.absent == ['depth and context', 'CenterPoint head', 'map head']
    reasons = {reason: len(keys) for reason, keys in result.ignored.items()}
    assert any('must not' in reason for reason in reasons)  # DepthLSSTransform
    assert any('BEV-evolving' in reason for reason in reasons)  # its fuser
    filled = sum(map(len, result.filled.values()))
    assert filled + sum(reasons.values()) == len(state)


def test_lss_fills_the_depth_layer_and_the_baseline_takes_the_fuser(small):
    config = dataclasses.replace(
        small, decoder=dataclasses.replace(small.decoder, fuser=Fuser.CONV)
    )
    state = published.random_state(published.bevfusion(depth_lss=False))
    result = _convert(state, Source.BEVFUSION, config, network_shapes(config))
    assert torch.equal(
        result.tensors['camera_encoder.depth_and_context.weight'],
        state['encoders.camera.vtransform.depthnet.weight'],
    )
    assert result.tensors['fusion.decoder.fuse.convolution.weight'].shape == (256, 336, 3, 3)
    for modalities in MODALITY_SETS:
        mean = result.tensors[f'fusion.decoder.fuse.norm.statistics.{modalities}.running_mean']
        assert torch.equal(mean, state['fuser.1.running_mean'])


def test_bevfusion_with_resnet50_and_a_map_head_of_the_necks_width(small):
    config = dataclasses.replace(
        _with_head(small, map_channels=512),
        camera=dataclasses.replace(small.camera, backbone=CameraBackbone.RESNET50),
    )
    shapes = {
        **published.bevfusion(depth_lss=False, swin_t=False),
        **published.map_head('heads.map.'),
    }
    targets = network_shapes(config)
    result = _convert(published.random_state(shapes), Source.BEVFUSION, config, targets)
    assert {name for name in targets if not name.startswith('fusion.decoder.')} == set(
        result.tensors
    )


def test_mmdetection3ds_bevfusion_fills_the_same_as_bevfusion(base, base_shapes):
    ours = _convert(
        published.random_state(published.mmdet3d_bevfusion()),
        Source.MMDET3D_BEVFUSION,
        base,
        base_shapes,
    )
    theirs = _convert(
        published.random_state(published.bevfusion()), Source.BEVFUSION, base, base_shapes
    )
    assert set(ours.tensors) == set(theirs.tensors)


@pytest.mark.parametrize('layout', ['zyxio', 'ozyxi'])
def test_centerpoint_fills_lidar_neck_and_head_from_either_spconv(small, layout):
    config = _with_head(
        small, detection=DetectionHead.CENTER, det_channels=64, groups=CENTERPOINT_GROUPS
    )
    shapes = network_shapes(config)
    result = _convert(
        published.random_state(published.mmdet3d_centerpoint(layout)),
        Source.MMDET3D_CENTERPOINT,
        config,
        shapes,
    )
    assert set(result.tensors) == {
        name
        for name in shapes
        if name.startswith(('lidar_encoder.', 'fusion.neck.', 'fusion.detection.'))
    }


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda s: s.pop('layers.2.blocks.3.attn.qkv.bias'), 'stages.2.blocks.3.attn.qkv.bias'),
        (lambda s: s.pop('layers.3.downsample.reduction.weight'), 'stages.2.downsample.reduction'),
        (
            lambda s: s.update({'layers.0.blocks.0.gamma': torch.ones(96)}),
            'layers.0.blocks.0.gamma',
        ),
        (
            lambda s: s.update({'layers.2.blocks.6.norm1.weight': torch.ones(384)}),
            'layers.2.blocks.6.norm1.weight',
        ),
        (
            lambda s: s.update({'patch_embed.proj.weight': torch.ones(128, 3, 4, 4)}),
            'patch_embed.proj.weight',
        ),
        (
            lambda s: s.update({'patch_embed.norm.bias': torch.ones(96, 1)}),
            'patch_embed.norm.bias',
        ),
    ],
)
def test_a_missing_extra_or_misshaped_key_is_refused_by_name(base, base_shapes, change, named):
    state = published.random_state(published.swin(new_timm=True))
    change(state)
    with pytest.raises(ContractError, match=named.replace('.', r'\.')):
        _convert(state, Source.TIMM_SWIN, base, base_shapes)


def test_a_part_of_a_detector_that_lacks_one_key_is_refused(base, base_shapes):
    state = published.random_state(published.bevfusion())
    del state['encoders.lidar.backbone.encoder_layers.encoder_layer2.1.bn2.running_var']
    with pytest.raises(ContractError, match=r'encoder_layer2\.1\.bn2\.running_var'):
        _convert(state, Source.BEVFUSION, base, base_shapes)


def test_all_problems_of_a_checkpoint_stand_in_one_error(base, base_shapes):
    state = published.random_state(published.swin(new_timm=True))
    state['extra'] = state.pop('patch_embed.norm.bias')
    with pytest.raises(ContractError) as error:
        _convert(state, Source.TIMM_SWIN, base, base_shapes)
    assert 'extra' in str(error.value) and 'patch_embed.norm.bias' in str(error.value)


def test_old_and_new_timm_are_not_mistaken_for_each_other(base, base_shapes):
    old = published.random_state(published.swin(new_timm=False))
    with pytest.raises(ContractError, match=r'layers\.0\.downsample'):
        _convert(old, Source.TIMM_SWIN, base, base_shapes)
    new = published.random_state(published.swin(new_timm=True))
    with pytest.raises(ContractError, match=r'layers\.3\.downsample'):
        _convert(new, Source.SWIN, base, base_shapes)


def test_a_checkpoint_without_the_required_part_is_refused(base, base_shapes):
    with pytest.raises(ContractError, match='Swin-T backbone'):
        _convert({'head.weight': torch.zeros(1000, 768)}, Source.SWIN, base, base_shapes)


def test_a_head_of_another_width_is_refused_unless_skipped(base, base_shapes):
    state = published.random_state(
        {
            **published.second('decoder.backbone.', 'decoder.neck.'),
            **published.map_head('heads.map.'),
        }
    )
    state['heads.map.classifier.0.weight'] = torch.zeros(256, 512, 3, 3)  # half as wide as ours
    with pytest.raises(ContractError, match=r'heads\.map\.classifier\.0\.weight'):
        _convert(state, Source.BEVFUSION, base, base_shapes)
    result = _convert(state, Source.BEVFUSION, base, base_shapes, skip=['map head'])
    assert set(result.filled) == {'BEV backbone', 'BEV neck'}
    assert len(result.skipped['map head']) == 14
    with pytest.raises(ContractError, match='map heads'):
        _convert(state, Source.BEVFUSION, base, base_shapes, skip=['map heads'])


def test_counters_of_batches_may_be_missing_and_half_precision_becomes_float32(base, base_shapes):
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in published.random_state(
            published.second('decoder.backbone.', 'decoder.neck.')
        ).items()
        if not name.endswith('num_batches_tracked')
    }
    result = _convert(state, Source.BEVFUSION, base, base_shapes)
    assert len(result.tensors) == len(state)
    assert {t.dtype for t in result.tensors.values()} == {torch.float32}


def test_the_file_loads_into_the_network_and_says_where_it_comes_from(tmp_path, base, base_shapes):
    checkpoint, out = tmp_path / 'swin.safetensors', tmp_path / 'new' / 'weights.safetensors'
    save_file(published.random_state(published.swin(new_timm=True)), checkpoint)
    result = convert_checkpoint(checkpoint, Source.TIMM_SWIN, base, out)
    written = load_file(out)
    assert set(written) == set(result.tensors)
    assert all(tuple(t.shape) == base_shapes[name] for name, t in written.items())
    with safe_open(out, 'pt') as file:
        assert file.metadata()['source'] == 'timm_swin'
        assert file.metadata()['config_sha256'] == base.hash
        assert json.loads(file.metadata()['data'])['name'] == 'ImageNet'
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_nothing_is_written_when_the_checkpoint_is_refused(tmp_path, base):
    checkpoint, out = tmp_path / 'swin.safetensors', tmp_path / 'weights.safetensors'
    save_file({'strange': torch.zeros(1)}, checkpoint)
    with pytest.raises(ContractError):
        convert_checkpoint(checkpoint, Source.TIMM_SWIN, base, out)
    assert not out.exists()


def test_the_command_prints_what_was_taken_and_left(tmp_path, repo_root):
    from typer.testing import CliRunner

    from metabev_ros.cli import app

    checkpoint, out = tmp_path / 'swin.pth', tmp_path / 'weights.safetensors'
    torch.save({'model': published.random_state(published.swin(new_timm=False))}, checkpoint)
    result = CliRunner().invoke(
        app,
        [
            'convert',
            str(checkpoint),
            '--source',
            'swin',
            '--out',
            str(out),
            '--config',
            str(repo_root / 'config/models/metabev_base.yaml'),
            '--json',
        ],
    )
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made['written'] == [str(out)] and made['tensors'] > 100 and made['ignored']
    assert out.exists() and 'Swin-T backbone' in result.output and 'classifier' in result.output


def test_the_table_has_a_row_for_every_part_and_reason(base, base_shapes):
    state = published.random_state(published.bevfusion())
    result = _convert(state, Source.BEVFUSION, base, base_shapes)
    table = coverage_table(result)
    assert table.row_count == len(result.filled) + len(result.absent) + len(result.ignored)


def test_an_unknown_source_is_refused_with_the_list_of_all():
    assert parse_source('bevfusion') is Source.BEVFUSION
    with pytest.raises(ConfigError, match='torchvision_resnet50'):
        parse_source('bevformer')


def test_the_shipped_head_groups_are_those_of_centerpoint():
    HeadConfig(groups=CENTERPOINT_GROUPS)
    assert [len(group) for group in CENTERPOINT_GROUPS] == [1, 2, 2, 1, 2, 2]
