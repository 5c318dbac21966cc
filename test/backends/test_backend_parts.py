"""The parts of a backend put together are its whole; the torch backend loads weights alone."""

import shutil

import numpy as np
import pytest

from metabev_ros.backends import build_backend
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.resources import resource_path

MODEL = resource_path('models/metabev_nano')


@pytest.fixture(scope='module', params=['onnxruntime', 'torch'])
def backend(request):
    if request.param == 'torch':
        pytest.importorskip('torch')
    return build_backend(request.param, MODEL, 1)


@pytest.fixture(scope='module')
def inputs():
    preprocessor = Preprocessor(build_backend('onnxruntime', MODEL, 1).config)
    frame = SyntheticDrive(900_901, DriveConfig(frames=1))[0]
    return preprocessor(sample_from_frame(frame, preprocessor.prepare_image))


@pytest.mark.parametrize('has', [(True, True), (True, False), (False, True)])
def test_encoding_and_fusing_is_running(backend, inputs, has):
    camera, lidar = (part if there else None for part, there in zip(inputs, has, strict=True))
    whole = backend.run(camera, lidar)
    parts = backend.fuse(
        None if camera is None else backend.encode_camera(camera),
        None if lidar is None else backend.encode_lidar(lidar),
    )
    assert list(whole) == list(parts)
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=1e-5, atol=1e-5)


def test_nothing_to_fuse_is_refused(backend):
    with pytest.raises(BackendError, match='neither'):
        backend.fuse(None, None)


def test_weights_alone_make_a_pipeline_that_agrees_with_the_graphs(tmp_path, inputs):
    pytest.importorskip('torch')
    for name in ('config.yaml', 'weights.safetensors'):
        shutil.copy(MODEL / name, tmp_path)
    loaded = Pipeline.load(tmp_path, 'torch', 1)
    assert loaded.model.backend == 'torch' and len(loaded.model.hash) == 16
    exported = build_backend('onnxruntime', MODEL, 1).run(*inputs)
    for name, array in loaded.backend.run(*inputs).items():
        np.testing.assert_allclose(array, exported[name], atol=2e-3)
    (tmp_path / 'weights.safetensors').unlink()
    with pytest.raises(ContractError, match='weights'):
        Pipeline.load(tmp_path, 'torch', 1)
