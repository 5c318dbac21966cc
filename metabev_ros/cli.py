"""`metabev ...`: the only place that prints or exits.

Exit codes: 0 done; 1 a target was missed; 2 wrong use or configuration; 3 done, but part of the
input could not be read.
"""
from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.contract import GraphForm, GraphPrecision, variant_folder
from metabev_ros.datasets.corruptions import SettingGroup
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.resources import resource_path

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help=__doc__.split('\n')[0])
console = Console()

ModelOption = Annotated[Path | None, typer.Option('--model', help='Model folder; default: the '
                                                  'shipped metabev_nano.')]
RigOption = Annotated[Path | None, typer.Option('--rig', help='Rig YAML; default: the shipped '
                                                'nuScenes-like rig.')]
BackendOption = Annotated[str, typer.Option(help='Inference runtime.')]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help='Inference threads.')]


def _model_dir(model: Path | None) -> Path:
    return resource_path('models/metabev_nano') if model is None else model


def _rig(rig: Path | None) -> RigConfig:
    path = resource_path('config/rigs/nuscenes_like.yaml') if rig is None else rig
    return load_config(RigConfig, path)


@contextmanager
def _bar(description: str):
    """A progress bar; gives update(done, total, text)."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TimeRemainingColumn(), TextColumn('{task.fields[text]}'))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=None, text='')

        def update(done: int, total: int | None = None, text: str = '') -> None:
            progress.update(task, completed=done, total=total, text=text)
        yield update


@app.command()
def simulate(out: Annotated[Path, typer.Argument(help='The bag to write (.mcap).')],
             seed: Annotated[int, typer.Option(help='Seed of the world.')] = 900_000,
             seconds: Annotated[float, typer.Option(min=0.1, max=3600)] = 10.0,
             rate: Annotated[float, typer.Option(min=0.1, max=50, help='Samples a second.')] = 10.0
             ) -> None:
    """Render a synthetic drive with ground truth into a bag."""
    from metabev_ros.datasets.synthetic import DriveConfig, SyntheticDrive, write_bag
    drive = SyntheticDrive(seed, DriveConfig(frames=max(1, round(seconds * rate)), rate_hz=rate))
    with _bar('Rendering') as update:
        write_bag(drive, out, lambda done, total: update(done, total))
    console.print(f'{out}')


@app.command()
def replay(bag: Annotated[Path, typer.Argument(help='.mcap or .db3 file, or a bag folder.')],
           out: Annotated[Path | None, typer.Option(
               '--out', '-o', help='Output bag; default: <bag>.metabev.mcap here.')] = None,
           video: Annotated[Path | None, typer.Option(help='Also draw an .mp4.')] = None,
           model: ModelOption = None, rig: RigOption = None,
           backend: BackendOption = 'onnxruntime',
           threads: ThreadsOption = 2,
           provider: Annotated[str, typer.Option(
               help='What onnxruntime computes with: cpu, cuda, tensorrt or openvino.')] = 'cpu',
           precision: Annotated[str, typer.Option(
               help='Of the exported graphs: fp32, fp16 or int8.')] = 'fp32') -> None:
    """Run the node's own perception over a bag, without ROS; outputs lie beside the inputs."""
    from metabev_ros.replay.run import replay_bag
    out = out or Path(f'{bag.resolve().stem}.metabev.mcap')
    with _bar('Replaying') as update:
        summary = replay_bag(bag, out, _model_dir(model), _rig(rig), SensingConfig(), backend,
                             threads, video, lambda done, total: update(done, total),
                             precision, provider)
    console.print('\n'.join(summary.lines()), markup=False)
    console.print(f'written: {out}' + (f' and {video}' if video else ''), markup=False)
    if summary.is_lossy:
        raise typer.Exit(3)


