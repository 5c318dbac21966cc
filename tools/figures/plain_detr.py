"""Picture of what queries of Plain-DETR look at, and the figures of the heads that it trains."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from support import toy_scenes

from figures import style
from metabev_ros.config import RpbMode
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.training.matching import corners

COMMAND, STEPS = 'python tools/figures plain-detr', 300
TITLES = {RpbMode.NONE: 'no bias', RpbMode.AABB: 'aabb', RpbMode.BOX_FRAME: 'box_frame'}


@torch.no_grad()
def _attention(trained: toy_scenes.Trained) -> tuple[np.ndarray, np.ndarray]:
    """Of the first scene in the last layer: weights (P, Y, X), mean over heads, and the boxes
    (P, 7) that the layer starts from."""
    head, seen = trained.head, {}
    layer = head.layers[-1]
    hooks = [
        layer.register_forward_pre_hook(lambda _, given: seen.update(boxes=given[2])),
        layer.cross_attention.register_forward_pre_hook(lambda _, given: seen.update(given=given)),
    ]
    head(trained.maps[:1])
    for hook in hooks:
        hook.remove()
    query, keys, _, bias = seen['given']
    weights = layer.cross_attention.weights(query, keys, bias).mean(1)[0]
    boxes = seen['boxes'][0].numpy()
    upright = np.concatenate([boxes[:, :6], np.arctan2(boxes[:, 6:7], boxes[:, 7:])], 1)
    return weights.reshape(-1, *toy_scenes.GRID.shape).numpy(), upright


def _record(results: list[toy_scenes.Trained]) -> None:
    """Put losses and recalls into docs/results/plain_detr.json."""
    records = []
    for mode, result in zip(TITLES, results, strict=True):
        loss, recall = float(np.mean(result.losses[-10:])), result.recall()
        recall_unit = f'recall at IoU {toy_scenes.FOUND_IOU}'
        boxes = toy_scenes.SCENES * toy_scenes.BOXES
        place = f'toy.{mode.value}'
        records += [
            make_record(f'{place}.loss', round(loss, 3), 'loss', COMMAND, STEPS),
            make_record(f'{place}.recall', round(recall, 3), recall_unit, COMMAND, boxes),
        ]
    merge_records(style.RESULTS / 'plain_detr.json', records)


def draw_plain_detr(path: Path, columns: int = toy_scenes.BOXES) -> None:
    """Where the query nearest to each true box looks, one row a form of BoxRPB; records too."""
    results = [toy_scenes.train(mode, seed=0, steps=STEPS) for mode in TITLES]
    _record(results)
    figure, axes = plt.subplots(
        len(results), columns, layout='constrained', figsize=(2.4 * columns, 2.55 * len(results))
    )
    extent = (
        toy_scenes.GRID.x_min,
        toy_scenes.GRID.x_max,
        toy_scenes.GRID.y_min,
        toy_scenes.GRID.y_max,
    )
    for row, trained in zip(axes, results, strict=True):
        weights, boxes = _attention(trained)
        truth = trained.scenes[0][0]
        for axis, true in zip(row, truth, strict=False):
            nearest = np.linalg.norm(boxes[:, :2] - true[:2], axis=1).argmin()
            axis.imshow(weights[nearest], origin='lower', extent=extent, cmap='magma', vmin=0)
            for box, colour in ((true, '#4cd07d'), (boxes[nearest], '#55aaff')):
                ring = corners(box[None, :7])[0]
                axis.plot(*ring[[0, 1, 2, 3, 0]].T, color=colour, linewidth=1.3)
            axis.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
        mode = trained.model.head.plain_detr.boxrpb.mode
        row[0].set_ylabel(f'{TITLES[mode]}\nloss {np.mean(trained.losses[-10:]):.2f}')
    style.save(figure, path)
