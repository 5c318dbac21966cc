"""Names and shapes of published checkpoints, written down from the projects' own definitions.

Nothing here reads our modules. Sources: microsoft/Swin-Transformer `swin_tiny_patch4_window7_224`,
timm, torchvision `swin_t` and `resnet50`, mmdetection `SwinTransformer`, mit-han-lab/bevfusion
(TransFusion and CenterPoint configurations, voxels of 0.075 m), mmdetection3d.
"""

from __future__ import annotations

import torch

Shapes = dict[str, tuple[int, ...]]
DEPTHS, HEADS = (2, 2, 6, 2), (3, 6, 12, 24)


def random_state(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of these names and shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith('num_batches_tracked')
        else torch.rand(shape, generator=generator)
        for name, shape in shapes.items()
    }


def _affine(name: str, channels: int) -> Shapes:
    return {f'{name}.weight': (channels,), f'{name}.bias': (channels,)}


def _linear(name: str, c_in: int, c_out: int) -> Shapes:
    return {f'{name}.weight': (c_out, c_in), f'{name}.bias': (c_out,)}


def _batch_norm(name: str, channels: int) -> Shapes:
    return {
        **_affine(name, channels),
        f'{name}.running_mean': (channels,),
        f'{name}.running_var': (channels,),
        f'{name}.num_batches_tracked': (),
    }


def _swin_block(name: str, c: int, heads: int, attention: str, first: str, second: str) -> Shapes:
    return {
        **_affine(f'{name}.norm1', c),
        **_affine(f'{name}.norm2', c),
        f'{name}.{attention}.relative_position_bias_table': (169, heads),
        f'{name}.{attention}.relative_position_index': (49, 49),
        **_linear(f'{name}.{attention}.qkv', c, 3 * c),
        **_linear(f'{name}.{attention}.proj', c, c),
        **_linear(f'{name}.{first}', c, 4 * c),
        **_linear(f'{name}.{second}', 4 * c, c),
    }


def _merging(name: str, c: int) -> Shapes:
    return {**_affine(f'{name}.norm', 4 * c), f'{name}.reduction.weight': (2 * c, 4 * c)}


def swin(new_timm: bool) -> Shapes:
    """Classifier as Microsoft published it, or as timm has it from 0.9."""
    shapes = {
        'patch_embed.proj.weight': (96, 3, 4, 4),
        'patch_embed.proj.bias': (96,),
        **_affine('patch_embed.norm', 96),
        **_affine('norm', 768),
        **_linear('head.fc' if new_timm else 'head', 768, 1000),
    }
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        c = 96 * 2**stage
        for block in range(depth):
            shapes |= _swin_block(
                f'layers.{stage}.blocks.{block}', c, heads, 'attn', 'mlp.fc1', 'mlp.fc2'
            )
        if stage < 3:
            shapes |= _merging(f'layers.{stage + new_timm}.downsample', c)
    if not new_timm:
        shapes |= {
            'layers.0.blocks.1.attn_mask': (64, 49, 49),
            'layers.1.blocks.1.attn_mask': (16, 49, 49),
            **{f'layers.2.blocks.{i}.attn_mask': (4, 49, 49) for i in (1, 3, 5)},
        }
    return shapes


def torchvision_swin_t() -> Shapes:
    shapes = {
        'features.0.0.weight': (96, 3, 4, 4),
        'features.0.0.bias': (96,),
        **_affine('features.0.2', 96),
        **_affine('norm', 768),
        **_linear('head', 768, 1000),
    }
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        c = 96 * 2**stage
        for block in range(depth):
            name = f'features.{2 * stage + 1}.{block}'
            shapes |= _swin_block(name, c, heads, 'attn', 'mlp.0', 'mlp.3')
            shapes[f'{name}.attn.relative_position_index'] = (2401,)
        if stage < 3:
            shapes |= _merging(f'features.{2 * stage + 2}', c)
    return shapes


