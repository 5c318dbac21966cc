"""The TensorRT backend without a GPU: a stub driver and a fake TensorRT over ONNX Runtime."""

import ast
import ctypes
import gc
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.fake_tensorrt import FakeTensorRt, engine_bytes

from metabev_ros.backends import BackendKind, build_backend
from metabev_ros.backends.cuda_driver import Context, Driver
from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.profiles import ProfileLimits, graph_profile
from metabev_ros.backends.tensorrt_backend import TensorRtBackend, engine_identity
from metabev_ros.backends.tensorrt_library import API, Flavour, TensorRtLibrary
from metabev_ros.contract import load_contract
from metabev_ros.errors import (
    BackendError,
    ConfigError,
    ContractError,
    DeviceLostError,
    MissingDependencyError,
)
from metabev_ros.graph_specs import FUSION_OF, GRAPHS
from metabev_ros.lab.export.parity import parity_inputs
from metabev_ros.resources import resource_path

MODEL = resource_path('models/metabev_nano')
STUB = Path(__file__).parents[1] / 'support/cuda_stub.c'


@pytest.fixture(scope='session')
def stub_path(tmp_path_factory):
    compiler = shutil.which('cc')
    if compiler is None:
        pytest.skip('no C compiler for the stub driver')
    path = tmp_path_factory.mktemp('stub') / 'libcuda_stub.so'
    subprocess.run(
        [compiler, '-Wall', '-Werror', '-shared', '-fPIC', '-o', path, STUB], check=True
    )
    return str(path)


@pytest.fixture(scope='module')
def stub(stub_path):
    library = ctypes.CDLL(stub_path)
    library.stub_log.restype = ctypes.c_char_p
    return library


@pytest.fixture(autouse=True)
def clean_stub(stub):
    stub.stub_clear()
    yield
    stub.stub_fail(b'', 0)


def log_of(stub):
    """[(what, first, second)] since the last call; stream and event handles are numbers."""
    lines = stub.stub_log().decode().splitlines()
    stub.stub_clear()
    return [(what, int(first), int(second)) for what, first, second in map(str.split, lines)]


@pytest.fixture(scope='module')
def plans():
    contract = load_contract(MODEL)
    return {
        graph: engine_bytes(
            (MODEL / f'{graph}.onnx').read_bytes(),
            graph_profile(contract.config, graph, ProfileLimits()),
        )
        for graph in GRAPHS
    }


def make_backend(stub, stub_path, plans, trt=None):
    library = TensorRtLibrary(trt or FakeTensorRt(stub), Flavour.TENSORRT)
    return TensorRtBackend(load_contract(MODEL), plans, library, Driver(stub_path))


@pytest.fixture(scope='module')
def backend(stub, stub_path, plans):
    return make_backend(stub, stub_path, plans)


@pytest.fixture(scope='module')
def inputs():
    """6 cameras and LiDAR."""
    pairs = list(parity_inputs(load_contract(MODEL).config))
    return max(
        (pair for pair in pairs if pair[0] and pair[1]), key=lambda pair: len(pair[0]['images'])
    )


@pytest.fixture(scope='module')
def reference():
    return OnnxRuntimeBackend(MODEL, 1)


