"""Rules of image backbones: Swin-T, ResNet-50, HorNet, EfficientNet-Lite0, in their dialects.

Names as published by microsoft/Swin-Transformer, timm, torchvision, mmdetection, mmpretrain,
raoyongming/HorNet and lukemelas/EfficientNet-PyTorch.
"""

from __future__ import annotations

from metabev_ros.lab.conversion.layouts import merging_from_unfold
from metabev_ros.lab.conversion.rules import AFFINE, NORM, Ignored, Part, Rule, SourceRules

BODY = 'camera_encoder.backbone.body.'
BODY_PATTERN = r'camera_encoder\.backbone\.body\.'
POSITION_INDEX = Ignored(r'.*\.(relative_position_index|attn_mask)', 'computed from the sizes')
# A classifier's last norm is not a detector's output norm; mmdetection starts those fresh, too.
CLASSIFIER = Ignored(
    r'(norm|head|head\.fc|fc)\.(weight|bias)', 'classifier; output norms start fresh'
)
SWIN_WITHOUT_NORMS = BODY_PATTERN + r'(patch_embed|stages)\..*'


def _swin_blocks(prefix: str) -> tuple[Rule, ...]:
    """Blocks of Liu et al. and timm; `prefix` captures stage and block."""
    block = BODY + r'stages.\1.blocks.\2.'
    return (
        Rule(prefix + r'(norm[12])\.' + AFFINE, block + r'\3.\4'),
        Rule(prefix + r'attn\.(qkv|proj)\.' + AFFINE, block + r'attn.\3.\4'),
        Rule(
            prefix + r'attn\.relative_position_bias_table',
            block + 'attn.relative_position_bias_table',
        ),
        Rule(prefix + r'mlp\.(fc[12])\.' + AFFINE, block + r'mlp.\3.\4'),
    )


def _merging(prefix: str, stage: str) -> tuple[Rule, ...]:
    target = f'{BODY}stages.{stage}.downsample.'
    return (
        Rule(prefix + r'norm\.' + AFFINE, target + r'norm.\1'),
        Rule(prefix + r'reduction\.weight', target + 'reduction.weight'),
    )


def _swin(rules: tuple[Rule, ...]) -> SourceRules:
    part = Part('Swin-T backbone', SWIN_WITHOUT_NORMS, rules, required=True)
    return SourceRules((part,), (POSITION_INDEX, CLASSIFIER))


def swin() -> SourceRules:
    """microsoft/Swin-Transformer, timm before 0.9: merging stands at the end of a stage."""
    merging = tuple(
        rule for i in range(3) for rule in _merging(rf'layers\.{i}\.downsample\.', str(i))
    )
    return _swin((*_patch_embedding(), *_swin_blocks(r'layers\.(\d)\.blocks\.(\d)\.'), *merging))


def timm_swin() -> SourceRules:
    """timm from 0.9: merging stands at the start of the next stage."""
    merging = tuple(
        rule for i in range(3) for rule in _merging(rf'layers\.{i + 1}\.downsample\.', str(i))
    )
    return _swin((*_patch_embedding(), *_swin_blocks(r'layers\.(\d)\.blocks\.(\d)\.'), *merging))


def _patch_embedding() -> tuple[Rule, ...]:
    return (
        Rule(r'patch_embed\.proj\.' + AFFINE, BODY + r'patch_embed.projection.\1'),
        Rule(r'patch_embed\.norm\.' + AFFINE, BODY + r'patch_embed.norm.\1'),
    )


def torchvision_swin_t() -> SourceRules:
    """torchvision: stages and mergings alternate in `features`."""
    rules = [
        Rule(r'features\.0\.0\.' + AFFINE, BODY + r'patch_embed.projection.\1'),
        Rule(r'features\.0\.2\.' + AFFINE, BODY + r'patch_embed.norm.\1'),
    ]
    for stage in range(4):
        prefix = rf'features\.{2 * stage + 1}\.(\d)\.'
        block = rf'{BODY}stages.{stage}.blocks.\1.'
        rules += [
            Rule(prefix + r'(norm[12])\.' + AFFINE, block + r'\2.\3'),
            Rule(prefix + r'attn\.(qkv|proj)\.' + AFFINE, block + r'attn.\2.\3'),
            Rule(
                prefix + r'attn\.relative_position_bias_table',
                block + 'attn.relative_position_bias_table',
            ),
            Rule(prefix + r'mlp\.0\.' + AFFINE, block + r'mlp.fc1.\2'),
            Rule(prefix + r'mlp\.3\.' + AFFINE, block + r'mlp.fc2.\2'),
        ]
        if stage < 3:
            rules += _merging(rf'features\.{2 * stage + 2}\.', str(stage))
    return _swin(tuple(rules))


