"""Draw docs/images/plain_detr/attention.png: what queries look at with BoxRPB and without.

    .venv/bin/metabev-env python tools/boxrpb_pictures.py

Losses and recalls go into docs/results/plain_detr.json. Trains the Plain-DETR head alone, once per
mode of BoxRPB, on a few rasterised scenes of turned rectangles, as
test/lab/training/test_plain_detr_learns.py does.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch

from metabev_ros.config import (
    DecoderConfig,
    DetectionHead,
    HeadConfig,
    LidarBranchConfig,
    ModelConfig,
    PlainDetrConfig,
    RpbMode,
)
from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.config.plain_detr import BoxRpbConfig, HybridConfig, QueryContent
from metabev_ros.geometry import BevGrid
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.training.losses import detection_loss
from metabev_ros.lab.training.matching import box_iou, corners
from metabev_ros.lab.training.targets import detection_targets
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.postprocess import Postprocessor

DOCS = Path(__file__).resolve().parent.parent / 'docs'
PICTURE = DOCS / 'images' / 'plain_detr' / 'attention.png'
COMMAND, STEPS = 'python tools/boxrpb_pictures.py', 300
CLASSES, GRID = ('car', 'truck'), BevGrid(-9.6, 9.6, -9.6, 9.6, 1.2)
CHANNELS, SCENES, BOXES = 16, 8, 4
FOUND_SCORE, FOUND_IOU = 0.3, 0.7
SUBCELLS = (np.arange(4) - 1.5) / 4 * GRID.cell
TITLES = {RpbMode.NONE: 'no bias', RpbMode.AABB: 'aabb', RpbMode.BOX_FRAME: 'box_frame'}


def toy_model(mode: RpbMode) -> ModelConfig:
    """A head of two layers on 16 x 16 cells; the rest of the network is not built."""
    plain = PlainDetrConfig(
        layers=2,
        heads=2,
        ffn_channels=64,
        content=QueryContent.LEARNED,
        boxrpb=BoxRpbConfig(mode=mode, hidden=32, knots=64, reach=16.0),
        hybrid=HybridConfig(queries=16, repeats=3),
    )
    return ModelConfig(
        bev_grid=GRID,
        detection_classes=CLASSES,
        lidar=LidarBranchConfig(pillar=GRID.cell / 2),
        decoder=DecoderConfig(cell=2 * GRID.cell),
        head=HeadConfig(
            detection=DetectionHead.PLAIN_DETR,
            plain_detr=plain,
            proposals=8,
            neck_channels=CHANNELS,
            det_channels=32,
        ),
    )


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (M, 9) that do not touch, and their classes (M,)."""
    rng, boxes, labels = np.random.default_rng(seed), [], []
    while len(boxes) < BOXES:
        label = int(rng.integers(len(CLASSES)))
        size = np.array(MEAN_SIZES[CLASSES[label]]) * rng.uniform(0.85, 1.2, 3)
        box = np.array(
            [*rng.uniform(-8, 8, 2), size[2] / 2, *size, rng.uniform(-np.pi, np.pi), 0, 0]
        )
        reach = np.hypot(*size[:2])
        if all(
            np.hypot(*(box[:2] - other[:2])) > (reach + np.hypot(*other[3:5])) / 2
            for other in boxes
        ):
            boxes.append(box)
            labels.append(label)
    return np.array(boxes), np.array(labels)


