"""Measured errors in a contract: kept with its weights, refused where damaged, said in outputs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from metabev_ros.class_errors import ClassErrors
from metabev_ros.config import ModelConfig
from metabev_ros.contract import (
    Contract,
    load_contract,
    measured_errors_for,
    require_current_variant,
)
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.structures import DETECTION_CLASSES, Modality

WEIGHTS = '1' * 64
ERRORS = MeasuredErrors(
    WEIGHTS,
    'ten drives',
    {
        Modality.FUSED: {'car': ClassErrors(812, 0.31, 0.12, 0.09, 1.2)},
        Modality.CAMERA: {'traffic_cone': ClassErrors(40, 0.9, 0.2, 1.5)},
    },
)
CONTRACT = Contract(ModelConfig(), 18, 'fp32', {'a.onnx': '0' * 64}, {'torch': 'x'}, WEIGHTS)
MEASURED = dataclasses.replace(CONTRACT, measured_errors=ERRORS)


def test_a_contract_keeps_them_and_engines_do_not_depend_on_them(tmp_path) -> None:
    MEASURED.save(tmp_path / 'contract.json')
    assert load_contract(tmp_path) == MEASURED
    assert measured_errors_for(tmp_path, WEIGHTS) == ERRORS
    assert measured_errors_for(tmp_path, '2' * 64) is None
    assert MEASURED.hash != CONTRACT.hash and MEASURED.graphs_hash == CONTRACT.graphs_hash


def test_a_contract_without_them_is_what_it_was(tmp_path) -> None:
    CONTRACT.save(tmp_path / 'contract.json')
    assert 'measured_errors' not in (tmp_path / 'contract.json').read_text()
    assert load_contract(tmp_path).measured_errors is None


def test_those_of_other_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match='measured_errors: weights_sha256'):
        dataclasses.replace(MEASURED, weights_sha256='2' * 64)


def test_a_variant_with_others_than_its_model_is_refused(tmp_path) -> None:
    form, precision = GraphForm.ONNXRUNTIME, GraphPrecision.FP16
    variant_folder(tmp_path, form, precision).mkdir()
    MEASURED.save(tmp_path / 'contract.json')
    CONTRACT.save(variant_folder(tmp_path, form, precision) / 'contract.json')
    with pytest.raises(ContractError, match='measured_errors'):
        require_current_variant(tmp_path, form, precision)


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        (('format',), 2),
        (('measured_on',), 3),
        (('branches',), []),
        (('branches', 'RADAR'), {}),
        (('branches', 'FUSED'), 'all'),
        (('branches', 'FUSED', 'tram'), dataclasses.asdict(ClassErrors(1, 1, 1, 1))),
        (('branches', 'FUSED', 'car'), {}),
        (('branches', 'FUSED', 'car', 'boxes'), 0),
        (('branches', 'FUSED', 'car', 'boxes'), 1.5),
        (('branches', 'FUSED', 'car', 'position'), -1.0),
        (('branches', 'FUSED', 'car', 'position'), True),
        (('branches', 'FUSED', 'car', 'height'), None),
        (('branches', 'FUSED', 'car', 'yaw'), float('nan')),
        (('branches', 'FUSED', 'car', 'velocity'), '\x1b[31m'),
    ],
)
def test_what_is_damaged_is_refused_by_its_name(path: tuple[str, ...], value: Any) -> None:
    plain = json.loads(json.dumps(ERRORS.to_plain()))
    assert MeasuredErrors.from_plain(plain, DETECTION_CLASSES) == ERRORS
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        MeasuredErrors.from_plain(plain, DETECTION_CLASSES)
    assert '\x1b' not in str(caught.value)
