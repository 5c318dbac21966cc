"""The two forms of a network: same weights, same results, other operators."""

import dataclasses

import pytest
import torch
from support.small_networks import sample_of, small_base, small_model

from metabev_ros.config import DecoderFfn
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.forms import expert_form, written_for
from metabev_ros.network.deformable import DeformableAttention, Sampling
from metabev_ros.network.expert_forms import ExpertForm
from metabev_ros.network.map_head import MapHead
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import ExpertPool, RoutedExperts

BASE = small_base()
CONFIGS = {
    'groups and hard experts': small_model('groups', DecoderFfn.HM2OE),
    'base, 4 experts': BASE,
    'base, 8 experts': dataclasses.replace(
        BASE, decoder=dataclasses.replace(BASE.decoder, experts=8)
    ),
}


def network_of(config) -> MetaBev:
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize('form', GraphForm)
@pytest.mark.parametrize('name', CONFIGS)
@torch.inference_mode()
def test_every_form_gives_what_the_network_gives(name, form):
    config = CONFIGS[name]
    network = network_of(config)
    camera, lidar, _ = sample_of(config, 1)
    for inputs in (([camera], [lidar]), ([camera], [None]), ([None], [lidar])):
        expected, got = (n(*inputs)[0].named() for n in (network, written_for(network, form)))
        for tensor, value in expected.items():
            torch.testing.assert_close(got[tensor], value, atol=1e-5, rtol=1e-5, msg=tensor)


def test_the_copy_shares_the_weights_and_the_network_stays_as_it_was():
    network = network_of(BASE)
    written = written_for(network, GraphForm.TENSORRT)
    ours = dict(network.named_parameters())
    for name, parameter in written.named_parameters():
        assert parameter is ours[name]
    samplers = [m for m in network.modules() if isinstance(m, (DeformableAttention, MapHead))]
    assert len(samplers) > 3 and all(m.sampling is Sampling.GRID for m in samplers)
    pools = [m for m in network.modules() if isinstance(m, ExpertPool)]
    assert pools and all(pool.form is ExpertForm.DISPATCHED for pool in pools)


@pytest.mark.parametrize(
    ('experts', 'used', 'expected'),
    [
        (4, 1, ExpertForm.DENSE),
        (8, 2, ExpertForm.BLOCKS),
        (8, 3, ExpertForm.DENSE),
        (16, 2, ExpertForm.BLOCKS),
    ],
)
def test_experts_for_tensorrt_are_dense_where_that_is_cheaper(experts, used, expected):
    pool = RoutedExperts(4, 4, 0.0, experts, used)
    assert expert_form(pool, GraphForm.TENSORRT) is expected
    assert expert_form(pool, GraphForm.ONNXRUNTIME) is ExpertForm.NONZERO