@app.command()
def inject(bag: Annotated[Path, typer.Argument(help='.mcap or .db3 file, or a bag folder.')],
           out: Annotated[Path, typer.Argument(help='The bag to write (.mcap).')],
           schedule: Annotated[str, typer.Option(
               help='Fault plan: a YAML file, or the name of one in config/faults/.')],
           seed: Annotated[int, typer.Option(min=0, help='Seed of all chance.')] = 0,
           rig: RigOption = None,
           truth: Annotated[Path | None, typer.Option(
               help='Truth file; default: <out>.truth.jsonl.')] = None,
           enabled: Annotated[bool, typer.Option(
               '--enable-fault-injection', help='Without it nothing is injected.')] = False
           ) -> None:
    """Copy a bag with faults in it, and write down what was done to every message.

    Exit code 1: a fault of the plan touched no message.
    """
    from metabev_ros.faults.inject import inject_bag
    from metabev_ros.faults.plan import find_plan
    truth = truth or out.with_suffix('.truth.jsonl')
    with _bar('Injecting') as update:
        summary = inject_bag(bag, out, find_plan(schedule), _rig(rig), seed, enabled, truth,
                             lambda done, total: update(done, total))
    for name, count in summary.touched.items():
        console.print(f'{name}: {count} messages dropped or changed', markup=False)
    console.print(f'written: {out} ({summary.written} of {summary.messages} messages) and {truth}',
                  markup=False)
    if summary.idle or summary.integrity.is_lossy:
        raise typer.Exit(1 if summary.idle else 3)


@app.command()
def play(bag: Annotated[Path, typer.Argument(help='.mcap or .db3 file, or a bag folder.')],
         rate: Annotated[float, typer.Option(min=0.01, max=100)] = 1.0,
         loop: Annotated[bool, typer.Option(help='Start again at the end.')] = False,
         clock: Annotated[bool, typer.Option(
             help='Publish /clock, for nodes with use_sim_time.')] = False,
         restamp: Annotated[bool, typer.Option(
             help='Move header stamps to now, for nodes on the system clock.')] = False) -> None:
    """Publish a bag over ROS 2 (for machines without `ros2 bag`)."""
    from metabev_ros.node.player import PlayerOptions, play_bag
    play_bag(bag, PlayerOptions(rate, loop, clock, restamp))


@app.command()
def evaluate(models: Annotated[list[str] | None, typer.Argument(
                 help='Model folders, or NAME=FOLDER; default: the shipped metabev_nano.')] = None,
             settings: Annotated[SettingGroup | None, typer.Option(
                 help='Sensor failures to evaluate under; without it: fused, LiDAR only and '
                      'camera only, without failures.')] = None,
             backend: Annotated[str, typer.Option(
                 help='Inference runtime; auto: onnxruntime for exported models, else torch.'
             )] = 'auto',
             threads: ThreadsOption = 2,
             drives: Annotated[int | None, typer.Option(
                 min=1, help='Held-out worlds; default 40, with --settings 20.')] = None,
             per_drive: Annotated[int | None, typer.Option(
                 min=1, help='Samples of each; default 3, with --settings 20.')] = None,
             workers: Annotated[int, typer.Option(
                 min=1, max=256, help='With --settings: processes, one thread each.')] = 1,
             ray_address: Annotated[str | None, typer.Option(
                 help='With --settings: run the drives on this Ray cluster.')] = None,
             out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/evaluation'),
             record: Annotated[Path | None, typer.Option(
                 help='Merge the figures into this docs/results/*.json.')] = None) -> None:
    """Score models on held-out synthetic drives; --settings: while their sensors fail.

    With --settings a run that was stopped goes on where it was.
    """
    folders = models or [str(_model_dir(None))]
    if settings is None:
        if len(folders) != 1:
            raise ConfigError('evaluate', 'one model without --settings', str(folders))
        _evaluate_modalities(_model_source(folders[0], backend), threads, drives or 40,
                             per_drive or 3, out, record)
        return
    from metabev_ros.evaluation.records import merge_records
    from metabev_ros.evaluation.robustness import HeldOutDrives, evaluate_robustness
    from metabev_ros.evaluation.robustness_report import (
        ModelResults,
        claim_records,
        robustness_records,
        write_comparison,
    )
    from metabev_ros.evaluation.spreading import Spread
    sources = tuple(_model_source(text, backend) for text in folders)
    test_set = HeldOutDrives(drives or 20, per_drive or 20)
    with _bar('Evaluating') as update:
        infos, scores = evaluate_robustness(sources, settings.settings, test_set, out / 'partial',
                                            Spread(workers, ray_address), update)
    results = [ModelResults.make(name, info, test_set.words, {
        setting: score.result() for (model, setting), score in scores.items() if model == name})
        for name, info in infos.items()]
    for result in results:
        result.save(out / f'{result.name}.json')
    report = write_comparison(results, out)
    if record is not None:
        merge_records(record, [*robustness_records(results, _command()),
                               *claim_records(results, _command())])
    console.print(report.read_text(encoding='utf-8'), markup=False)
    console.print(f'written: {report}', markup=False)


