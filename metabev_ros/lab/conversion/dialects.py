"""Dialects of the projects that publish detectors: module names, layouts of maps and boxes.

As published; `docs/pretrained_weights.md` says what is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from metabev_ros.lab.conversion import layouts


@dataclass(frozen=True)
class Dialect:
    """A project's module names (patterns) and its layouts of maps and boxes.

    Attributes:
        image_backbone, image_neck, view, fuser, map_head: '' where the project has none.
        kernel, sparse_kernel: into our layout.
        old_boxes: sizes and yaw of mmdetection3d before 1.0.
        attention_names: of TransFusion's decoder layer, ours by theirs.
    """

    image_backbone: str
    image_neck: str
    view: str
    lidar: str
    fuser: str
    bev_backbone: str
    bev_neck: str
    head: str
    map_head: str
    kernel: Callable[[Tensor], Tensor]
    sparse_kernel: Callable[[Tensor], Tensor]
    old_boxes: bool
    attention_names: tuple[tuple[str, str], ...] = ()


BEVFUSION = Dialect(
    r'encoders\.camera\.backbone\.',
    r'encoders\.camera\.neck\.',
    r'encoders\.camera\.vtransform\.',
    r'encoders\.lidar\.backbone\.',
    r'fuser\.',
    r'decoder\.backbone\.',
    r'decoder\.neck\.',
    r'heads\.object\.',
    r'heads\.map\.',
    layouts.kernel_from_x_first,
    layouts.sparse_from_x_first,
    old_boxes=True,
    attention_names=(
        ('self_attn', 'self_attn'),
        ('multihead_attn', 'multihead_attn'),
        ('linear1', 'linear1'),
        ('linear2', 'linear2'),
        ('norm1', 'norm1'),
        ('norm2', 'norm2'),
        ('norm3', 'norm3'),
    ),
)
MMDET3D_BEVFUSION = Dialect(
    r'img_backbone\.',
    r'img_neck\.',
    r'vtransform\.',
    r'pts_middle_encoder\.',
    r'fusion_layer\.',
    r'pts_backbone\.',
    r'pts_neck\.',
    r'bbox_head\.',
    '',
    layouts.kernel_from_x_first,
    layouts.sparse_from_x_first,
    old_boxes=False,
    attention_names=(
        ('self_attn.attn', 'self_attn'),
        ('cross_attn.attn', 'multihead_attn'),
        ('ffn.layers.0.0', 'linear1'),
        ('ffn.layers.1', 'linear2'),
        ('norms.0', 'norm1'),
        ('norms.1', 'norm2'),
        ('norms.2', 'norm3'),
    ),
)
MMDET3D_CENTERPOINT = Dialect(
    '',
    '',
    '',
    r'pts_middle_encoder\.',
    '',
    r'pts_backbone\.',
    r'pts_neck\.',
    r'pts_bbox_head\.',
    '',
    layouts.kernel_from_y_first,
    layouts.sparse_from_y_first,
    old_boxes=False,
)
