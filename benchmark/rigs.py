"""Accuracy that a model keeps on other rigs: cameras, heights, fields of view, beams.

    .venv/bin/metabev-env python benchmark/rigs.py --cache runs/rigs [--record RESULTS.json]

The same held-out streets are driven with every rig, in the same light. One property differs from
the rig in the middle (six cameras, 32 beams); everything that is drawn otherwise is drawn alike.
The objects asked for are those that the middle rig's LiDAR hits, whatever the rig: fewer beams are
no easier truth. Retention is NDS over that of the middle rig, with a paired bootstrap over drives.
RESULTS.json is docs/results/rigs.json. Rendering goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder, labelled
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.samples import LabelledSample, restrict_to
from metabev_ros.lab.evaluation.bootstrap import LEVEL, resampled_figures
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.lab.evaluation.robustness import ModelSource, with_backend
from metabev_ros.lab.evaluation.run import MODALITIES
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.simulation.records import StreetDrives
from metabev_ros.lab.simulation.rigs import RigForm
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, resource_path
from metabev_ros.structures import Modality

FIRST_SEED = 960_000  # worlds that serve for nothing else
MIDDLE = 'middle'
FORMS = {
    MIDDLE: RigForm(),
    'cameras_4': RigForm(cameras=4),
    'cameras_5': RigForm(cameras=5),
    'cameras_8': RigForm(cameras=8),
    'lower_0_4_m': RigForm(lift=-0.4),
    'higher_0_8_m': RigForm(lift=0.8),
    'view_0_75': RigForm(view=0.75),
    'view_1_3': RigForm(view=1.3),
    'beams_16': RigForm(lidar='16 beams'),
    'beams_64': RigForm(lidar='64 beams, two blocks'),
    'beams_128': RigForm(lidar='128 beams, even'),
}
DriveScores = dict[Modality, list[Score]]


def main() -> None:
    """Render, score and print; record where it was asked for."""
    options = parse()
    command = shlex.join(['python', 'benchmark/rigs.py', *sys.argv[1:]])
    source = with_backend(ModelSource('model', options.run or options.model, 'auto'))
    pipeline = Pipeline.load(source.folder, source.backend, options.threads)
    folders = {name: rendered(form, options, pipeline) for name, form in FORMS.items()}
    scores = {name: scored(pipeline, folders[MIDDLE], folder) for name, folder in folders.items()}
    records = retentions(scores, options.drives * options.per_drive, command)
    for record in records:
        sys.stdout.write(f'{record.id:45} {record.value:8.4f}\n')
    if options.record is not None:
        merge_records(options.record, records)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('--model', type=Path, default=resource_path(DEFAULT_MODEL))
    parser.add_argument('--run', type=Path, help='a training run; its averaged weights are taken')
    parser.add_argument('--cache', type=Path, required=True, help='rendered records')
    parser.add_argument('--drives', type=int, default=20)
    parser.add_argument('--per-drive', type=int, default=3)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    return parser.parse_args()


def rendered(form: RigForm, options: argparse.Namespace, pipeline: Pipeline) -> RecordFolder:
    """The records of one rig."""
    drives = StreetDrives(FIRST_SEED, options.drives, options.per_drive, 2.0, form=form)
    folder = options.cache / drives.name

    def progress(done: int, total: int, drive: str) -> None:
        sys.stdout.write(f'\r{form.name}: {done} of {total} drives, {drive}   ')
        sys.stdout.flush()

    import_records(drives, folder, pipeline.config, Spread(options.workers), progress)
    sys.stdout.write('\n')
    return RecordFolder(folder)


def scored(pipeline: Pipeline, middle: RecordFolder, folder: RecordFolder) -> DriveScores:
    """Scores of every drive in every branch, on the objects that the middle rig's LiDAR hits."""
    scores: DriveScores = {modality: [] for modality in MODALITIES}
    for scene, paths in folder.scenes.items():
        drive = {modality: Score() for modality in MODALITIES}
        for frame in _frames(middle.scenes[scene], paths):
            for modality, score in drive.items():
                result = pipeline(restrict_to(frame.sample, modality))
                score.add(result.detections, result.map_probabilities, frame.truth)
        for modality, score in drive.items():
            scores[modality].append(score)
    return scores


def _frames(middle: list[Path], paths: list[Path]) -> Iterator[LabelledSample]:
    for own, path in zip(map(read_record, middle), paths, strict=True):
        record = read_record(path)
        yield labelled(dataclasses.replace(record, num_lidar_pts=own.num_lidar_pts))


def retentions(
    scores: Mapping[str, DriveScores], samples: int, command: str
) -> list[ResultRecord]:
    """NDS of every rig and branch, and its share of the middle rig's with its interval."""
    records: list[ResultRecord] = []
    tail = 100 * (1 - LEVEL) / 2
    for modality in MODALITIES:
        middle = _nds(scores[MIDDLE][modality])
        for name, drives in scores.items():
            nds, start = _nds(drives[modality]), f'rigs.{name}.{modality.name.lower()}'
            records.append(make_record(f'{start}.nds', round(nds[0], 4), 'NDS', command, samples))
            if name == MIDDLE:
                continue
            share = nds / middle
            low, high = np.nanpercentile(share[1:], [tail, 100 - tail])
            for end, value in (('', share[0]), ('_low', low), ('_high', high)):
                kept = round(float(value), 4)
                records.append(make_record(f'{start}.kept{end}', kept, 'share', command, samples))
    return records


def _nds(drives: list[Score]) -> np.ndarray:
    """(1 + draws,) NDS of all drives, then of every draw of them."""
    value = Score.merged(drives).result().detection.nds
    return np.array([value, *resampled_figures(drives)['nds']], float)


if __name__ == '__main__':
    main()