def _model_source(text: str, backend: str):
    """'NAME=FOLDER' or 'FOLDER', whose last part is the name then."""
    from metabev_ros.evaluation.robustness import ModelSource, with_backend
    name, separator, folder = text.rpartition('=')
    folder = Path(folder)
    return with_backend(ModelSource(name if separator else folder.resolve().name, folder,
                                    backend))


def _evaluate_modalities(source, threads: int, drives: int, per_drive: int, out: Path,
                         record: Path | None) -> None:
    from metabev_ros.evaluation.records import merge_records
    from metabev_ros.evaluation.report import evaluation_records, write_report
    from metabev_ros.evaluation.run import evaluate_on_synthetic
    with _bar('Evaluating') as update:
        done = 0

        def progress(text: str, total: int) -> None:
            nonlocal done
            done += 1
            update(done, total, text)
        evaluation = evaluate_on_synthetic(source.folder, source.backend, threads, drives,
                                           per_drive, progress=progress)
    report = write_report(evaluation, out)
    console.print(report.read_text(encoding='utf-8'), markup=False)
    if record is not None:
        merge_records(record, evaluation_records(evaluation, _command()))
    console.print(f'written: {report}', markup=False)


@app.command()
def compare(results: Annotated[list[Path], typer.Argument(
                help='Files that `metabev evaluate --settings` wrote, one a model.')],
            out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/comparison'),
            record: Annotated[Path | None, typer.Option(
                help='Merge the figures into this docs/results/*.json.')] = None) -> None:
    """Tables and pictures of models that were evaluated one by one on the same drives."""
    from metabev_ros.evaluation.records import merge_records
    from metabev_ros.evaluation.robustness_report import (
        ModelResults,
        claim_records,
        write_comparison,
    )
    loaded = [ModelResults.load(path) for path in results]
    report = write_comparison(loaded, out)
    if record is not None:
        merge_records(record, claim_records(loaded, _command()))
    console.print(f'written: {report}', markup=False)


@app.command()
def train(config: Annotated[Path, typer.Argument(help='Run YAML, see config/training/.')],
          out: Annotated[Path, typer.Option(help='Run folder; goes on where it stopped.')],
          cache: Annotated[Path, typer.Option(help='Rendered samples.')] = Path('runs/cache'),
          workers: Annotated[int, typer.Option(min=1, help='Rendering processes.')] = 2,
          score: Annotated[bool, typer.Option(
              help='Then score the training samples themselves in every modality.')] = False
          ) -> None:
    """Render training drives, then train; interrupt and start again at will.

    On several GPUs or machines: torchrun ... -m metabev_ros.cli train ...
    """
    from metabev_ros.training.distributed import this_process
    from metabev_ros.training.run import RunConfig, train_model
    run = load_config(RunConfig, config)
    is_leader = this_process().is_leader
    with _bar('Working') if is_leader else nullcontext(lambda *_: None) as update:
        trainer = train_model(run, out, cache, workers,
                              lambda done: update(done, run.data.worlds, 'worlds rendered'),
                              lambda step, terms, rate: update(
                                  step, run.training.steps,
                                  f'loss {terms["total"]:.2f}, {rate:.1f} samples/s'))
    if not is_leader:
        return
    console.print(f'written: {out}/weights.safetensors', markup=False)
    if score:
        report = _score_training(run, trainer, cache, out)
        console.print(report.read_text(encoding='utf-8'), markup=False)
        console.print(f'written: {report}', markup=False)


def _score_training(run, trainer, cache: Path, out: Path) -> Path:
    """Report of the averaged weights on what they were trained on."""
    from metabev_ros.evaluation.report import write_report
    from metabev_ros.evaluation.run import Evaluation, evaluate_model
    from metabev_ros.training.cache import record_paths
    from metabev_ros.training.monitoring import weights_pipeline
    from metabev_ros.training.records import RecordSamples
    pipeline = weights_pipeline(trainer.average, run.model)
    samples = RecordSamples(record_paths(cache, run.data))
    evaluation = Evaluation(run.model.name, pipeline.model.hash, pipeline.model.backend,
                            'the training samples', len(samples),
                            evaluate_model(pipeline, samples))
    return write_report(evaluation, out / 'training_samples')


