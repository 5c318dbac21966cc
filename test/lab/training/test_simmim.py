"""SimMIM pre-training of the camera backbone (Xie et al. 2022, arXiv 2111.09886)."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.small_networks import small_base, small_model
from support.tiny import TINY

from metabev_ros.config import (
    CameraBackbone,
    HorNetConfig,
    HorNetSize,
    Mixing,
    from_plain,
    load_config,
)
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.config import Precision
from metabev_ros.lab.training.data import all_paths
from metabev_ros.lab.training.masked_images import MaskedImages, random_crop
from metabev_ros.lab.training.pretraining import Pretraining, filled_in_picture
from metabev_ros.lab.training.pretraining_config import PretrainingConfig, PretrainingRun
from metabev_ros.lab.training.simmim import SimMim, enlarged, hidden_patches, reconstruction_loss
from metabev_ros.lab.training.warm_start import InitConfig, initialise
from metabev_ros.network.metabev import MetaBev

NANO, SWIN = small_model(), small_base()
HORNET = dataclasses.replace(
    SWIN,
    camera=dataclasses.replace(
        SWIN.camera,
        backbone=CameraBackbone.HORNET,
        hornet=HorNetConfig(HorNetSize.NANO, Mixing.LOCAL),
    ),
)
SHORT = PretrainingConfig(
    steps=3,
    warmup_steps=1,
    batch=2,
    precision=Precision.FP32,
    threads=1,
    loaders=0,
    checkpoint_every=1,
)


def images_of(model, count, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        rng.integers(0, 256, (count, model.camera.height, model.camera.width, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize(('rows', 'columns', 'count'), [(6, 6, 22), (8, 22, 106), (4, 11, 27)])
def test_exactly_the_asked_share_of_patches_is_hidden_rounded_up(rows, columns, count):
    masks = [hidden_patches(rows, columns, 0.6, np.random.default_rng(seed)) for seed in range(5)]
    assert all(mask.shape == (rows, columns) and mask.sum() == count for mask in masks)
    assert math.ceil(0.6 * rows * columns) == count
    assert not np.array_equal(masks[0], masks[1])


def test_visible_pixels_have_no_gradient_and_a_perfect_picture_has_no_loss():
    torch.manual_seed(0)
    truth, filled = torch.randn(2, 3, 32, 64), torch.randn(2, 3, 32, 64, requires_grad=True)
    hidden = enlarged(torch.tensor([[[True, False]], [[False, True]]]), 32)
    loss = reconstruction_loss(filled, truth, hidden)
    loss.backward()
    by_hand = np.mean(
        [
            (filled[0, :, :, :32] - truth[0, :, :, :32]).abs().mean().item(),
            (filled[1, :, :, 32:] - truth[1, :, :, 32:]).abs().mean().item(),
        ]
    )
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert (filled.grad[~hidden[:, None].expand_as(filled)] == 0).all()
    assert (filled.grad[hidden[:, None].expand_as(filled)] != 0).all()
    mixed = torch.where(hidden[:, None], truth, filled)  # wrong only where it is visible
    assert reconstruction_loss(mixed, truth, hidden).item() == 0


@pytest.mark.parametrize(
    ('model', 'patch'), [(NANO, 16), (SWIN, 32), (HORNET, 32)], ids=['nano', 'swin_t', 'hornet']
)
def test_what_is_hidden_cannot_be_seen_on_rectangular_images(model, patch):
    torch.manual_seed(0)
    network, images = SimMim(model.camera, patch).eval(), images_of(model, 1)
    hidden = torch.zeros(
        1, model.camera.height // patch, model.camera.width // patch, dtype=torch.bool
    )
    hidden[0, 0, 1] = True
    changed = torch.where(enlarged(hidden, patch)[..., None], 255 - images, images)
    with torch.no_grad():
        first, second = network(images, hidden), network(changed, hidden)
        visible = network(changed, torch.zeros_like(hidden))
    assert first.shape == (1, 3, model.camera.height, model.camera.width)
    assert torch.equal(first, second)
    assert (first - visible).abs().max() > 1e-3


def test_a_learned_token_stands_in_for_hidden_tokens_of_swin():
    torch.manual_seed(0)
    network, images = SimMim(SWIN.camera, 32), images_of(SWIN, 1)
    hidden = torch.tensor([[[True, False]]])
    network.loss(images, hidden).backward()
    assert network.mask_token.grad.abs().sum() > 0
    assert all(m.rate == 0 for m in network.encoder.modules() if hasattr(m, 'rate'))
    seen = []
    network.encoder.stages[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(images, hidden)
    assert torch.equal(seen[0][0, :, :8], network.mask_token.expand(8, 8, -1))
    assert not network.encoder.patch_embed['norm']._forward_hooks


def test_four_images_can_be_learned_by_heart():
    torch.manual_seed(0)
    network = SimMim(NANO.camera, 16)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(64), indexing='ij')
    images = torch.stack(
        [torch.stack([x * 4, y * 8, (x + y) * 2 * i], -1) % 256 for i in range(4)]
    ).to(torch.uint8)
    hidden = torch.stack(
        [torch.from_numpy(hidden_patches(2, 4, 0.6, np.random.default_rng(i))) for i in range(4)]
    )
    optimiser, losses = torch.optim.AdamW(network.parameters(), 3e-3), []
    for _ in range(60):
        loss = network.loss(images, hidden)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * losses[0]


def test_a_crop_keeps_the_size_and_most_of_the_image():
    image = np.arange(32 * 64 * 3, dtype=np.uint8).reshape(32, 64, 3)
    crops = [random_crop(image, np.random.default_rng(seed)) for seed in range(8)]
    assert all(crop.shape == image.shape and crop.dtype == np.uint8 for crop in crops)
    assert len({crop.tobytes() for crop in crops}) == 8


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(tmp_path, tiny_records):
    Pretraining(tmp_path / 'whole', TINY, SHORT).run(all_paths(tiny_records))
    stopped = Pretraining(tmp_path / 'stopped', TINY, SHORT)
    images = MaskedImages(all_paths(tiny_records), TINY, SHORT)
    stopped._update(*(torch.stack(part) for part in zip(images[0], images[1], strict=True)))
    stopped.save()
    resumed = Pretraining(tmp_path / 'stopped', TINY, SHORT)
    assert resumed.step == 1
    resumed.run(all_paths(tiny_records))
    first, second = (
        load_file(tmp_path / name / 'weights.safetensors') for name in ('whole', 'stopped')
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / 'whole' / 'filled_in.png').stat().st_size > 1000
    network = MetaBev(TINY)
    taken = initialise(
        network,
        InitConfig(str(tmp_path / 'whole' / 'weights.safetensors'), ('camera_encoder.backbone',)),
    )
    assert taken == len(first)
    assert torch.equal(
        network.state_dict()['camera_encoder.backbone.stem.0.0.weight'],
        first['camera_encoder.backbone.stem.0.0.weight'],
    )
    with pytest.raises(ConfigError, match='settings'):
        Pretraining(tmp_path / 'whole', TINY, dataclasses.replace(SHORT, ratio=0.5))


def test_swins_weights_fit_the_network_without_its_neck():
    network = SimMim(SWIN.camera, 32)
    own = MetaBev(SWIN).state_dict()
    assert network.prefix == 'camera_encoder.backbone.body'
    weights = network.weights()
    assert weights.keys() == {name for name in own if name.startswith(network.prefix + '.')}
    assert all(own[name].shape == value.shape for name, value in weights.items())


def test_the_picture_shows_grey_patches_what_was_made_of_them_and_the_truth():
    images, hidden = images_of(NANO, 2), torch.zeros(2, 2, 4, dtype=torch.bool)
    hidden[:, 0, 0] = True
    picture = filled_in_picture(SimMim(NANO.camera, 16), images, hidden)
    assert picture.shape == (2 * 32, 3 * 64, 3) and picture.dtype == np.uint8
    assert (picture[:16, :16] == 128).all()
    np.testing.assert_array_equal(picture[:32, 128:], images[0])
    np.testing.assert_array_equal(picture[16:32, 64:128], images[0, 16:])


@pytest.mark.parametrize(
    ('change', 'where'),
    [
        ({'pretraining': {'patch': 48}}, 'pretraining.patch'),  # 128 is no multiple of it
        ({'pretraining': {'patch': 30}}, 'pretraining.patch'),
        ({'pretraining': {'ratio': 1.0}}, 'pretraining.ratio'),
        ({'pretraining': {'batch': 0}}, 'pretraining.batch'),
        ({'pretraining': {'precision': 'fp16'}}, 'pretraining.precision'),
        ({'pretraining': {'warmup_steps': 9999}}, 'pretraining.warmup_steps'),
        ({'pretraining': {'window': 6}}, 'run.pretraining'),
    ],
)
def test_a_wrong_setting_is_refused_by_its_path(change, where):
    with pytest.raises(ConfigError) as error:
        from_plain(PretrainingRun, change, 'run')
    assert error.value.where == where


def test_the_shipped_recipes_load_and_hide_what_they_say(repo_root):
    for path in sorted((repo_root / 'config/pretraining').glob('*.yaml')):
        assert load_config(PretrainingRun, path).pretraining.ratio == 0.6, path
