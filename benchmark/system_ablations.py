"""Each system on and off: equal data, samples and steps, three seeds, three sensor states.

    python benchmark/system_ablations.py                     # train, evaluate, record
    python benchmark/system_ablations.py --seeds 1 --only base itsa --train-only
    python benchmark/system_ablations.py --latency           # after the training

What is finished is skipped, what was interrupted goes on. `system_variants.py` says what is
compared and what it starts from; docs/results/ablations.md shows the figures.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from scipy import stats
from system_variants import PRETRAINED, build_run, variants
from torch.utils.flop_counter import FlopCounterMode

from metabev_ros.config import ModelConfig
from metabev_ros.lab.datasets.corruptions import CLEAN, Failure, Setting
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.lab.evaluation.robustness import ModelSource, evaluate_robustness
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.lab.spreading import Spread
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import train_model
from metabev_ros.network.metabev import MetaBev
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample

SETTINGS = {
    'fused': CLEAN,
    'no_camera': Setting(Failure.MISSING_CAMERA, 1),
    'no_lidar': Setting(Failure.MISSING_LIDAR, 1),
}
SCORES = {'nds': 'NDS', 'miou': 'mIoU'}
DATA = (DataSource(synthetic=SyntheticDrives(first_seed=100_000, worlds=1100)),)
LATENCY_DRIVES = 10  # of three samples each

# variant -> seed -> (setting, score) -> value
Results = dict[str, dict[int, dict[tuple[str, str], float]]]


def run_folder(out: Path, name: str, seed: int) -> Path:
    """Of one training."""
    return out / f'{name}_{seed}'


def is_finished(folder: Path, steps: int) -> bool:
    """Whether a run has got to its last step."""
    state = folder / 'training.json'
    return state.is_file() and json.loads(state.read_text(encoding='utf-8'))['step'] == steps


def train(names: list[str], seeds: list[int], options) -> None:
    """All runs that are not finished; seeds outside, so that every one is a whole table."""
    with Progress(console=Console()) as progress:
        for seed in seeds:
            for name in names:
                folder = run_folder(options.out, name, seed)
                if is_finished(folder, options.steps):
                    continue
                run = build_run(name, seed, options.steps, DATA)
                task = progress.add_task(folder.name, total=options.steps)
                train_model(
                    run,
                    folder,
                    options.cache,
                    1,
                    lambda step, terms, rate, task=task: progress.update(task, completed=step),
                )


def evaluate(names: list[str], seeds: list[int], options) -> Results:
    """Scores of every run on the same held-out samples; seed by seed, for the memory."""
    test_set = HeldOutDrives(options.drives, options.per_drive, spacing_s=2.0)
    results: Results = {name: {} for name in names}
    for seed in seeds:
        sources = tuple(
            ModelSource(f'{name}_{seed}', run_folder(options.out, name, seed), 'torch')
            for name in names
        )
        with Progress(console=Console()) as progress:
            task = progress.add_task(f'evaluation, seed {seed}')
            _, scores = evaluate_robustness(
                sources,
                tuple(SETTINGS.values()),
                test_set,
                options.out / 'partial',
                Spread(options.workers),
                lambda done, total, text, p=progress, t=task: p.update(
                    t, completed=done, total=total
                ),
            )
        for name in names:
            results[name][seed] = {
                (setting, score): Score.merged(scores[f'{name}_{seed}', failure])
                .result()
                .figures[score]
                for setting, failure in SETTINGS.items()
                for score in SCORES
            }
    return results


def score_records(results: Results, command: str, samples: int) -> list[ResultRecord]:
    """Mean and standard deviation over the seeds, and the difference to the control.

    The difference is paired: runs of one seed see the same samples in the same order. `_within`
    is half the 95 % interval of its mean by Student's t.
    """
    records = []
    for name, runs in results.items():
        control = results.get(variants()[name].control, {})
        pairs = sorted(set(runs) & set(control))
        for setting in SETTINGS:
            for score, unit in SCORES.items():
                values = [run[setting, score] for run in runs.values()]
                found = {score: (np.mean(values), unit, samples * len(values))}
                if len(values) > 1:
                    found[f'{score}_sd'] = (np.std(values, ddof=1), f'{unit} sd', len(values))
                prefix = f'ablations.{setting}.{name}'
                records += [
                    make_record(f'{prefix}.{figure}', value, unit, command, n)
                    for figure, (value, unit, n) in found.items()
                ]
                if control is not runs and len(pairs) > 1:
                    records += difference_records(
                        f'ablations.{setting}_gain.{name}.{score}',
                        [
                            runs[seed][setting, score] - control[seed][setting, score]
                            for seed in pairs
                        ],
                        unit,
                        command,
                    )
    return records


def difference_records(
    prefix: str, differences: list[float], unit: str, command: str
) -> list[ResultRecord]:
    """Mean of paired differences and half its 95 % interval."""
    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n)
    return [
        make_record(prefix, np.mean(differences), unit, command, n),
        make_record(f'{prefix}_within', half, f'{unit} within', command, n),
    ]


@torch.inference_mode()
def cost(config: ModelConfig) -> tuple[float, float]:
    """Parameters (M) and products (GMAC) of six views, both modalities; no splat, no LiDAR
    encoder, no bilinear sampling: they are the same in all, but for the sampling of ITSA.
    """
    torch.manual_seed(0)
    network, camera, shape = MetaBev(config).eval(), config.camera, config.bev_grid.shape
    images = torch.zeros(6, camera.height, camera.width, 3, dtype=torch.uint8)
    maps = {
        'camera': torch.randn(1, camera.bev_channels, *shape),
        'lidar': torch.randn(1, config.lidar.bev_channels, *shape),
    }
    with FlopCounterMode(display=False) as counter:
        network.camera_encoder.image_features(images)
        network.camera_encoder.bev(
            torch.zeros(1, camera.context_channels, *config.splat_grid.shape)
        )
        network.fusion(maps)
    return (sum(p.numel() for p in network.parameters()) / 1e6, counter.get_total_flops() / 2e9)


def cost_records(names: list[str], command: str) -> list[ResultRecord]:
    """Of every system; controls cost what `base` costs."""
    records = []
    for name in names:
        if variants()[name].start_of is None:
            parameters, products = cost(variants()[name].model)
            records += [
                make_record(f'ablations.cost.{name}.parameters', parameters, 'M', command, 1),
                make_record(f'ablations.cost.{name}.products', products, 'GMAC', command, 1),
            ]
    return records


def latency_records(names: list[str], seed: int, options, command: str) -> list[ResultRecord]:
    """Processor time of a pipeline call with the exported graphs on one thread, in turns.

    In turns and in processor time, so that what else runs on the machine does not decide.
    """
    pipelines = {}
    for name in names:
        if variants()[name].start_of is not None:
            continue
        folder = options.out / 'exported' / name
        if not (folder / 'contract.json').exists():
            export_model(folder, run_folder(options.out, name, seed), report=lambda line: None)
        pipelines[name] = Pipeline.load(folder, 'onnxruntime', threads=1)
    test_set, base = HeldOutDrives(LATENCY_DRIVES, 3, CHOICE_FIRST_SEED), pipelines['base']
    samples = [s.sample for drive in test_set.all_drives for s in test_set.samples(drive, base)]
    times = time_in_turns(pipelines, samples)
    records = []
    for (name, modality), values in times.items():
        ratio = float(np.median(values / times['base', modality]))
        start = f'ablations.latency.{name}.{modality.name.lower()}'
        records += [
            make_record(
                start, float(np.median(values)) * 1e3, 'ms of one core', command, len(values)
            ),
            make_record(f'{start}.ratio', ratio, 'of base', command, len(values)),
        ]
    return records


def time_in_turns(
    pipelines: dict[str, Pipeline], samples: list[Sample]
) -> dict[tuple[str, Modality], np.ndarray]:
    """Seconds of this thread for every sample, by pipeline and modality."""
    times = {
        (name, modality): []
        for name in pipelines
        for modality in (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
    }
    for sample in samples:
        for name, modality in times:
            rest = restrict_to(sample, modality)
            begin = time.thread_time()
            pipelines[name](rest)
            times[name, modality].append(time.thread_time() - begin)
    return {key: np.array(values) for key, values in times.items()}


def print_scores(records: list[ResultRecord]) -> None:
    for record in records:
        sys.stdout.write(f'{record.id:52} {record.value:8.4f} {record.unit}\n')


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--only', nargs='+', choices=list(variants()), help='default: all')
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2, 3])
    parser.add_argument('--steps', type=int, default=60, help='of three samples each')
    parser.add_argument('--drives', type=int, default=20, help='held-out worlds')
    parser.add_argument('--per-drive', type=int, default=3)
    parser.add_argument('--workers', type=int, default=1, help='of the evaluation')
    parser.add_argument('--out', type=Path, default=Path('runs/system_ablations'))
    parser.add_argument('--cache', type=Path, default=Path('runs/cache'))
    parser.add_argument('--train-only', action='store_true')
    parser.add_argument('--latency', action='store_true', help='measure that, and only that')
    parser.add_argument('--record', type=Path, default=Path('docs/results/ablations.json'))
    return parser.parse_args()


def command_text(options: argparse.Namespace) -> str:
    """The command without the places of runs and records, which mean nothing elsewhere."""
    words, skip = ['python', 'benchmark/system_ablations.py'], False
    for word in sys.argv[1:]:
        if skip or word in ('--out', '--cache'):
            skip = not skip
            continue
        words.append(word)
    return shlex.join(words)


def main() -> None:
    options = parse_arguments()
    if not Path(PRETRAINED).is_file():
        sys.exit(f'{PRETRAINED}: missing; run this from the root of a checkout')
    names, command = options.only or list(variants()), command_text(options)
    if options.latency:
        records = latency_records(names, options.seeds[0], options, command)
    else:
        train(names, options.seeds, options)
        if options.train_only:
            return
        results = evaluate(names, options.seeds, options)
        records = [
            *score_records(results, command, options.drives * options.per_drive),
            *cost_records(names, command),
        ]
    print_scores(records)
    merge_records(options.record, records)


if __name__ == '__main__':
    main()