@app.command()
def pretrain(config: Annotated[Path, typer.Argument(help='Pre-training YAML, see '
                                                    'config/pretraining/.')],
             out: Annotated[Path, typer.Option(help='Run folder.')] = Path('runs/pretraining'),
             cache: Annotated[Path, typer.Option(help='Rendered records.')] = Path('runs/cache'),
             workers: Annotated[int, typer.Option(min=1, max=256,
                                                  help='Rendering processes.')] = 2) -> None:
    """Teach the camera backbone to fill in masked images (SimMIM); stop and start again at will.

    The weights go into `training.init` of a training run, see docs/plain_detr.md.
    """
    from metabev_ros.training.pretraining import PretrainingRun, pretrain_backbone
    run = load_config(PretrainingRun, config)
    with _bar('Working') as update:
        pretrain_backbone(run, out, cache, workers,
                          lambda done: update(done, run.data.worlds, 'worlds rendered'),
                          lambda step, values, rate: update(
                              step, run.pretraining.steps,
                              f'loss {values["total"]:.3f}, {rate:.1f} images/s'))
    console.print(f'written: {out}/weights.safetensors and {out}/filled_in.png', markup=False)


@app.command()
def export(model: Annotated[Path, typer.Argument(help='Model folder to write.')],
           run: Annotated[Path | None, typer.Option(
               help='Take weights and configuration from this training run first.')] = None,
           form: Annotated[GraphForm, typer.Option(
               help='Runtime to write the graphs for; tensorrt goes into a folder of its own.'
           )] = GraphForm.ONNXRUNTIME,
           precision: Annotated[GraphPrecision, typer.Option(
               help='fp16 and int8 go into a folder of their own, beside the fp32 graphs.'
           )] = GraphPrecision.FP32,
           calibration_bag: Annotated[Path | None, typer.Option(
               help='With --precision: a bag of the vehicle (see --rig) in place of synthetic '
                    'drives.')] = None,
           rig: RigOption = None,
           seed: Annotated[int | None, typer.Option(
               min=0, help='Seed of the parity inputs; default: a new one, which is printed.'
           )] = None) -> None:
    """Weights -> ONNX graphs and contract.json, through the parity gate."""
    from metabev_ros.export.to_onnx import export_model

    def report(line: str) -> None:
        console.print(line, markup=False)
    if precision is GraphPrecision.FP32:
        if calibration_bag is not None:
            raise ConfigError('export --calibration-bag', 'a --precision other than fp32', 'fp32',
                              'fp32 needs no calibration: leave one of the two out')
        contract, parity = export_model(model, run, report, form, seed)
        report('\n'.join(parity.lines()))
    else:
        if run is not None:
            raise ConfigError('export --run', 'precision fp32', precision.value,
                              'export the run first, then the model folder in this precision')
        contract = _export_precision(model, form, precision, calibration_bag, rig, report)
    report(f'contract {contract.hash} written to {variant_folder(model, form, precision)}')


def _export_precision(model: Path, form: GraphForm, precision: GraphPrecision, bag: Path | None,
                      rig: Path | None, report):
    from metabev_ros.contract import load_contract
    from metabev_ros.export.calibration import bag_set, synthetic_set
    from metabev_ros.export.precision import export_precision
    config = load_contract(model).config
    if bag is None:
        with _bar('Rendering') as update:
            samples = synthetic_set(config, progress=update)
    else:
        samples = bag_set(bag, _rig(rig), config)
    contract, found = export_precision(model, form, precision, samples, report)
    for modality, agreement in found.items():
        report(f'{modality.name}: {agreement.box_share:.1%} of {agreement.boxes} sure boxes and '
               f'{agreement.map_iou:.1%} of the map as fp32')
    return contract


