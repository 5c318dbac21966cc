"""int8 variants of the shipped model: all or nothing, and judged before they are installed."""

import dataclasses

import numpy as np
import onnx
import pytest
from support.small_networks import camera_images, sweep

from metabev_ros.backends import build_backend
from metabev_ros.config import RigConfig, load_config
from metabev_ros.contract import load_contract
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.graph_specs import FUSION_OF, GRAPHS
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive, write_bag
from metabev_ros.lab.export import calibration, precision
from metabev_ros.lab.export.agreement import Agreement, require_agreement
from metabev_ros.lab.export.calibration import CalibrationSet, bag_set, synthetic_set
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.lab.training.provenance import world_behind
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path
from metabev_ros.structures import Detections, Modality

ORT, INT8 = GraphForm.ONNXRUNTIME, GraphPrecision.INT8


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model's fp32 graphs."""
    folder = tmp_path / 'model'
    folder.mkdir()
    for path in resource_path('models/metabev_nano').iterdir():
        if path.suffix in ('.onnx', '.json'):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope='module')
def samples():
    config = load_contract(resource_path('models/metabev_nano')).config
    preprocessor, rng = Preprocessor(config), np.random.default_rng(0)
    pair = (
        preprocessor.camera_inputs(camera_images(config, 1, rng)),
        preprocessor.lidar_inputs(sweep(config, rng)),
    )
    return CalibrationSet((pair,), (pair,), 'noise')


def content_of(folder) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_int8_graphs_lie_in_their_folder_with_a_contract_and_the_backend_takes_them(
    model, samples, monkeypatch
):
    monkeypatch.setitem(precision.require_agreement.__globals__['LEAST'], INT8, 0.0)
    before = content_of(model)
    contract, found = precision.export_precision(model, ORT, INT8, samples, lambda line: None)
    folder = variant_folder(model, ORT, INT8)
    assert load_contract(folder).hash == contract.hash and contract.precision == 'int8'
    assert contract.producer['calibration'] == 'noise, 1 samples'
    assert set(found) == {Modality.FUSED, Modality.CAMERA, Modality.LIDAR}
    assert set(contract.digests) == {f'{graph}.onnx' for graph in GRAPHS}
    for graph in ('camera_encoder', *FUSION_OF.values()):
        kinds = {node.op_type for node in onnx.load(folder / f'{graph}.onnx').graph.node}
        assert 'QuantizeLinear' in kinds, graph
    assert {n: (model / n).read_bytes() for n in before} == before, 'fp32 is not touched'
    backend = build_backend('onnxruntime', model, 1, 'int8')
    assert backend.precision == 'int8' and backend.model_hash == contract.hash
    outputs = backend.run(*samples.checked[0])
    assert all(np.isfinite(array).all() for array in outputs.values())


def test_a_variant_of_older_weights_is_refused_after_a_new_export(model):
    folder = variant_folder(model, ORT, INT8)
    folder.mkdir()
    contract = load_contract(model)
    dataclasses.replace(contract, precision='int8', weights_sha256='0' * 64).save(
        folder / 'contract.json'
    )
    with pytest.raises(ContractError, match='weights.*0000.*--precision int8'):
        build_backend('onnxruntime', model, 1, 'int8')


def test_an_interruption_leaves_the_old_variant_or_none(model, samples, monkeypatch):
    folder = variant_folder(model, ORT, INT8)

    def interrupted(content, inputs, form):
        raise KeyboardInterrupt

    monkeypatch.setattr(precision, 'quantise', interrupted)
    with pytest.raises(KeyboardInterrupt):
        precision.export_precision(model, ORT, INT8, samples, lambda line: None)
    assert not folder.exists()


def test_graphs_that_say_something_else_are_not_installed(model, samples, monkeypatch):
    folder = variant_folder(model, ORT, INT8)
    folder.mkdir()
    (folder / 'contract.json').write_text('the old one')
    monkeypatch.setattr(precision, 'quantise', lambda content, inputs, form: content)
    monkeypatch.setattr(
        precision,
        'measure_agreement',
        lambda *_: {Modality.CAMERA: Agreement(boxes=10, matched=5)},
    )
    with pytest.raises(ContractError, match=r'int8 CAMERA: boxes.*90%.*50\.0%.*stay with fp32'):
        precision.export_precision(model, ORT, INT8, samples, lambda line: None)
    assert content_of(folder) == {'contract.json': b'the old one'}


def test_missing_fp32_graphs_and_fp32_as_a_target_are_refused_with_a_remedy(model, samples):
    with pytest.raises(ContractError, match='metabev export'):
        precision.export_precision(model, GraphForm.TENSORRT, INT8, samples, lambda line: None)
    with pytest.raises(ConfigError, match='fp16 or int8'):
        precision.export_precision(model, ORT, GraphPrecision.FP32, samples, lambda line: None)


def _detections(places, scores) -> Detections:
    boxes = np.zeros((len(places), 9), np.float32)
    boxes[:, 0] = places
    return Detections(boxes, np.array(scores, np.float32), np.zeros(len(places), np.int64))


def test_agreement_counts_sure_boxes_of_both_sides_and_map_cells():
    first = _detections([0, 10, 20], [0.9, 0.8, 0.1]), np.array([[[0.9, 0.9, 0.1, 0.1]]])
    second = _detections([0.4, 11, 20], [0.9, 0.8, 0.9]), np.array([[[0.9, 0.1, 0.9, 0.1]]])
    agreement = Agreement()
    agreement.add(first, second)
    assert (agreement.boxes, agreement.matched) == (5, 3)  # 10 and 11 are a metre apart
    assert agreement.map_iou == pytest.approx(1 / 3)
    with pytest.raises(ContractError, match='fp16 FUSED: boxes'):
        require_agreement({Modality.FUSED: agreement}, GraphPrecision.FP16)


def test_a_bag_gives_samples_to_measure_on_and_others_to_check_on(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, 'BAG_SPACING_NS', 50_000_000)
    config = load_contract(resource_path('models/metabev_nano')).config
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    write_bag(SyntheticDrive(600_100, DriveConfig(frames=6, rate_hz=10.0)), tmp_path / 'a.mcap')
    found = bag_set(tmp_path / 'a.mcap', rig, config)
    assert len(found.measured) >= 2 and found.checked and found.source == 'bag a.mcap'
    assert all(len(camera['images']) == 6 for camera, _ in found.measured)
    monkeypatch.setattr(calibration, 'BAG_SPACING_NS', 10_000_000_000)
    with pytest.raises(ConfigError, match='at least 3 samples.*10 s apart, got 1'):
        bag_set(tmp_path / 'a.mcap', rig, config)


@pytest.mark.parametrize('world', World)
def test_the_drives_to_measure_on_are_of_the_world_that_the_model_learnt_from(world):
    model = resource_path(f'models/{world.model}')
    assert world_behind(model / 'weights.safetensors') is world
    found = synthetic_set(load_contract(model).config, world, drives=1, checked=1)
    assert len(found.measured) == len(found.checked) == 1
    assert found.source == f'synthetic drives through {world.value}, seeds 600000..600000'
    [(camera, lidar)] = found.measured
    assert len(camera['images']) > 0 and all(np.isfinite(part).all() for part in lidar.values())
