"""Graphs of every module choice in ONNX Runtime, in both forms.

The compact pillar network goes through the whole gate in test_to_onnx; the sparse encoder is in
test_lidar, its graph being the same in both forms.
"""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.small_networks import camera_images, small_base, small_lite, small_model, sweep

from metabev_ros.backends.same_detections import LEAST_MATCHED, align_queries, count_matched
from metabev_ros.config import (
    BevNeckKind,
    DecoderFfn,
    Fuser,
    ModelConfig,
    ViewTransform,
)
from metabev_ros.graph_specs import graph_inputs, graph_outputs
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.lint import lint
from metabev_ros.lab.export.to_onnx import graph_modules, trace
from metabev_ros.network.metabev import MetaBev
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor

ORT, TENSORRT = GraphForm
BASE = small_base()
EIGHT_EXPERTS = dataclasses.replace(
    BASE, decoder=dataclasses.replace(BASE.decoder, experts=8, cross_layers=1)
)
FOUR_EXPERTS = small_model('transfusion', DecoderFfn.RM2OE, neck=BevNeckKind.SECOND)
GROUPS, BASELINE, NANO = (
    small_model('groups', DecoderFfn.HM2OE),
    small_model(fuser=Fuser.CONV),
    small_model(),
)
PULL = dataclasses.replace(
    NANO, camera=dataclasses.replace(NANO.camera, view_transform=ViewTransform.PULL)
)
# (configuration, form, graph, operators that must be in it)
VARIANTS = {
    'Swin-T, LSS FPN, double splat grid': (BASE, ORT, 'camera_encoder', {'MatMul'}),
    'EfficientNet-Lite0': (small_lite(), ORT, 'camera_encoder', {'Clip'}),
    'fine pillars': (small_lite(), ORT, 'lidar_encoder', {'Gather', 'ReduceMax'}),
    'values at the queries': (small_lite(), ORT, 'fusion_fused', {'GridSample'}),
    'pull': (PULL, TENSORRT, 'camera_encoder', {'Gather', 'MatMul'}),
    'experts by NonZero, TransFusion': (
        EIGHT_EXPERTS,
        ORT,
        'fusion_fused',
        {'NonZero', 'GridSample', 'TopK'},
    ),
    'experts in blocks, TransFusion': (
        EIGHT_EXPERTS,
        TENSORRT,
        'fusion_fused',
        {'CumSum', 'ScatterND'},
    ),
    'four experts': (FOUR_EXPERTS, TENSORRT, 'fusion_lidar', {'TopK'}),
    'groups, hard experts': (GROUPS, TENSORRT, 'fusion_camera', {'LayerNormalization'}),
    'baseline': (BASELINE, ORT, 'fusion_lidar', {'Conv'}),
}


def inputs_of(config: ModelConfig, graph: str):
    """Arrays by name: inputs of 1, 4 and 6 cameras, three sweeps, or noise for BEV maps."""
    rng, preprocessor = np.random.default_rng(0), Preprocessor(config)
    if graph == 'camera_encoder':
        yield from (
            preprocessor.camera_inputs(camera_images(config, views, rng)) for views in (1, 4, 6)
        )
    elif graph == 'lidar_encoder':
        yield from (preprocessor.lidar_inputs(sweep(config, rng)) for _ in range(3))
    else:
        for _ in range(3):
            yield {
                spec.name: rng.normal(size=spec.shape).astype(np.float32)
                for spec in graph_inputs(config)[graph]
            }


def require_same_boxes(config: ModelConfig, expected: dict, got: dict) -> None:
    """An untrained network is sure of nothing: without a threshold."""
    head = dataclasses.replace(config.head, score_threshold=0.0)
    decode = Postprocessor(dataclasses.replace(config, head=head))
    matched, count = count_matched(decode(expected)[0], decode(got)[0], head)
    assert matched >= LEAST_MATCHED * count > 0


@pytest.mark.parametrize('name', VARIANTS)
def test_the_graph_is_clean_and_gives_what_the_network_gives(name):
    config, form, graph, wanted = VARIANTS[name]
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    content = trace(graph_modules(network, config, form)[graph], graph, config)
    lint(content, graph, form)
    assert wanted <= {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    specs = graph_outputs(config)[graph]
    assert [output.name for output in session.get_outputs()] == [spec.name for spec in specs]
    reference = graph_modules(network, config)[graph]
    for inputs in inputs_of(config, graph):
        got = dict(zip([spec.name for spec in specs], session.run(None, inputs), strict=True))
        with torch.inference_mode():
            values = reference(*map(torch.from_numpy, inputs.values()))
        values = values if isinstance(values, tuple) else (values,)
        expected = {spec.name: value.numpy() for spec, value in zip(specs, values, strict=True)}
        got = align_queries(expected, got)
        for spec in specs:
            assert got[spec.name].shape == spec.shape and str(got[spec.name].dtype) == spec.dtype
            span = np.ptp(expected[spec.name]) or 1
            np.testing.assert_allclose(
                got[spec.name], expected[spec.name], atol=1e-4 * span, rtol=0, err_msg=spec.name
            )
        if 'boxes' in got:
            require_same_boxes(config, expected, got)
