"""Tables of the pull form against a plain loop, and the encoder that uses them."""

import dataclasses

import numpy as np
import pytest
import torch
from support.small_networks import camera_images, sample_of, small_model, tensors

from metabev_ros.config import ModelConfig, ViewTransform, from_plain, to_plain
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, transform_points
from metabev_ros.graph_specs import graph_inputs
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.metabev import MetaBev
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.preprocess.pull import HEIGHTS, PullTables

NANO = small_model()
PULL = dataclasses.replace(
    NANO,
    camera=dataclasses.replace(NANO.camera, view_transform=ViewTransform.PULL, pull_heights=3),
)
H, W = PULL.camera.feature_shape


def calibrations(views):
    return [image.calibration for image in camera_images(PULL, views, np.random.default_rng(0))]


def look(calibration, point):
    """(score, bin, pixel) of one point in one view, or None."""
    config = PULL.camera
    x, y, z = transform_points(inverse_rigid(calibration.ego_from_camera), point[None])[0]
    which = int(np.floor((z - config.depth_min) / config.depth_step))
    if not 0 <= which < config.depth_bins:
        return None
    k = calibration.intrinsics
    u, v = k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]
    column, row = (
        int(np.floor((u + 0.5) / config.stride)),
        int(np.floor((v + 0.5) / config.stride)),
    )
    if not (0 <= column < W and 0 <= row < H):
        return None
    return -abs((column + 0.5) / W - 0.5), which, row * W + column


def turned(calibration, pitch, roll):
    """The camera looks down by `pitch` and lies on its side by `roll`, in degrees."""
    c, s = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    down = rigid_transform(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), [0, 0, 0])
    aside = rigid_transform(rotation_z(np.radians(roll)), [0, 0, 0])
    return dataclasses.replace(
        calibration, ego_from_camera=calibration.ego_from_camera @ down @ aside
    )


@pytest.mark.parametrize(
    ('views', 'pitch', 'roll'), [(1, 0, 0), (2, 0, 0), (6, 0, 0), (6, 25, 3), (4, -4, 90)]
)
def test_tables_name_what_a_plain_loop_finds_in_the_two_best_views(views, pitch, roll):
    rig = [turned(calibration, pitch, roll) for calibration in calibrations(views)]
    tables = PullTables(PULL.camera, PULL.splat_grid)(rig)
    centres, bins = PULL.splat_grid.centres().reshape(-1, 2), PULL.camera.depth_bins
    slab = (HEIGHTS[1] - HEIGHTS[0]) / 3
    nowhere, found = views * bins * H * W, 0
    for cell, xy in enumerate(centres):
        expected = []
        for k in range(3):
            point = np.array([*xy, HEIGHTS[0] + (k + 0.5) * slab])
            seen = [
                (looked[0], -view, looked[1], looked[2])
                for view, calibration in enumerate(rig)
                if (looked := look(calibration, point)) is not None
            ]
            for _, minus_view, which, pixel in sorted(seen, reverse=True)[:2]:
                expected.append(
                    ((-minus_view * bins + which) * H * W + pixel, -minus_view * H * W + pixel)
                )
        entries = zip(tables['depth_table'][cell], tables['pixel_table'][cell], strict=True)
        assert sorted(e for e in entries if e[0] != nowhere) == sorted(expected)
        found += len(expected)
    assert found > 50


def test_tables_fit_the_contract_whatever_the_number_of_views():
    specs = graph_inputs(PULL)['camera_encoder']
    assert [spec.name for spec in specs] == ['images', 'depth_table', 'pixel_table']
    for views in (1, 4, 6):
        inputs = Preprocessor(PULL).camera_inputs(
            camera_images(PULL, views, np.random.default_rng(0))
        )
        for spec in specs[1:]:
            assert inputs[spec.name].shape == spec.shape == (256, 6)
            assert inputs[spec.name].dtype == np.int32


def test_a_changed_extrinsic_changes_the_tables_and_the_old_ones_are_remembered():
    build = PullTables(PULL.camera, PULL.splat_grid)
    rig = calibrations(4)
    before = build(rig)
    moved = dataclasses.replace(rig[0], ego_from_camera=rig[0].ego_from_camera.copy())
    moved.ego_from_camera[:2, 3] += 1.0
    assert not np.array_equal(build([moved, *rig[1:]])['depth_table'], before['depth_table'])
    assert build(rig) is before


@torch.inference_mode()
def test_every_cell_sums_what_it_looks_up():
    torch.manual_seed(0)
    encoder = CameraEncoder(PULL.camera, PULL.splat_grid).eval()
    tables = PullTables(PULL.camera, PULL.splat_grid)(calibrations(4))
    depth = torch.rand(4, PULL.camera.depth_bins, H, W).softmax(1)
    context = torch.randn(4, PULL.camera.context_channels, H, W)
    bev = encoder.splat(depth, context, tensors(tables))
    flat, pixels = depth.flatten(), context.permute(0, 2, 3, 1).flatten(0, 2)
    for cell in range(0, 256, 5):
        expected = torch.zeros(PULL.camera.context_channels)
        for place, pixel in zip(
            tables['depth_table'][cell], tables['pixel_table'][cell], strict=True
        ):
            if place < len(flat):
                expected += flat[place] * pixels[pixel]
        torch.testing.assert_close(
            bev[0, :, cell // 16, cell % 16], expected, atol=1e-6, rtol=1e-5
        )


def test_a_network_with_pull_learns_through_it():
    torch.manual_seed(0)
    network = MetaBev(PULL).train()
    camera, lidar, _ = sample_of(PULL, 3)
    output, depths = network([camera], [None])
    output.named()['map_logits'].square().mean().backward()
    for name in ('depth_and_context.weight', 'backbone.stem.0.0.weight'):
        gradient = network.camera_encoder.get_parameter(name).grad
        assert gradient.abs().sum() > 0 and torch.isfinite(gradient).all()


def test_lift_splat_stays_the_default_and_configurations_keep_their_hash():
    plain = to_plain(ModelConfig())
    assert not {'view_transform', 'pull_heights', 'pull_views'} & set(plain['camera'])
    assert from_plain(ModelConfig, to_plain(PULL), 'model') == PULL
    assert PULL.hash != NANO.hash
    explicit = from_plain(ModelConfig, {'camera': {'view_transform': 'lift_splat'}}, 'model')
    assert explicit.hash == ModelConfig().hash


@pytest.mark.parametrize(
    'change', [{'view_transform': 'polar'}, {'pull_views': 0}, {'pull_heights': 99}]
)
def test_a_wrong_choice_is_refused_by_its_path(change):
    with pytest.raises(ConfigError, match='model.camera'):
        from_plain(ModelConfig, {'camera': change}, 'model')
