"""Boxes, velocities, sweeps, map layers and splits of nuScenes against nuscenes-devkit 1.2.0.

Its answers to one invented folder are stored; where the devkit is at hand it is asked again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest
from support import nuscenes_oracle as oracle

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES, NO_ATTRIBUTE
from metabev_ros.lab.datasets.sources.classes import BACKGROUND
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceFrame
from metabev_ros.lab.datasets.sources.nuscenes import NuScenes
from metabev_ros.lab.datasets.sources.nuscenes_splits import SPLITS, scenes_of_split
from metabev_ros.lab.datasets.sources.nuscenes_truth import BIKE_RACK, CLASSES
from metabev_ros.lab.evaluation.detection import CLASS_RANGE_M
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES

SWEEPS = 10


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    folder = oracle.stored_folder(tmp_path_factory.mktemp('stored'))
    answers = json.loads(oracle.GOLDEN.read_text())
    return folder, answers, {k: oracle.unpacked(v) for k, v in answers['masks'].items()}


@pytest.fixture(scope='module', params=[0, 1, 2])
def asked(request, tmp_path_factory):
    folder = oracle.oracle_folder(tmp_path_factory.mktemp('asked'), request.param)
    return folder, *oracle.ask(folder)


def frames_of(folder) -> Iterator[SourceFrame]:
    source = NuScenes(folder, split='mini_val', remove_close=False)
    for scene in source.scenes():
        yield from source.frames(scene, SWEEPS)


def assert_boxes_agree(folder, answers) -> None:
    frames = list(frames_of(folder))
    assert sorted(f.token for f in frames) == sorted(answers['samples'])
    for frame in frames:
        said = answers['samples'][frame.token]['boxes']
        kept = [b for b in said if CLASSES[b['category']] in DETECTION_CLASSES]
        truth = frame.truth
        assert [DETECTION_CLASSES[k] for k in truth.labels] == [
            CLASSES[b['category']] for b in kept
        ]
        assert truth.track_ids.tolist() == [b['instance'] for b in kept]
        np.testing.assert_allclose(
            truth.boxes[:, :7], np.array([b['box'] for b in kept]), rtol=0, atol=1e-5
        )
        velocity = np.array([b['velocity'] for b in kept], float)
        np.testing.assert_allclose(truth.boxes[:, 7:], velocity, rtol=0, atol=1e-5)
        names = [b['attributes'] for b in kept]
        assert truth.attributes is not None and truth.attributes.tolist() == [
            ATTRIBUTES.index(n[0]) if n else NO_ATTRIBUTE for n in names
        ]
        racks = np.array([b['box'] for b in said if b['category'] == BIKE_RACK])
        np.testing.assert_allclose(truth.ignored, np.repeat(racks, 2, axis=0), rtol=0, atol=1e-5)
        assert sorted({DETECTION_CLASSES[k] for k in truth.ignored_labels}) == [
            'bicycle',
            'motorcycle',
        ]


def assert_sweeps_agree(folder, answers, maker: RecordMaker) -> None:
    for frame in frames_of(folder):
        said = answers['samples'][frame.token]['cloud']
        points = maker.make(frame).points
        lags, counts = np.unique(points[:, 4], return_counts=True)
        np.testing.assert_allclose(lags, said['lags'], rtol=0, atol=1e-6)
        assert len(lags) == len(frame.sweeps) and lags[0] == 0
        assert counts.tolist() == said['counts']
        np.testing.assert_allclose(
            points[said['shown'], :4], np.array(said['points']), rtol=0, atol=2e-4
        )


def assert_asked_as_officially(folder, answers) -> None:
    """What is in range, has points and is in no rack is what the official filter leaves."""
    for frame in frames_of(folder):
        truth = frame.truth
        names = [DETECTION_CLASSES[k] for k in truth.labels]
        centres = transform_points(frame.world_from_ego, truth.boxes[:, :3].astype(np.float64))
        distance = np.linalg.norm((centres - frame.world_from_ego[:3, 3])[:, :2], axis=1)
        left = truth.is_asked(truth.boxes[:, :3], truth.labels) & (truth.num_lidar_pts > 0)
        left &= distance < [CLASS_RANGE_M[name] for name in names]
        rows = np.flatnonzero(left)
        ours = sorted((names[i], *centres[i].tolist(), int(truth.num_lidar_pts[i])) for i in rows)
        said = sorted(tuple(row) for row in answers['asked'][frame.token])
        assert [row[0] for row in ours] == [row[0] for row in said]
        np.testing.assert_allclose(
            np.array([row[1:] for row in ours]), np.array([row[1:] for row in said]), atol=1e-5
        )


def assert_maps_agree(folder, masks) -> None:
    """Polygons cell by cell; lines but for cells beside those that cross the far borders.

    There the devkit's corner lies at 199 or 200 by the last bit, as it rounds down: a line two
    cells wide bends by up to one cell.
    """
    divider = MAP_CLASSES.index('divider')
    for frame in frames_of(folder):
        ours, said = frame.truth.map_layers, masks[frame.token]
        assert frame.truth.map_known is None and ours.shape == said.shape
        others = [k for k in range(len(MAP_CLASSES)) if k != divider]
        differing = (ours[others] != said[others]).sum(axis=(1, 2))
        assert differing.tolist() == [0] * 5
        assert (said[others].sum(axis=(1, 2)) > 300).all()
        both, either = ours[divider] & said[divider], ours[divider] | said[divider]
        assert both.sum() / either.sum() > 0.98
        wide = np.pad(both, 1)
        near = np.any(
            [wide[1 + dy : 201 + dy, 1 + dx : 201 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)],
            axis=0,
        )
        assert not (either & ~near).any()


@pytest.fixture(scope='module')
def maker(repo_root):
    model = load_config(ModelConfig, repo_root / 'models' / 'metabev_nano' / 'config.yaml')
    lidar = dataclasses.replace(model.lidar, sweeps=SWEEPS)
    return RecordMaker(dataclasses.replace(model, lidar=lidar))


def test_boxes_velocities_and_attributes_are_those_that_the_devkit_stored(stored):
    folder, answers, _ = stored
    assert_boxes_agree(folder, answers)


def test_merged_sweeps_are_those_that_the_devkit_stored(stored, maker):
    folder, answers, _ = stored
    assert_sweeps_agree(folder, answers, maker)


def test_what_the_official_filter_leaves_is_what_counts(stored):
    folder, answers, _ = stored
    assert_asked_as_officially(folder, answers)


def test_map_layers_are_those_that_the_devkit_stored(stored):
    folder, _, masks = stored
    assert_maps_agree(folder, masks)


def test_the_stored_answers_hold_what_is_hard():
    answers = json.loads(oracle.GOLDEN.read_text())
    boxes = [b for s in answers['samples'].values() for b in s['boxes']]
    assert any(b['velocity'][0] is None for b in boxes) and any(b['attributes'] for b in boxes)
    assert {CLASSES[b['category']] for b in boxes} >= {*DETECTION_CLASSES, BACKGROUND}
    asked_for = sum(len(boxes) for boxes in answers['asked'].values())
    assert 10 < asked_for < sum(CLASSES[b['category']] in DETECTION_CLASSES for b in boxes) - 3


@pytest.mark.parametrize('split', SPLITS)
def test_splits_are_the_official_ones(split):
    digests = json.loads(oracle.GOLDEN.read_text())['splits']
    if SPLITS[split] == 'mini':
        known = [f'scene-{i:04}' for i in range(1, 1111)]
    else:  # the devkit's two lists are all of trainval
        known = trainval_scenes()
    version = f'v1.0-{SPLITS[split]}'
    assert oracle.digest(scenes_of_split(split, version, known)) == digests[split]


def trainval_scenes() -> list[str]:
    """The 850 scenes: all numbers up to 1110 but those of the test set and those never used."""
    missing = (
        '37,40,77-91,111-119,136-137,140-148,153,156,169,186,189,197-198,201,205,215-217,223,'
        '265-267,279-282,307-314,319-320,322,325-327,333-343,387,404,409,460,466,470,473,481-498,'
        '503,516,540,547-551,567,569,579,581,601-624,628,631,680,682,690-694,699,702,720-725,729,'
        '732,742-743,745,748,753-756,766,772-774,776,779,785,788,793,801,807,814,818,823-846,857,'
        '859,867,874,879,881,918,932-944,946,948,950-951,954,964-965,970,973-974,985-987,993,'
        '1026-1043,1103'
    )
    gone = set()
    for part in missing.split(','):
        first, _, last = part.partition('-')
        gone.update(range(int(first), int(last or first) + 1))
    return [f'scene-{i:04}' for i in range(1, 1111) if i not in gone]


@pytest.mark.devkit
def test_boxes_velocities_and_attributes_are_those_of_the_devkit(asked):
    folder, answers, _ = asked
    assert_boxes_agree(folder, answers)


@pytest.mark.devkit
def test_merged_sweeps_are_those_of_the_devkit(asked, maker):
    folder, answers, _ = asked
    assert_sweeps_agree(folder, answers, maker)


@pytest.mark.devkit
def test_what_the_filter_of_the_devkit_leaves_is_what_counts(asked):
    folder, answers, _ = asked
    assert_asked_as_officially(folder, answers)


@pytest.mark.devkit
def test_map_layers_are_those_of_the_devkit(asked):
    folder, _, masks = asked
    assert_maps_agree(folder, masks)


@pytest.mark.devkit
def test_splits_are_those_of_the_devkit(asked):
    _, answers, _ = asked
    known = sorted(answers['splits']['train'] + answers['splits']['val'])
    for split, version in SPLITS.items():
        found = scenes_of_split(split, f'v1.0-{version}', known)
        assert sorted(found) == sorted(set(answers['splits'][split]) & set(known))