def mmdet_swin_rules(prefix: str) -> tuple[Rule, ...]:
    """mmdetection's Swin-T; `prefix` is a pattern without groups."""
    block = prefix + r'stages\.(\d)\.blocks\.(\d)\.'
    target = BODY + r'stages.\1.blocks.\2.'
    return (
        Rule(prefix + r'patch_embed\.(projection|norm)\.' + AFFINE, BODY + r'patch_embed.\1.\2'),
        Rule(block + r'(norm[12])\.' + AFFINE, target + r'\3.\4'),
        Rule(block + r'attn\.w_msa\.(qkv|proj)\.' + AFFINE, target + r'attn.\3.\4'),
        Rule(
            block + r'attn\.w_msa\.relative_position_bias_table',
            target + 'attn.relative_position_bias_table',
        ),
        Rule(block + r'ffn\.layers\.0\.0\.' + AFFINE, target + r'mlp.fc1.\3'),
        Rule(block + r'ffn\.layers\.1\.' + AFFINE, target + r'mlp.fc2.\3'),
        Rule(
            prefix + r'stages\.([0-2])\.downsample\.(norm\.weight|norm\.bias|'
            r'reduction\.weight)',
            BODY + r'stages.\1.downsample.\2',
            merging_from_unfold,
        ),
        Rule(prefix + r'norm([123])\.' + AFFINE, BODY + r'norms.\1.\2'),
    )


def mmdet_swin() -> SourceRules:
    """A detector of mmdetection, for example one trained on nuImages: its backbone is taken."""
    part = Part(
        'Swin-T backbone', BODY_PATTERN + '.*', mmdet_swin_rules(r'(?:backbone\.)?'), required=True
    )
    heads = Ignored(
        r'(neck|rpn_head|roi_head|bbox_head|mask_head)\..*', 'detector in the image, not used'
    )
    return SourceRules((part,), (POSITION_INDEX, heads))


def resnet50_rules(prefix: str) -> tuple[Rule, ...]:
    """torchvision's, timm's and mmdetection's ResNet-50; `prefix` is a pattern without groups."""
    return (
        Rule(prefix + r'(conv1\.weight|bn1\.' + NORM + ')', BODY + r'\1'),
        Rule(
            prefix
            + r'(layer[1-4]\.\d\.(?:conv[123]\.weight|bn[123]\.'
            + NORM
            + r'|downsample\.0\.weight|downsample\.1\.'
            + NORM
            + '))',
            BODY + r'\1',
        ),
    )


def torchvision_resnet50() -> SourceRules:
    """Rules for torchvision's ResNet-50."""
    part = Part('ResNet-50 backbone', BODY_PATTERN + '.*', resnet50_rules(''), required=True)
    return SourceRules((part,), (CLASSIFIER,))


TRUNK = r'((?:downsample_layers|stages)\..*)'  # our names are the published ones
HORNET_WITHOUT_NORMS = BODY_PATTERN + r'(downsample_layers|stages)\..*'
DETECTOR = Ignored(
    r'(neck|rpn_head|roi_head|decode_head|auxiliary_head)\..*',
    'detector or segmenter in the image, not used',
)


def hornet() -> SourceRules:
    """raoyongming/HorNet: a classifier, or the backbone of one of its detectors."""
    prefix = r'(?:backbone\.)?'
    trunk = Part(
        'HorNet backbone',
        HORNET_WITHOUT_NORMS,
        (Rule(prefix + TRUNK, BODY + r'\1'),),
        required=True,
    )
    norms = Part(
        'output norms',
        BODY_PATTERN + r'norms\..*',
        (Rule(prefix + r'norm([123])\.' + AFFINE, BODY + r'norms.\1.\2'),),
    )
    unread = Ignored(prefix + r'norm0\.(weight|bias)', 'of stride 4, which is not read')
    return SourceRules((trunk, norms), (CLASSIFIER, unread, DETECTOR))


def mmpretrain_hornet() -> SourceRules:
    """mmpretrain's port of the classifiers: two names differ."""
    block = r'backbone\.(stages\.\d\.\d+\.'
    trunk = Part(
        'HorNet backbone',
        HORNET_WITHOUT_NORMS,
        (
            Rule(block + r'gnconv\.)projs\.(\d\..*)', BODY + r'\1pws.\2'),
            Rule(block + r'gamma[12])\.weight', BODY + r'\1'),
            Rule(r'backbone\.' + TRUNK, BODY + r'\1'),
        ),
        required=True,
    )
    classifier = Ignored(r'(backbone\.norm3|head\.fc)\.(weight|bias)', CLASSIFIER.reason)
    return SourceRules((trunk,), (classifier,))


def efficientnet_lite0() -> SourceRules:
    """Classifier of EfficientNet-PyTorch's names: blocks 0 to 10 are taken."""
    block = r'_blocks\.(\d|10)\.'
    target = BODY + r'blocks.\1.'
    rules = [
        Rule(r'_conv_stem\.weight', BODY + 'stem.0.weight'),
        Rule(r'_bn0\.' + NORM, BODY + r'stem.1.\1'),
    ]
    for ours, conv, norm in (
        ('expand', '_expand_conv', '_bn0'),
        ('depthwise', '_depthwise_conv', '_bn1'),
        ('project', '_project_conv', '_bn2'),
    ):
        rules += [
            Rule(rf'{block}{conv}\.weight', f'{target}{ours}.0.weight'),
            Rule(rf'{block}{norm}\.' + NORM, rf'{target}{ours}.1.\2'),
        ]
    trunk = Part('EfficientNet-Lite0 backbone', BODY_PATTERN + '.*', tuple(rules), required=True)
    unread = Ignored(r'_blocks\.1[1-5]\..*', 'of stride 32, which is not read')
    classifier = Ignored(r'(_conv_head|_bn1|_fc)\..*', 'classifier')
    return SourceRules((trunk,), (unread, classifier))
