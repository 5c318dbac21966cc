"""Training, and looking into what was learnt."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metabev_ros.cli.app import (
    app,
    console,
    examples,
    model_dir,
    progress_bar,
)
from metabev_ros.cli.results import JsonOption, require_folder, say_json
from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError

if TYPE_CHECKING:
    from metabev_ros.lab.training.run import RunConfig
    from metabev_ros.lab.training.train import Trainer


@app.command(
    epilog=examples(
        'metabev train config/training/metabev_nano.yaml --out runs/nano',
    )
)
def train(
    config: Annotated[Path, typer.Argument(help='Run YAML, see config/training/.')],
    out: Annotated[Path, typer.Option(help='Run folder; goes on where it stopped.')],
    cache: Annotated[Path, typer.Option(help='Rendered samples.')] = Path('runs/cache'),
    workers: Annotated[int, typer.Option(min=1, help='Rendering processes.')] = 2,
    score: Annotated[
        bool, typer.Option(help='Then score the training samples themselves in every modality.')
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train on records, rendered or imported; interrupt and start again at will.

    On several GPUs or machines: torchrun ... -m metabev_ros.cli train ...
    """
    from metabev_ros.lab.training.distributed import this_process
    from metabev_ros.lab.training.run import RunConfig

    run = load_config(RunConfig, config)
    trainer = _train(run, out, cache, workers)
    if score and this_process().is_leader:
        report = _score_training(run, trainer, cache, out)
        console.print(report.read_text(encoding='utf-8'), markup=False)
        console.print(f'written: {report}', markup=False)
    if as_json:
        _say_run(trainer, out)


@app.command(
    epilog=examples(
        'metabev finetune metabev_nano --data records/mine --out runs/mine --keep 0.3',
    )
)
def finetune(
    model: Annotated[Path, typer.Argument(help='Model folder or training run to start from.')],
    data: Annotated[
        list[Path], typer.Option(help='Folder that metabev import wrote; give it again for more.')
    ],
    out: Annotated[Path, typer.Option(help='Run folder; goes on where it stopped.')],
    keep: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.99, help='Share of synthetic drives, so that the model forgets less.'
        ),
    ] = 0.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help='Default: ten epochs of the records.')
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Default: a tenth of the model's own.")
    ] = None,
    device: Annotated[str, typer.Option(metavar='cpu|cuda', help='That learns.')] = 'cpu',
    seed: Annotated[int, typer.Option(min=0, help='Of the order of samples.')] = 0,
    cache: Annotated[Path, typer.Option(help='Rendered samples, for --keep.')] = Path(
        'runs/cache'
    ),
    workers: Annotated[int, typer.Option(min=1, help='Rendering processes.')] = 2,
    as_json: JsonOption = False,
) -> None:
    """Let a model go on learning from your own records; interrupt and start again at will.

    The run, which `metabev train` can repeat, and a card that says what was used are in the run
    folder; `metabev export MODEL --run RUN` makes a model of it.
    """
    from metabev_ros.lab.training.config import Device
    from metabev_ros.lab.training.distributed import this_process
    from metabev_ros.lab.training.finetune import FinetuneOptions, finetune_run, keep_run

    if device not in {member.value for member in Device}:
        raise ConfigError('finetune --device', 'cpu or cuda', repr(device))
    options = FinetuneOptions(keep, steps, learning_rate, Device(device), seed)
    require_folder(out)
    run = finetune_run(model_dir(model), data, options)
    if this_process().is_leader:
        _tell(f'{run.training.steps} steps: {keep_run(run, out)}')
    trainer = _train(run, out, cache, workers)
    if this_process().is_leader:
        _tell(f'written: {out}/MODEL_CARD.md')
    if as_json:
        _say_run(trainer, out)


