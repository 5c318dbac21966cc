"""What the outputs of a sample cost beside its network, in one run.

    .venv/bin/metabev-env python benchmark/output_cost.py [--record docs/results/output_cost.json]

`metabev_nano` looks at a simulated drive. After each sample, in turns with the network: what
follows its objects, and what encodes it as each topic. The figures are processor time as
shares of the network's, medians over the samples. `result`, `tracks` and `status` are the messages
that are always made, the drivable area among them; a topic in another package's type costs what it
adds, and nothing while nobody subscribes to it.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros import wire
from metabev_ros.config import MarkersConfig, TrackingConfig
from metabev_ros.coverage import seen_cells
from metabev_ros.drawing import draw_overlay
from metabev_ros.lab.datasets.samples import sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.outputs import diagnostic_messages, result_messages, track_messages, warm_up
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import ModelInfo, PerceptionResult
from metabev_ros.tracking import Tracker
from metabev_ros.tracks import TrackedObjects
from metabev_ros.wire import MadeOf, OutMessage, StatusReport

SEED, WARM_UP, FRAME, NODE = 900_300, 5, 'base_link', 'perception'
NETWORK, UNIT = 'network', "of the network's processor time"
SAME = ('layers/ped_crossing', 'layers/walkway', 'layers/stop_line', 'layers/carpark_area')
TARGETS = {'tracking': '<= 0.05', 'layers/divider': '<= 0.05'}


class Costs:
    """Processor seconds by what they went into, one a sample."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def of(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work and note what it took."""
        begin = time.process_time()
        done = work()
        self.spent.setdefault(name, []).append(time.process_time() - begin)
        return done

    def shares(self) -> dict[str, float]:
        """Medians as shares of the network's."""
        medians = {name: statistics.median(spent) for name, spent in self.spent.items()}
        return {name: median / medians[NETWORK] for name, median in medians.items()}


def measure(frames: int) -> tuple[Costs, float]:
    """Costs, and the mean number of tracks of a sample."""
    pipeline = Pipeline.load(resource_path('models/metabev_nano/contract.json').parent, threads=1)
    model = pipeline.model
    tracker, costs = Tracker(TrackingConfig(), model.detection_classes), Costs()
    warm_up(model, FRAME, tuple(wire.standard_outputs(model.map_classes)))
    followed: list[int] = []
    for number, frame in enumerate(SyntheticDrive(SEED, DriveConfig(frames=frames + WARM_UP))):
        if number == WARM_UP:
            costs, followed = Costs(), []
        plain = sample_from_frame(frame, pipeline.prepare_image)
        sample = replace(plain, ego_poses={'odom': frame.odom_from_ego})
        result = costs.of(NETWORK, lambda s=sample: pipeline(s))
        tracks = costs.of('tracking', lambda r=result: tracker.update(r))
        encode(costs, result, tracks, model)
        followed.append(len(tracks.tracks))
    return costs, statistics.mean(followed)


def encode(
    costs: Costs, result: PerceptionResult, tracks: TrackedObjects, model: ModelInfo
) -> None:
    """Make every output of a result."""
    markers, sample = MarkersConfig(), result.sample
    report = StatusReport(sample.stamp_ns, sample.modality, sample.sensors)
    costs.of('result', lambda: result_messages(result, model, FRAME, markers))
    costs.of('tracks', lambda: track_messages(tracks, model, FRAME, markers))
    costs.of('status', lambda: diagnostic_messages(report, model, FRAME, NODE))
    seen = costs.of('seen', lambda: seen_cells(sample, model.map_grid, model.camera_reach))

    def picture() -> np.ndarray:
        return draw_overlay(result, model, markers.min_score)

    def panel(topics: tuple[str, ...]) -> list[OutMessage]:
        return diagnostic_messages(report, model, FRAME, NODE, topics)

    makers: dict[MadeOf, Callable[[tuple[str, ...]], list[OutMessage]]] = {
        MadeOf.RESULT: lambda topics: wire.encode_standard(
            result, model, FRAME, markers, seen, picture, topics
        ),
        MadeOf.TRACKS: lambda topics: wire.encode_standard_tracks(
            tracks, model, FRAME, markers, topics
        ),
        MadeOf.STATUS: panel,
    }
    for topic, output in wire.standard_outputs(model.map_classes).items():
        make = makers[output.made_of]
        costs.of(topic, lambda make=make, topic=topic: make((topic,)))


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--record', type=Path)
    given = parser.parse_args()
    costs, followed = measure(given.frames)
    shares = costs.shares()
    for name, share in shares.items():
        print(f'{name}: {share:.2%}, {statistics.median(costs.spent[name]) * 1e3:.2f} ms')
    print(f'tracks of a sample: {followed:.1f}')
    if given.record is None:
        return
    command = shlex.join(['python', *sys.argv])
    records = [
        make_record(
            f'output_cost.{name.replace("/", ".")}',
            share,
            UNIT,
            command,
            given.frames,
            TARGETS.get(name),
        )
        for name, share in shares.items()
        if name != NETWORK and name not in SAME
    ]
    records.append(
        make_record('output_cost.followed', followed, 'tracks, mean', command, given.frames)
    )
    merge_records(given.record, records)


if __name__ == '__main__':
    main()
