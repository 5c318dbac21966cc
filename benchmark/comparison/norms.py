"""Statistics for sensors that a convolutional fuser never saw missing.

Trained on all sensors alone, its norms know one set of modalities. Others would be normalised by
numbers that come from no data. Here they get statistics of their own, in its favour: BEVFusion has
those of all sensors only, and MetaBEV's decoder has layer norms and needs none.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from benchmark.comparison.trainings import Training
from metabev_ros.backends.torch_backend import load_network
from metabev_ros.config import save_config
from metabev_ros.files import replacing, write_bytes
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import all_paths, opened_records
from metabev_ros.lab.training.provenance import STATE
from metabev_ros.lab.training.recalibration import recalibrate_fuser, unseen_sets
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.lab.training.validation import AS_RECORDED

SAMPLES = 96  # training samples, as recorded


def settled(training: Training, cache: Path) -> Path:
    """The folder of a finished training whose norms all have statistics.

    No weight changes, and no label is looked at.

    Args:
        cache: of the records that it learned from.
    """
    network, config = load_network(training.folder)
    sets = unseen_sets(network)
    if not sets:
        return training.folder
    folder = training.folder / 'settled'  # so that it ends with the weights that it is of
    weights = folder / 'weights.safetensors'
    if weights.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    records = opened_records(training.run.data, config, cache)
    samples = TrainingSamples(all_paths(records), config, AS_RECORDED, CurriculumConfig())
    recalibrate_fuser(network, samples, SAMPLES, sets=sets)
    with replacing(folder / 'config.yaml') as part:
        save_config(config, part)
    write_bytes(folder / STATE, (training.folder / STATE).read_bytes())
    with replacing(weights) as part:
        save_file({name: v.contiguous() for name, v in network.state_dict().items()}, part)
    return folder
