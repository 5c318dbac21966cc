"""Camera branch: images -> features and depth -> lift-splat -> camera BEV map B_c.

LSS (Philion & Fidler 2020), as MetaBEV names it (section 3.2), NOT BEVFusion's DepthLSSTransform:
no LiDAR enters this branch, so "LiDAR missing" really is camera only. Depth is supervised in
training alone.

Differences: the splat runs as Gather + MatMul over index tables that the host builds from the
calibration (`preprocess.lift_splat`), an exact sum; the network sees calibration only as tables.
In its place a network may be trained with pull (`preprocess.pull`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import CameraBackbone, CameraBranchConfig, ViewTransform
from metabev_ros.errors import assert_never
from metabev_ros.geometry import BevGrid
from metabev_ros.network.efficientnet_lite import EfficientNetLite0
from metabev_ros.network.fpn import build_camera_neck
from metabev_ros.network.hornet import HorNet, build_hornet
from metabev_ros.network.layers import ConvBlock, HalvingConv, ResidualBlock
from metabev_ros.network.resnet import ResNet50
from metabev_ros.network.row_tables import look_up_once, row_sums, sums_of_rows, weighted_row_sums
from metabev_ros.network.swin import SwinTransformer

# ImageNet statistics on a 0..255 scale.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def pixel_statistics(
    backbone: CameraBackbone,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and scale of RGB, 0..255, with which the published weights of a backbone learnt."""
    match backbone:
        case CameraBackbone.EFFICIENTNET_LITE0:
            return (127.0,) * 3, (128.0,) * 3
        case (
            CameraBackbone.NANO
            | CameraBackbone.SWIN_T
            | CameraBackbone.RESNET50
            | CameraBackbone.HORNET
        ):
            return PIXEL_MEAN, PIXEL_STD
        case _:
            assert_never(backbone)


class NanoBackbone(nn.Module):
    """A small residual network with one top-down step (FPN), sized for a CPU.

    (N, 3, H, W) -> (N, feature_channels, H / 8, W / 8).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvBlock(3, 24, stride=2), ConvBlock(24, 48, stride=2), ConvBlock(48, 48)
        )
        self.stride8 = nn.Sequential(ConvBlock(48, channels, stride=2), ResidualBlock(channels))
        self.stride16 = nn.Sequential(
            ConvBlock(channels, 128, stride=2),
            ResidualBlock(128),
            ConvBlock(128, channels, kernel=1),
        )
        self.merge = ConvBlock(2 * channels, channels, kernel=1)
        self.refine = ConvBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stride8(self.stem(x))
        coarse = F.interpolate(self.stride16(fine), scale_factor=2.0, mode='nearest')
        return self.refine(self.merge(torch.cat([fine, coarse], 1)))


class BackboneWithNeck(nn.Module):
    """A backbone of several maps and the neck that joins them.

    (N, 3, H, W) -> (N, feature_channels, H / 8, W / 8).
    """

    def __init__(
        self,
        body: SwinTransformer | ResNet50 | HorNet | EfficientNetLite0,
        config: CameraBranchConfig,
    ) -> None:
        super().__init__()
        self.body = body
        self.neck = build_camera_neck(config, body.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.neck(self.body(x))


def build_backbone(config: CameraBranchConfig) -> nn.Module:
    """The image backbone, with its neck, that the configuration names."""
    match config.backbone:
        case CameraBackbone.NANO:
            return NanoBackbone(config.feature_channels)
        case CameraBackbone.SWIN_T:
            return BackboneWithNeck(SwinTransformer(), config)
        case CameraBackbone.RESNET50:
            return BackboneWithNeck(ResNet50(), config)
        case CameraBackbone.HORNET:
            assert config.hornet is not None  # CameraBranchConfig sees to it
            return BackboneWithNeck(build_hornet(config.hornet), config)
        case CameraBackbone.EFFICIENTNET_LITE0:
            return BackboneWithNeck(EfficientNetLite0(), config)
        case _:
            assert_never(config.backbone)


def build_bev_convolution(config: CameraBranchConfig) -> nn.Module:
    """(B, context, Y', X') on the splat grid -> (B, bev_channels, Y, X) on the BEV grid.

    `splat_factor` 2: three 3x3 blocks, the second with stride 2 (BEVFusion's downsample).
    """
    c_in, c_out = config.context_channels, config.bev_channels
    if config.splat_factor == 1:
        return ConvBlock(c_in, c_out)
    halve = nn.Sequential(HalvingConv(c_out, c_out), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))
    return nn.Sequential(ConvBlock(c_in, c_out), halve, ConvBlock(c_out, c_out))


class CameraEncoder(nn.Module):
    """Images and lift-splat tables -> camera BEV map.

    Absent views are not in the batch at all: N is the number of views that are present.

    Args:
        grid: where lift-splat sums (`ModelConfig.splat_grid`).
    """

    def __init__(self, config: CameraBranchConfig, grid: BevGrid) -> None:
        super().__init__()
        self.grid_shape = grid.shape
        self.view_transform = config.view_transform
        self.depth_bins = config.depth_bins
        self.context_channels = config.context_channels
        mean, std = pixel_statistics(config.backbone)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.backbone = build_backbone(config)
        self.depth_and_context = nn.Conv2d(
            config.feature_channels, config.depth_bins + config.context_channels, 1
        )
        self.bev = build_bev_convolution(config)

    def image_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Depth logits and context.

        Args:
            images: (N, H, W, 3) uint8 RGB.

        Returns:
            depth logits (N, D, h, w) and context (N, C, h, w).
        """
        # float() first: TensorRT takes uint8 at its border and nowhere behind it.
        x = (images.float().permute(0, 3, 1, 2) - self.mean) / self.std
        x = self.depth_and_context(self.backbone(x))
        return x[:, : self.depth_bins], x[:, self.depth_bins :]

    def splat(self, depth: Tensor, context: Tensor, tables: dict[str, Tensor]) -> Tensor:
        """Each BEV cell sums depth probability x context of its points.

        With lift-splat these are all that fall into it, in as many rows as they need; with pull
        those it looks up, in the one row of the cell.

        Args:
            depth: (N, D, h, w) probabilities.
            context: (N, C, h, w).
            tables: `preprocess.lift_splat.LiftSplatTables` or `preprocess.pull.PullTables` as
                tensors.

        Returns:
            (1, C, Y, X) on the splat grid.
        """
        c = self.context_channels
        pixels = context.permute(0, 2, 3, 1).reshape(-1, c)  # (N h w, C)
        named = depth.flatten(2), pixels, tables['depth_table'], tables['pixel_table']
        match self.view_transform:
            case ViewTransform.LIFT_SPLAT:
                bev = _sum_cells(weighted_row_sums(*named), tables)
            case ViewTransform.PULL:  # cells share probabilities
                bev = row_sums(*named)
            case _:
                assert_never(self.view_transform)
        return bev.t().reshape(1, c, *self.grid_shape)

    def forward(self, images: Tensor, tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the BEV map (1, C, Y, X) and the depth logits (N, D, h, w)."""
        logits, context = self.image_features(images)
        bev = self.splat(logits.float().softmax(1), context.float(), tables)
        return self.bev(bev), logits


def _sum_cells(row_sum: Tensor, tables: dict[str, Tensor]) -> Tensor:
    """Sums of table rows (R, C) -> sums of BEV cells (Y X, C), zero where no point falls."""
    cell_sum = sums_of_rows(row_sum, tables['cell_table'])
    return look_up_once(cell_sum, tables['grid_table'][:, None])
