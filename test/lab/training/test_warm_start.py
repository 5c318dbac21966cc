"""Weights to start from are exactly those that were claimed; frozen parts do not move."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.warm_start import InitConfig, freeze, initialise, train_unfrozen


class Small(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.encoder_two = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder_two(self.encoder(x)))


def stored(tmp_path, keep=lambda name: True, change=None):
    state = {k: v.clone() for k, v in Small(1).state_dict().items() if keep(k)}
    if change:
        change(state)
    path = tmp_path / 'weights.safetensors'
    save_file(state, path)
    return str(path)


def test_a_whole_file_gives_the_whole_network(tmp_path):
    network = Small(0)
    count = initialise(network, InitConfig(stored(tmp_path)))
    assert count == len(network.state_dict())
    for name, value in Small(1).state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_prefix_takes_that_part_and_leaves_the_rest(tmp_path):
    network, before = Small(0), Small(0).state_dict()
    initialise(network, InitConfig(stored(tmp_path), ('encoder',)))
    given = Small(1).state_dict()
    for name, value in network.state_dict().items():
        source = given if name.startswith('encoder.') else before
        assert torch.equal(value, source[name]), name


@pytest.mark.parametrize(
    ('prefixes', 'keep', 'change'),
    [
        ((), lambda n: n != 'head.bias', None),  # incomplete
        (('encoder',), lambda n: n != 'encoder.1.running_mean', None),  # incomplete part
        (('head',), lambda n: True, lambda s: s.update({'head.extra': torch.zeros(1)})),
        (('head',), lambda n: True, lambda s: s.update({'head.bias': torch.zeros(3)})),
        (('haed',), lambda n: True, None),
    ],
)
def test_what_does_not_cover_the_claim_is_refused_and_nothing_is_copied(
    tmp_path, prefixes, keep, change
):
    network = Small(0)
    with pytest.raises(ConfigError, match='training.init'):
        initialise(network, InitConfig(stored(tmp_path, keep, change), prefixes))
    for name, value in Small(0).state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / 'weights.safetensors'
    torch.save(Small(1).state_dict(), path)
    with pytest.raises(ConfigError, match='safetensors'):
        initialise(Small(0), InitConfig(str(path)))


def test_frozen_parts_keep_weights_and_statistics():
    network = Small(0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    freeze(network, ('encoder',))
    train_unfrozen(network, ('encoder',))
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.randn(8, 3)).square().sum().backward()
    optimiser.step()
    moved = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {'encoder_two.weight', 'encoder_two.bias', 'head.weight', 'head.bias'}


@pytest.mark.parametrize('prefixes', [('nothing',), ('',), ('encoder', 'encoder_two', 'head')])
def test_freezing_nothing_known_or_everything_is_refused(prefixes):
    with pytest.raises(ConfigError, match='training.frozen'):
        freeze(Small(0), prefixes)
