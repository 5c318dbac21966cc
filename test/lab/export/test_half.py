"""Which layers compute in float16, and that the islands are float32 in torch and in ONNX."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from support.small_networks import sample_of, small_base, small_model
from torch import nn

from metabev_ros.backends.engine_builder import build_engine
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.config import DecoderFfn, Fuser
from metabev_ros.graph_specs import graph_inputs, graph_outputs
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.forms import written_for
from metabev_ros.lab.export.half import compute_in_half
from metabev_ros.lab.export.lint import lint
from metabev_ros.lab.export.to_onnx import graph_modules, trace
from metabev_ros.network.metabev import MetaBev

CONFIGS = {
    'nano': small_model(),
    'groups and hard experts': small_model('groups', DecoderFfn.HM2OE),
    'convolutional fuser': small_model(fuser=Fuser.CONV),
    'base': small_base(),
}
HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def network_of(config) -> MetaBev:
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize('name', CONFIGS)
@torch.inference_mode()
def test_the_network_in_half_gives_what_it_gave_within_a_hundredth(name):
    config = CONFIGS[name]
    reference, half = network_of(config), compute_in_half(network_of(config))
    halves = sum(p.numel() for p in half.parameters() if p.dtype is torch.float16)
    assert halves > 0.3 * sum(p.numel() for p in half.parameters())
    camera, lidar, _ = sample_of(config, 1)
    expected, got = (
        written_for(n, GraphForm.TENSORRT)([camera], [lidar])[0].named() for n in (reference, half)
    )
    compared = [n for n in expected if name != 'base' or n in ('heatmap', 'map_logits')]
    for tensor in compared:  # TransFusion's queries may change places where scores tie
        assert got[tensor].dtype is torch.float32
        error = (got[tensor] - expected[tensor]).abs().max() / np.ptp(expected[tensor].numpy())
        assert error < 0.01, tensor


def test_metres_norms_and_last_layers_keep_float32():
    network = compute_in_half(network_of(CONFIGS['nano']))
    float32 = {
        name
        for name, part in network.named_modules()
        for p in part.parameters(False)
        if p.dtype is torch.float32
    }
    for name, part in network.named_modules():
        if isinstance(part, nn.LayerNorm):
            assert name in float32
    for name in (
        'camera_encoder.depth_and_context',
        'lidar_encoder.point.0',
        'fusion.decoder.cross_layers.0.attention.offsets.camera',
        'fusion.decoder.cross_layers.0.attention.weights.lidar',
        'fusion.map.logits',
        'fusion.detection.heatmap',
        'fusion.detection.boxes',
    ):
        assert name in float32, name
    for name in (
        'camera_encoder.backbone.stem.0.0',
        'fusion.neck.fine.0',
        'fusion.decoder.cross_layers.0.ffn.0',
        'fusion.decoder.cross_layers.0.attention.value_proj',
    ):
        assert name not in float32, name


@pytest.fixture(scope='module')
def fusion():
    config = CONFIGS['nano']
    network = network_of(config)
    content = trace(
        graph_modules(compute_in_half(network), config, GraphForm.TENSORRT)['fusion_fused'],
        'fusion_fused',
        config,
    )
    reference = graph_modules(network_of(config), config)['fusion_fused']
    return content, reference


def test_the_types_of_the_graph_carry_the_precision(fusion):
    lint(fusion[0], 'fusion_fused', GraphForm.TENSORRT)
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(fusion[0]))
    types = {
        item.name: item.type.tensor_type.elem_type
        for item in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    halves = 0
    for node in model.graph.node:
        kinds = {types[name] for name in node.input[:2] if name in types}
        if node.op_type in ('Softmax', 'LayerNormalization', 'Gather', 'Floor'):
            assert HALF not in kinds, f'{node.op_type} {node.name}'
        halves += node.op_type == 'Conv' and kinds == {HALF}
    assert halves >= 8
    assert all(types[item.name] == FLOAT for item in (*model.graph.input, *model.graph.output))


def test_onnx_runtime_runs_the_half_graph_on_a_cpu_near_the_fp32_network(fusion):
    content, reference = fusion
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    torch.manual_seed(1)
    maps = [torch.randn(item.shape) for item in session.get_inputs()]
    got = session.run(
        None,
        {item.name: bev.numpy() for item, bev in zip(session.get_inputs(), maps, strict=True)},
    )
    with torch.inference_mode():
        expected = reference(*maps)
    for array, tensor in zip(got, expected, strict=True):
        assert np.abs(array - tensor.numpy()).max() < 0.01 * np.ptp(tensor.numpy())


@pytest.mark.tensorrt
def test_tensorrt_rtx_parses_and_builds_the_half_graph(fusion):
    pytest.importorskip('tensorrt_rtx', reason='pip install -r requirements/tensorrt.txt')
    config, name = CONFIGS['nano'], 'fusion_fused'
    built = build_engine(
        TensorRtLibrary.load(Flavour.RTX),
        fusion[0],
        name,
        (graph_inputs(config)[name], graph_outputs(config)[name]),
        {},
    )
    assert built.plan
