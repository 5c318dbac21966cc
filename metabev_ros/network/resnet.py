"""ResNet-50 image backbone (He et al. 2016), the stride on the 3x3 convolution (v1.5).

Parameter names are torchvision's. Differences: no classifier; stages 2 to 4 are returned.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, and a shortcut; output has EXPANSION x `width` channels."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = EXPANSION * width
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Module):
    """(N, 3, H, W) -> (N, 512, H/8, W/8), (N, 1024, H/16, W/16), (N, 2048, H/32, W/32).

    Attributes:
        checkpointing: in training, recompute each block in the backward pass (the training
            sets it).
    """

    out_channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.checkpointing = False
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                again = self.checkpointing and self.training
                x = checkpoint(block, x, use_reentrant=False) if again else block(x)
            outputs.append(x)
        return outputs[1:]


def _stage(c_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(c_in, width, stride)
    rest = [Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
