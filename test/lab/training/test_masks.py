"""What is not known of the truth has no part in the loss; what is known counts as ever."""

import dataclasses

import numpy as np
import pytest
import torch
from support.made_records import folder_of, made_record
from support.small_networks import sample_of, small_model
from support.tiny import PLAIN, TINY
from test_train import config, log_of

from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.geometry import NUSCENES_MAP_GRID, transform_points
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL
from metabev_ros.lab.datasets.sample_record import read_record, write_record
from metabev_ros.lab.training.augmentation import AugmentationConfig, move_boxes
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import open_records
from metabev_ros.lab.training.losses import detection_loss, heatmap_loss, map_loss
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.lab.training.step import TrainingStep
from metabev_ros.lab.training.targets import asked_cells, detection_targets
from metabev_ros.lab.training.train import Trainer
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality

HEADS = ('compact', 'groups', 'transfusion', 'plain_detr')
SCENE = AugmentationConfig(rotation=45, scale=(0.9, 1.1), translation=0.5, flip_x=0.5, flip_y=0.5)


def outputs_of(model, seed=0):
    """Raw outputs of a network in training and the truth of two samples."""
    torch.manual_seed(seed)
    network = MetaBev(model).train()
    cameras, lidars, targets = zip(*(sample_of(model, s) for s in range(2)), strict=True)
    output, _ = network(list(cameras), list(lidars))
    return network, output.detection, list(targets)


def sum_of(output, targets, model):
    return sum(detection_loss(output, targets, model).values())


@pytest.mark.parametrize('head', HEADS)
def test_masks_that_leave_nothing_out_change_no_bit(head):
    model = small_model(head)
    _, output, targets = outputs_of(model)
    masked = [{**t, 'asked': torch.ones_like(t['heatmap'], dtype=torch.bool)} for t in targets]
    one = [{**targets[0], 'asked': None}, masked[1]]
    plain = detection_loss(output, targets, model)
    for other in (masked, one):
        found = detection_loss(output, other, model)
        assert all(torch.equal(found[name], term) for name, term in plain.items())


@pytest.mark.parametrize('head', HEADS)
def test_a_velocity_that_is_not_known_costs_nothing_and_teaches_nothing(head):
    model = small_model(head)
    network, output, targets = outputs_of(model)
    unknown = [{**t, 'channels': t['channels'].clone()} for t in targets]
    for target in unknown:
        target['channels'][:, 8:10] = torch.nan
    before = detection_loss(output, targets, model)
    found = detection_loss(output, unknown, model)
    assert all(term.isfinite() for term in found.values())
    assert found['boxes'] < before['boxes'] and found['heatmap'] == before['heatmap']
    found['boxes'].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    # The same with a velocity that equals what is predicted anyway: half of the boxes known.
    some = [{**t, 'channels': t['channels'].clone()} for t in targets]
    some[0]['channels'][0, 8:10] = torch.nan
    between = detection_loss(output, some, model)['boxes']
    assert found['boxes'] < between < before['boxes']


@pytest.mark.parametrize('head', ('transfusion', 'plain_detr'))
def test_only_unmatched_queries_where_nobody_looked_are_left_alone(head):
    model = small_model(head)
    _, output, targets = outputs_of(model)
    name = 'class_logits' if head == 'transfusion' else 'layer_logits'
    nowhere = torch.zeros_like(targets[0]['heatmap'], dtype=torch.bool)
    blind = [{**t, 'asked': nowhere} for t in targets]
    logits = output[name].detach().requires_grad_()
    detection_loss({**output, name: logits}, blind, model)['classes'].backward()
    taught = logits.grad.abs().sum(1 if head == 'transfusion' else -1) > 0
    per_sample = taught.flatten(1).sum(1)
    boxes = [len(t['labels']) for t in targets]
    if head == 'transfusion':
        assert per_sample.tolist() == boxes
    else:  # each layer: once, and `repeats` times among the one-to-many queries
        layers, hybrid = logits.shape[1], model.head.plain_detr.hybrid
        many = [min(hybrid.queries, hybrid.repeats * count) for count in boxes]
        wanted = [layers * (a + b) for a, b in zip(boxes, many, strict=True)]
        assert per_sample.tolist() == wanted


