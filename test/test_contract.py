import dataclasses
import json

import pytest

from metabev_ros.config import ModelConfig
from metabev_ros.contract import Contract, load_contract
from metabev_ros.errors import ContractError
from metabev_ros.graph_variants import GraphForm

CONTRACT = Contract(ModelConfig(), 18, 'fp32', {'a.onnx': '0' * 64}, {'torch': 'x'}, '1' * 64)


def test_a_saved_contract_loads_with_the_same_hash(tmp_path):
    CONTRACT.save(tmp_path / 'contract.json')
    loaded = load_contract(tmp_path)
    assert loaded == CONTRACT and loaded.hash == CONTRACT.hash and len(loaded.hash) == 16


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        (('format',), 2),
        (('config_sha256',), 'x'),
        (('detection_classes', 0), 'lorry'),
        (('bev_grid', 'cell'), 0.5),
        (('config', 'camera', 'height'), 160),
        (('inputs', 'camera_encoder', 0, 'name'), 'image'),
        (('outputs', 'fusion_lidar', 0, 'shape', 1), 11),
        (('opset',), [18]),
        (('precision',), {}),
        (('digests',), ['a.onnx']),
        (('digests',), None),
        (('digests', 'a.onnx'), 1),
        (('producer',), ['torch']),
        (('weights_sha256',), 0),
    ],
)
def test_a_changed_field_is_named(tmp_path, path, value):
    CONTRACT.save(tmp_path / 'contract.json')
    plain = json.loads((tmp_path / 'contract.json').read_text())
    target = plain
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    (tmp_path / 'contract.json').write_text(json.dumps(plain))
    with pytest.raises(ContractError, match='contract.json'):
        load_contract(tmp_path)


@pytest.mark.parametrize(
    'text',
    ['', '[]', '{"format": 1}', 'no json', '[' * 100_000, '{"format": 1, "x": ' + '[' * 100_000],
)
def test_a_broken_contract_is_refused(tmp_path, text):
    (tmp_path / 'contract.json').write_text(text)
    with pytest.raises(ContractError):
        load_contract(tmp_path)


def test_a_graph_that_the_contract_does_not_name_is_refused():
    assert CONTRACT.digest_of('a') == '0' * 64
    with pytest.raises(ContractError, match='b.onnx'):
        CONTRACT.digest_of('b')


def test_a_missing_contract_says_what_to_run(tmp_path):
    with pytest.raises(ContractError, match='metabev export'):
        load_contract(tmp_path)


def test_the_form_of_the_graphs_stands_in_the_contract_and_is_part_of_its_hash(tmp_path):
    other = dataclasses.replace(CONTRACT, form=GraphForm.TENSORRT)
    other.save(tmp_path / 'contract.json')
    assert json.loads((tmp_path / 'contract.json').read_text())['form'] == 'tensorrt'
    assert load_contract(tmp_path) == other and other.hash != CONTRACT.hash


def test_an_unknown_form_is_refused(tmp_path):
    CONTRACT.save(tmp_path / 'contract.json')
    plain = json.loads((tmp_path / 'contract.json').read_text()) | {'form': 'openvino'}
    (tmp_path / 'contract.json').write_text(json.dumps(plain))
    with pytest.raises(ContractError, match='form'):
        load_contract(tmp_path)


def test_contracts_from_before_the_forms_load_as_graphs_for_onnx_runtime(tmp_path):
    CONTRACT.save(tmp_path / 'contract.json')
    assert 'form' not in json.loads((tmp_path / 'contract.json').read_text())
    assert load_contract(tmp_path).form is GraphForm.ONNXRUNTIME
