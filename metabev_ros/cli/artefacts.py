"""Weights to graphs, graphs to engines, known weights to ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metabev_ros.cli.app import (
    RigOption,
    app,
    command_line,
    console,
    examples,
    model_dir,
    progress_bar,
    rig_config,
)
from metabev_ros.cli.results import ForceOption, JsonOption, require_free, say_json
from metabev_ros.config import load_config
from metabev_ros.contract import Contract
from metabev_ros.errors import ConfigError
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.structures import Modality

if TYPE_CHECKING:
    from metabev_ros.lab.export.agreement import Agreement


@app.command(
    epilog=examples(
        'metabev export models/mine --run runs/mine',
        'metabev export models/mine --form tensorrt --precision fp16',
    )
)
def export(
    model: Annotated[Path, typer.Argument(help='Model folder to write.')],
    run: Annotated[
        Path | None,
        typer.Option(help='Take weights and configuration from this training run first.'),
    ] = None,
    form: Annotated[
        GraphForm,
        typer.Option(
            help='Runtime to write the graphs for; tensorrt goes into a folder of its own.'
        ),
    ] = GraphForm.ONNXRUNTIME,
    precision: Annotated[
        GraphPrecision,
        typer.Option(help='fp16 and int8 go into a folder of their own, beside the fp32 graphs.'),
    ] = GraphPrecision.FP32,
    calibration_bag: Annotated[
        Path | None,
        typer.Option(
            help='With --precision: a bag of the vehicle (see --rig) in place of synthetic drives.'
        ),
    ] = None,
    rig: RigOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help='Seed of the parity inputs; default: a new one, which is printed.'
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Weights -> ONNX graphs and contract.json, through the parity gate."""
    from metabev_ros.lab.export.to_onnx import export_model

    def report(line: str) -> None:
        console.print(line, markup=False)

    if run is not None:
        require_free(force, model / 'weights.safetensors')
    if precision is GraphPrecision.FP32:
        if calibration_bag is not None:
            raise ConfigError(
                'export --calibration-bag',
                'a --precision other than fp32',
                'fp32',
                'fp32 needs no calibration: leave one of the two out',
            )
        contract, found = export_model(model, run, report, form, seed)
        report('\n'.join(found.lines()))
    else:
        if run is not None:
            raise ConfigError(
                'export --run',
                'precision fp32',
                precision.value,
                'export the run first, then the model folder in this precision',
            )
        contract, found = _export_precision(model, form, precision, calibration_bag, rig, report)
    folder = variant_folder(model, form, precision)
    report(f'contract {contract.hash} written to {folder}')
    if as_json:
        say_json({'written': [folder], 'contract': contract.hash, 'parity': found})


def _export_precision(
    model: Path,
    form: GraphForm,
    precision: GraphPrecision,
    bag: Path | None,
    rig: Path | None,
    report: Callable[[str], None],
) -> tuple[Contract, dict[Modality, Agreement]]:
    from metabev_ros.contract import load_contract
    from metabev_ros.lab.export.calibration import bag_set, synthetic_set
    from metabev_ros.lab.export.precision import export_precision
    from metabev_ros.lab.training.provenance import world_behind

    config = load_contract(model).config
    if bag is None:
        with progress_bar('Rendering') as update:
            world = world_behind(model / 'weights.safetensors')
            samples = synthetic_set(config, world, progress=update)
    else:
        samples = bag_set(bag, rig_config(rig), config)
    contract, found = export_precision(model, form, precision, samples, report)
    for modality, agreement in found.items():
        report(
            f'{modality.name}: {agreement.box_share:.1%} of {agreement.boxes} sure boxes and '
            f'{agreement.map_iou:.1%} of the map as fp32'
        )
    return contract, found