def test_the_heatmap_is_free_where_nobody_looked():
    logits, target = torch.randn(2, 3, 6, 6), torch.zeros(2, 3, 6, 6)
    target[0, 1, 2, 2] = 1.0
    asked = torch.rand(2, 3, 6, 6) > 0.4
    asked[0, 1, 2, 2] = True
    loss = heatmap_loss(logits, target, asked)
    other = torch.where(asked, logits, torch.randn(2, 3, 6, 6))
    assert torch.equal(heatmap_loss(other, target, asked), loss)
    assert not torch.equal(heatmap_loss(other, target), heatmap_loss(logits, target))


def test_the_map_loss_counts_the_known_cells_of_each_layer():
    logits, target = torch.randn(2, 3, 4, 4), (torch.rand(2, 3, 4, 4) > 0.5).float()
    known = torch.rand(2, 3, 4, 4) > 0.5
    known[:, 2] = False  # a layer that nobody drew
    focal, dice = map_loss(logits, target, known)
    other = torch.where(known, logits, torch.randn(2, 3, 4, 4))
    assert torch.equal(torch.stack(map_loss(other, target, known)), torch.stack((focal, dice)))
    p, by_hand, terms = logits.sigmoid(), 0.0, []
    for layer in range(2):
        k, q, t = known[:, layer], p[:, layer], target[:, layer]
        cross = -(t * q.log() + (1 - t) * (1 - q).log())
        by_hand += float((cross * (q - t) ** 2)[k].mean())
        terms.append(1 - (2 * float((q * t)[k].sum()) + 1) / (float((q + t)[k].sum()) + 1))
    assert float(focal) == pytest.approx(by_hand, rel=1e-5)
    assert float(dice) == pytest.approx(np.mean(terms), rel=1e-5)
    everywhere = torch.ones_like(known)
    assert map_loss(logits, target) == map_loss(logits, target, everywhere)
    nothing = map_loss(logits, target, torch.zeros_like(known))
    assert [float(value) for value in nothing] == [0.0, 0.0]


def made_truth(seed):
    rng = np.random.default_rng(seed)
    ignored = np.concatenate(
        [
            rng.uniform(-20, 20, (6, 2)),
            rng.uniform(-1, 1, (6, 1)),
            rng.uniform(2, 9, (6, 3)),
            rng.uniform(-3, 3, (6, 1)),
        ],
        1,
    )
    labels = np.array([ANY_LABEL, 0, 3, 3, 8, ANY_LABEL])
    known = rng.random(NUSCENES_MAP_GRID.shape) > 0.3
    return made_record(
        ignored=ignored.astype(np.float32), ignored_labels=labels, objects_known=known
    ).truth


@pytest.mark.parametrize('seed', range(4))
def test_the_raster_is_the_rule_wherever_the_scene_is_moved(seed):
    """Every cell centre, moved back and put to the height of each ignored box in turn."""
    truth = made_truth(seed)
    scene = SCENE.draw_scene(np.random.default_rng(seed))
    nothing = detection_targets(np.zeros((0, 9)), np.zeros(0, np.int64), TINY)
    raster = asked_cells(truth, nothing, TINY, scene)
    assert raster.shape == (10, *TINY.bev_grid.shape) and 0.2 < raster.mean() < 0.8
    centres = TINY.bev_grid.centres().reshape(-1, 2)
    flat = np.concatenate([centres, np.zeros((len(centres), 1))], 1)
    back = transform_points(np.linalg.inv(scene), flat)
    for label in range(10):
        wanted = np.ones(len(back), bool)
        for z in [*truth.ignored[:, 2], 100.0]:
            wanted &= truth.is_asked(
                np.concatenate([back[:, :2], np.full((len(back), 1), z)], 1),
                np.full(len(back), label),
            )
        boxes_alone = raster[label].reshape(-1)
        # A box reaches up and down: at the height of one the others may be left out too.
        assert (boxes_alone == wanted).mean() > 0.995


