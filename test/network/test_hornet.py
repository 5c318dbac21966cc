"""HorNet as published, and that it learns."""

import pytest
import torch
from support.products import products
from torch import nn

from metabev_ros.config import (
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    HorNetConfig,
    HorNetSize,
    Mixing,
)
from metabev_ros.network.camera import build_backbone
from metabev_ros.network.gnconv import GnConv
from metabev_ros.network.hornet import HorNet, HorNetBlock, HorNetPlan, build_hornet

# Parameters with 1000 classes, of the trunk, and products at 224 x 224, as counted from the
# definitions of raoyongming/HorNet; then mmpretrain's count of products, where it publishes one.
PUBLISHED = {
    't_7x7': (22_409_512, 21_895_488, 3_968_389_312, 3_976_156_352),
    't_gf': (22_991_848, 22_477_824, 3_888_705_120, 3_896_472_160),
    's_7x7': (49_528_264, 48_757_728, 8_813_970_720, 8_825_621_280),
    's_gf': (50_401_768, None, 8_694_444_432, 8_706_094_992),
    'b_7x7': (87_256_680, 86_229_632, 15_567_143_296, 15_582_677_376),
    'b_gf': (88_421_352, None, 15_407_774_912, 15_423_308_992),
    'l_7x7': (194_542_504, 193_002_432, 34_796_261_952, None),
    'l_gf': (196_289_512, None, 34_557_209_376, None),
}
SIZES = {
    't': HorNetSize.TINY,
    's': HorNetSize.SMALL,
    'b': HorNetSize.BASE,
    'l': HorNetSize.LARGE,
}
OUTPUT_NORMS = {
    't_7x7': 21_897_408,
    't_gf': 22_479_744,
    's_7x7': 48_760_608,
    'b_7x7': 86_233_472,
    'l_7x7': 193_008_192,
}


class Classifier(nn.Module):
    """A HorNet as published for ImageNet: mean, norm, linear layer on the last stage."""

    def __init__(self, trunk: HorNet, classes: int) -> None:
        super().__init__()
        self.trunk, channels = trunk, trunk.out_channels[-1]
        trunk.norms = nn.ModuleDict({str(i): nn.Identity() for i in (1, 2, 3)})
        self.norm, self.head = nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, classes)

    def forward(self, images):
        return self.head(self.norm(self.trunk(images)[-1].mean((-2, -1))))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('name', PUBLISHED)
def test_parameters_and_products_are_the_published_ones(name):
    parameters, trunk, exact, counted_by_others = PUBLISHED[name]
    with torch.device('meta'):
        size, mixing = name.split('_')
        network = build_hornet(HorNetConfig(SIZES[size], Mixing(mixing)))
        first = network.out_channels[0] // 2
        if name in OUTPUT_NORMS:  # published with a norm on stage 1 as well
            assert count(network) + 2 * first == OUTPUT_NORMS[name]
        classifier = Classifier(network, 1000)
        assert count(classifier) == parameters
        assert trunk in (None, count(network))
        measured = products(classifier, torch.zeros(1, 3, 224, 224))
    assert measured == exact
    if counted_by_others is not None:
        assert measured == pytest.approx(counted_by_others, rel=0.003)


@pytest.mark.parametrize('mixing', Mixing)
@torch.inference_mode()
def test_hornet_gives_strides_8_16_32(mixing):
    network = build_hornet(HorNetConfig(HorNetSize.NANO, mixing)).eval()
    maps = network(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 8, 12), (128, 4, 6), (256, 2, 3)]
    for m in maps:  # each through a norm of its own
        torch.testing.assert_close(m.mean(1), torch.zeros_like(m[:, 0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize('mixing', Mixing)
@torch.no_grad()
def test_a_new_block_is_nearly_the_identity_and_drops_paths_in_training_only(mixing):
    torch.manual_seed(0)
    block = HorNetBlock(32, GnConv(32, 4, mixing, (8, 5), 1 / 3), drop_path=0.5)
    x = torch.randn(8, 32, 8, 8)
    assert (block.eval()(x) - x).norm() < 1e-4 * x.norm()
    block.gamma1.fill_(1.0)
    assert torch.equal(block(x), block(x)) and not torch.equal(block(x), x)
    trained = block.train()(x)
    untouched = [torch.allclose(a, b, atol=1e-3) for a, b in zip(trained, x, strict=True)]
    assert any(untouched) and not all(untouched)


def test_drop_path_grows_from_zero_to_its_rate():
    with torch.device('meta'):
        stages = build_hornet(HorNetConfig(HorNetSize.SMALL, Mixing.LOCAL)).stages
    rates = [block.drop_path.rate for stage in stages for block in stage]
    assert rates == sorted(rates) and rates[0] == 0 and rates[-1] == pytest.approx(0.4)
    assert [block.gnconv.dims for block in stages[2][:1]] == [[48, 96, 192, 384]]


@pytest.mark.parametrize('mixing', Mixing)
def test_sixteen_images_are_learnt_by_heart(mixing):
    torch.manual_seed(0)
    plan = HorNetPlan(16, (1, 1, 2, 1), 0.0, ((4, 3), (2, 2)))
    network = Classifier(HorNet(plan, mixing), 10).train()
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16) % 10
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.0)
    for _ in range(80):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if loss < 0.02:
            break
    with torch.no_grad():
        assert (network.eval()(images).argmax(1) == labels).all(), float(loss)


@pytest.mark.parametrize('horfpn', [None, *Mixing])
@pytest.mark.parametrize('neck', [n for n in CameraNeck if n is not CameraNeck.NONE])
def test_every_neck_joins_the_maps_and_has_gradients_everywhere(neck, horfpn):
    torch.manual_seed(0)
    config = CameraBranchConfig(
        CameraBackbone.HORNET,
        neck,
        64,
        96,
        feature_channels=16,
        hornet=HorNetConfig(HorNetSize.NANO, Mixing.GLOBAL),
        horfpn=horfpn,
    )
    network = build_backbone(config).train()
    features = network(torch.randn(2, 3, 64, 96))
    assert features.shape == (2, 16, 8, 12)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert any(isinstance(m, GnConv) for m in network.neck.modules()) == (horfpn is not None)
