"""From build to installed engine on a stub driver and a fake TensorRT; see fake_tensorrt.py."""

import ctypes
import dataclasses
import gc
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.fake_tensorrt import FakeTensorRt, engine_bytes

from metabev_ros.backends import build_engines as module
from metabev_ros.backends import tensorrt_backend
from metabev_ros.backends.build_engines import build_engines
from metabev_ros.backends.cuda_driver import Driver
from metabev_ros.backends.engine_builder import BuiltEngine
from metabev_ros.backends.engine_request import EngineRequest, Stale, parse_stale
from metabev_ros.backends.profiles import ProfileLimits
from metabev_ros.backends.tensorrt_backend import TensorRtBackend
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.contract import load_contract
from metabev_ros.errors import BackendError, ConfigError, ContractError
from metabev_ros.files import sha256_of
from metabev_ros.graph_specs import GRAPHS
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.export.parity import parity_inputs
from metabev_ros.resources import resource_path

MODEL = resource_path('models/metabev_nano')
STUB = Path(__file__).parents[1] / 'support/cuda_stub.c'


def build(request):
    return build_engines(request, _one_camera)


@pytest.fixture(scope='module')
def stub_path(tmp_path_factory):
    if shutil.which('cc') is None:
        pytest.skip('no C compiler for the stub driver')
    path = tmp_path_factory.mktemp('stub') / 'libcuda_stub.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-o', path, STUB], check=True)
    return str(path)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """The shipped graphs as if they were written for TensorRT: the fake runs any ONNX."""
    model = tmp_path_factory.mktemp('model')
    folder = variant_folder(model, GraphForm.TENSORRT, GraphPrecision.FP32)
    folder.mkdir()
    for graph in GRAPHS:
        shutil.copy(MODEL / f'{graph}.onnx', folder)
    dataclasses.replace(load_contract(MODEL), form=GraphForm.TENSORRT).save(
        folder / 'contract.json'
    )
    return model


@pytest.fixture
def machine(stub_path, monkeypatch):
    """A machine with "TensorRT 10.3" and a "GPU"; `built` counts builds per graph."""
    stub = ctypes.CDLL(stub_path)
    trt = FakeTensorRt(stub)
    trt.built = []

    def build(library, content, graph, specs, profile, timing_cache, progress):
        trt.built.append(graph)
        return BuiltEngine(engine_bytes(trt.spoil(graph, content), profile), b'times', 0.1, 0.2)

    trt.spoil = lambda graph, content: content
    monkeypatch.setattr(module, 'build_engine', build)
    monkeypatch.setattr(module, 'Driver', lambda: Driver(stub_path))
    monkeypatch.setattr(tensorrt_backend, 'Driver', lambda: Driver(stub_path))
    monkeypatch.setattr(
        TensorRtLibrary, 'load', classmethod(lambda cls, flavour: cls(trt, flavour))
    )
    yield trt
    gc.collect()


def _one_camera(config):
    camera, lidar = next(parity_inputs(config))
    return [(camera, lidar), (camera, None), (None, lidar)]


@pytest.fixture
def request_of(model, tmp_path):
    return lambda **changes: EngineRequest(
        model, GraphPrecision.FP32, Flavour.TENSORRT, cache=tmp_path / 'cache', **changes
    )


def test_engines_are_built_compared_installed_and_then_run(machine, request_of, model, tmp_path):
    outcome = build(request_of())
    assert machine.built == list(GRAPHS)
    assert set(outcome.errors) == set(GRAPHS)
    assert max(max(errors.values()) for errors in outcome.errors.values()) < 1e-4
    assert 'built in' in outcome.lines()[0] and len(outcome.figures()) == 5 * 3 + 2 + 9
    manifest = json.loads(next(outcome.folder.glob('camera_encoder-*.json')).read_text())
    assert manifest['parity']['gpu'] == 'Stub GPU 0' and manifest['parity']['tolerance'] == 1e-3
    backend = TensorRtBackend.load(
        model, GraphPrecision.FP32, Flavour.TENSORRT, tmp_path / 'cache'
    )
    assert (
        backend.model_hash
        == load_contract(variant_folder(model, GraphForm.TENSORRT, GraphPrecision.FP32)).hash
    )
    # Once more: nothing is built, everything is kept.
    machine.built.clear()
    again = build(request_of())
    assert not machine.built and not any(report.was_built for report in again.reports)


def test_an_engine_that_computes_something_else_is_not_installed(
    machine, request_of, model, tmp_path
):
    def spoil(graph, content):
        if graph != 'fusion_fused':
            return content
        planted = onnx.load_model_from_string(content)
        weight = next(
            item
            for item in planted.graph.initializer
            if item.name.endswith('heatmap.weight') or 'head' in item.name
        )
        values = np.frombuffer(weight.raw_data, np.float32) * 1.5
        weight.raw_data = values.tobytes()
        return planted.SerializeToString()

    machine.spoil = spoil
    with pytest.raises(ContractError, match='parity of fusion_fused: .*not installed'):
        build(request_of())
    assert not list((tmp_path / 'cache').rglob('*.engine'))
    with pytest.raises(ContractError, match='engine of camera_encoder: .*got none'):
        TensorRtBackend.load(model, GraphPrecision.FP32, Flavour.TENSORRT, tmp_path / 'cache')


