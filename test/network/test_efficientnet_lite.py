import re

import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import CameraBackbone, CameraBranchConfig, CameraNeck
from metabev_ros.lab.conversion.backbones import efficientnet_lite0
from metabev_ros.network.camera import build_backbone, pixel_statistics
from metabev_ros.network.efficientnet_lite import BLOCKS, ConvNorm, EfficientNetLite0, SameConv

BODY = 'camera_encoder.backbone.body.'


def test_maps_have_strides_8_and_16_and_the_published_widths() -> None:
    with torch.no_grad():
        fine, coarse = EfficientNetLite0().eval()(torch.zeros(2, 3, 64, 96))
    assert fine.shape == (2, 40, 8, 12)
    assert coarse.shape == (2, 112, 4, 6)


def test_the_camera_branch_takes_it_with_a_feature_pyramid() -> None:
    config = CameraBranchConfig(
        backbone=CameraBackbone.EFFICIENTNET_LITE0, neck=CameraNeck.FPN, feature_channels=16
    )
    with torch.no_grad():
        features = build_backbone(config).eval()(torch.zeros(1, 3, 64, 96))
    assert features.shape == (1, 16, 8, 12)
    mean, scale = pixel_statistics(config.backbone)
    assert (set(mean), set(scale)) == ({127.0}, {128.0})


@pytest.mark.parametrize('kernel', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
def test_padding_is_that_of_tensorflow(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    convolution, x = SameConv(2, 3, kernel, stride), torch.randn(1, 2, 8, 10)
    total = kernel - stride  # of an even size: (out - 1) s + k - in
    low, high = total // 2, total - total // 2
    expected = F.conv2d(F.pad(x, (low, high, low, high)), convolution.weight, None, stride)
    torch.testing.assert_close(convolution(x), expected)
    assert high - low == (stride == 2)


def published_names() -> list[str]:
    """Names of the file, as its project writes them."""
    names = ['_conv_stem.weight', '_conv_head.weight', '_fc.weight', '_fc.bias']
    norms = ['_bn0', '_bn1']
    for i in range(16):
        block = f'_blocks.{i}.'
        parts = ['_expand_conv'] if i else []
        names += [f'{block}{part}.weight' for part in (*parts, '_depthwise_conv', '_project_conv')]
        norms += [block + norm for norm in ('_bn0', '_bn1', '_bn2')[0 if i else 1 :]]
    tensors = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    return names + [f'{norm}.{tensor}' for norm in norms for tensor in tensors]


def test_the_published_names_fill_the_backbone_and_all_others_are_left_out_knowingly() -> None:
    rules = efficientnet_lite0()
    targets = set()
    for name in published_names():
        matches = [
            match.expand(rule.target)
            for rule in rules.parts[0].rules
            if (match := rule.match(name)) is not None
        ]
        ignored = [part for part in rules.ignored if re.fullmatch(part.source, name)]
        assert len(matches) + len(ignored) == 1, name
        targets.update(matches)
    assert targets == {BODY + name for name in EfficientNetLite0().state_dict()}
    assert len(BLOCKS) == 11


def test_a_fixed_norm_that_is_folded_into_its_convolution_changes_nothing() -> None:
    torch.manual_seed(0)
    block = ConvNorm(3, 4, 3, stride=2).eval()
    norm = block[1]
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(block(x), block[2](norm(block[0](x))))