def mmdet_swin(prefix: str = '') -> Shapes:
    shapes = {
        f'{prefix}patch_embed.projection.weight': (96, 3, 4, 4),
        f'{prefix}patch_embed.projection.bias': (96,),
        **_affine(f'{prefix}patch_embed.norm', 96),
    }
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        c = 96 * 2**stage
        for block in range(depth):
            shapes |= _swin_block(
                f'{prefix}stages.{stage}.blocks.{block}',
                c,
                heads,
                'attn.w_msa',
                'ffn.layers.0.0',
                'ffn.layers.1',
            )
        if stage < 3:
            shapes |= _merging(f'{prefix}stages.{stage}.downsample', c)
            shapes |= _affine(f'{prefix}norm{stage + 1}', 2 * c)
    return shapes


def resnet50(prefix: str = '', classifier: bool = True) -> Shapes:
    shapes = {f'{prefix}conv1.weight': (64, 3, 7, 7), **_batch_norm(f'{prefix}bn1', 64)}
    c_in = 64
    for layer, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            name = f'{prefix}layer{layer}.{block}'
            shapes |= {
                f'{name}.conv1.weight': (width, c_in, 1, 1),
                f'{name}.conv2.weight': (width, width, 3, 3),
                f'{name}.conv3.weight': (4 * width, width, 1, 1),
                **_batch_norm(f'{name}.bn1', width),
                **_batch_norm(f'{name}.bn2', width),
                **_batch_norm(f'{name}.bn3', 4 * width),
            }
            if block == 0:
                shapes |= {
                    f'{name}.downsample.0.weight': (4 * width, c_in, 1, 1),
                    **_batch_norm(f'{name}.downsample.1', 4 * width),
                }
            c_in = 4 * width
    return shapes | (_linear('fc', 2048, 1000) if classifier else {})


def lss_neck(prefix: str, channels=(192, 384, 768)) -> Shapes:
    shapes = {}
    for level, c_in in enumerate((channels[0] + 256, channels[1] + channels[2])):
        shapes |= {
            f'{prefix}lateral_convs.{level}.conv.weight': (256, c_in, 1, 1),
            **_batch_norm(f'{prefix}lateral_convs.{level}.bn', 256),
            f'{prefix}fpn_convs.{level}.conv.weight': (256, 256, 3, 3),
            **_batch_norm(f'{prefix}fpn_convs.{level}.bn', 256),
        }
    return shapes


def view_transform(prefix: str, depth_lss: bool) -> Shapes:
    shapes = {f'{prefix}{name}': (3,) for name in ('dx', 'bx', 'nx')}
    shapes[f'{prefix}frustum'] = (118, 32, 88, 3)
    for i in (0, 3, 6):
        shapes |= {
            f'{prefix}downsample.{i}.weight': (80, 80, 3, 3),
            **_batch_norm(f'{prefix}downsample.{i + 1}', 80),
        }
    if not depth_lss:
        return shapes | {
            f'{prefix}depthnet.weight': (198, 256, 1, 1),
            f'{prefix}depthnet.bias': (198,),
        }
    layers = [
        ('dtransform.0', 1, 8, 1),
        ('dtransform.3', 8, 32, 5),
        ('dtransform.6', 32, 64, 5),
        ('depthnet.0', 320, 256, 3),
        ('depthnet.3', 256, 256, 3),
    ]
    for name, c_in, c_out, k in layers:
        module, index = name.split('.')
        shapes |= {
            f'{prefix}{name}.weight': (c_out, c_in, k, k),
            f'{prefix}{name}.bias': (c_out,),
            **_batch_norm(f'{prefix}{module}.{int(index) + 1}', c_out),
        }
    return shapes | {
        f'{prefix}depthnet.6.weight': (198, 256, 1, 1),
        f'{prefix}depthnet.6.bias': (198,),
    }


