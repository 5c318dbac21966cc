"""Which experts serve which cell, read off a running network."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.small_networks import small_model, sweep

from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.config import DecoderFfn, save_config
from metabev_ros.errors import ContractError
from metabev_ros.lab.evaluation.adamv import (
    plot_selection,
    plot_usage,
    record_gates,
    report_experts,
    selection_curve,
    usage_of,
)
from metabev_ros.network.adamv import adaptive_layers, use_experts
from metabev_ros.network.metabev import MetaBev
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample


def test_the_gates_of_every_cell_are_those_of_the_running_network():
    config = small_model(ffn=DecoderFfn.ADAMV)
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    use_experts(network, {'detection': 1, 'map': 3})
    pipeline = Pipeline(config, TorchBackend(network, config), 'test')
    sample = Sample(0, {}, sweep(config, np.random.default_rng(0)), Modality.LIDAR)
    gates = record_gates(network, pipeline, sample)
    rows, columns = config.query_grid.shape
    assert gates.shape == (2, 2, rows, columns, 4)
    assert ((gates[:, 0] > 0).sum(-1) == 1).all() and ((gates[:, 1] > 0).sum(-1) == 3).all()
    np.testing.assert_allclose(usage_of(gates).sum(-1), [[1, 3], [1, 3]])

    # The last layer's router reads what this network's last norm gives, cell by cell.
    given = []
    layer = adaptive_layers(network)[-1]
    gates_of = layer.gates
    layer.gates = lambda x, task: given.append((task, x)) or gates_of(x, task)
    pipeline(sample)
    task, x = given[-1]
    p = (x[0].clone() @ layer.routers[task].weight.t()).softmax(-1).reshape(rows, columns, -1)
    assert (p.argmax(-1).numpy() == gates[-1, 1].argmax(-1)).all() and task == 'map'


def test_a_network_without_shared_experts_is_refused(tmp_path):
    config = small_model()
    save_config(config, tmp_path / 'config.yaml')
    save_file(MetaBev(config).state_dict(), tmp_path / 'weights.safetensors')
    with pytest.raises(ContractError, match='adamv'):
        report_experts(tmp_path, tmp_path / 'out')


def test_pictures_are_drawn_from_a_runs_log(tmp_path):
    lines = [
        {'step': 1, 'total': 3.0},
        {
            'step': 2,
            'experts_detection': 2,
            'experts_map': 3,
            'validation_detection': 1.0,
            'validation_map': 2.0,
        },
    ]
    log = tmp_path / 'log.jsonl'
    log.write_text('\n'.join(map(json.dumps, lines)))
    curve = selection_curve(log)
    assert [line['step'] for line in curve] == [2]
    plot_selection(curve, tmp_path / 'selection.png')
    plot_usage({Modality.FUSED: np.full((3, 2, 8), 0.25)}, tmp_path / 'usage.png')
    for name in ('selection', 'usage'):
        assert (tmp_path / f'{name}.png').read_bytes().startswith(b'\x89PNG')