@app.command('build-engines')
def build_engines_command(
        model: Annotated[Path, typer.Argument(help='Model folder with a TensorRT variant.')],
        precision: Annotated[str, typer.Option(help='fp32, fp16 or int8.')] = 'fp16',
        flavour: Annotated[str, typer.Option(help='tensorrt or tensorrt_rtx.')] = 'tensorrt',
        build_only: Annotated[bool, typer.Option(
            '--build-only', help='Neither run nor compare; such engines are not used until this '
            'command compared them on their GPU.')] = False,
        stale: Annotated[str, typer.Option(
            help='Engines for other files, GPUs or versions: rebuild or refuse.')] = 'rebuild',
        force: Annotated[bool, typer.Option('--force', help='Build current ones too.')] = False,
        cameras: Annotated[int, typer.Option(help='Most cameras at once.')] = 6,
        headroom: Annotated[float, typer.Option(
            help='Largest over typical size of the calibration tables.')] = 1.5,
        cache: Annotated[Path | None, typer.Option(
            help='Folder of all engines; default: the user cache folder.')] = None,
        record: Annotated[Path | None, typer.Option(
            help='Merge the figures into this docs/results/*.json.')] = None) -> None:
    """ONNX graphs -> TensorRT engines that were compared with ONNX Runtime."""
    from metabev_ros.backends import parse_precision
    from metabev_ros.backends.tensorrt_library import parse_flavour
    from metabev_ros.evaluation.records import make_record, merge_records
    from metabev_ros.export.build_engines import EngineRequest, build_engines, parse_stale
    from metabev_ros.export.profiles import ProfileLimits
    request = EngineRequest(model, parse_precision(precision), parse_flavour(flavour), build_only,
                            parse_stale(stale), force, ProfileLimits(cameras, headroom), cache)
    with _bar('Building') as update:
        outcome = build_engines(request, lambda graph, phase, done, total: update(
            done, total, f'{graph}: {phase}'))
    for line in outcome.lines():
        console.print(line, markup=False)
    if record is not None:
        merge_records(record, [make_record(name, value, unit, _command(), 1)
                               for name, value, unit in outcome.figures()])


@app.command()
def experts(model: Annotated[Path, typer.Argument(
                help='Model folder or training run with decoder.ffn: adamv.')],
            out: Annotated[Path, typer.Option(help='Folder for the pictures.')] = Path(
                'out/experts'),
            drives: Annotated[int, typer.Option(min=1, help='Held-out worlds.')] = 2) -> None:
    """Pictures of which experts serve which task and BEV cell, and of how many were selected."""
    from metabev_ros.evaluation.expert_usage import report_experts
    for path in report_experts(model, out, drives):
        console.print(f'written: {path}', markup=False)


@app.command()
def convert(checkpoint: Annotated[Path, typer.Argument(help='.pth, .pt or .safetensors file.')],
            source: Annotated[str, typer.Option(
                help='Project it comes from, see docs/pretrained_weights.md.')],
            config: Annotated[Path, typer.Option(help='Model YAML, see config/models/.')],
            out: Annotated[Path, typer.Option(help='The safetensors file to write.')],
            skip: Annotated[list[str] | None, typer.Option(
                help='Leave out a part of the table by its name; may be repeated.')] = None
            ) -> None:
    """Weights of BEVFusion, mmdetection3d, timm or torchvision -> our names, as safetensors."""
    from metabev_ros.config import ModelConfig
    from metabev_ros.conversion.convert import convert_checkpoint
    from metabev_ros.conversion.coverage import coverage_table
    from metabev_ros.conversion.sources import parse_source
    result = convert_checkpoint(checkpoint, parse_source(source), load_config(ModelConfig, config),
                                out, skip or ())
    console.print(coverage_table(result))
    console.print(f'written: {out}', markup=False)


@app.command()
def policy(rig: Annotated[Path, typer.Argument(help='Rig YAML file.')],
           out: Annotated[Path, typer.Argument(help='SROS2 policy to write (.xml).')],
           namespace: Annotated[str, typer.Option(help='Of the node.')] = '/',
           name: Annotated[str, typer.Option(help='Of the node.')] = 'perception',
           sim_time: Annotated[bool, typer.Option(help='Also listen to /clock.')] = False) -> None:
    """Write what the node may hear and say, for SROS2 (docs/security.md)."""
    from metabev_ros.contract import write_atomically
    from metabev_ros.node.access_policy import access_policy
    text = access_policy(load_config(RigConfig, rig), namespace, name, sim_time)
    write_atomically(out, text.encode())
    console.print(f'{out}: written')


@app.command()
def demo(out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/demo'),
         seed: Annotated[int, typer.Option(help='Seed of the held-out drive.')] = 900_100,
         model: ModelOption = None,
         record: Annotated[Path | None, typer.Option(
             help='Merge the figures into this docs/results/*.json.')] = None) -> None:
    """Sensors die and come back while the real node runs; measures it and writes a report."""
    from metabev_ros.demo.run import run_demo
    passed = run_demo(out, seed, _model_dir(model), record, _command(), console)
    if not passed:
        raise typer.Exit(1)


def _command() -> str:
    """The command line as a person would type it."""
    return shlex.join(['metabev', *sys.argv[1:]])


def main() -> None:
    """Console entry: errors of ours are one line, not a traceback."""
    try:
        app()
    except MetaBevError as error:
        Console(stderr=True).print(f'metabev: {error}', markup=False, style='red')
        sys.exit(2)


if __name__ == '__main__':
    main()