def sparse_encoder(prefix: str, layout: str) -> Shapes:
    """`layout`: 'xyzio' (BEVFusion), 'zyxio' (spconv 1), 'ozyxi' or 'oxyzi' (spconv 2)."""

    def kernel(c_in: int, c_out: int, z: int = 3, y: int = 3, x: int = 3) -> tuple[int, ...]:
        return tuple({'x': x, 'y': y, 'z': z, 'i': c_in, 'o': c_out}[axis] for axis in layout)

    shapes = {
        f'{prefix}conv_input.0.weight': kernel(5, 16),
        **_batch_norm(f'{prefix}conv_input.1', 16),
    }
    for stage, width in enumerate((16, 32, 64, 128), 1):
        name = f'{prefix}encoder_layers.encoder_layer{stage}'
        for block in (0, 1):
            for i in (1, 2):
                shapes |= {
                    f'{name}.{block}.conv{i}.weight': kernel(width, width),
                    **_batch_norm(f'{name}.{block}.bn{i}', width),
                }
        if stage < 4:
            shapes |= {
                f'{name}.2.0.weight': kernel(width, 2 * width),
                **_batch_norm(f'{name}.2.1', 2 * width),
            }
    return shapes | {
        f'{prefix}conv_out.0.weight': kernel(128, 128, 3, 1, 1),
        **_batch_norm(f'{prefix}conv_out.1', 128),
    }


def second(backbone: str, neck: str) -> Shapes:
    shapes = {}
    for stage, (c_in, c_out) in enumerate(((256, 128), (128, 256))):
        for i in range(6):
            shapes |= {
                f'{backbone}blocks.{stage}.{3 * i}.weight': (
                    c_out,
                    c_in if i == 0 else c_out,
                    3,
                    3,
                ),
                **_batch_norm(f'{backbone}blocks.{stage}.{3 * i + 1}', c_out),
            }
    return {
        **shapes,
        f'{neck}deblocks.0.0.weight': (256, 128, 1, 1),
        **_batch_norm(f'{neck}deblocks.0.1', 256),
        f'{neck}deblocks.1.0.weight': (256, 256, 2, 2),
        **_batch_norm(f'{neck}deblocks.1.1', 256),
    }


def transfusion_head(prefix: str, c_in: int = 512, c: int = 128, hidden: int = 256) -> Shapes:
    """BEVFusion's names."""
    shapes = {
        f'{prefix}shared_conv.weight': (c, c_in, 3, 3),
        f'{prefix}shared_conv.bias': (c,),
        f'{prefix}heatmap_head.0.conv.weight': (c, c, 3, 3),
        **_batch_norm(f'{prefix}heatmap_head.0.bn', c),
        f'{prefix}heatmap_head.1.weight': (10, c, 3, 3),
        f'{prefix}heatmap_head.1.bias': (10,),
        f'{prefix}class_encoding.weight': (c, 10, 1),
        f'{prefix}class_encoding.bias': (c,),
    }
    layer = f'{prefix}decoder.0'
    for name in ('self_attn', 'multihead_attn'):
        shapes |= {
            f'{layer}.{name}.in_proj_weight': (3 * c, c),
            f'{layer}.{name}.in_proj_bias': (3 * c,),
            **_linear(f'{layer}.{name}.out_proj', c, c),
        }
    shapes |= {**_linear(f'{layer}.linear1', c, hidden), **_linear(f'{layer}.linear2', hidden, c)}
    for i in (1, 2, 3):
        shapes |= _affine(f'{layer}.norm{i}', c)
    for name in ('self_posembed', 'cross_posembed'):
        place = f'{layer}.{name}.position_embedding_head'
        shapes |= {
            f'{place}.0.weight': (c, 2, 1),
            f'{place}.0.bias': (c,),
            **_batch_norm(f'{place}.1', c),
            f'{place}.3.weight': (c, c, 1),
            f'{place}.3.bias': (c,),
        }
    for name, count in (
        ('center', 2),
        ('height', 1),
        ('dim', 3),
        ('rot', 2),
        ('vel', 2),
        ('heatmap', 10),
    ):
        head = f'{prefix}prediction_heads.0.{name}'
        shapes |= {
            f'{head}.0.conv.weight': (64, c, 1),
            **_batch_norm(f'{head}.0.bn', 64),
            f'{head}.1.weight': (count, 64, 1),
            f'{head}.1.bias': (count,),
        }
    return shapes


