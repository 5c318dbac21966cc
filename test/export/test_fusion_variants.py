"""The fusion graph of every head, mixture of experts and fuser in ONNX Runtime."""
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_networks import small_model

from metabev_ros.config import BevNeckKind, DecoderFfn, Fuser
from metabev_ros.contract import graph_outputs
from metabev_ros.export.to_onnx import graph_modules, lint, trace
from metabev_ros.network.metabev import MetaBev
from metabev_ros.postprocess import Postprocessor

VARIANTS = {
    'transfusion and routed experts': small_model('transfusion', DecoderFfn.RM2OE,
                                                  neck=BevNeckKind.SECOND),
    'groups and hard experts': small_model('groups', DecoderFfn.HM2OE),
    'baseline': small_model(fuser=Fuser.CONV)}


@pytest.mark.parametrize('name', VARIANTS)
def test_the_fusion_graph_is_clean_and_gives_what_the_network_gives(name):
    config, graph = VARIANTS[name], 'fusion_lidar' if name == 'baseline' else 'fusion_fused'
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    module = graph_modules(network, config)[graph].eval()
    content = trace(module, graph, config)
    lint(content, graph)
    kinds = {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    assert not any(kind in ('NonZero', 'Unique') or kind.startswith('Scatter') for kind in kinds)
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    specs = graph_outputs(config)[graph]
    assert [output.name for output in session.get_outputs()] == [spec.name for spec in specs]
    maps = [torch.randn(item.shape) for item in session.get_inputs()]
    got = session.run(None, {item.name: bev.numpy() for item, bev
                             in zip(session.get_inputs(), maps, strict=True)})
    with torch.inference_mode():
        expected = module(*maps)
    for spec, array, tensor in zip(specs, got, expected, strict=True):
        assert array.shape == spec.shape and str(array.dtype) == spec.dtype
        np.testing.assert_allclose(array, tensor.numpy(), atol=2e-4, rtol=2e-4,
                                   err_msg=spec.name)
    detections, _ = Postprocessor(config)(
        {spec.name: array for spec, array in zip(specs, got, strict=True)})
    assert np.isfinite(detections.boxes).all()
