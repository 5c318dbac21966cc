"""AdaMV-MoE and inter-task attention exported, loaded and run."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from support.small_networks import camera_images, small_model, sweep

from metabev_ros.config import DecoderFfn, TaskInteractionConfig, save_config
from metabev_ros.graph_specs import output_names
from metabev_ros.lab.export.to_onnx import FusionGraph, export_model, trace
from metabev_ros.network.adamv import adaptive_layers, use_experts
from metabev_ros.network.expert_forms import ExpertForm
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import TASKS
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample

INTERACTION = TaskInteractionConfig(heads=2, points=2, levels=2, stride=2, ffn_ratio=2)
SYSTEMS = {
    'adamv': small_model(ffn=DecoderFfn.ADAMV),
    'itsa': dataclasses.replace(small_model(), task_interaction=INTERACTION),
}


def network_of(config):
    """Away from the initial state; with experts, selection has left k at 1 and 3."""
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    use_experts(network, {'detection': 1, 'map': 3})
    return network


@pytest.fixture(scope='module', params=SYSTEMS)
def exported(request, tmp_path_factory):
    config, folder = SYSTEMS[request.param], tmp_path_factory.mktemp('run')
    network = network_of(config)
    save_config(config, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    export_model(folder, report=lambda line: None)  # raises unless the parity gate is passed
    return config, network, folder


def test_the_exported_model_passes_the_gate_and_the_pipeline_runs_every_branch(exported):
    config, _, folder = exported
    pipelines = [Pipeline.load(folder, backend, 1) for backend in ('onnxruntime', 'torch')]
    rng = np.random.default_rng(0)
    images, points = camera_images(config, 2, rng), sweep(config, rng)
    cameras = {f'camera_{i}': image for i, image in enumerate(images)}
    for modality, sensors in (
        (Modality.FUSED, (cameras, points)),
        (Modality.CAMERA, (cameras, None)),
        (Modality.LIDAR, ({}, points)),
    ):
        sample = Sample(0, *sensors, modality, ())
        graphs, network = (pipeline(sample) for pipeline in pipelines)
        assert np.ptp(graphs.map_probabilities) > 0
        np.testing.assert_allclose(graphs.map_probabilities, network.map_probabilities, atol=1e-4)
        assert len(graphs.detections.boxes) == len(network.detections.boxes)


class Chosen(torch.nn.Module):
    """(B, Q, D) -> which experts each token of each task uses, (tasks, B, Q, E)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return torch.stack([self.layer.gates(x, task) > 0 for task in TASKS])


def test_the_wide_form_is_static_exact_and_flips_no_expert(tmp_path):
    config = SYSTEMS['adamv']
    network = network_of(config)
    for layer in adaptive_layers(network):
        layer.form = ExpertForm.DENSE
    graph = FusionGraph(network, ('camera', 'lidar'), output_names(config)).eval()
    content = trace(graph, 'fusion_fused', config)
    kinds = {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    assert not kinds & {'NonZero', 'Loop', 'If', 'TopK', 'Unique'}
    assert not any(kind.startswith('Scatter') for kind in kinds)
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    maps = [torch.randn(item.shape) for item in session.get_inputs()]
    got = session.run(
        None,
        {item.name: bev.numpy() for item, bev in zip(session.get_inputs(), maps, strict=True)},
    )
    for layer in adaptive_layers(network):
        layer.form = ExpertForm.DISPATCHED  # other arithmetic than the graph's
    with torch.inference_mode():
        expected = graph(*maps)
    for array, tensor in zip(got, expected, strict=True):
        assert np.abs(array - tensor.numpy()).max() < 1e-4 * np.ptp(tensor.numpy())

    chosen = Chosen(adaptive_layers(network)[0]).eval()
    tokens = torch.randn(1, 5000, config.decoder.channels)
    path = tmp_path / 'chosen.onnx'
    torch.onnx.export(
        chosen,
        (tokens,),
        path,
        opset_version=18,
        dynamo=True,
        external_data=False,
        input_names=['x'],
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    with torch.inference_mode():
        exact, half = chosen(tokens), chosen(tokens.half())
    assert (exact[0].sum(-1) == 1).all() and (exact[1].sum(-1) == 3).all()
    assert (session.run(None, {'x': tokens.numpy()})[0] == exact.numpy()).all()
    flipped = (half != exact).any(-1).float().mean().item()
    assert flipped < 0.01  # tokens in half precision may flip near ties; here none did
