import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config import DecoderConfig, Fuser, ModelConfig
from metabev_ros.geometry import BevGrid
from metabev_ros.network.decoder import BevEvolvingDecoder
from metabev_ros.network.fusers import ConvFuser, build_fuser

BASELINE = dataclasses.replace(ModelConfig(), decoder=DecoderConfig(fuser=Fuser.CONV))


def small_baseline():
    torch.manual_seed(0)
    return ConvFuser(DecoderConfig(channels=12), {'camera': 5, 'lidar': 7}, stride=2).eval()


def test_the_configuration_names_the_fuser():
    with torch.device('meta'):
        assert isinstance(build_fuser(ModelConfig()), BevEvolvingDecoder)
        assert isinstance(build_fuser(BASELINE), ConvFuser)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('names', [('camera',), ('lidar',), ('camera', 'lidar')])
def test_the_baseline_has_the_decoders_interface(names, stride):
    channels = {'camera': 5, 'lidar': 7}
    fuser = ConvFuser(DecoderConfig(channels=12), channels, stride)
    decoder = BevEvolvingDecoder(
        DecoderConfig(channels=12), BevGrid(-4, 4, -4, 4, 0.5 * stride), channels
    )
    maps = {name: torch.randn(2, channels[name], 16, 16) for name in names}
    assert fuser(maps).shape == decoder(maps).shape == (2, 12, 16 // stride, 16 // stride)


def test_the_baseline_fills_an_absent_map_with_zeros():
    fuser = small_baseline()
    camera = torch.randn(1, 5, 8, 8)
    assert torch.equal(
        fuser({'camera': camera}), fuser({'camera': camera, 'lidar': torch.zeros(1, 7, 8, 8)})
    )


def test_the_baselines_maps_may_come_in_any_order():
    fuser = small_baseline()
    camera, lidar = torch.randn(1, 5, 8, 8), torch.randn(1, 7, 8, 8)
    assert torch.equal(
        fuser({'camera': camera, 'lidar': lidar}), fuser({'lidar': lidar, 'camera': camera})
    )


def test_the_baseline_is_as_large_as_the_decoder_and_computes_no_less():
    parameters, products = [], []
    for config in (ModelConfig(), BASELINE):
        with torch.device('meta'):
            fuser = build_fuser(config).eval().requires_grad_(False)
            maps = {name: torch.zeros(1, 64, 128, 128) for name in ('camera', 'lidar')}
            with FlopCounterMode(display=False) as counter:
                fuser(maps)
        parameters.append(sum(p.numel() for p in fuser.parameters()))
        products.append(counter.get_total_flops() / 2)
    assert parameters == [609_936, 526_464]
    assert products == [pytest.approx(1.504e9, rel=1e-3), pytest.approx(3.511e9, rel=1e-3)]


def test_in_a_mixed_batch_use_gives_what_training_gave():
    """One running estimate for all modalities is that of the mixture and fits none of them."""
    torch.manual_seed(0)
    fuser = ConvFuser(DecoderConfig(channels=12), {'camera': 5, 'lidar': 7}, stride=2).train()
    camera, lidar = 3 + 2 * torch.randn(4, 5, 16, 16), torch.randn(4, 7, 16, 16) - 1
    groups = ({'camera': camera, 'lidar': lidar}, {'camera': camera}, {'lidar': lidar})
    for _ in range(200):  # until the running statistics have arrived
        trained = [fuser(maps) for maps in groups]
    used = [fuser.eval()(maps) for maps in groups]
    for maps, seen, given in zip(groups, trained, used, strict=True):
        error = (seen - given).abs().max() / seen.abs().max()
        assert error < 0.02, f'{sorted(maps)}: {error:.3f} between training and use'
