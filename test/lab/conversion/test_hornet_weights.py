"""Published HorNet weights.

No checkpoint is at hand: names and shapes are the published ones, written down apart, their
values random, and the golden logits those of the published arithmetic (`published_hornet`).
"""

import pytest
import torch
from support import published_hornet
from support.published import random_state

from metabev_ros.config import (
    CameraBackbone,
    CameraBranchConfig,
    CameraNeck,
    DecoderConfig,
    HorNetConfig,
    HorNetSize,
    Mixing,
    ModelConfig,
)
from metabev_ros.errors import ContractError
from metabev_ros.lab.conversion.convert import convert_state, network_shapes
from metabev_ros.lab.conversion.sources import Source, build_rules
from metabev_ros.network.hornet import build_hornet

BODY = 'camera_encoder.backbone.body.'
TINY_GF = HorNetConfig(HorNetSize.TINY, Mixing.GLOBAL)


def model_of(hornet: HorNetConfig) -> ModelConfig:
    camera = CameraBranchConfig(
        CameraBackbone.HORNET, CameraNeck.LSS_FPN, feature_channels=16, hornet=hornet
    )
    return ModelConfig(camera=camera, decoder=DecoderConfig(cross_layers=1, self_layers=0))


@pytest.fixture(scope='module')
def tiny_gf_shapes():
    return network_shapes(model_of(TINY_GF))


def convert(state, source, shapes):
    config = model_of(TINY_GF)
    return convert_state(state, build_rules(source, config), shapes, 'test')


DIALECTS = {
    'classifier': (Source.HORNET, lambda shapes: shapes),
    'detector': (Source.HORNET, published_hornet.as_detector),
    'mmpretrain': (Source.MMPRETRAIN_HORNET, published_hornet.as_mmpretrain),
}


@pytest.mark.parametrize('dialect', DIALECTS)
def test_every_published_name_has_its_place_and_every_place_its_name(dialect, tiny_gf_shapes):
    source, named = DIALECTS[dialect]
    state = random_state(named(published_hornet.hornet(gf=True)))
    result = convert(state, source, tiny_gf_shapes)
    norms = dialect == 'detector'
    assert set(result.tensors) == {
        name
        for name in tiny_gf_shapes
        if name.startswith(BODY) and (norms or not name.startswith(BODY + 'norms.'))
    }
    values = sum(tensor.numel() for tensor in result.tensors.values())
    assert values == 22_477_824 + norms * 2 * (128 + 256 + 512)
    taken = sum(map(len, result.filled.values())) + sum(map(len, result.ignored.values()))
    assert taken == len(state)


def test_the_written_down_names_hold_the_published_number_of_parameters():
    for gf, published in ((False, 22_409_512), (True, 22_991_848)):
        shapes = published_hornet.hornet(gf=gf)
        assert sum(torch.Size(shape).numel() for shape in shapes.values()) == published


@pytest.mark.parametrize('change', ['missing', 'unknown', 'size'])
def test_a_checkpoint_that_does_not_fit_is_refused_by_the_name_of_the_key(change, tiny_gf_shapes):
    shapes = published_hornet.hornet(gf=True)
    key = 'stages.2.17.gnconv.dwconv.complex_weight'
    if change == 'missing':
        del shapes[key]
    elif change == 'unknown':
        key = 'stages.2.18.norm1.weight'
        shapes[key] = (256,)
    else:
        shapes[key] = (240, 24, 13, 2)  # of a network for 384 x 384
    with pytest.raises(ContractError, match=key.replace('.', r'\.')):
        convert(random_state(shapes), Source.HORNET, tiny_gf_shapes)


@pytest.mark.parametrize('gf', [False, True])
@torch.no_grad()
def test_converted_weights_give_the_logits_of_the_published_arithmetic(gf):
    """Also between sizes of filters: the maps are 6 x 4 and 3 x 2."""
    depths, filters = (1, 2, 4, 1), {2: (8, 12), 3: (4, 6)}
    shapes = published_hornet.hornet(32, depths, gf, classes=10, filters=filters)
    state = {name: tensor.double() - 0.5 for name, tensor in random_state(shapes).items()}
    hornet = HorNetConfig(HorNetSize.NANO, Mixing.GLOBAL if gf else Mixing.LOCAL)
    network = build_hornet(hornet).double().eval()
    ours = {f'{BODY}{name}': tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    result = convert_state(state, build_rules(Source.HORNET, model_of(hornet)), ours, 'test')
    loaded = {name.removeprefix(BODY): tensor.double() for name, tensor in result.tensors.items()}
    network.load_state_dict(loaded, strict=False)
    network.norms = torch.nn.ModuleDict({i: torch.nn.Identity() for i in '123'})
    images = torch.randn(2, 3, 96, 64, dtype=torch.float64)
    pooled = torch.nn.functional.layer_norm(
        network(images)[-1].mean((-2, -1)), (256,), state['norm.weight'], state['norm.bias'], 1e-6
    )
    expected = published_hornet.logits(state, images, depths)
    got = pooled @ state['head.weight'].T + state['head.bias']
    # The conversion stores float32.
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_detector_weights_do_not_land_in_another_backbone():
    config = model_of(HorNetConfig(HorNetSize.NANO, Mixing.GLOBAL))
    state = random_state({'encoders.camera.backbone.patch_embed.projection.bias': (96,)})
    with pytest.raises(ContractError, match='patch_embed'):
        convert_state(state, build_rules(Source.BEVFUSION, config), network_shapes(config), 'test')
