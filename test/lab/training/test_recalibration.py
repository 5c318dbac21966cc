"""Statistics of the baseline's fuser, estimated anew: use then gives what training gave."""

import dataclasses

import pytest
import torch
from support.tiny import PLAIN, TINY

from metabev_ros.config import Fuser
from metabev_ros.lab.training import recalibration
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import all_paths
from metabev_ros.lab.training.recalibration import recalibrate_fuser, unseen_sets
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality


def network_of(fuser: Fuser) -> MetaBev:
    torch.manual_seed(0)
    return MetaBev(
        dataclasses.replace(TINY, decoder=dataclasses.replace(TINY.decoder, fuser=fuser))
    )


@pytest.fixture
def samples(tiny_records, monkeypatch):
    monkeypatch.setattr(recalibration, 'BATCH', 2)
    return TrainingSamples(all_paths(tiny_records), TINY, PLAIN, CurriculumConfig())


def test_only_statistics_of_the_fuser_change_and_each_set_gets_its_own(samples):
    network = network_of(Fuser.CONV)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate_fuser(network, samples, 2)
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed and all(
        name.startswith('fusion.decoder.') and '.norm.statistics.' in name for name in changed
    )
    means = [
        network.fusion.decoder.fuse.norm.statistics[name].running_mean
        for name in ('fused', 'camera', 'lidar')
    ]
    assert not torch.equal(means[0], means[1]) and not torch.equal(means[1], means[2])


def test_the_statistics_are_those_of_the_samples(samples):
    network = network_of(Fuser.CONV)
    recalibrate_fuser(network, samples, 2)
    fuser, seen = network.fusion.decoder, []
    fuser.fuse.convolution.register_forward_hook(lambda _, inputs, output: seen.append(output))
    with torch.no_grad():
        keys = [recalibration.SampleKey(i, Modality.LIDAR.value, 0, 0, i) for i in range(2)]
        cameras, lidars, _ = zip(*(samples[key] for key in keys), strict=True)
        network.fuse(*network.encode(cameras, lidars)[:2])
    expected = seen[0].mean((0, 2, 3))
    found = fuser.fuse.norm.statistics['lidar'].running_mean
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_only_sets_that_no_batch_had_are_unseen_and_asked_for(samples):
    network = network_of(Fuser.CONV)
    assert unseen_sets(network) == ('fused', 'camera', 'lidar')
    recalibrate_fuser(network, samples, 2, sets=('fused',))
    assert unseen_sets(network) == ('camera', 'lidar')
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate_fuser(network, samples, 2, sets=unseen_sets(network))
    assert unseen_sets(network) == ()
    for name, value in network.state_dict().items():
        others = '.statistics.camera.' in name or '.statistics.lidar.' in name
        assert torch.equal(value, before[name]) != others, name
    assert unseen_sets(network_of(Fuser.METABEV)) == ()


def test_another_fuser_is_refused(samples):
    with pytest.raises(TypeError, match='convolutional fuser'):
        recalibrate_fuser(network_of(Fuser.METABEV), samples, 2)