def _train(run: RunConfig, out: Path, cache: Path, workers: int) -> Trainer:
    """Train, and show how far it is."""
    from metabev_ros.lab.training.distributed import this_process
    from metabev_ros.lab.training.run import train_model

    require_folder(out)
    is_leader = this_process().is_leader
    with progress_bar('Working') if is_leader else nullcontext(_say_nothing) as update:
        trainer = train_model(
            run,
            out,
            cache,
            workers,
            lambda step, terms, rate: update(
                step, run.training.steps, f'loss {terms["total"]:.2f}, {rate:.1f} samples/s'
            ),
            _tell,
            lambda done, total: update(done, total, 'prepared'),
        )
    if is_leader:
        _tell(f'written: {out}/weights.safetensors')
        if trainer.skipped:
            _tell(f'{trainer.skipped} steps were left out: their gradients were not finite')
    return trainer


def _say_run(trainer: Trainer, out: Path) -> None:
    from metabev_ros.lab.training.distributed import this_process

    if this_process().is_leader:
        weights = out / 'weights.safetensors'
        say_json({'written': [weights], 'steps': trainer.step, 'skipped': trainer.skipped})


def _tell(line: str) -> None:
    console.print(line, markup=False)


def _say_nothing(done: int, total: int | None = None, text: str = '') -> None:
    """The progress of a process that does not lead."""


def _score_training(run: RunConfig, trainer: Trainer, cache: Path, out: Path) -> Path:
    """Report of the averaged weights on what they were trained on."""
    from metabev_ros.lab.datasets.record_folder import RecordSamples
    from metabev_ros.lab.evaluation.report import write_report
    from metabev_ros.lab.evaluation.run import Evaluation, evaluate_model
    from metabev_ros.lab.training.data import all_paths, opened_records
    from metabev_ros.lab.training.monitoring import weights_pipeline

    pipeline = weights_pipeline(trainer.average, run.model)
    samples = RecordSamples(all_paths(opened_records(run.data, run.model, cache)))
    evaluation = Evaluation(
        run.model.name,
        pipeline.model.hash,
        pipeline.model.backend,
        'the training samples',
        len(samples),
        evaluate_model(pipeline, samples),
    )
    return write_report(evaluation, out / 'training_samples')


@app.command(
    epilog=examples(
        'metabev pretrain config/pretraining/metabev_nano.yaml --out runs/pretraining',
    )
)
def pretrain(
    config: Annotated[Path, typer.Argument(help='Pre-training YAML, see config/pretraining/.')],
    out: Annotated[Path, typer.Option(help='Run folder.')] = Path('runs/pretraining'),
    cache: Annotated[Path, typer.Option(help='Rendered records.')] = Path('runs/cache'),
    workers: Annotated[int, typer.Option(min=1, max=256, help='Rendering processes.')] = 2,
    as_json: JsonOption = False,
) -> None:
    """Teach the camera backbone to fill in masked images (SimMIM); stop and start again at will.

    The weights go into `training.init` of a training run, see docs/training.md.
    """
    from metabev_ros.lab.training.pretraining import pretrain_backbone
    from metabev_ros.lab.training.pretraining_config import PretrainingRun

    run = load_config(PretrainingRun, config)
    require_folder(out)
    with progress_bar('Working') as update:
        pretrain_backbone(
            run,
            out,
            cache,
            workers,
            _tell,
            lambda done, total: update(done, total, 'prepared'),
            lambda step, values, rate: update(
                step, run.pretraining.steps, f'loss {values["total"]:.3f}, {rate:.1f} images/s'
            ),
        )
    written = [out / 'weights.safetensors', out / 'filled_in.png']
    console.print(f'written: {written[0]} and {written[1]}', markup=False)
    if as_json:
        say_json({'written': written, 'steps': run.pretraining.steps})


@app.command(
    epilog=examples(
        'metabev experts runs/adamv --out out/experts',
    )
)
def experts(
    model: Annotated[
        Path, typer.Argument(help='Model folder or training run with decoder.ffn: adamv.')
    ],
    out: Annotated[Path, typer.Option(help='Folder for the pictures.')] = Path('out/experts'),
    drives: Annotated[int, typer.Option(min=1, help='Held-out worlds.')] = 2,
    as_json: JsonOption = False,
) -> None:
    """Draw the experts that serve each task and BEV cell, and how many were selected."""
    from metabev_ros.lab.evaluation.adamv import report_experts

    require_folder(out)
    written = report_experts(model_dir(model), out, drives)
    for path in written:
        console.print(f'written: {path}', markup=False)
    if as_json:
        say_json({'written': written})
