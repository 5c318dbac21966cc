"""The shipped weights on real labelled frames: 1 of nuScenes, 3 of KITTI, 2 of Argoverse 2.

    .venv/bin/metabev-env python benchmark/real_frames.py DATA [--record RESULTS.json]

DATA is the folder of the frames (nuscenes_keyframe, real_lidar); the project does not hold them.
They are laid out as the data sets are, imported, and scored as by `metabev evaluate --data`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test'))  # for `support`: what lays the frames out

from support.real_frames import real_records  # noqa: E402

from metabev_ros.lab.evaluation.record_drives import RecordDrives  # noqa: E402
from metabev_ros.lab.evaluation.record_runs import evaluate_on_records  # noqa: E402
from metabev_ros.lab.evaluation.records import ResultRecord, merge_records  # noqa: E402
from metabev_ros.lab.evaluation.report import markdown  # noqa: E402
from metabev_ros.lab.evaluation.report_records import (  # noqa: E402
    class_records,
    evaluation_records,
)
from metabev_ros.pipeline import Pipeline  # noqa: E402
from metabev_ros.resources import DEFAULT_MODEL, resource_path  # noqa: E402


def main() -> None:
    """Score and print; record where it was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('data', type=Path)
    parser.add_argument('--model', type=Path, default=resource_path(DEFAULT_MODEL))
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    command = shlex.join(['python', 'benchmark/real_frames.py', *sys.argv[1:]])
    pipeline = Pipeline.load(options.model, 'onnxruntime', 2)
    records: list[ResultRecord] = []
    with TemporaryDirectory() as folder:
        for name, made in real_records(options.data, Path(folder), pipeline.config).items():
            drives = RecordDrives((made.records,))
            evaluation = evaluate_on_records(pipeline, drives, original=made.original)
            sys.stdout.write(markdown(evaluation) + '\n')
            topic = f'real_frames.{name}'
            records += evaluation_records(evaluation, command, topic)
            records += class_records(evaluation, command, topic)
    if options.record is not None:
        merge_records(options.record, records)


if __name__ == '__main__':
    main()
