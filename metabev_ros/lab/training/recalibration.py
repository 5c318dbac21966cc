"""Statistics of the baseline fuser's norms, estimated anew on training samples.

Weights do not change. A run that met every set of modalities needs none of this: it is for weights
whose norms had one running estimate for all of them, or never met some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn

from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.network.fusers import MODALITY_SETS, ConvFuser, ModalityNorm
from metabev_ros.network.metabev import MetaBev
from metabev_ros.structures import Modality

BATCH = 8  # samples that are normalised together, as in training


def unseen_sets(network: MetaBev) -> tuple[str, ...]:
    """Sets of modalities that no training batch had: their statistics are those of no data.

    Returns:
        some of MODALITY_SETS; none for another fuser than the convolutional one.
    """
    fuser = network.fusion.decoder
    if not isinstance(fuser, ConvFuser):
        return ()
    counted = fuser.fuse.norm.statistics
    return tuple(name for name in MODALITY_SETS if not int(counted[name].num_batches_tracked))


@torch.no_grad()
def recalibrate_fuser(
    network: MetaBev,
    samples: TrainingSamples,
    count: int,
    progress: Callable[[int], None] | None = None,
    sets: Sequence[str] = MODALITY_SETS,
) -> None:
    """Estimate the statistics of sets of modalities as the mean over batches.

    Args:
        network: with the convolutional fuser; is left in evaluation mode.
        samples: training samples; each is used once per set of modalities.
        count: how many of them, from the first on; a multiple of BATCH.
        progress: called with the number of finished batches.
        sets: of MODALITY_SETS; the statistics of others stay.

    Raises:
        TypeError: if the network has another fuser.
    """
    fuser = network.fusion.decoder
    if not isinstance(fuser, ConvFuser):
        raise TypeError(f'expected the convolutional fuser, got {type(fuser).__name__}')
    network.eval()
    norms = [
        cast('nn.BatchNorm2d', module.statistics[name])
        for module in fuser.modules()
        if isinstance(module, ModalityNorm)
        for name in sets
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for done, first in enumerate(range(0, count, BATCH), 1):
        for name in sets:
            modality = Modality[name.upper()]
            keys = [SampleKey(i, modality.value, 0, 0, i) for i in range(first, first + BATCH)]
            cameras, lidars, _ = zip(*(samples[key] for key in keys), strict=True)
            camera_bevs, lidar_bevs, _ = network.encode(cameras, lidars)
            maps = {
                name: torch.cat(bevs)
                for name, bevs in (('camera', camera_bevs), ('lidar', lidar_bevs))
                if bevs[0] is not None
            }
            fuser(maps)
        if progress is not None:
            progress(done)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
