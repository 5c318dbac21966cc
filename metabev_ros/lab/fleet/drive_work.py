"""Work on one bag of a batch; runs in a process of its own, here or on another machine."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.contract import load_contract
from metabev_ros.errors import MetaBevError, clean_text
from metabev_ros.files import write_bytes
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.fleet.disagreement import compare_branches
from metabev_ros.lab.fleet.drive_outcome import DriveOutcome
from metabev_ros.lab.report.run import ReportConfig, write_report
from metabev_ros.lab.what_if.failures import FailureKind
from metabev_ros.lab.what_if.page import page
from metabev_ros.lab.what_if.question import Question
from metabev_ros.lab.what_if.run import ask
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.structures import Modality, SensorState

SEEN, REPORT, WHAT_IF = 'seen.mcap', 'report.html', 'what_if.html'
SURE = 0.3  # score of boxes that count
STATUS, DETECTIONS = output_topic(wire.STATUS), output_topic(wire.DETECTIONS)


@dataclass(frozen=True)
class DriveTask:
    """One bag, and what is asked of it: plain data for another process.

    Attributes:
        name: of its folder in the batch.
        folder: to write into.
        model: model folder; rig: rig file.
        backend: inference runtime.
        every: seconds between the outputs of which both branches are asked; 0: none.
        video: also draw an .mp4.
        report: also write the page of the run.
        what_if: also write the page of what each sensor's loss costs.
    """

    name: str
    bag: Path
    folder: Path
    model: Path
    rig: Path
    backend: str = 'onnxruntime'
    every: float = 2.0
    video: bool = False
    report: bool = False
    what_if: bool = False

    @property
    def key(self) -> str:
        """Hash of all that the outcome depends on.

        Raises:
            OSError, MetaBevError: for a bag, model or rig that is not there.
        """
        files = sorted(p for p in self.bag.rglob('*') if p.is_file()) or [self.bag]
        plain = {
            'bag': [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files],
            'model': load_contract(self.model).hash,
            'rig': self.rig.read_text(encoding='utf-8'),
            'asked': [self.backend, self.every, self.video, self.report, self.what_if],
        }
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def work_on(task: DriveTask) -> DriveOutcome:
    """Replay a bag, look at what came out, and write its outcome last.

    A bag that fails has an outcome too, with the reason: others go on.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    outcome = DriveOutcome(task.name, str(task.bag), '')
    try:
        outcome = replace(outcome, key=task.key)
        outcome = _replayed(task, outcome)
    except (MetaBevError, OSError) as error:
        outcome = replace(outcome, failure=clean_text(error, 400))
    outcome.save(task.folder)
    return outcome


def _replayed(task: DriveTask, outcome: DriveOutcome) -> DriveOutcome:
    rig, sensing = load_config(RigConfig, task.rig), SensingConfig()
    seen = task.folder / SEEN
    summary = replay_bag(
        task.bag,
        seen,
        task.model,
        rig,
        sensing,
        task.backend,
        1,
        task.folder / 'seen.mp4' if task.video else None,
    )
    outcome = replace(
        outcome,
        outputs=dict(summary.outputs),
        is_lossy=summary.is_lossy,
        notes=tuple(summary.lines()),
    )
    if summary.is_blind:
        return replace(outcome, failure=f'nothing was perceived: {"; ".join(summary.lines()[2:])}')
    outcome = _looked_through(seen, outcome)
    if task.report:
        _report(task, rig)
    if task.what_if:
        _ask_what_if(task, rig)
    if task.every and Modality.FUSED.name in summary.outputs:
        pipeline = Pipeline.load(task.model, task.backend, 1)
        compared, share = compare_branches(task.bag, pipeline, rig, sensing, task.every, SURE)
        outcome = replace(outcome, compared=compared, disagreement=share)
    return outcome


def _report(task: DriveTask, rig: RigConfig) -> None:
    """Write the page of what came out."""
    model = load_contract(task.model).config
    page_of = ReportConfig(task.folder / SEEN, task.folder / REPORT, rig, model, workers=1)
    write_report(page_of, lambda step, done, total: None)


def _ask_what_if(task: DriveTask, rig: RigConfig) -> None:
    """Write the page of what the loss of each sensor costs on this bag."""
    question = Question(LabelledBags((task.bag,), rig), (FailureKind.KILL,))
    pipeline = Pipeline.load(task.model, task.backend, 1)
    answer = ask(question, pipeline, lambda done, total: None, lambda line: None)
    write_bytes(task.folder / WHAT_IF, page(answer).encode())


def _looked_through(seen: Path, outcome: DriveOutcome) -> DriveOutcome:
    """Add what status and boxes say."""
    unused: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    beats = blind = outputs = boxes = 0
    stamps: list[int] = []
    for message in BagReader(seen):
        if message.topic == STATUS:
            status = wire.deserialize(message.cdr, message.msgtype)
            stamps.append(message.log_time_ns)
            if status.is_heartbeat:
                beats += 1
                blind += status.modality == Modality.NONE.value
                continue
            outputs += 1
            for sensor in status.sensors:
                unused[sensor.name] += not sensor.used
                if not sensor.used:
                    why = f'{SensorState(sensor.state).name}: {sensor.reason}'.rstrip(': ')
                    reasons.setdefault(sensor.name, Counter())[why] += 1
        elif message.topic == DETECTIONS:
            found = wire.deserialize(message.cdr, message.msgtype).detections
            boxes += sum(detection.score >= SURE for detection in found)
    return replace(
        outcome,
        seconds=float(np.ptp(stamps)) * 1e-9 if stamps else 0.0,
        blind=blind / beats if beats else 0.0,
        unused={name: count / max(outputs, 1) for name, count in unused.items()},
        reasons={name: counts.most_common(1)[0][0] for name, counts in reasons.items()},
        boxes=boxes / max(outputs, 1),
    )