def test_a_failing_rebuild_leaves_the_engines_that_were_there(machine, request_of, monkeypatch):
    folder = build(request_of(build_only=True)).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise BackendError('engine of fusion_fused', 'a build', 'out of memory')

    monkeypatch.setattr(module, 'build_engine', fail)
    with pytest.raises(BackendError, match='out of memory'):
        build(request_of(force=True))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_engine_that_was_only_built_is_refused_until_it_was_compared(
    machine, request_of, model, tmp_path
):
    outcome = build(request_of(build_only=True))
    assert not outcome.errors and 'only built' in outcome.lines()[-1] and machine.loaded == 0
    with pytest.raises(ContractError, match='compared with ONNX Runtime .*only built; run `metab'):
        TensorRtBackend.load(model, GraphPrecision.FP32, Flavour.TENSORRT, tmp_path / 'cache')
    machine.built.clear()
    build(request_of())
    assert not machine.built, 'comparing does not build again'


def test_row_084_a_tampered_engine_is_never_deserialised_and_never_replaced(
    machine, request_of, model, tmp_path
):
    folder = build(request_of(build_only=True)).folder
    engine = next(folder.glob('camera_encoder-*.engine'))
    engine.write_bytes(engine.read_bytes()[:-1] + b'x')
    for call in (
        lambda: build(request_of()),
        lambda: TensorRtBackend.load(
            model, GraphPrecision.FP32, Flavour.TENSORRT, tmp_path / 'cache'
        ),
    ):
        with pytest.raises(ContractError, match='changed after its build and is not loaded'):
            call()
    assert machine.loaded == 0 and engine.read_bytes().endswith(b'x')


def test_row_085_stale_engines_are_rebuilt_or_refused_as_asked(machine, request_of):
    folder = build(request_of(build_only=True)).folder
    before = set(folder.glob('*.engine'))
    machine.__version__ = '10.16.1'
    with pytest.raises(ContractError, match="tensorrt_version: '10.16.1', '10.3.0'"):
        build(request_of(build_only=True, stale=Stale.REFUSE))
    assert set(folder.glob('*.json')) and set(folder.glob('*.engine')) == before
    machine.built.clear()
    build(request_of(build_only=True))
    assert machine.built == list(GRAPHS) and set(folder.glob('*.engine')) >= before
    assert len(list(folder.glob('*.json'))) == 10, 'the other version keeps its engines'
    with pytest.raises(ConfigError, match="one of .'rebuild', 'refuse'"):
        parse_stale('ignore')


def test_another_profile_asks_for_another_build(machine, request_of):
    build(request_of(build_only=True))
    machine.built.clear()
    build(request_of(build_only=True, limits=ProfileLimits(cameras=4)))
    assert machine.built == ['camera_encoder']


def test_without_a_gpu_only_rtx_builds_and_says_so(request_of, monkeypatch, stub_path):
    def none():
        raise BackendError('CUDA driver', 'libcuda.so.1', 'none on this machine')

    monkeypatch.setattr(module, 'Driver', none)
    stub = ctypes.CDLL(stub_path)
    monkeypatch.setattr(
        TensorRtLibrary, 'load', classmethod(lambda cls, flavour: cls(FakeTensorRt(stub), flavour))
    )
    for changes in ({}, {'build_only': True}):
        with pytest.raises(BackendError, match='only: --flavour tensorrt_rtx --build-only'):
            build(request_of(**changes))


def test_row_087_a_variant_of_another_form_or_precision_is_refused(
    machine, request_of, model, tmp_path
):
    wrong = tmp_path / 'wrong'
    shutil.copytree(model, wrong)
    folder = variant_folder(wrong, GraphForm.TENSORRT, GraphPrecision.FP32)
    shutil.copytree(folder, variant_folder(wrong, GraphForm.TENSORRT, GraphPrecision.FP16))
    with pytest.raises(ContractError, match='precision: expected fp16, got fp32'):
        build(dataclasses.replace(request_of(), model=wrong, precision=GraphPrecision.FP16))
    shutil.copy(MODEL / 'contract.json', folder)
    with pytest.raises(ContractError, match='form: expected tensorrt, got onnxruntime'):
        build(dataclasses.replace(request_of(), model=wrong))
    with pytest.raises(ContractError, match='metabev export'):
        build(dataclasses.replace(request_of(), model=tmp_path / 'nothing'))


def test_row_112_a_graph_with_external_data_is_not_given_to_the_builder(
    machine, request_of, model, tmp_path
):
    wrong = tmp_path / 'wrong'
    shutil.copytree(model, wrong)
    folder = variant_folder(wrong, GraphForm.TENSORRT, GraphPrecision.FP32)
    path = folder / 'camera_encoder.onnx'
    planted = onnx.load(path)
    tensor = planted.graph.initializer[0]
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = 'location', '/etc/passwd'
    path.write_bytes(planted.SerializeToString())
    contract = load_contract(folder)
    contract.digests['camera_encoder.onnx'] = sha256_of(path)
    contract.save(folder / 'contract.json')
    with pytest.raises(ContractError, match='camera_encoder.onnx: .*external data'):
        build(dataclasses.replace(request_of(), model=wrong))
    assert not machine.built
