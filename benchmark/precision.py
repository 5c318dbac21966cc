"""What fewer bits cost and save: accuracy and time of every precision, side by side in one run.

    .venv/bin/metabev-env python benchmark/precision.py [--record docs/results/engines.json]

Variants that are missing or belong to other weights are made first, in a copy of the model
(--out); the model folder itself is not touched. All variants see the same held-out samples in
turn, so the ratios of their times hold where the machine's speed drifts. Graphs for TensorRT run
on ONNX Runtime here: their accuracy is that of their arithmetic, their time says nothing.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.progress import track

from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.contract import load_contract
from metabev_ros.errors import ContractError
from metabev_ros.graph_specs import GRAPHS
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.export.calibration import synthetic_set
from metabev_ros.lab.export.precision import export_precision
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.lab.training.provenance import world_behind
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

ORT, TRT = GraphForm.ONNXRUNTIME, GraphForm.TENSORRT
VARIANTS = {
    'fp32': (ORT, GraphPrecision.FP32),
    'int8': (ORT, GraphPrecision.INT8),
    'tensorrt_fp16': (TRT, GraphPrecision.FP16),
    'tensorrt_int8': (TRT, GraphPrecision.INT8),
}
MODALITIES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
FIGURES = {'map': 'mAP', 'nds': 'NDS', 'miou': 'mIoU'}
WARM_UP = 2


def make_variants(model: Path, out: Path, names: list[str]) -> Path:
    """A copy of the model with all variants of these names; those that fit its weights are kept.

    Returns:
        the copy's folder.
    """
    copy = out / model.resolve().name
    copy.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir():
        if path.is_file():
            shutil.copy2(path, copy / path.name)
    samples = None
    for name in names:
        form, precision = VARIANTS[name]
        if _is_current(copy, form, precision):
            continue
        if precision is not GraphPrecision.FP32:
            world = world_behind(copy / 'weights.safetensors')
            samples = samples or synthetic_set(load_contract(copy).config, world)
            if (
                form is TRT
                and precision is GraphPrecision.INT8
                and not _is_current(copy, TRT, GraphPrecision.FP32)
            ):
                export_model(copy, form=TRT)
            _, found = export_precision(copy, form, precision, samples, print)
            for modality, agreement in found.items():
                print(
                    f'{name} {modality.name}: boxes {agreement.box_share:.1%}, '
                    f'map {agreement.map_iou:.1%} as fp32',
                    flush=True,
                )
    return copy


def _is_current(model: Path, form: GraphForm, precision: GraphPrecision) -> bool:
    """Whether a variant was made from the weights of the fp32 graphs."""
    try:
        contract = load_contract(variant_folder(model, form, precision))
    except ContractError:
        return False
    return contract.weights_sha256 == load_contract(model).weights_sha256


def measure(
    backends: dict[str, OnnxRuntimeBackend],
    pipeline: Pipeline,
    samples: Iterable[LabelledSample],
    total: int,
) -> tuple[dict, dict[tuple[str, Modality], list[float]]]:
    """Scores, and seconds of the network, by (variant, modality)."""
    scores = {(name, modality): Score() for name in backends for modality in MODALITIES}
    seconds: dict[tuple[str, Modality], list[float]] = {key: [] for key in scores}
    for turn, labelled in enumerate(track(samples, 'Measuring', total)):
        camera, lidar = pipeline.preprocess(labelled.sample)
        for name, backend in backends.items():
            marks = [time.perf_counter()]
            camera_bev = backend.encode_camera(camera)
            marks.append(time.perf_counter())
            lidar_bev = backend.encode_lidar(lidar)
            marks.append(time.perf_counter())
            for modality in MODALITIES:
                start = time.perf_counter()
                outputs = backend.fuse(
                    camera_bev if modality.has_camera else None,
                    lidar_bev if modality.has_lidar else None,
                )
                spent = time.perf_counter() - start
                spent += (marks[1] - marks[0]) * modality.has_camera
                spent += (marks[2] - marks[1]) * modality.has_lidar
                if turn >= WARM_UP:
                    seconds[name, modality].append(spent)
                scores[name, modality].add(
                    *pipeline.postprocess(outputs, modality), labelled.truth
                )
    return scores, seconds


def records_of(
    scores: dict, seconds: dict, copy: Path, names: list[str], command: str, count: int
) -> list[ResultRecord]:
    """Figures, losses against fp32, ratios of times, sizes."""
    records = []
    for name in names:
        folder = variant_folder(copy, *VARIANTS[name])
        size = sum((folder / f'{graph}.onnx').stat().st_size for graph in GRAPHS) / 1e6
        records.append(make_record(f'precision.{name}.size', size, 'MB', command, 1))
        for modality in MODALITIES:
            start = f'precision.{name}.{modality.name.lower()}'
            got, base = (scores[key, modality].result().figures for key in (name, 'fp32'))
            records += [
                make_record(f'{start}.{figure}', got[figure], unit, command, count)
                for figure, unit in FIGURES.items()
            ]
            if name == 'fp32':
                continue
            records += [
                make_record(
                    f'{start}.{figure}_loss',
                    base[figure] - got[figure],
                    f'{unit} lost against fp32',
                    command,
                    count,
                )
                for figure, unit in FIGURES.items()
            ]
            if VARIANTS[name][0] is ORT:
                ratios = [
                    a / b
                    for a, b in zip(
                        seconds[name, modality], seconds['fp32', modality], strict=True
                    )
                ]
                records.append(
                    make_record(
                        f'{start}.time_ratio',
                        statistics.median(ratios),
                        'network time / fp32',
                        command,
                        len(ratios),
                    )
                )
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', type=Path, default=resource_path('models/metabev_nano'))
    parser.add_argument('--out', type=Path, default=Path('out/precision'))
    parser.add_argument('--variants', nargs='+', choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument('--drives', type=int, default=20)
    parser.add_argument('--per-drive', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    names = list(dict.fromkeys(['fp32', *options.variants]))
    copy = make_variants(options.model, options.out, names)
    backends = {
        name: OnnxRuntimeBackend(variant_folder(copy, *VARIANTS[name]), options.threads)
        for name in names
    }
    pipeline = Pipeline(backends['fp32'].config, backends['fp32'], backends['fp32'].model_hash)
    test_set = HeldOutDrives(options.drives, options.per_drive, CHOICE_FIRST_SEED)
    samples = (s for drive in test_set.all_drives for s in test_set.samples(drive, pipeline))
    count = options.drives * options.per_drive
    scores, seconds = measure(backends, pipeline, samples, count)
    records = records_of(scores, seconds, copy, names, shlex.join(['python', *sys.argv]), count)
    for record in records:
        print(f'{record.id:45} {record.value:9.4f} {record.unit}')
    if options.record:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