def test_the_raster_of_one_ignored_box_is_the_rule_exactly():
    truth = made_truth(7)
    truth = dataclasses.replace(
        truth, ignored=truth.ignored[2:3], ignored_labels=truth.ignored_labels[2:3]
    )
    nothing = detection_targets(np.zeros((0, 9)), np.zeros(0, np.int64), TINY)
    raster = asked_cells(truth, nothing, TINY, np.eye(4))
    centres = TINY.bev_grid.centres().reshape(-1, 2)
    at = np.concatenate([centres, np.full((len(centres), 1), truth.ignored[0, 2])], 1)
    for label in range(10):
        asked = truth.is_asked(at, np.full(len(at), label))
        assert np.array_equal(raster[label].reshape(-1), asked)


def boxes_at(*places):
    boxes = np.zeros((len(places), 9), np.float32)
    boxes[:, :2], boxes[:, 3:6] = places, (4, 2, 1.5)
    return boxes


def item_of(tmp_path, record, augmentation=PLAIN, modality=Modality.LIDAR):
    write_record(tmp_path / 'r.npz', record)
    samples = TrainingSamples([tmp_path / 'r.npz'], TINY, augmentation, CurriculumConfig())
    return samples[SampleKey(0, modality.value, 0, 0, 0)]


def test_truth_that_is_not_asked_for_is_not_taught_and_what_is_keeps_its_cell(tmp_path):
    ignored = np.array([[10, 0, 0, 3, 3, 3, 0]], np.float32)
    record = made_record(
        boxes_at((10, 0.5), (10, 5), (11.6, 0.0)),
        ignored=ignored,
        ignored_labels=np.array([ANY_LABEL]),
    )
    _, _, targets = item_of(tmp_path, record)
    centres = TINY.bev_grid.cell_index(np.array([[10, 5], [11.6, 0.0]]))
    assert sorted(targets['cells'].tolist()) == sorted(centres.tolist())
    assert targets['asked'].flatten(1)[0, targets['cells']].all()
    assert not targets['asked'].flatten(1)[:, TINY.bev_grid.cell_index(np.array([[10, 0]]))].any()


def test_unknown_map_cells_move_with_the_scene(tmp_path):
    known = np.zeros(made_record().map_layers.shape, bool)
    known[1, :, 120:] = True  # x from 10 m on
    turned = dataclasses.replace(PLAIN, turn=1.0)
    for augmentation, front in ((PLAIN, True), (turned, False)):
        _, _, targets = item_of(tmp_path, made_record(map_known=known), augmentation)
        there = targets['map_known'].numpy()
        assert there.sum() == known.sum() and there[0].sum() == 0
        assert there[1, 100, 130] == front and there[1, 100, 70] != front


def test_without_a_lidar_every_box_is_taught(tmp_path, tiny_records):
    record = read_record(tiny_records[0].paths[0])
    blind = dataclasses.replace(
        record,
        points=np.zeros((0, 5), np.float32),
        num_lidar_pts=np.zeros(len(record.boxes), np.int64),
    )
    _, lidar, targets = item_of(tmp_path, blind, modality=Modality.CAMERA)
    inside = TINY.bev_grid.cell_index(record.boxes[:, :2]) >= 0
    assert lidar is None and len(targets['labels']) == inside.sum() > 0


@pytest.mark.parametrize('count', (1, 2, 4))
def test_any_number_of_cameras_is_trained_on_and_one_always_stays(tmp_path, tiny_records, count):
    record = read_record(tiny_records[0].paths[0])
    names = ('pixels', 'intrinsics', 'ego_from_camera', 'camera_ages_ns', 'depth', 'cameras')
    fewer = dataclasses.replace(record, **{name: getattr(record, name)[:count] for name in names})
    write_record(tmp_path / 'r.npz', fewer)
    always = AugmentationConfig(view_drop=1.0)
    samples = TrainingSamples([tmp_path / 'r.npz'], TINY, always, CurriculumConfig())
    keys = [SampleKey(0, Modality.FUSED.value, 0, step, 0) for step in range(6)]
    cameras = [samples[key][0]['images'] for key in keys]
    left = {len(images) for images in cameras}
    assert min(left) == 1 and max(left) == max(1, count - 1)
    whole = TrainingSamples(tiny_records[0].paths, TINY, PLAIN, CurriculumConfig())
    batch = [samples[keys[0]], whole[keys[1]]]
    loss = sum(TrainingStep(MetaBev(TINY), None, config())(batch).values())
    assert loss.isfinite()


