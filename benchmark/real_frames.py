"""A model on real labelled frames: 1 of nuScenes, 3 of KITTI, 2 of Argoverse 2.

    .venv/bin/metabev-env python benchmark/real_frames.py DATA [--record RESULTS.json]
    ... DATA --step NAME [--run runs/x]                          # a row of the ledger of reality

DATA is the folder of the frames (nuscenes_keyframe, real_lidar); the project does not hold them.
They are laid out as the data sets are, imported, and scored as by `metabev evaluate --data`. A
model of several sweeps gets what is there: the first frame of Argoverse 2 is an earlier sweep of
the second, the others have one.

With --step the figures go into docs/results/reality_ledger.json under that name, and the picture
docs/images/reality_ledger.png is drawn anew; then make the pages (tools/results_pages.py).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test'))  # for `support`: what lays the frames out

from support.real_frames import RealRecords, real_records  # noqa: E402

from metabev_ros.lab.evaluation.reality_ledger import (  # noqa: E402
    draw_ledger,
    ledger_records,
    seen_on,
)
from metabev_ros.lab.evaluation.record_drives import RecordDrives  # noqa: E402
from metabev_ros.lab.evaluation.record_runs import evaluate_on_records  # noqa: E402
from metabev_ros.lab.evaluation.records import (  # noqa: E402
    ResultRecord,
    merge_records,
    read_records,
)
from metabev_ros.lab.evaluation.report import markdown  # noqa: E402
from metabev_ros.lab.evaluation.report_records import (  # noqa: E402
    class_records,
    evaluation_records,
)
from metabev_ros.lab.evaluation.robustness import ModelSource, with_backend  # noqa: E402
from metabev_ros.pipeline import Pipeline  # noqa: E402
from metabev_ros.resources import DEFAULT_MODEL, resource_path  # noqa: E402

LEDGER = ROOT / 'docs/results/reality_ledger.json'
PICTURE = ROOT / 'docs/images/reality_ledger.png'


def main() -> None:
    """Score and print; record where it was asked for."""
    options = parse()
    command = shlex.join(['python', 'benchmark/real_frames.py', *sys.argv[1:]])
    source = with_backend(ModelSource('model', options.run or options.model, 'auto'))
    pipeline = Pipeline.load(source.folder, source.backend, options.threads)
    with TemporaryDirectory() as folder:
        made = real_records(options.data, Path(folder), pipeline.config)
        if options.step is None:
            records = data_set_records(pipeline, made, command)
            if options.record is not None:
                merge_records(options.record, records)
            return
        seen = seen_on(pipeline, {name: real.records for name, real in made.items()})
    records = ledger_records(seen, options.step, command)
    for record in records:
        sys.stdout.write(f'{record.id:60} {record.value:8.4g} {record.target or ""}\n')
    merge_records(options.ledger, records)
    draw_ledger(read_records(options.ledger), options.picture)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('data', type=Path)
    parser.add_argument('--model', type=Path, default=resource_path(DEFAULT_MODEL))
    parser.add_argument('--run', type=Path, help='a training run; its averaged weights are taken')
    parser.add_argument('--record', type=Path)
    parser.add_argument('--step', help='name of a row of the ledger, such as turns_and_flips')
    parser.add_argument('--ledger', type=Path, default=LEDGER)
    parser.add_argument('--picture', type=Path, default=PICTURE)
    parser.add_argument('--threads', type=int, default=2)
    return parser.parse_args()


def data_set_records(
    pipeline: Pipeline, made: dict[str, RealRecords], command: str
) -> list[ResultRecord]:
    """The metrics of nuScenes and of each data set's own; prints them."""
    records: list[ResultRecord] = []
    for name, real in made.items():
        drives = RecordDrives((real.records,))
        evaluation = evaluate_on_records(pipeline, drives, original=real.original)
        sys.stdout.write(markdown(evaluation) + '\n')
        topic = f'real_frames.{name}'
        records += evaluation_records(evaluation, command, topic)
        records += class_records(evaluation, command, topic)
    return records


if __name__ == '__main__':
    main()
