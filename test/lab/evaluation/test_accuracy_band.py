"""The band: from the lower end of what other drives give up to 1; what leaves it is named."""

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.accuracy_band import (
    Band,
    band_records,
    figures,
    outside,
    read_bands,
)
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.structures import MAP_CLASSES, Detections, Modality


def drive(seed: int, found_share: float) -> Score:
    """Cars of which a share is found, and a map that is right as often."""
    rng, score = np.random.default_rng(seed), Score()
    boxes = np.zeros((20, 9), np.float32)
    boxes[:, :2], boxes[:, 3:6] = rng.uniform(-30, 30, (20, 2)), (4.5, 1.9, 1.6)
    labels, layers = np.zeros(20, np.int64), rng.random((len(MAP_CLASSES), 8, 8)) < 0.5
    ones = np.ones(20, np.int64)
    truth = GroundTruth(boxes, labels, ones, ones.astype(np.float32), np.arange(20), layers)
    kept = rng.random(20) < found_share
    wrong = rng.random(layers.shape) > found_share
    found = Detections(boxes[kept], np.ones(kept.sum(), np.float32), labels[kept])
    score.add(found, (layers ^ wrong).astype(np.float32), truth)
    return score


def scores(found_share: float) -> dict[Modality, list[Score]]:
    return {
        modality: [drive(seed, found_share) for seed in range(6)]
        for modality in (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
    }


def test_a_band_begins_a_margin_below_what_was_measured_and_ends_at_one():
    measured = scores(0.8)
    records = {record.id: record for record in band_records(World.STREETS, measured, 'x')}
    bands = read_bands(World.STREETS, records.values())
    band = bands[Modality.LIDAR, 'nds']
    whole = figures(measured[Modality.LIDAR])['nds']
    assert band.value == pytest.approx(whole, abs=1e-5) and 0 < band.low < whole
    margin = records['accuracy_band.streets.lidar.nds.margin'].value
    assert band.low == pytest.approx(whole - margin, abs=2e-5)
    assert records['accuracy_band.streets.lidar.nds'].n == 6
    assert band.holds(whole) and band.holds(1.0) and not band.holds(band.low - 1e-6)
    assert not band.holds(float('nan'))


def test_what_was_measured_stays_and_what_is_worse_is_named():
    bands = read_bands(World.STREETS, band_records(World.STREETS, scores(0.8), 'x'))
    assert outside(scores(0.8), bands) == {}
    assert outside(scores(0.95), bands) == {}
    worse = outside(scores(0.3), bands)
    assert set(worse) == {
        f'{m} {name}' for m in ('FUSED', 'LIDAR', 'CAMERA') for name in ('nds', 'miou')
    }
    assert '..1' in worse['FUSED nds']


def test_a_record_file_without_a_band_says_what_to_run():
    records = band_records(World.STREETS, scores(0.8), 'x')
    with pytest.raises(ConfigError, match='accuracy_band.py'):
        read_bands(World.STREETS, records[:-1])
    assert Band(0.5, 0.4).holds(0.4)
