"""Export on a small configuration; the shipped model's own files are checked in test_shipped."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
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
from metabev_ros.contract import Contract, load_contract
from metabev_ros.errors import BackendError, ConfigError, ContractError
from metabev_ros.graph_specs import GRAPHS
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.parity import check_parity, parity_inputs
from metabev_ros.lab.export.to_onnx import export_model, keep_calibration
from metabev_ros.network.metabev import MetaBev
from metabev_ros.score_calibration import BranchCalibration, ScoreCalibration, ScoreLine
from metabev_ros.structures import Modality

SMALL = ModelConfig(
    name='small',
    camera=CameraBranchConfig(
        height=64, width=160, feature_channels=16, context_channels=8, bev_channels=8
    ),
    lidar=LidarBranchConfig(pillar_channels=8, bev_channels=8, max_pillars=2000),
    decoder=DecoderConfig(channels=16, heads=2, points=2, cross_layers=1),
    head=HeadConfig(neck_channels=8, det_channels=8, map_channels=8),
)


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


OUTPUTS = {'heatmap', 'boxes', 'map_logits'}


def test_every_graph_passes_the_parity_gate_with_one_four_and_six_cameras(model):
    _, _, _, parity = model
    assert set(parity.errors) == set(GRAPHS) and parity.cases == 11 and parity.ties == 0
    assert set(parity.errors['camera_encoder']) == {'camera_bev'}
    for graph in GRAPHS[2:]:
        assert set(parity.errors[graph]) == OUTPUTS
    assert max(error for errors in parity.errors.values() for error in errors.values()) < 1e-4
    assert parity.detections > 100 and parity.matched_share > 0.99


def test_graphs_for_tensorrt_go_into_a_folder_of_their_own(model):
    folder, _, shipped, _ = model
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    lines = []
    contract, parity = export_model(folder, report=lines.append, form=GraphForm.TENSORRT, seed=7)
    assert lines[0] == 'parity seed 7' and set(parity.errors) == set(GRAPHS)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert load_contract(folder / 'tensorrt-fp32') == contract
    assert contract.form is GraphForm.TENSORRT and contract.hash != shipped.hash
    assert contract.weights_sha256 == shipped.weights_sha256
    for graph in GRAPHS:
        kinds = {
            node.op_type
            for node in onnx.load(folder / 'tensorrt-fp32' / f'{graph}.onnx').graph.node
        }
        assert not kinds & {'GridSample', 'NonZero'}
    with pytest.raises(ConfigError, match='--run'):
        export_model(folder, folder, form=GraphForm.TENSORRT)


def test_the_gate_names_the_output_of_a_network_that_differs(model):
    folder, network, _, _ = model
    other = MetaBev(SMALL).eval()
    other.load_state_dict(network.state_dict())
    other.fusion.map.logits.bias.data += 1.0
    with pytest.raises(ContractError, match='parity of fusion_fused: map_logits'):
        check_parity(
            TorchBackend(other, SMALL), OnnxRuntimeBackend(folder, 1), parity_inputs(SMALL)
        )


def test_the_gate_names_the_encoder_before_what_follows_from_it(model):
    folder, network, _, _ = model
    other = MetaBev(SMALL).eval()
    other.load_state_dict(network.state_dict())
    other.camera_encoder.depth_and_context.bias.data[-1] += 1.0
    with pytest.raises(ContractError, match='parity of camera_encoder: camera_bev'):
        check_parity(
            TorchBackend(other, SMALL), OnnxRuntimeBackend(folder, 1), parity_inputs(SMALL)
        )


def test_the_gate_refuses_what_is_not_finite(model):
    folder, network, _, _ = model

    class Broken(OnnxRuntimeBackend):
        def fuse(self, camera_bev, lidar_bev):
            outputs = super().fuse(camera_bev, lidar_bev)
            outputs['boxes'][..., 0] = np.nan
            return outputs

    with pytest.raises(ContractError, match='parity of fusion_fused: boxes.*got inf'):
        check_parity(TorchBackend(network, SMALL), Broken(folder, 1), parity_inputs(SMALL))


def test_another_seed_gives_another_world_and_other_noise():
    first, second = (list(parity_inputs(SMALL, seed)) for seed in (1, 2))
    for (camera, lidar), (other_camera, other_lidar) in zip(first, second, strict=True):
        for inputs, others in ((camera, other_camera), (lidar, other_lidar)):
            if inputs is not None:
                name = next(iter(inputs))
                assert not np.array_equal(inputs[name], others[name])


def test_a_tampered_graph_is_refused_before_it_is_loaded(model, tmp_path):
    folder = model[0]
    for file in (path for path in folder.iterdir() if path.is_file()):
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
    (tmp_path / 'weights.safetensors').write_bytes((model[0] / 'weights.safetensors').read_bytes())
    with pytest.raises(ContractError, match='weights.safetensors'):
        export_model(tmp_path / 'out', tmp_path)
    assert not (tmp_path / 'out').exists()


def test_exported_graphs_hold_their_weights_inside(model):
    for path in model[0].glob('*.onnx'):
        for tensor in onnx.load(path).graph.initializer:
            assert tensor.data_location != TensorProto.EXTERNAL


def test_an_export_keeps_the_calibration_of_its_weights_and_drops_that_of_others(tmp_path):
    config = ModelConfig()
    lines = BranchCalibration((ScoreLine(1.2, 0.1),) * 10, (ScoreLine(),) * 6)
    fitted = ScoreCalibration(
        '1' * 64,
        'ten drives',
        config.detection_classes,
        config.map_classes,
        {Modality.LIDAR: lines},
    )
    model, scratch = tmp_path / 'model', tmp_path / 'scratch'
    model.mkdir(), scratch.mkdir()
    before = Contract(config, 18, 'fp32', {}, {}, '1' * 64, score_calibration=fitted)
    before.save(model / 'contract.json')
    told: list[str] = []
    same = keep_calibration(
        dataclasses.replace(before, score_calibration=None), model, scratch, told.append
    )
    assert same == before == load_contract(scratch) and 'ten drives' in told[0]
    other = dataclasses.replace(before, weights_sha256='2' * 64, score_calibration=None)
    assert keep_calibration(other, model, scratch, told.append) is other
    assert 'not calibrated' in told[1] and 'metabev calibrate' in told[1]
