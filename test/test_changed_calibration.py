"""A camera that is turned while the pipeline runs is used as it is, from the next sample on."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.structures import Modality, Sample, SensorKind, SensorState

MODEL = resource_path('models/metabev_nano')
RIG = load_config(RigConfig, resource_path(DEFAULT_RIG))
TURN = rigid_transform(rotation_z(np.radians(5)), [0.05, 0, 0])
CAMERA = 'CAM_FRONT'


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(MODEL)


@pytest.fixture(scope='module')
def sample(pipeline):
    return sample_from_frame(
        SyntheticDrive(900_902, DriveConfig(frames=1))[0], pipeline.prepare_image
    )


def with_turned_camera(sample: Sample) -> Sample:
    """Five degrees and five centimetres, as after a kerb or a new calibration."""
    image = sample.cameras[CAMERA]
    calibration = dataclasses.replace(
        image.calibration, ego_from_camera=TURN @ image.calibration.ego_from_camera
    )
    cameras = {**sample.cameras, CAMERA: dataclasses.replace(image, calibration=calibration)}
    return dataclasses.replace(sample, cameras=cameras)


def assert_same(result, expected) -> None:
    assert result.sample.modality is expected.sample.modality
    np.testing.assert_array_equal(result.map_probabilities, expected.map_probabilities)
    np.testing.assert_array_equal(result.detections.boxes, expected.detections.boxes)


@pytest.mark.parametrize('modality', [Modality.FUSED, Modality.CAMERA])
def test_the_next_output_is_that_of_a_fresh_pipeline_and_no_session_is_made_again(
    pipeline, sample, modality
):
    before = restrict_to(sample, modality)
    after = with_turned_camera(before)
    old = pipeline(before)
    sessions = dict(pipeline.backend._sessions)
    new = pipeline(after)
    assert pipeline.backend._sessions == sessions
    assert_same(new, Pipeline.load(MODEL)(after))
    assert not np.array_equal(new.map_probabilities, old.map_probabilities)
    assert_same(pipeline(before), old)


def test_until_the_tables_are_there_the_lidar_runs_alone_and_the_output_says_so(
    pipeline, sample, monkeypatch
):
    live = Pipeline(pipeline.config, pipeline.backend, pipeline.model.hash, table_wait=0.05)
    live.warm_up(RIG)
    go, build = threading.Event(), LiftSplatTables._build

    def held_build(self, cells):
        assert go.wait(30)
        return build(self, cells)

    monkeypatch.setattr(LiftSplatTables, '_build', held_build)
    turned = with_turned_camera(sample)
    pending = live(turned)
    assert_same(pending, pipeline(restrict_to(turned, Modality.LIDAR)))
    for report in pending.sample.sensors:
        is_camera = report.kind is SensorKind.CAMERA
        assert report.used is not is_camera
        assert report.state is (SensorState.RECOVERING if is_camera else SensorState.OK)
        assert ('calibration' in report.reason) is is_camera
    go.set()
    live(restrict_to(turned, Modality.CAMERA))  # waits: there is nothing else to look at
    ready = live(turned)
    assert ready.sample is turned
    assert_same(ready, pipeline(turned))


def test_warm_up_of_a_live_pipeline_runs_the_camera_graphs_however_slow_the_tables_are(pipeline):
    ran = []

    class Counting:
        """The backend, and which inputs it was given."""

        name, device, precision, provider = 'onnxruntime', 'cpu', 'fp32', 'cpu'
        gpu_memory, score_calibration, measured_errors = 4096, None, None

        def run(self, camera, lidar):
            ran.append(Modality.from_presence(camera is not None, lidar is not None))
            return pipeline.backend.run(camera, lidar)

    live = Pipeline(pipeline.config, Counting(), 'x', table_wait=1e-6)
    live.warm_up(RIG)
    assert live.model.gpu_memory == 4096  # what the status says: known when all has run once
    assert set(ran) == {Modality.CAMERA, Modality.FUSED, Modality.LIDAR}
