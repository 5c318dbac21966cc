"""Layers of the map one by one: a layer that one drive has can carry a whole lead in mIoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metabev_ros.lab.datasets.corruptions import CLEAN
from metabev_ros.lab.evaluation.bootstrap import drawn_drives
from metabev_ros.lab.evaluation.fair_comparison import Arm, LayerFigures
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator
from metabev_ros.lab.evaluation.robustness import ModelSource, stored_scores
from metabev_ros.lab.evaluation.seed_bootstrap import SeedDraws
from metabev_ros.structures import MAP_CLASSES, ModelInfo


def layer_figures(
    models: Mapping[tuple[Arm, int], ModelSource],
    infos: Mapping[str, ModelInfo],
    test_set: LabelledDrives,
    partial: Path,
    resamples: int,
) -> LayerFigures:
    """Score every layer without a failure, from what an evaluation left in `partial`.

    Args:
        models: (arm, seed) -> its model.
        resamples: draws of drives, the same as for all other figures.
    """
    values: dict[Arm, list[np.ndarray]] = {}
    maps: list[MapEvaluator] = []
    for (arm, _), model in sorted(models.items(), key=lambda item: item[0][1]):
        scores = stored_scores([model], [CLEAN], test_set, partial, dict(infos))
        maps = [score.map for score in scores[model.name, CLEAN]]
        draws = [range(len(maps)), *drawn_drives(len(maps), resamples)]
        values.setdefault(arm, []).append(np.array([layer_ious(maps, draw) for draw in draws]))
    figures: dict[tuple[Arm, str], SeedDraws] = {}
    for arm, of_seeds in values.items():
        for place, layer in enumerate(MAP_CLASSES):
            all_draws = np.stack([found[:, place] for found in of_seeds])
            figures[arm, layer] = SeedDraws(all_draws[:, 0], all_draws[:, 1:])
    # The truth is the same whichever model was scored last.
    truth = np.array([found.result().truth_cells for found in maps])
    return LayerFigures(dict(zip(MAP_CLASSES, (truth > 0).sum(0).tolist(), strict=True)), figures)


def layer_ious(maps: Sequence[MapEvaluator], draw: Sequence[int] | np.ndarray) -> np.ndarray:
    """(K,) best IoU over the thresholds of every layer, over the drives of a draw."""
    return MapEvaluator.merged(maps[drive] for drive in draw).result().iou.max(axis=1)
