import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metabev_ros.config import (
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    ModelConfig,
    load_config,
)
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.network.camera import CameraEncoder, build_backbone
from metabev_ros.network.fpn import LssFpn
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.structures import CameraCalibration

OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def calibration(config: CameraBranchConfig, yaw: float = 0.0) -> CameraCalibration:
    focal = 0.8 * config.width
    intrinsics = np.array([[focal, 0, config.width / 2], [0, focal, config.height / 2], [0, 0, 1]])
    return CameraCalibration(
        config.width,
        config.height,
        intrinsics,
        rigid_transform(rotation_z(yaw) @ OPTICAL, [1, 0, 1.5]),
    )


def tables(config: CameraBranchConfig, grid: BevGrid, yaws=(0.0,)) -> dict[str, torch.Tensor]:
    built = LiftSplatTables(config, grid)([calibration(config, yaw) for yaw in yaws])
    return {name: torch.from_numpy(table) for name, table in built.items()}


@torch.inference_mode()
def test_the_neck_is_top_down_and_gives_the_finest_map():
    torch.manual_seed(0)
    neck = LssFpn((4, 6, 8), 5).eval()
    maps = [torch.randn(2, c, 32 // s, 48 // s) for c, s in ((4, 1), (6, 2), (8, 4))]
    x = maps[2]
    for level in (1, 0):
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        x = torch.cat([maps[level], x], 1)
        for (conv, norm, _), padding in ((neck.lateral[level], 0), (neck.refine[level], 1)):
            x = F.conv2d(x, conv.weight, padding=padding)
            x = F.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            ).relu()
    torch.testing.assert_close(neck(maps), x)


@pytest.mark.parametrize('backbone', [CameraBackbone.SWIN_T, CameraBackbone.RESNET50])
@torch.inference_mode()
def test_every_large_backbone_gives_stride_8_features_through_the_neck(backbone):
    config = CameraBranchConfig(backbone, CameraNeck.LSS_FPN, 64, 96, feature_channels=256)
    features = build_backbone(config).eval()(torch.randn(2, 3, 64, 96))
    assert features.shape == (2, 256, 8, 12)


@torch.inference_mode()
def test_the_base_encoder_has_the_shapes_of_the_paper(repo_root):
    """Table 1.0 of the digest, one view: 118 x 32 x 88 depth, 80 x 360 x 360 -> 80 x 180 x 180."""
    config = load_config(ModelConfig, repo_root / 'config/models/metabev_base.yaml')
    encoder = CameraEncoder(config.camera, config.splat_grid).eval()
    assert encoder.backbone.neck.refine[0][0].out_channels == 256
    images = torch.randint(0, 256, (1, 256, 704, 3), dtype=torch.uint8)
    table = tables(config.camera, config.splat_grid)
    logits, context = encoder.image_features(images)
    assert logits.shape == (1, 118, 32, 88) and context.shape == (1, 80, 32, 88)
    splat = encoder.splat(logits.softmax(1), context, table)
    assert splat.shape == (1, 80, 360, 360)
    bev = encoder.bev(splat)
    assert bev.shape == (1, 80, 180, 180) and torch.isfinite(bev).all()


@torch.inference_mode()
def test_splat_equals_a_scatter_add_on_the_twice_finer_grid():
    torch.manual_seed(0)
    config = CameraBranchConfig(
        height=64, width=96, context_channels=6, bev_channels=5, splat_factor=2
    )
    model = ModelConfig(camera=config)
    assert model.splat_grid.shape == (256, 256)
    encoder = CameraEncoder(config, model.splat_grid).eval()
    yaws = (0.0, 1.1)
    depth = torch.rand(2, config.depth_bins, *config.feature_shape).softmax(1)
    context = torch.randn(2, 6, *config.feature_shape)
    build = LiftSplatTables(config, model.splat_grid)
    cells = torch.from_numpy(
        np.concatenate([build.view_cells(calibration(config, yaw)) for yaw in yaws])
    ).long()
    points = (depth[:, :, None] * context[:, None]).permute(0, 1, 3, 4, 2).reshape(len(cells), -1)
    expected = torch.zeros(256 * 256, 6).index_add_(0, cells[cells >= 0], points[cells >= 0])
    actual = encoder.splat(depth, context, tables(config, model.splat_grid, yaws))
    torch.testing.assert_close(actual[0].flatten(1).t(), expected, atol=1e-5, rtol=1e-5)
    assert expected.any(1).sum() > 500
    assert encoder.bev(actual).shape == (1, 5, 128, 128)


def test_the_camera_branch_takes_images_and_calibration_and_nothing_else():
    """No argument could carry a point: LiDAR-free by construction, not by masking."""
    import inspect

    assert list(inspect.signature(CameraEncoder.forward).parameters) == [
        'self',
        'images',
        'tables',
    ]
    config = CameraBranchConfig(height=32, width=64)
    table = tables(config, ModelConfig().bev_grid)
    assert all(t.dtype == torch.int32 for t in table.values())  # indices: no measurement
    encoder = CameraEncoder(config, ModelConfig().bev_grid).eval()
    images = torch.zeros(1, 32, 64, 3, dtype=torch.uint8)
    with torch.inference_mode():
        plain, _ = encoder(images, table)
        with_points, _ = encoder(images, {**table, 'pillars': torch.randn(9, 12, 9)})
    assert torch.equal(plain, with_points)


def test_the_shipped_weights_still_fit_the_nano_encoder(repo_root):
    from safetensors.torch import load_file

    state = load_file(repo_root / 'models/metabev_nano/weights.safetensors')
    prefix = 'camera_encoder.'
    camera = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    model = ModelConfig()
    CameraEncoder(model.camera, model.splat_grid).load_state_dict(camera, strict=True)
