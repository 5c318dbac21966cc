"""The shipped model through the whole main path, without torch."""

import subprocess
import sys

import numpy as np
import pytest

from metabev_ros.config import ModelConfig
from metabev_ros.contract import load_contract
from metabev_ros.errors import BackendError, ConfigError, ContractError
from metabev_ros.files import sha256_of
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame, without_sensors
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.structures import Modality, Sample

MODEL = resource_path('models/metabev_nano')
RIG = resource_path(DEFAULT_RIG)


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(MODEL, threads=2)


@pytest.fixture(scope='module')
def sample(pipeline):
    return sample_from_frame(
        SyntheticDrive(900_900, DriveConfig(frames=1))[0], pipeline.prepare_image
    )


@pytest.mark.parametrize('modality', [Modality.FUSED, Modality.CAMERA, Modality.LIDAR])
def test_every_branch_gives_valid_outputs_and_repeats_bit_for_bit(pipeline, sample, modality):
    restricted = restrict_to(sample, modality)
    first, second = pipeline(restricted), pipeline(restricted)
    boxes = first.detections.boxes
    assert len(first.detections) > 0
    assert np.isfinite(boxes).all() and (boxes[:, 3:6] > 0).all()
    assert first.map_probabilities.shape == (6, 200, 200)
    np.testing.assert_array_equal(boxes, second.detections.boxes)
    np.testing.assert_array_equal(first.map_probabilities, second.map_probabilities)
    assert set(first.latency_s) == {'preprocess', 'network', 'postprocess'}


def test_fused_camera_and_lidar_outputs_differ(pipeline, sample):
    maps = [
        pipeline(restrict_to(sample, m)).map_probabilities
        for m in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
    ]
    assert not np.array_equal(maps[0], maps[1]) and not np.array_equal(maps[0], maps[2])


def test_pixels_of_a_missing_view_cannot_change_the_output(pipeline, sample):
    """Whatever the dead camera would have shown: without it the result is one and the same."""
    names = [report.name for report in sample.sensors[:1]]
    first = pipeline(without_sensors(sample, names))
    other = sample_from_frame(
        SyntheticDrive(900_901, DriveConfig(frames=1))[0], pipeline.prepare_image
    )
    swapped = Sample(
        sample.stamp_ns,
        {**sample.cameras, names[0]: other.cameras[names[0]]},
        sample.sweep,
        sample.modality,
        sample.sensors,
    )
    second = pipeline(without_sensors(swapped, names))
    np.testing.assert_array_equal(first.detections.boxes, second.detections.boxes)
    assert not np.array_equal(first.map_probabilities, pipeline(sample).map_probabilities)


def test_a_sample_of_modality_none_is_refused(pipeline):
    with pytest.raises(BackendError):
        pipeline(Sample(0, {'CAM_FRONT': None}, None, Modality.NONE))


def test_the_shipped_files_fit_their_contract():
    contract = load_contract(MODEL)
    assert contract.weights_sha256 == sha256_of(MODEL / 'weights.safetensors')
    for file, digest in contract.digests.items():
        assert sha256_of(MODEL / file) == digest
    assert isinstance(contract.config, ModelConfig) and contract.opset == 18


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        ({'model_dir': '/nowhere'}, ContractError),
        ({'backend': 'tensorflow'}, ConfigError),
        ({'threads': 0}, ConfigError),
    ],
)
def test_wrong_start_up_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        Pipeline.load(**{'model_dir': MODEL, **arguments})


def test_the_model_runs_where_torch_cannot_be_imported():
    code = (
        'import sys; sys.modules["torch"] = None\n'
        'from metabev_ros.pipeline import Pipeline\n'
        'from metabev_ros.config import RigConfig, load_config\n'
        f'rig = load_config(RigConfig, {str(RIG)!r})\n'
        f'Pipeline.load({str(MODEL)!r}).warm_up(rig); print("ok")'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=MODEL.parents[1]
    )
    assert done.stdout.strip() == 'ok', done.stderr
