"""The shipped weights reach on a small frozen set what docs/results says that they do."""

import shutil

import numpy as np
import pytest
import safetensors.numpy

from metabev_ros.lab.evaluation.accuracy_band import (
    frozen_drives,
    frozen_scores,
    outside,
    read_bands,
)
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality


@pytest.fixture(scope='module', params=World)
def world(request):
    return request.param


@pytest.fixture(scope='module')
def model(world):
    return resource_path(f'models/{world.model}')


@pytest.fixture(scope='module')
def bands(repo_root, world):
    return read_bands(world, read_records(repo_root / 'docs/results/accuracy_band.json'))


@pytest.fixture(scope='module')
def drives(world, model):
    return frozen_drives(world, Pipeline.load(model))


def test_the_shipped_weights_lie_in_their_band_in_every_modality(model, drives, bands):
    left = outside(frozen_scores(Pipeline.load(model), drives), bands)
    assert left == {}, 'if this was meant: benchmark/accuracy_band.py --record'


def test_weights_that_are_shuffled_in_one_layer_fall_out_of_it(model, drives, bands, tmp_path):
    for name in ('config.yaml', 'weights.safetensors'):
        shutil.copy(model / name, tmp_path / name)
    weights = safetensors.numpy.load_file(tmp_path / 'weights.safetensors')
    layer = _last_weight(weights, 'fusion.neck')
    mixed = np.random.default_rng(0).permutation(weights[layer].reshape(-1))
    weights[layer] = mixed.reshape(weights[layer].shape)
    safetensors.numpy.save_file(weights, tmp_path / 'weights.safetensors')
    broken = Pipeline.load(tmp_path, 'torch', threads=1)
    left = outside(frozen_scores(broken, drives, (Modality.LIDAR,)), bands)  # the quickest branch
    assert set(left) == {'LIDAR nds', 'LIDAR miou'}


def _last_weight(weights: dict[str, np.ndarray], part: str) -> str:
    """The last weight matrix of a part of the network."""
    names = [name for name, value in weights.items() if name.startswith(part) and value.ndim == 4]
    return sorted(names)[-1]
