"""Estimate the statistics of a baseline's fuser anew on training samples.

    .venv/bin/metabev-env python tools/recalibrate_fuser.py models/bevfusion_nano_masked \
        --run config/training/bevfusion_nano_masked.yaml --samples 96

No weight changes. The samples are the first ones of the run's own drives, as recorded.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from safetensors.torch import save

from metabev_ros.backends.torch_backend import load_network
from metabev_ros.config import load_config
from metabev_ros.files import write_bytes
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import DataSource, all_paths, gather_records
from metabev_ros.lab.training.recalibration import recalibrate_fuser
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.lab.training.validation import AS_RECORDED


def _enough(data: tuple[DataSource, ...], samples: int) -> list[DataSource]:
    """The sources with no more rendered worlds than the samples need."""
    return [
        source
        if source.synthetic is None
        else dataclasses.replace(
            source,
            synthetic=dataclasses.replace(
                source.synthetic,
                worlds=min(
                    source.synthetic.worlds, -(-samples // source.synthetic.frames_per_world)
                ),
            ),
        )
        for source in data
    ]


def main() -> int:
    """Rewrite MODEL/weights.safetensors, or write `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', type=Path)
    parser.add_argument('--run', type=Path, required=True, help='the YAML that trained it')
    parser.add_argument('--samples', type=int, default=96, help='training samples, from the first')
    parser.add_argument('--cache', type=Path, default=Path('out/records'))
    parser.add_argument('--out', type=Path, help='file; default: the weights themselves')
    options = parser.parse_args()
    run = load_config(RunConfig, options.run)
    network, config = load_network(options.model)
    sets = gather_records(
        _enough(run.data, options.samples),
        config,
        options.cache,
        2,
        print,
        lambda done, worlds: print(f'\rworlds rendered: {done}/{worlds}', end='', flush=True),
    )
    samples = TrainingSamples(all_paths(sets), config, AS_RECORDED, CurriculumConfig())
    recalibrate_fuser(
        network,
        samples,
        options.samples,
        lambda done: print(f'\rbatches: {done}', end='', flush=True),
    )
    out = options.out or options.model / 'weights.safetensors'
    write_bytes(out, save(network.state_dict()))
    print(f'\nwritten: {out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
