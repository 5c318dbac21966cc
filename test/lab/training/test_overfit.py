"""One set of nano weights learns eight samples by heart, fused and by each sensor alone."""

import numpy as np
import pytest

from metabev_ros.config import load_config
from metabev_ros.lab.datasets.record_folder import RecordSamples
from metabev_ros.lab.evaluation.detection import DetectionEvaluator
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator
from metabev_ros.lab.evaluation.run import evaluate_model
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.data import all_paths, gather_records, opened_records
from metabev_ros.lab.training.monitoring import weights_pipeline
from metabev_ros.lab.training.run import RunConfig, say_nothing, train_model
from metabev_ros.structures import Detections, Modality


@pytest.fixture(scope='module')
def run(repo_root):
    return load_config(RunConfig, repo_root / 'config/training/overfit.yaml')


def test_nothing_varies_in_the_overfit_recipe(run):
    assert run.training.augmentation == AugmentationConfig(turn=0, brightness=0, view_drop=0)
    assert run.training.curriculum.probability == 0
    assert set(run.training.batch) == {'fused', 'camera', 'lidar'}
    assert [len(source.synthetic) for source in run.data] == [8]


def test_the_eight_samples_show_every_class(run, tmp_path):
    """A class without truth counts as zero: then 0.9 could not be reached."""
    sets = gather_records(run.data, run.model, tmp_path, 1, say_nothing, say_nothing)
    samples = RecordSamples(all_paths(sets))
    detection, maps = DetectionEvaluator(), MapEvaluator()
    for labelled in samples:
        truth = labelled.truth
        seen = truth.num_lidar_pts > 0
        perfect = Detections(
            truth.boxes[seen], np.ones(seen.sum(), np.float32), truth.labels[seen]
        )
        detection.add(perfect, truth)
        maps.add(truth.map_layers.astype(np.float32), truth.map_layers)
    assert detection.result().mean_ap > 0.99
    assert maps.result().mean_iou > 0.999


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_eight_samples_are_learnt_in_all_three_modes(run, tmp_path):
    trainer = train_model(run, tmp_path / 'run', tmp_path / 'cache', workers=1)
    samples = RecordSamples(all_paths(opened_records(run.data, run.model, tmp_path / 'cache')))
    results = evaluate_model(weights_pipeline(trainer.average, run.model), samples)
    scores = {
        modality.name: (result.detection.mean_ap, result.map.mean_iou)
        for modality, result in results.items()
    }
    assert set(results) == {Modality.FUSED, Modality.LIDAR, Modality.CAMERA}
    assert all(ap > 0.9 and iou > 0.9 for ap, iou in scores.values()), scores
