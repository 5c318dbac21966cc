import numpy as np
import pytest
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.metabev import MetaBev
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.preprocess.pillars import build_pillars
from metabev_ros.structures import CameraCalibration, Sweep

CONFIG = ModelConfig()
OPTICAL = np.array([[0., 0, 1], [-1, 0, 0], [0, -1, 0]])


def calibration(yaw: float) -> CameraCalibration:
    intrinsics = np.array([[280., 0, 176], [0, 280, 60], [0, 0, 1]])
    return CameraCalibration(352, 128, intrinsics,
                             rigid_transform(rotation_z(yaw) @ OPTICAL, [1, 0, 1.5]))


def inputs(seed: int, views: int = 2):
    rng = np.random.default_rng(seed)
    tables = LiftSplatTables(CONFIG.camera, CONFIG.bev_grid)(
        [calibration(2 * np.pi * i / 6) for i in range(views)])
    camera = {'images': rng.integers(0, 256, (views, 128, 352, 3), dtype=np.uint8), **tables}
    points = np.concatenate([rng.normal(0, 15, (2000, 2)), rng.normal(0, 1, (2000, 1)),
                             rng.uniform(0, 255, (2000, 1)), np.zeros((2000, 1))], 1)
    lidar = build_pillars(Sweep(0, points.astype(np.float32), np.eye(4)), CONFIG.lidar,
                          CONFIG.pillar_grid)
    return ({k: torch.from_numpy(v) for k, v in camera.items()},
            {k: torch.from_numpy(v) for k, v in lidar.items()})


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return MetaBev(CONFIG).eval()


def _equal(a, b) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ('heatmap', 'boxes',
                                                                    'map_logits'))


@torch.inference_mode()
def test_a_batch_of_three_modalities_equals_the_three_single_runs(network):
    (c0, l0), (c1, _), (_, l2) = inputs(0), inputs(1), inputs(2)
    together, depths = network([c0, c1, None], [l0, None, l2])
    assert [d is not None for d in depths] == [True, True, False]
    for i, (camera, lidar) in enumerate(((c0, l0), (c1, None), (None, l2))):
        alone, _ = network([camera], [lidar])
        for name in ('heatmap', 'boxes', 'map_logits'):
            torch.testing.assert_close(getattr(together, name)[i:i + 1], getattr(alone, name),
                                       atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_camera_only_output_is_bit_identical_whatever_the_lidar_holds(network):
    camera, lidar = inputs(0)
    first, _ = network([camera], [None])
    with torch.no_grad():
        for parameter in network.lidar_encoder.parameters():
            parameter.add_(1.0)
    second, _ = network([camera], [None])
    assert _equal(first, second)
    fused, _ = network([camera], [lidar])
    assert not _equal(first, fused)


@torch.inference_mode()
def test_black_views_are_not_a_missing_camera(network):
    camera, lidar = inputs(0)
    black = {**camera, 'images': torch.zeros_like(camera['images'])}
    with_black, _ = network([black], [lidar])
    without, _ = network([None], [lidar])
    assert not _equal(with_black, without)


@torch.inference_mode()
def test_an_absent_view_leaves_no_trace_in_the_camera_map():
    torch.manual_seed(0)
    encoder = CameraEncoder(CONFIG.camera, CONFIG.bev_grid).eval()
    build = LiftSplatTables(CONFIG.camera, CONFIG.bev_grid)
    images = torch.randint(0, 256, (2, 128, 352, 3), dtype=torch.uint8)
    forward_only = {k: torch.from_numpy(v) for k, v in build([calibration(0.0)]).items()}
    bev, _ = encoder(images[:1], forward_only)
    behind = bev[..., :, :40]   # x < -19 m: only a rear camera could see it
    constant = behind[..., :1, :1].expand_as(behind)
    torch.testing.assert_close(behind[..., 1:-1, 1:-1], constant[..., 1:-1, 1:-1])


@torch.inference_mode()
def test_splat_equals_a_scatter_add_of_depth_times_context():
    torch.manual_seed(0)
    encoder = CameraEncoder(CONFIG.camera, CONFIG.bev_grid).eval()
    build = LiftSplatTables(CONFIG.camera, CONFIG.bev_grid)
    cameras = [calibration(0.0), calibration(0.9)]
    tables = {k: torch.from_numpy(v) for k, v in build(cameras).items()}
    depth = torch.rand(2, CONFIG.camera.depth_bins, 16, 44, dtype=torch.float64)
    context = torch.rand(2, CONFIG.camera.context_channels, 16, 44, dtype=torch.float64)
    cells = torch.from_numpy(np.concatenate([build.view_cells(c) for c in cameras])).long()
    points = (depth[:, :, None] * context[:, None]).permute(0, 1, 3, 4, 2).reshape(len(cells), -1)
    expected = torch.zeros(128 * 128, points.shape[1], dtype=torch.float64)
    expected.index_add_(0, cells[cells >= 0], points[cells >= 0])
    actual = encoder.splat(depth, context, tables)
    torch.testing.assert_close(actual[0].flatten(1).t(), expected, atol=1e-10, rtol=1e-10)