def mmdet3d_transfusion_head(prefix: str) -> Shapes:
    """mmdetection3d's names of the decoder layer; the rest is BEVFusion's."""
    renamed = {
        'self_attn.': 'self_attn.attn.',
        'multihead_attn.': 'cross_attn.attn.',
        'linear1.': 'ffn.layers.0.0.',
        'linear2.': 'ffn.layers.1.',
        'norm1.': 'norms.0.',
        'norm2.': 'norms.1.',
        'norm3.': 'norms.2.',
    }
    shapes = {}
    for name, shape in transfusion_head(prefix).items():
        for old, new in renamed.items():
            name = name.replace(f'decoder.0.{old}', f'decoder.0.{new}')
        shapes[name] = shape
    return shapes


def center_head(prefix: str, c_in: int = 512, c: int = 64) -> Shapes:
    shapes = {
        f'{prefix}shared_conv.conv.weight': (c, c_in, 3, 3),
        **_batch_norm(f'{prefix}shared_conv.bn', c),
    }
    for group, classes in enumerate((1, 2, 2, 1, 2, 2)):
        for name, count in (
            ('reg', 2),
            ('height', 1),
            ('dim', 3),
            ('rot', 2),
            ('vel', 2),
            ('heatmap', classes),
        ):
            head = f'{prefix}task_heads.{group}.{name}'
            shapes |= {
                f'{head}.0.conv.weight': (c, c, 3, 3),
                **_batch_norm(f'{head}.0.bn', c),
                f'{head}.1.weight': (count, c, 3, 3),
                f'{head}.1.bias': (count,),
            }
    return shapes


def map_head(prefix: str) -> Shapes:
    return {
        f'{prefix}classifier.0.weight': (512, 512, 3, 3),
        **_batch_norm(f'{prefix}classifier.1', 512),
        f'{prefix}classifier.3.weight': (512, 512, 3, 3),
        **_batch_norm(f'{prefix}classifier.4', 512),
        f'{prefix}classifier.6.weight': (6, 512, 1, 1),
        f'{prefix}classifier.6.bias': (6,),
    }


def conv_fuser(prefix: str) -> Shapes:
    return {f'{prefix}0.weight': (256, 336, 3, 3), **_batch_norm(f'{prefix}1', 256)}


def bevfusion(depth_lss: bool = True, swin_t: bool = True) -> Shapes:
    """Camera + LiDAR detection of mit-han-lab/bevfusion."""
    camera = 'encoders.camera.'
    image = (
        mmdet_swin(f'{camera}backbone.')
        if swin_t
        else resnet50(f'{camera}backbone.', classifier=False)
    )
    channels = (192, 384, 768) if swin_t else (512, 1024, 2048)
    return {
        **image,
        **lss_neck(f'{camera}neck.', channels),
        **view_transform(f'{camera}vtransform.', depth_lss),
        **sparse_encoder('encoders.lidar.backbone.', 'xyzio'),
        **conv_fuser('fuser.'),
        **second('decoder.backbone.', 'decoder.neck.'),
        **transfusion_head('heads.object.'),
    }


def mmdet3d_bevfusion() -> Shapes:
    return {
        **mmdet_swin('img_backbone.'),
        **lss_neck('img_neck.'),
        **view_transform('vtransform.', depth_lss=True),
        **sparse_encoder('pts_middle_encoder.', 'oxyzi'),
        **conv_fuser('fusion_layer.'),
        **second('pts_backbone.', 'pts_neck.'),
        **mmdet3d_transfusion_head('bbox_head.'),
    }


def mmdet3d_centerpoint(layout: str) -> Shapes:
    return {
        **sparse_encoder('pts_middle_encoder.', layout),
        **second('pts_backbone.', 'pts_neck.'),
        **center_head('pts_bbox_head.'),
    }