def test_it_gives_what_onnxruntime_gives_in_every_branch_and_by_parts(backend, reference, inputs):
    for has in ((True, True), (True, False), (False, True)):
        camera, lidar = (part if there else None for part, there in zip(inputs, has, strict=True))
        expected, got = reference.run(camera, lidar), backend.run(camera, lidar)
        assert list(got) == list(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(got[name], array, atol=1e-4, err_msg=name)
    maps = backend.encode_camera(inputs[0]), backend.encode_lidar(inputs[1])
    np.testing.assert_allclose(maps[0], reference.encode_camera(inputs[0]), atol=1e-4)
    for name, array in reference.fuse(*maps).items():
        np.testing.assert_allclose(backend.fuse(*maps)[name], array, atol=1e-4, err_msg=name)


def test_it_says_what_it_runs_on_and_how_much_memory_it_took(backend, plans):
    assert (backend.name, backend.provider, backend.device, backend.precision) == (
        'tensorrt',
        'cuda',
        'Stub GPU 0',
        'fp32',
    )
    assert backend.gpu_memory > sum(map(len, plans.values())) + 5 * 1000
    assert backend.config.name == 'metabev_nano' and len(backend.model_hash) == 16


def test_a_sample_allocates_nothing_and_the_fusion_waits_for_both_encoders(backend, stub, inputs):
    backend.run(*inputs)
    log = log_of(stub)
    assert not [entry for entry in log if entry[0] in ('alloc', 'pin')]
    uploads = [stream for what, _, stream in log if what == 'upload']
    camera, lidar = uploads[0], uploads[-1]
    assert uploads == [camera] * 5 + [lidar] * 2 and camera != lidar
    recorded = {event: stream for what, event, stream in log if what == 'record'}
    assert sorted(recorded.values()) == sorted([camera, lidar])
    waits = [(event, stream) for what, event, stream in log if what == 'wait']
    fusion = waits[0][1]
    assert {event for event, _ in waits} == set(recorded) and fusion not in (camera, lidar)
    kinds = [what for what, *_ in log]
    assert kinds.index('launch') > max(i for i, kind in enumerate(kinds) if kind == 'wait')
    # The maps stay on the GPU: only the outputs come back, in the fusion's stream.
    downloads = [stream for what, _, stream in log if what == 'download']
    assert downloads == [fusion] * len(backend.fuse(None, np.zeros((1, 64, 128, 128), 'f4')))
    assert kinds[-1] == 'synchronise' and log[-1][1] == fusion


def test_an_absent_sensor_is_not_computed(backend, stub, inputs):
    backend.run(None, inputs[1])
    log = log_of(stub)
    assert len([1 for what, *_ in log if what == 'upload']) == 2
    assert len([1 for what, *_ in log if what == 'wait']) == 1


def test_the_fusion_graphs_are_replayed_as_cuda_graphs(backend, stub, inputs):
    assert set(backend.cuda_graphs) == set(FUSION_OF.values())
    backend.run(*inputs)
    assert [what for what, *_ in log_of(stub)].count('launch') == 1


def test_results_are_copies(backend, inputs):
    first = backend.run(*inputs)
    kept = {name: array.copy() for name, array in first.items()}
    backend.run(None, inputs[1])
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize(
    ('graph', 'name', 'change', 'message'),
    [
        ('camera', 'images', lambda a: a[..., :2], r'uint8 \(1..6, 128, 352, 3\), got uint8'),
        ('camera', 'images', lambda a: np.concatenate([a, a]), r'got uint8 \(12, .*--cameras'),
        ('camera', 'images', lambda a: a[:0], r'1..6.*got uint8 \(0,'),
        ('camera', 'images', lambda a: a.astype(np.float32), 'got float32'),
        ('camera', 'cell_table', lambda a: np.tile(a, (1, 9)), '1..23.*--headroom'),
        ('camera', 'depth_table', lambda a: a.astype(np.int64), 'got int64'),
        (
            'camera',
            'grid_table',
            lambda a: a.reshape(128, 128),
            r'\(16384\), got int32 \(128, 128',
        ),
        ('camera', 'grid_table', lambda a: a.tolist(), 'got list'),
        ('lidar', 'pillars', lambda a: np.repeat(a, 9, 0), '1..12000'),
    ],
)
def test_an_input_beyond_the_profile_is_refused_before_anything_is_enqueued(
    backend, stub, inputs, graph, name, change, message
):
    camera, lidar = map(dict, inputs)
    part = camera if graph == 'camera' else lidar
    part[name] = change(part[name])
    with pytest.raises(BackendError, match=f'{graph}_encoder: {name}: expected .*{message}'):
        backend.run(camera, lidar)
    assert not log_of(stub)


def test_missing_and_unknown_inputs_and_no_inputs_are_refused(backend, inputs):
    with pytest.raises(BackendError, match="the inputs .*'grid_table'"):
        backend.encode_camera({'images': inputs[0]['images']})
    with pytest.raises(BackendError, match="'surprise'"):
        backend.encode_lidar({**inputs[1], 'surprise': np.zeros(1)})
    for call in (backend.run, backend.fuse):
        with pytest.raises(BackendError, match='neither'):
            call(None, None)


def test_free_memory_falls_by_what_is_taken(stub, stub_path):
    gpu = Context(Driver(stub_path))
    before = gpu.free_memory()
    gpu.buffer(1000)
    assert before - gpu.free_memory() == 1000
    gpu.close()


def test_everything_is_given_back_when_the_backend_goes(stub, stub_path, plans):
    before = stub.stub_live()
    backend = make_backend(stub, stub_path, plans)
    assert stub.stub_live() > before
    del backend
    gc.collect()
    assert stub.stub_live() == before


def test_too_little_gpu_memory_is_refused_and_gives_everything_back(
    stub, stub_path, plans, monkeypatch
):
    before = stub.stub_live()
    monkeypatch.setenv('STUB_MEMORY', '10000000')
    with pytest.raises(BackendError, match='OUT_OF_MEMORY.*smaller model or precision'):
        make_backend(stub, stub_path, plans)
    gc.collect()
    monkeypatch.setenv('STUB_MEMORY', str(1 << 40))
    Driver(stub_path)
    assert stub.stub_live() == before


def test_a_lost_device_is_said_to_be_lost_and_another_failure_is_not(backend, stub, inputs):
    stub.stub_fail(b'synchronise', 700)
    with pytest.raises(DeviceLostError, match='ILLEGAL_ADDRESS.*start the process again'):
        backend.run(*inputs)
    stub.stub_fail(b'upload', 1)
    with pytest.raises(BackendError, match='INVALID_VALUE') as caught:
        backend.run(*inputs)
    assert not isinstance(caught.value, DeviceLostError)


def test_row_085_an_engine_that_tensorrt_refuses_is_an_error_with_its_words(
    stub, stub_path, plans
):
    trt = FakeTensorRt(stub)
    trt.refuse = True
    with pytest.raises(ContractError, match='built on another device; run `metabev build-engines'):
        make_backend(stub, stub_path, plans, trt)


def test_row_087_engines_of_another_model_are_refused_with_all_differences(stub, stub_path, plans):
    swapped = {**plans, 'lidar_encoder': plans['fusion_camera']}
    with pytest.raises(ContractError, match='profile for pillars'):
        make_backend(stub, stub_path, swapped)
    swapped = {**plans, 'fusion_camera': plans['fusion_lidar']}
    with pytest.raises(ContractError) as caught:
        make_backend(stub, stub_path, swapped)
    assert "camera_bev ('input', 'float32', (1, 64, 128, 128))" in caught.value.expected
    assert 'lidar_bev absent' in caught.value.expected
    assert 'camera_bev absent' in caught.value.got


@pytest.mark.parametrize(
    ('environment', 'message'),
    [
        ({'STUB_GPUS': '0'}, 'expected a GPU, got a driver that sees none'),
        ({'STUB_INIT': '100'}, r'a driver with a GPU, got CUDA_ERROR_NO_DEVICE \(100\)'),
    ],
)
def test_a_driver_without_a_gpu_is_an_error_that_says_what_to_do(
    stub_path, monkeypatch, environment, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=f'{message}; use the backend onnxruntime'):
        Driver(stub_path)


def test_no_driver_is_an_error_and_an_old_driver_too(tmp_path):
    with pytest.raises(BackendError, match='none on this machine; use the backend onnxruntime'):
        Driver('libcuda_that_is_not_there.so')
    (tmp_path / 'empty.c').write_text('int cuInit(unsigned f) { return f; }')
    library = tmp_path / 'old.so'
    subprocess.run(['cc', '-shared', '-o', library, tmp_path / 'empty.c'], check=True)
    with pytest.raises(BackendError, match='CUDA 11.4 or newer'):
        Driver(str(library))


@pytest.mark.parametrize('kind', ['tensorrt', 'tensorrt_rtx'])
def test_without_driver_or_library_the_backend_ends_in_words_not_in_a_crash(kind):
    """In a process of its own: TensorRT without a driver is known to crash at exit."""
    program = (
        f'from metabev_ros.backends import build_backend\n'
        f"try:\n    build_backend('{kind}', '{MODEL}', 1)\n"
        'except Exception as error:\n    print(type(error).__name__, error)\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert re.match(
        'BackendError CUDA driver|ContractError|MissingDependencyError', result.stdout
    ), result.stdout


def test_the_kinds_are_explicit_and_a_precision_must_exist():
    assert {kind.value for kind in BackendKind} >= {'tensorrt', 'tensorrt_rtx'}
    with pytest.raises(ConfigError, match='precision'):
        build_backend('tensorrt', MODEL, 1, 'fp8')


@pytest.mark.parametrize('version', ['8.6.1', '10.0.1', '10.2.0', '12.0.0', 'nonsense'])
def test_an_unsupported_version_is_refused(stub, version):
    with pytest.raises(BackendError, match='version 10.3 or newer, below 12.0'):
        TensorRtLibrary(FakeTensorRt(stub, version), Flavour.TENSORRT)


def test_a_library_without_a_name_that_is_needed_is_refused_with_the_name(stub):
    trt = FakeTensorRt(stub)
    del trt.IProgressMonitor
    del trt.Builder.create_network
    with pytest.raises(BackendError, match='without Builder.create_network, IProgressMonitor'):
        TensorRtLibrary(trt, Flavour.TENSORRT)


OWNERS = {
    'trt': '',
    'library.trt': '',
    'self._library.trt': '',
    'builder': 'Builder',
    'network': 'INetworkDefinition',
    'parser': 'OnnxParser',
    'config': 'IBuilderConfig',
    'shapes': 'IOptimizationProfile',
    'self._runtime': 'Runtime',
    'self._engine': 'ICudaEngine',
    'engine': 'ICudaEngine',
    'self._context': 'IExecutionContext',
}


def test_every_name_of_tensorrt_that_is_used_is_checked_at_load(repo_root):
    """`API` was compared with the real 10.3.0, 10.16.1, 11.4.0 and RTX 1.7.1 bindings."""
    used = set()
    for name in ('backends/engine_builder.py', 'backends/tensorrt_engine.py'):
        tree = ast.parse((repo_root / 'metabev_ros' / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OWNERS:
                used.add((OWNERS[ast.unparse(node.value)], node.attr))
    assert len(used) > 25
    for owner, name in used:
        assert name in API if not owner else name in API[owner], (owner, name)


def test_a_flavour_that_is_not_installed_names_the_command():
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match='install TensorRT 10.3 to 11.x'):
            TensorRtLibrary.load(Flavour.TENSORRT)


def test_rtx_engines_are_for_any_gpu_and_others_need_one(stub, stub_path):
    contract, driver = load_contract(MODEL), Driver(stub_path)
    library = TensorRtLibrary(FakeTensorRt(stub), Flavour.TENSORRT)
    identity = engine_identity(contract, 'lidar_encoder', library, driver)
    assert (identity.gpu, identity.compute_capability) == ('Stub GPU 0', '8.7')
    with pytest.raises(BackendError, match='a GPU, because tensorrt builds for'):
        engine_identity(contract, 'lidar_encoder', library, None)
    rtx = TensorRtLibrary(FakeTensorRt(stub, '1.7.1'), Flavour.RTX)
    assert engine_identity(contract, 'lidar_encoder', rtx, None).gpu == 'any'
