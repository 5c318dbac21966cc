"""Rules of whole detectors: BEVFusion, its port to mmdetection3d, mmdetection3d's CenterPoint.

Names, layouts and box codes as published; `docs/pretrained_weights.md` says what is exact.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from metabev_ros.config import CameraBackbone, Fuser, ModelConfig
from metabev_ros.errors import assert_never
from metabev_ros.lab.conversion import layouts
from metabev_ros.lab.conversion.backbones import (
    BODY_PATTERN,
    POSITION_INDEX,
    mmdet_swin_rules,
    resnet50_rules,
)
from metabev_ros.lab.conversion.dialects import Dialect
from metabev_ros.lab.conversion.rules import (
    AFFINE,
    NORM,
    STATISTICS,
    Ignored,
    Part,
    Rule,
    SourceRules,
    convolution_and_norm,
    groups,
)
from metabev_ros.network.fusers import MODALITY_SETS

# Lower end of z in the published nuScenes configurations, LiDAR frame.
LIDAR_Z_MIN = -5.0
HEAD = 'fusion.detection.'


def detector_rules(dialect: Dialect, config: ModelConfig) -> SourceRules:
    """Parts and knowingly ignored keys of a checkpoint in this dialect.

    Args:
        config: of the network that will take the weights.
    """
    parts, ignored = [], []
    if dialect.image_backbone:
        parts += _camera_parts(dialect, config)
        ignored += [POSITION_INDEX, *_view_ignored(dialect.view)]
    parts += [_sparse_part(dialect), *_bev_parts(dialect)]
    if dialect.attention_names:
        parts.append(_transfusion_part(dialect, config))
    parts.append(_center_part(dialect, config))
    if dialect.map_head:
        parts.append(_map_part(dialect))
    if dialect.fuser:
        match config.decoder.fuser:
            case Fuser.CONV:
                parts.append(_fuser_part(dialect))
            case Fuser.METABEV:
                reason = 'the BEV-evolving decoder is in its place'
                ignored.append(Ignored(dialect.fuser + '.*', reason))
            case _:
                assert_never(config.decoder.fuser)
    return SourceRules(tuple(parts), tuple(ignored))


def _backbone_rules(prefix: str, backbone: CameraBackbone) -> tuple[Rule, ...]:
    """Rules of the image backbone; the published detectors have a Swin-T or a ResNet-50.

    A network with another backbone takes Swin-T's: the report says that none of them fits.
    """
    match backbone:
        case CameraBackbone.RESNET50:
            return resnet50_rules(prefix)
        case (
            CameraBackbone.SWIN_T
            | CameraBackbone.NANO
            | CameraBackbone.HORNET
            | CameraBackbone.EFFICIENTNET_LITE0
        ):
            return mmdet_swin_rules(prefix)
        case _:
            assert_never(backbone)


def _camera_parts(dialect: Dialect, config: ModelConfig) -> tuple[Part, ...]:
    rules = _backbone_rules(dialect.image_backbone, config.camera.backbone)
    neck = dialect.image_neck
    lift = (Rule(dialect.view + r'depthnet\.' + AFFINE, r'camera_encoder.depth_and_context.\1'),)
    down = dialect.view + r'downsample\.'
    blocks = tuple(
        rule
        for i in range(3)
        for rule in convolution_and_norm(
            down, f'camera_encoder.bev.{i}.', dialect.kernel, (str(3 * i), str(3 * i + 1))
        )
    )
    return (
        Part('image backbone', BODY_PATTERN + '.*', rules),
        Part(
            'image neck',
            r'camera_encoder\.backbone\.neck\..*',
            (
                *convolution_and_norm(
                    neck + r'lateral_convs\.([01])\.', r'camera_encoder.backbone.neck.lateral.\1.'
                ),
                *convolution_and_norm(
                    neck + r'fpn_convs\.([01])\.', r'camera_encoder.backbone.neck.refine.\1.'
                ),
            ),
        ),
        Part('depth and context', r'camera_encoder\.depth_and_context\..*', lift),
        Part('camera BEV', r'camera_encoder\.bev\..*', blocks),
    )


def _view_ignored(view: str) -> tuple[Ignored, ...]:
    return (
        Ignored(view + r'(dx|bx|nx|frustum)', 'geometry: the configuration states it'),
        Ignored(
            view + r'(dtransform|depthnet)\.\d.*',
            'DepthLSSTransform reads the LiDAR; our camera branch must not',
        ),
    )


def _sparse_part(dialect: Dialect) -> Part:
    source, target, kernel = dialect.lidar, 'lidar_encoder.', dialect.sparse_kernel
    layer = r'encoder_layers\.encoder_layer([1-4])\.'
    ours = target + r'encoder_layers.encoder_layer\1.'
    return Part(
        'sparse encoder',
        r'lidar_encoder\..*',
        (
            Rule(
                source + r'conv_input\.0\.weight',
                target + 'conv_input.0.weight',
                layouts.sparse_input(kernel),
            ),
            Rule(source + r'(conv_input|conv_out)\.1\.' + NORM, target + r'\1.1.\2'),
            Rule(source + r'conv_out\.0\.weight', target + 'conv_out.0.weight', kernel),
            Rule(source + layer + r'([01])\.(conv[12])\.weight', ours + r'\2.\3.weight', kernel),
            Rule(source + layer + r'([01])\.(bn[12])\.' + NORM, ours + r'\2.\3.\4'),
            Rule(source + layer + r'2\.0\.weight', ours + '2.0.weight', kernel),
            Rule(source + layer + r'2\.1\.' + NORM, ours + r'2.1.\2'),
        ),
    )


def _bev_parts(dialect: Dialect) -> tuple[Part, ...]:
    """SECOND and SECONDFPN: convolutions at 0, 3, 6 ..., norms after each."""
    stages = (
        Rule(
            dialect.bev_backbone + r'blocks\.([01])\.(0|3|6|9|12|15)\.weight',
            r'fusion.neck.blocks.\1.\2.weight',
            dialect.kernel,
        ),
        Rule(
            dialect.bev_backbone + r'blocks\.([01])\.(1|4|7|10|13|16)\.' + NORM,
            r'fusion.neck.blocks.\1.\2.\3',
        ),
    )
    up = (
        Rule(
            dialect.bev_neck + r'deblocks\.([01])\.0\.weight',
            r'fusion.neck.deblocks.\1.0.weight',
            dialect.kernel,
        ),
        Rule(dialect.bev_neck + r'deblocks\.([01])\.1\.' + NORM, r'fusion.neck.deblocks.\1.1.\2'),
    )
    return (
        Part('BEV backbone', r'fusion\.neck\.blocks\..*', stages),
        Part('BEV neck', r'fusion\.neck\.deblocks\..*', up),
    )


def _transfusion_part(dialect: Dialect, config: ModelConfig) -> Part:
    source, kernel, rows = dialect.head, dialect.kernel, config.bev_grid.rows
    rules = [
        Rule(source + r'shared_conv\.weight', HEAD + 'shared_conv.weight', kernel),
        Rule(source + r'shared_conv\.bias', HEAD + 'shared_conv.bias'),
        *convolution_and_norm(source + r'heatmap_head\.0\.', HEAD + 'heatmap_head.0.', kernel),
        Rule(source + r'heatmap_head\.1\.weight', HEAD + 'heatmap_head.1.weight', kernel),
        Rule(source + r'heatmap_head\.1\.bias', HEAD + 'heatmap_head.1.bias'),
        Rule(source + r'class_encoding\.' + AFFINE, HEAD + r'class_encoding.\1'),
    ]
    for theirs, ours in dialect.attention_names:
        name = theirs.replace('.', r'\.')
        rules.append(
            Rule(
                rf'{source}decoder\.0\.{name}\.((?:in_proj_|out_proj\.)?(?:weight|bias))',
                rf'{HEAD}decoder.{ours}.\1',
            )
        )
    place = source + r'decoder\.0\.(self|cross)_posembed\.position_embedding_head\.'
    ours = HEAD + r'decoder.\1_posembed.position_embedding_head.'
    first = source.replace('\\', '') + r'decoder.0.\1_posembed.position_embedding_head.0.weight'
    rules += [
        Rule(place + r'0\.weight', ours + '0.weight', layouts.position_weight),
        Rule(place + r'0\.bias', ours + '0.bias', layouts.position_bias(rows), (first,)),
        Rule(place + r'1\.' + NORM, ours + r'1.\2'),
        Rule(place + r'3\.' + AFFINE, ours + r'3.\2'),
    ]
    heads, target = source + r'prediction_heads\.0\.', HEAD + 'prediction_heads.'
    names = '(center|height|dim|rot|vel|heatmap)'
    rules += [
        *convolution_and_norm(heads + names + r'\.0\.', target + r'\1.'),
        *(
            Rule(heads + rf'{name}\.1\.{end}', f'{target}{name}.3.{end}', change)
            for name, end, change in _last_layers(dialect, config, 'center')
        ),
    ]
    return Part('TransFusion head', r'fusion\.detection\..*', tuple(rules))


def _last_layers(
    dialect: Dialect, config: ModelConfig, centre: str
) -> list[tuple[str, str, Callable[[Tensor], Tensor] | None]]:
    """(head, weight or bias, change of its rows) of the last layer of every box head."""
    size = layouts.size_rows_old if dialect.old_boxes else None
    rotation = layouts.rotation_rows_old if dialect.old_boxes else layouts.rotation_rows
    raised = layouts.raised(config.lidar.z_min - LIDAR_Z_MIN)
    offset = (
        (layouts.vector_rows,) * 2
        if centre == 'center'
        else (layouts.cell_offset_weight, layouts.cell_offset_bias)
    )
    changes = {
        centre: offset,
        'height': (None, raised),
        'dim': (size, size),
        'rot': (rotation, rotation),
        'vel': (layouts.vector_rows,) * 2,
        'heatmap': (None, None),
    }
    return [
        (name, end, change)
        for name, pair in changes.items()
        for end, change in zip(('weight', 'bias'), pair, strict=True)
    ]


def _center_part(dialect: Dialect, config: ModelConfig) -> Part:
    source, kernel = dialect.head, dialect.kernel
    heads, target = source + r'task_heads\.(\d)\.', HEAD + r'task_heads.\1.'
    rules = [
        *convolution_and_norm(source + r'shared_conv\.', HEAD + 'shared_conv.', kernel),
        *convolution_and_norm(
            heads + r'(reg|height|dim|rot|vel|heatmap)\.0\.', target + r'\2.0.', kernel
        ),
    ]
    for name, end, change in _last_layers(dialect, config, 'reg'):
        turned = _after(kernel, change) if end == 'weight' else change
        rules.append(Rule(heads + rf'{name}\.1\.{end}', f'{target}{name}.1.{end}', turned))
    return Part('CenterPoint head', r'fusion\.detection\..*', tuple(rules))


def _after(
    first: Callable[[Tensor], Tensor], then: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor]:
    return first if then is None else lambda tensor: then(first(tensor))


def _map_part(dialect: Dialect) -> Part:
    source, target = dialect.map_head + r'classifier\.', 'fusion.map.'
    return Part(
        'map head',
        r'fusion\.map\..*',
        (
            Rule(source + r'([03])\.weight', target + r'refine.\1.weight', dialect.kernel),
            Rule(source + r'([14])\.' + NORM, target + r'refine.\1.\2'),
            Rule(source + r'6\.' + AFFINE, target + r'logits.\1'),
        ),
    )


def _fuser_part(dialect: Dialect) -> Part:
    """The published fuser knows fused batches alone: its statistics serve every set of modalities.

    That is how it is used when a sensor is gone; training estimates them per set.
    """
    fuse, source = 'fusion.decoder.fuse.', dialect.fuser
    first, *others = (f'{fuse}norm.statistics.{name}.' for name in MODALITY_SETS)
    group = groups(source) + 1
    return Part(
        'convolutional fuser',
        r'fusion\.decoder\.fuse\..*',
        (
            Rule(rf'{source}0\.weight', f'{fuse}convolution.weight', dialect.kernel),
            Rule(rf'{source}1\.{AFFINE}', rf'{fuse}norm.\g<{group}>'),
            Rule(
                rf'{source}1\.{STATISTICS}',
                rf'{first}\g<{group}>',
                copies=tuple(rf'{other}\g<{group}>' for other in others),
            ),
        ),
    )
