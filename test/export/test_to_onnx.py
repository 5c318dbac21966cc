"""Export on a small configuration; the shipped model's own files are checked in test_shipped."""
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.config import (
    CameraBranchConfig,
    DecoderConfig,
    HeadConfig,
    LidarBranchConfig,
    ModelConfig,
    save_config,
)
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.export.parity import check_parity
from metabev_ros.export.to_onnx import OPSET, export_model, lint, parity_inputs
from metabev_ros.network.metabev import MetaBev

SMALL = ModelConfig(
    name='small', camera=CameraBranchConfig(height=64, width=160, feature_channels=16,
                                            context_channels=8, bev_channels=8),
    lidar=LidarBranchConfig(pillar_channels=8, bev_channels=8, max_pillars=2000),
    decoder=DecoderConfig(channels=16, heads=2, points=2, cross_layers=1),
    head=HeadConfig(neck_channels=8, det_channels=8, map_channels=8))


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    torch.manual_seed(0)
    network = MetaBev(SMALL).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    save_config(SMALL, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    target = tmp_path_factory.mktemp('models') / 'small'
    contract, parity = export_model(target, folder, report=lambda line: None)
    return target, network, contract, parity


def test_every_branch_passes_the_parity_gate_with_one_four_and_six_cameras(model):
    _, _, _, parity = model
    assert set(parity) == {'heatmap', 'boxes', 'map_logits'} and max(parity.values()) < 1e-4


def test_the_gate_names_the_output_of_a_network_that_differs(model):
    folder, network, _, _ = model
    other = MetaBev(SMALL).eval()
    other.load_state_dict(network.state_dict())
    other.fusion.map.logits.bias.data += 1.0
    with pytest.raises(ContractError, match='map_logits'):
        check_parity(TorchBackend(other, SMALL), OnnxRuntimeBackend(folder, 1),
                     parity_inputs(SMALL))


def test_a_tampered_graph_is_refused_before_it_is_loaded(model, tmp_path):
    folder = model[0]
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((tmp_path / 'lidar_encoder.onnx').read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'lidar_encoder.onnx').write_bytes(content)
    with pytest.raises(ContractError, match='lidar_encoder.onnx'):
        OnnxRuntimeBackend(tmp_path, 1)


def test_running_without_any_input_is_refused(model):
    with pytest.raises(BackendError):
        OnnxRuntimeBackend(model[0], 1).run(None, None)


def test_weights_of_another_configuration_are_refused(model, tmp_path):
    save_config(ModelConfig(), tmp_path / 'config.yaml')
    (tmp_path / 'weights.safetensors').write_bytes(
        (model[0] / 'weights.safetensors').read_bytes())
    with pytest.raises(ContractError, match='weights.safetensors'):
        export_model(tmp_path / 'out', tmp_path)
    assert not (tmp_path / 'out').exists()


def _graph(nodes, opset=OPSET):
    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes, 'g', [value], [value])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', opset)]).SerializeToString()


@pytest.mark.parametrize('node', [
    helper.make_node('NonZero', ['x'], ['y']), helper.make_node('Unique', ['x'], ['y']),
    helper.make_node('ScatterND', ['x', 'i', 'u'], ['y'], reduction='add'),
    helper.make_node('ScatterElements', ['x', 'i', 'u'], ['y'], reduction='max')])
def test_the_lint_refuses_planted_offenders(node):
    with pytest.raises(ContractError, match=node.op_type):
        lint(_graph([node]), 'planted')


def test_the_lint_refuses_another_opset_and_accepts_a_clean_graph():
    relu = helper.make_node('Relu', ['x'], ['y'])
    with pytest.raises(ContractError, match='opset 18'):
        lint(_graph([relu], opset=20), 'planted')
    lint(_graph([relu]), 'clean')


def test_exported_graphs_hold_their_weights_inside(model):
    for path in model[0].glob('*.onnx'):
        for tensor in onnx.load(path).graph.initializer:
            assert tensor.data_location != TensorProto.EXTERNAL
