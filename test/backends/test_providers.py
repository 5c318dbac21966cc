"""The provider that was asked for computes, or start-up stops and says what to do."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from metabev_ros.backends import build_backend, onnxruntime_backend
from metabev_ros.backends.cuda_driver import Driver
from metabev_ros.backends.providers import Provider, check_session
from metabev_ros.errors import BackendError, ConfigError, MissingDependencyError
from metabev_ros.lab.export.parity import parity_inputs
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

MODEL = resource_path('models/metabev_nano')


def installed(provider: Provider) -> bool:
    return provider.runtime_name in onnxruntime.get_available_providers()


@pytest.fixture(scope='module')
def backend():
    return build_backend('onnxruntime', MODEL, 3)


@pytest.mark.parametrize('provider', [p for p in Provider if p is not Provider.CPU])
def test_a_provider_that_is_not_installed_stops_the_start_and_says_what_to_install(provider):
    if installed(provider):
        pytest.skip(f'{provider.value} is installed here')
    with pytest.raises(MissingDependencyError) as refused:
        Pipeline.load(MODEL, provider=provider.value)
    text = str(refused.value)
    assert f'provider {provider.value}' in text and provider.runtime_name in text
    assert 'CPUExecutionProvider' in text and 'install' in text


@pytest.mark.parametrize(
    ('backend', 'provider'), [('onnxruntime', 'gpu'), ('onnxruntime', ''), ('torch', 'cuda')]
)
def test_an_unknown_provider_or_one_that_the_backend_lacks_is_wrong_configuration(
    backend, provider
):
    with pytest.raises(ConfigError, match='provider'):
        build_backend(backend, MODEL, 1, provider=provider)


@pytest.mark.filterwarnings('ignore:Specified provider')
def test_a_session_that_fell_back_to_the_cpu_is_refused():
    """ONNX Runtime itself only warns: this session exists, and computes on the CPU."""
    if installed(Provider.CUDA):
        pytest.skip('the CUDA provider is installed here')
    session = onnxruntime.InferenceSession(
        str(MODEL / 'fusion_lidar.onnx'),
        providers=['CUDAExecutionProvider', 'CPUExecutionProvider'],
    )
    with pytest.raises(BackendError, match='a session on CPUExecutionProvider'):
        check_session(session, Provider.CUDA, 'fusion_lidar')


@pytest.mark.parametrize(
    ('on_cpu', 'passes'),
    [(['Shape', 'Gather', 'Cast'], True), (['Shape', 'Conv'], False), (['MatMul'], False)],
)
def test_arithmetic_left_to_the_cpu_is_refused_and_index_arithmetic_is_not(on_cpu, passes):
    def part(provider: str, operators: list[str]):
        nodes = [SimpleNamespace(op_type=name) for name in operators]
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)

    session = SimpleNamespace(
        get_providers=lambda: ['CUDAExecutionProvider', 'CPUExecutionProvider'],
        get_provider_graph_assignment_info=lambda: [
            part('CUDAExecutionProvider', ['Conv']),
            part('CPUExecutionProvider', on_cpu),
        ],
    )
    if passes:
        check_session(session, Provider.CUDA, 'camera_encoder')
        return
    with pytest.raises(BackendError, match=f'{on_cpu[-1]} on CPUExecutionProvider'):
        check_session(session, Provider.CUDA, 'camera_encoder')


@pytest.mark.parametrize('provider', [Provider.CUDA, Provider.TENSORRT])
def test_a_gpu_provider_without_a_driver_is_refused_before_anything_is_loaded(
    monkeypatch, provider
):
    monkeypatch.setattr(
        onnxruntime,
        'get_available_providers',
        lambda: [provider.runtime_name, 'CPUExecutionProvider'],
    )
    monkeypatch.setattr(
        onnxruntime_backend, 'Driver', functools.partial(Driver, 'no_such_driver.so')
    )
    with pytest.raises(BackendError, match=f'provider {provider.value}.*use provider cpu'):
        build_backend('onnxruntime', MODEL, 1, provider=provider.value)


def test_every_session_has_the_stated_threads_does_not_spin_and_cannot_fall_back(backend):
    assert (backend.provider, backend.device, backend.precision) == ('cpu', 'cpu', 'fp32')
    for session in backend._sessions.values():
        options = session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
        assert options.get_session_config_entry('session.intra_op.allow_spinning') == '0'
        assert session.get_providers() == ['CPUExecutionProvider']
        assert not session._enable_fallback


def test_a_result_stays_as_it_is_when_the_next_sample_runs(backend):
    """Memory of the runtime is used again; what is handed out must not be."""
    first, second = (lidar for camera, lidar in parity_inputs(backend.config) if camera is None)
    given = backend.run(None, first)
    kept = {name: array.copy() for name, array in given.items()}
    other = backend.run(None, second)
    for name, array in kept.items():
        np.testing.assert_array_equal(given[name], array)
        assert not np.array_equal(other[name], array)