def rasterised(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(CHANNELS, Y, X) float32: a fixed mixture of covered shares per class, front halves,
    headings and heights."""
    centres, maps = GRID.centres(), np.zeros((6, *GRID.shape))
    for box, label in zip(boxes, labels, strict=True):
        cos, sin = np.cos(box[6]), np.sin(box[6])
        for shift in np.stack(np.meshgrid(SUBCELLS, SUBCELLS), -1).reshape(-1, 2):
            d = centres + shift - box[:2]
            u, v = cos * d[..., 0] + sin * d[..., 1], cos * d[..., 1] - sin * d[..., 0]
            inside = ((abs(u) <= box[3] / 2) & (abs(v) <= box[4] / 2)) / SUBCELLS.size**2
            maps[label] += inside
            maps[2:] += np.stack(
                [inside * (u > 0), inside * sin, inside * cos, inside * box[5] / 3]
            )
    mixture = np.random.default_rng(0).normal(size=(CHANNELS, len(maps)))
    return np.einsum('fc,cyx->fyx', mixture, maps).astype(np.float32)


class Trained(NamedTuple):
    """A head after training, its loss at every step, and what it was trained on."""

    head: PlainDetrHead
    model: ModelConfig
    losses: list[float]
    scenes: list[tuple[np.ndarray, np.ndarray]]
    maps: torch.Tensor

    def recall(self) -> float:
        """Share of the boxes found with their class, a score and an exact 3D IoU."""
        with torch.no_grad():
            output = self.head(self.maps)
        decode, hits = Postprocessor(self.model), []
        for i, (boxes, labels) in enumerate(self.scenes):
            found, _ = decode(
                {
                    'boxes': output['boxes'][i : i + 1].numpy(),
                    'class_logits': output['class_logits'][i : i + 1].numpy(),
                    'map_logits': np.zeros((1, 1, 1, 1), np.float32),
                }
            )
            good = box_iou(boxes[:, :7], found.boxes[:, :7].astype(float)) >= FOUND_IOU
            good &= (labels[:, None] == found.labels) & (found.scores >= FOUND_SCORE)
            hits += good.any(1).tolist()
        return float(np.mean(hits))


def train(mode: RpbMode, seed: int, steps: int, rate: float = 3e-3) -> Trained:
    """The head on all scenes at once; warm-up, then level, then linearly down to zero."""
    model = toy_model(mode)
    scenes = [scene(i) for i in range(SCENES)]
    maps = torch.from_numpy(np.stack([rasterised(*each) for each in scenes]))
    targets = [
        {name: torch.as_tensor(value) for name, value in detection_targets(*each, model).items()}
        for each in scenes
    ]
    torch.manual_seed(seed)
    head = PlainDetrHead(model.head, CLASSES, GRID)
    optimiser, losses = torch.optim.AdamW(head.parameters(), rate, weight_decay=1e-4), []
    for step in range(steps):
        for group in optimiser.param_groups:
            group['lr'] = rate * min((step + 1) / 20, 1, 2 * (steps - step) / steps)
        loss = sum(detection_loss(head(maps), targets, model).values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 2.0)
        optimiser.step()
        losses.append(loss.item())
    return Trained(head.eval(), model, losses, scenes, maps)


@torch.no_grad()
def attention(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
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
    return weights.reshape(-1, *GRID.shape).numpy(), upright


def draw(results: list[Trained], path: Path, columns: int = 4) -> None:
    """One row per head: where the query nearest to each true box looks."""
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(results), columns, layout='constrained', figsize=(2.4 * columns, 2.55 * len(results))
    )
    extent = (GRID.x_min, GRID.x_max, GRID.y_min, GRID.y_max)
    for row, trained in zip(axes, results, strict=True):
        weights, boxes = attention(trained)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    results = [train(mode, seed=0, steps=STEPS) for mode in TITLES]
    records = []
    for mode, result in zip(TITLES, results, strict=True):
        for name, value, unit, count in (
            ('loss', np.mean(result.losses[-10:]), 'loss', STEPS),
            ('recall', result.recall(), f'recall at IoU {FOUND_IOU}', SCENES * BOXES),
        ):
            records.append(
                make_record(
                    f'toy.{mode.value}.{name}', round(float(value), 3), unit, COMMAND, count
                )
            )
    merge_records(DOCS / 'results' / 'plain_detr.json', records)
    draw(results, PICTURE)
    print(PICTURE)


if __name__ == '__main__':
    main()