@app.command(
    'build-engines',
    epilog=examples(
        'metabev build-engines models/mine --precision fp16',
    ),
)
def build_engines_command(
    model: Annotated[Path, typer.Argument(help='Model folder with a TensorRT variant.')],
    precision: Annotated[
        str, typer.Option(metavar='fp32|fp16|int8', help='Of the engines.')
    ] = 'fp16',
    flavour: Annotated[
        str, typer.Option(metavar='tensorrt|tensorrt_rtx', help='Of the library.')
    ] = 'tensorrt',
    build_only: Annotated[
        bool,
        typer.Option(
            '--build-only',
            help='Neither run nor compare; such engines are not used until this '
            'command compared them on their GPU.',
        ),
    ] = False,
    stale: Annotated[
        str,
        typer.Option(
            metavar='rebuild|refuse',
            help='What to do with engines for other files, GPUs or versions.',
        ),
    ] = 'rebuild',
    force: Annotated[bool, typer.Option('--force', help='Build current ones too.')] = False,
    cameras: Annotated[int, typer.Option(help='Most cameras at once.')] = 6,
    headroom: Annotated[
        float, typer.Option(help='Largest over typical size of the calibration tables.')
    ] = 1.5,
    cache: Annotated[
        Path | None, typer.Option(help='Folder of all engines; default: the user cache folder.')
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """ONNX graphs -> TensorRT engines that were compared with ONNX Runtime."""
    from metabev_ros.backends import parse_precision
    from metabev_ros.backends.build_engines import build_engines
    from metabev_ros.backends.engine_request import EngineRequest, parse_stale
    from metabev_ros.backends.profiles import ProfileLimits
    from metabev_ros.backends.tensorrt_library import parse_flavour
    from metabev_ros.lab.evaluation.records import make_record, merge_records
    from metabev_ros.lab.export.parity import parity_inputs

    request = EngineRequest(
        model_dir(model),
        parse_precision(precision),
        parse_flavour(flavour),
        build_only,
        parse_stale(stale),
        force,
        ProfileLimits(cameras, headroom),
        cache,
    )
    with progress_bar('Building') as update:
        outcome = build_engines(
            request,
            parity_inputs,
            lambda graph, phase, done, total: update(done, total, f'{graph}: {phase}'),
        )
    for line in outcome.lines():
        console.print(line, markup=False)
    figures = [
        make_record(name, value, unit, command_line(), 1)
        for name, value, unit in outcome.figures()
    ]
    if record is not None:
        merge_records(record, figures)
    if as_json:
        say_json({'figures': figures})


@app.command(
    epilog=examples(
        'metabev convert bevfusion-det.pth --source bevfusion '
        '--config config/models/metabev_base.yaml --out bevfusion.safetensors',
    )
)
def convert(
    checkpoint: Annotated[Path, typer.Argument(help='.pth, .pt or .safetensors file.')],
    source: Annotated[
        str,
        typer.Option(
            metavar='bevfusion|timm_swin|...',
            help='Project it comes from: all are in docs/pretrained_weights.md.',
        ),
    ],
    config: Annotated[Path, typer.Option(help='Model YAML, see config/models/.')],
    out: Annotated[Path, typer.Option(help='The safetensors file to write.')],
    skip: Annotated[
        list[str] | None,
        typer.Option(help='Leave out a part of the table by its name; may be repeated.'),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Weights of BEVFusion, mmdetection3d, timm or torchvision -> our names, as safetensors."""
    from metabev_ros.config import ModelConfig
    from metabev_ros.lab.conversion.convert import convert_checkpoint
    from metabev_ros.lab.conversion.coverage import coverage_table
    from metabev_ros.lab.conversion.sources import parse_source

    require_free(force, out, inputs=(checkpoint, config))
    result = convert_checkpoint(
        checkpoint, parse_source(source), load_config(ModelConfig, config), out, skip or ()
    )
    console.print(coverage_table(result))
    console.print(f'written: {out}', markup=False)
    if as_json:
        parts = {name: keys for name, keys in vars(result).items() if name != 'tensors'}
        say_json({'written': [out], 'tensors': len(result.tensors), **parts})
