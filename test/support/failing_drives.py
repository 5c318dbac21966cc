"""A short labelled drive whose sensors measure at once, and what-ifs of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.datasets.synthetic import find_timing
from metabev_ros.lab.what_if.question import Question
from metabev_ros.lab.what_if.run import Answer, ask
from metabev_ros.pipeline import Pipeline
from support.labelled_drives import LabelledDrive, small_rig, write_drive


def write_simultaneous_drive(folder: Path) -> LabelledDrive:
    """Two cameras and a LiDAR, all of 10 Hz, with one stamp a set."""
    plain = small_rig()
    cameras = tuple(dataclasses.replace(camera, rate_hz=10.0) for camera in plain.cameras)
    rig = dataclasses.replace(plain, cameras=cameras)
    return write_drive(folder, rig=rig, timing=find_timing('simultaneous'))


def asked(drive: LabelledDrive, pipeline: Pipeline, **options: Any) -> Answer:
    """The answer of a drive, looked at every 0.2 s."""
    question = {'every': 0.2, **options}
    source = LabelledBags((drive.path,), drive.rig)
    return ask(Question(source, **question), pipeline, lambda done, total: None, lambda line: None)