def test_records_with_masks_and_fewer_sensors_train_together(tmp_path, tiny_records):
    """NaN velocities, ignored boxes, an unknown map, no LiDAR, no cameras: one run."""
    record = read_record(tiny_records[0].paths[0])
    unknown = record.boxes.copy()
    unknown[::2, 7:] = np.nan
    count = len(unknown)
    base = {
        'boxes': unknown,
        'map_known': np.zeros(record.map_layers.shape, bool),
        'ignored': np.array([[5, 5, 0, 8, 8, 4, 0.3]], np.float32),
        'ignored_labels': np.array([ANY_LABEL]),
    }
    lidar_only = {
        name: getattr(record, name)[:0]
        for name in ('pixels', 'intrinsics', 'ego_from_camera', 'camera_ages_ns', 'depth')
    }
    records = [
        dataclasses.replace(record, token='a', **base),
        dataclasses.replace(record, token='b', cameras=(), **lidar_only, **base),
        dataclasses.replace(
            record,
            token='c',
            points=np.zeros((0, 5), np.float32),
            num_lidar_pts=np.zeros(count, np.int64),
            **base,
        ),
    ]
    data = open_records(folder_of(tmp_path / 'records', records), TINY)
    assert {m.name for m in data.modalities} == {'FUSED', 'LIDAR', 'CAMERA'}
    training = config(augmentation=SCENE, auxiliary_weight=0.2)
    Trainer(tmp_path / 'run', TINY, training).run([data, *tiny_records])
    totals = [line['total'] for line in log_of(tmp_path / 'run')]
    assert len(totals) == 4 and np.isfinite(totals).all()


def test_a_loss_that_is_no_number_stops_and_names_the_records(tmp_path, tiny_records):
    trainer = Trainer(tmp_path, TINY, config(checkpoint_every=1))
    trainer.save()
    before = (tmp_path / 'weights.safetensors').read_bytes()
    with torch.no_grad():
        next(trainer.network.fusion.map.parameters()).fill_(torch.nan)
    with pytest.raises(MetaBevError, match=r'step 1: .*map_focal.*0005000/0005000_00'):
        trainer.run(tiny_records)
    with pytest.raises(MetaBevError, match='finite numbers'):
        trainer.save()
    assert (tmp_path / 'weights.safetensors').read_bytes() == before


def test_gradients_that_are_no_numbers_are_left_out_and_reported(tmp_path, tiny_records):
    trainer = Trainer(tmp_path, TINY, config(checkpoint_every=4))
    spoilt = next(trainer.network.fusion.map.parameters())
    spoilt.register_hook(lambda g: g * torch.nan if trainer.step in (1, 2) else g)
    trainer.run(tiny_records)
    assert trainer.skipped == 2
    assert [line.get('skipped') for line in log_of(tmp_path)] == [None, 1, 2, None]
    assert Trainer(tmp_path, TINY, config()).skipped == 2


def test_a_velocity_in_turned_scenes_stays_unknown():
    boxes = boxes_at((1, 2), (3, 4))
    boxes[0, 7:] = np.nan
    moved = move_boxes(boxes, SCENE.draw_scene(np.random.default_rng(1)))
    assert np.isnan(moved[0, 7:]).all() and np.isfinite(moved[1]).all()
    assert np.isfinite(moved[:, :7]).all()


def test_a_record_with_points_that_are_no_numbers_never_gets_so_far():
    with pytest.raises(ConfigError, match='finite'):
        made_record(points=np.full((1, 5), np.nan, np.float32))
