"""The bands of NDS and mIoU that the shipped weights are held to in every test run.

    .venv/bin/metabev-env python benchmark/accuracy_band.py [--record FILE]

FILE is docs/results/accuracy_band.json. Measure it anew after new weights or a new world, look at
what changed, then make the pages (tools/results_pages.py). The test that reads the file is
test/lab/evaluation/test_shipped_accuracy.py.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from metabev_ros.lab.evaluation.accuracy_band import (
    FROZEN_SETS,
    band_records,
    frozen_drives,
    frozen_scores,
)
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path


def main() -> None:
    """Measure and print; record where it was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    command = shlex.join(['python', 'benchmark/accuracy_band.py', *sys.argv[1:]])
    for world in World:
        start = time.monotonic()
        model = resource_path(f'models/{world.model}')
        pipeline = Pipeline.load(model, 'onnxruntime', options.threads)
        scores = frozen_scores(pipeline, frozen_drives(world, pipeline))
        seconds = time.monotonic() - start
        records = band_records(world, scores, command)
        for record in records:
            sys.stdout.write(f'{record.id:44} {record.value:8.5f} {record.unit}\n')
        sys.stdout.write(f'{FROZEN_SETS[world].words}: rendered and scored in {seconds:.0f} s\n')
        if options.record is not None:
            merge_records(options.record, records)


if __name__ == '__main__':
    main()
