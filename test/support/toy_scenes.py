"""The Plain-DETR head alone on a few rasterised scenes of turned rectangles."""

from __future__ import annotations

from typing import NamedTuple

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
from metabev_ros.lab.training.losses import detection_loss
from metabev_ros.lab.training.matching import box_iou
from metabev_ros.lab.training.targets import detection_targets
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.postprocess import Postprocessor

CLASSES, GRID = ('car', 'truck'), BevGrid(-9.6, 9.6, -9.6, 9.6, 1.2)
CHANNELS, SCENES, BOXES = 16, 8, 4
FOUND_SCORE, FOUND_IOU = 0.3, 0.7
SUBCELLS = (np.arange(4) - 1.5) / 4 * GRID.cell


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
