"""Parse and build every graph of a model with TensorRT-RTX; needs no GPU and runs no engine.

    python benchmark/engine_builds.py models/metabev_nano/config.yaml
    python benchmark/engine_builds.py config/models/metabev_base.yaml [--record FILE]

The weights are random: parsing and building do not depend on them. The graphs stay in --out
and are used again; with --go-on the engines too, so that a run that was stopped goes on after the
last finished graph. For engines that are to be run: `metabev build-engines`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from metabev_ros.backends.build_engines import build_engines
from metabev_ros.backends.engine_request import EngineOutcome, EngineRequest
from metabev_ros.backends.tensorrt_library import Flavour
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.graph_specs import GRAPHS
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.lab.export.parity import parity_inputs
from metabev_ros.lab.export.to_onnx import write_graphs
from metabev_ros.network.metabev import MetaBev


def write_random_graphs(config: ModelConfig, model: Path, report=print) -> None:
    """The TensorRT variant of a network with random weights, unless it is there already."""
    folder = variant_folder(model, GraphForm.TENSORRT, GraphPrecision.FP32)
    if (folder / 'contract.json').exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    write_graphs(folder, MetaBev(config).eval(), config, GraphForm.TENSORRT, '0' * 64, report)


def build_all(config: ModelConfig, out: Path, progress=None, force: bool = True) -> EngineOutcome:
    """Write the graphs and build their engines below `out`; without `force` those it lacks."""
    model = out / config.name
    write_random_graphs(config, model, lambda line: None)
    return build_engines(
        EngineRequest(
            model,
            GraphPrecision.FP32,
            Flavour.RTX,
            build_only=True,
            force=force,
            cache=out / 'engines',
        ),
        parity_inputs,
        progress,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', type=Path, help='model YAML')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path.home() / '.cache/metabev/engine_builds',
        help='folder for graphs and engines, outside the checkout',
    )
    parser.add_argument('--go-on', action='store_true', help='keep the engines that are there')
    parser.add_argument('--record', type=Path, help='merge the figures into this file')
    options = parser.parse_args(arguments)
    config = load_config(ModelConfig, options.config)

    def tell(graph: str, phase: str, done: int, total: int) -> None:
        sys.stderr.write(f'{graph}: {phase} {done} of {total}\n')

    outcome = build_all(config, options.out, tell, force=not options.go_on)
    sys.stdout.write('\n'.join(outcome.lines()) + '\n')
    if options.record is not None:
        command = f'python benchmark/engine_builds.py {options.config}'
        records = [
            make_record(name, value, unit, command, 1) for name, value, unit in outcome.figures()
        ]
        prefix = f'{Flavour.RTX.value}.{config.name}.{GraphPrecision.FP32.value}'
        records.append(
            make_record(
                f'{prefix}.graphs_built',
                len(outcome.reports),
                'graphs',
                command,
                len(GRAPHS),
                f'== {len(GRAPHS)}',
            )
        )
        merge_records(options.record, records)
    return 0


if __name__ == '__main__':
    sys.exit(main())
